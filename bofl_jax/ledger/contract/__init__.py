"""The governance contract in Python: its artefact, calls, registry, cohort and submission modes."""
