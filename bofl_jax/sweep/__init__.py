"""Sweeps: each combination of values of a grid is a member, with its own run directory and its own chain."""

from bofl_jax.sweep.grid import Axis, Member, expand_grid, parse_axis, select_shard
from bofl_jax.sweep.run import MemberResult, Sweep, sweep
from bofl_jax.sweep.table import write_table

__all__ = [
    "Axis",
    "Member",
    "MemberResult",
    "Sweep",
    "expand_grid",
    "parse_axis",
    "select_shard",
    "sweep",
    "write_table",
]
