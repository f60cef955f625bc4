"""The conductor: plan, rounds, run, checkpoint, results, audit."""

from bofl_jax.federate.audit import audit
from bofl_jax.federate.conduct import Interrupted
from bofl_jax.federate.course import Run
from bofl_jax.federate.hosts import join
from bofl_jax.federate.run import run

__all__ = ["Interrupted", "Run", "audit", "join", "run"]
