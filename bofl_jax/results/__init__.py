"""Result files: the schema of each, and its one writer and one reader.

A file that is missing, damaged or of another version raises a BoflError of one line, which names the file and says how
to fix it.
"""

from bofl_jax.results.benchmarks import Benchmarks, Speed, Work, read_benchmarks
from bofl_jax.results.clients import Clients
from bofl_jax.results.explanations import Explanations
from bofl_jax.results.predictions import Predictions
from bofl_jax.results.rounds import Rounds, read_rounds
from bofl_jax.results.run import RunResults, read_run
from bofl_jax.results.study import Fidelity, Result, Study, StudyRound, read_study
from bofl_jax.results.summary import Summary
from bofl_jax.results.sweep import Member, Sweep, read_sweep

__all__ = [
    "Benchmarks",
    "Clients",
    "Explanations",
    "Fidelity",
    "Member",
    "Predictions",
    "Result",
    "Rounds",
    "RunResults",
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
