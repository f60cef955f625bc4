"""The conductor: plan, rounds, run, checkpoint, results, audit."""

from bofl_jax.federate.audit import audit
from bofl_jax.federate.run import Interrupted, Run, run

__all__ = ["Interrupted", "Run", "audit", "run"]
