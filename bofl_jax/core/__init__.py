"""Foundations that all rooms share: types, keys, serialisation, digests, options, registries and errors."""
