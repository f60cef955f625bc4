"""Typed reading of a directory's result files. A missing or damaged file is refused in one line that names it."""

from bofl_jax.figures.reading.run import (
    Clients,
    Explanations,
    Predictions,
    Request,
    Rounds,
    Run,
    Summary,
    read_rounds,
    read_run,
)
from bofl_jax.figures.reading.study import Fidelity, Result, Study, StudyRound, read_study
from bofl_jax.figures.reading.sweep import Member, Sweep, read_sweep

__all__ = [
    "Clients",
    "Explanations",
    "Fidelity",
    "Member",
    "Predictions",
    "Request",
    "Result",
    "Rounds",
    "Run",
    "Study",
    "StudyRound",
    "Summary",
    "Sweep",
    "read_rounds",
    "read_run",
    "read_study",
    "read_sweep",
]
