"""The conductor: plan, rounds, run, checkpoint, results, audit."""

from bofl_jax.parallel.processes import join_processes
from bofl_jax.runs.api import run
from bofl_jax.runs.audit import audit
from bofl_jax.runs.loop import Interrupted
from bofl_jax.runs.session import Run

__all__ = ["Interrupted", "Run", "audit", "join_processes", "run"]
