"""Grids of runs: every combination of some keys' values is a member, with a run directory and a chain of its own."""

from bofl_jax.sweep.grid import Axis, Member, members, parse_axis, share
from bofl_jax.sweep.run import Result, Sweep, sweep
from bofl_jax.sweep.table import write_table

__all__ = ["Axis", "Member", "Result", "Sweep", "members", "parse_axis", "share", "sweep", "write_table"]
