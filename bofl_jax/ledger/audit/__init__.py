"""Replays a chain, checks it, and proves contributions."""
