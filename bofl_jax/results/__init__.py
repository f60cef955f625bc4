"""Typed reading of a directory's result files. A missing or damaged file is refused in one line that names it."""

from bofl_jax.results.benchmarks import Benchmarks, Speed, Work, read_benchmarks
from bofl_jax.results.run import (
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
from bofl_jax.results.study import Fidelity, Result, Study, StudyRound, read_study
from bofl_jax.results.sweep import Member, Sweep, read_sweep

__all__ = [
    "Benchmarks",
    "Clients",
    "Explanations",
    "Fidelity",
    "Member",
    "Predictions",
    "Request",
    "Result",
    "Rounds",
    "Run",
    "Speed",
    "Study",
    "StudyRound",
    "Summary",
    "Sweep",
    "Work",
    "read_benchmarks",
    "read_rounds",
    "read_run",
    "read_study",
    "read_sweep",
]
