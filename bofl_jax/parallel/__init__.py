"""Execution of clients on devices, in processes and on hosts."""

from bofl_jax.parallel.clients import ExecutionPlan, resolve_plan
from bofl_jax.parallel.devices import clear_program_cache, configure_devices, enable_compilation_cache
from bofl_jax.parallel.options import EngineOptions
from bofl_jax.parallel.processes import is_coordinator, join_processes

__all__ = [
    "EngineOptions",
    "ExecutionPlan",
    "clear_program_cache",
    "configure_devices",
    "enable_compilation_cache",
    "is_coordinator",
    "join_processes",
    "resolve_plan",
]
