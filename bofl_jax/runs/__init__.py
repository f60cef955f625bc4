"""Whole runs: directory, rounds, ledger, checkpoints, results, and their audit."""

from bofl_jax.parallel.processes import join_processes
from bofl_jax.runs.api import RunStart, StartCallback, run
from bofl_jax.runs.audit import audit
from bofl_jax.runs.loop import Interrupted
from bofl_jax.runs.session import RoundCallback, Run

__all__ = ["Interrupted", "RoundCallback", "Run", "RunStart", "StartCallback", "audit", "join_processes", "run"]
