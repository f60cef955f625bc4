"""Result files: the schema of each, and its one writer and one reader.

A file that is missing, damaged or of another version raises a BoflError of one line, which names the file and says how
to fix it.
"""

from bofl_jax.results.benchmarks import Benchmarks, PeerSpeed, Workload, read_benchmarks
from bofl_jax.results.clients import Clients
from bofl_jax.results.explanations import Explanations
from bofl_jax.results.predictions import Predictions
from bofl_jax.results.rounds import Rounds, read_rounds
from bofl_jax.results.run import RunResults, read_run
from bofl_jax.results.study import Fidelity, Study, StudyRound, StudyRow, read_study
from bofl_jax.results.summary import Summary
from bofl_jax.results.sweep import SweepMember, SweepResults, read_sweep

__all__ = [
    "Benchmarks",
    "Clients",
    "Explanations",
    "Fidelity",
    "PeerSpeed",
    "Predictions",
    "Rounds",
    "RunResults",
    "Study",
    "StudyRound",
    "StudyRow",
    "Summary",
    "SweepMember",
    "SweepResults",
    "Workload",
    "read_benchmarks",
    "read_rounds",
    "read_run",
    "read_study",
    "read_sweep",
]
