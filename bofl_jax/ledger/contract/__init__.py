"""The governance contract: its artefact, calls, registry and modes of submission."""
