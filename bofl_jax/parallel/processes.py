"""Processes of one run (`jax.distributed`): how they join, barriers, and commands of the coordinator to the workers."""

import io
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from bofl_jax.core.errors import BoflError
from bofl_jax.parallel import devices
from bofl_jax.parallel.options import EngineOptions

BARRIER_TIMEOUT_MS = 24 * 3600 * 1000
"""How long a worker waits for the coordinator, which may be busy with its ledger or its metrics."""


def join_processes(distributed: str, engine: EngineOptions) -> bool:
    """Join the other processes of a run. Call this before the first use of JAX.

    Args:
        distributed: ``auto`` where a job scheduler knows the processes (SLURM, Open MPI, Kubernetes, Cloud TPU), or
            ``I/N@HOST:PORT`` for the I-th of N processes, the first of which listens at that address.
        engine: engine options of the run.

    Returns:
        Whether this process is the coordinator.

    Raises:
        BoflError: if ``distributed`` is neither of the two, or if the other processes cannot be reached.
    """
    arguments: dict[str, Any] = {} if distributed == "auto" else _parse_address(distributed)
    try:
        jax.distributed.initialize(**arguments)
    except (ValueError, RuntimeError) as error:
        common_address = "start all processes, with one address that all can reach"
        how_to_fix = "write I/N@HOST:PORT" if distributed == "auto" else common_address
        raise BoflError(f"--distributed {distributed}: {str(error).splitlines()[0]}: {how_to_fix}") from error
    devices.configure_devices(engine)
    return is_coordinator()


def _parse_address(distributed: str) -> dict[str, Any]:
    """The arguments of `jax.distributed.initialize` for ``I/N@HOST:PORT``."""
    place, _, address = distributed.partition("@")
    number, _, count = place.partition("/")
    port = address.rpartition(":")[2]
    if not (number.isdigit() and count.isdigit() and port.isdigit() and 1 <= int(number) <= int(count)):
        raise BoflError(
            f"--distributed {distributed} is not possible: write auto, or I/N@HOST:PORT, as in 2/3@node1:8476"
        )
    return {"coordinator_address": address, "num_processes": int(count), "process_id": int(number) - 1}


def is_coordinator() -> bool:
    """Whether this process is the coordinator: the first of several processes, or the only one."""
    return jax.process_index() == 0


_BARRIERS = itertools.count()


def barrier() -> None:
    """Wait until every process has arrived here; the collectives of compiled programs would time out sooner."""
    from orbax.checkpoint import multihost  # this import takes two seconds, which only runs on several hosts pay

    multihost.get_barrier_sync_fn()(key=f"bofl_jax {next(_BARRIERS)}", timeout_ms=BARRIER_TIMEOUT_MS)


def broadcast_command(command: str, arrays: Sequence[Any] = ()) -> None:
    """Send a command from the coordinator to all workers, which receive it with `receive_command`.

    Args:
        command: name of the command.
        arrays: its arguments, anything that `numpy.asarray` takes.
    """
    buffer = io.BytesIO()
    np.savez(buffer, command, *arrays, allow_pickle=False)
    _broadcast(buffer.getvalue())


def receive_command() -> tuple[str, list[np.ndarray]]:
    """Wait for the next command of the coordinator; returns its name and its arguments."""
    with np.load(io.BytesIO(_broadcast(b""))) as file:
        command, *arrays = (file[name] for name in file.files)
    return str(command), arrays


def _broadcast(message: bytes) -> bytes:
    """The message of the coordinator, in every process."""
    barrier()
    length = np.frombuffer(len(message).to_bytes(8, "little"), np.uint8)
    size = int.from_bytes(multihost_utils.broadcast_one_to_all(length).tobytes(), "little")
    padded = np.zeros(max(4096, 1 << (size - 1).bit_length()), np.uint8)  # few sizes, as each size is compiled
    padded[: len(message)] = np.frombuffer(message, np.uint8)
    return bytes(multihost_utils.broadcast_one_to_all(padded).tobytes()[:size])


def process_name(process: int) -> str:
    """Name of a process for messages, for example "process 2 of 3" for index 1."""
    return f"process {process + 1} of {jax.process_count()}"


def encode_text(text: str) -> np.ndarray:
    """uint8[length]: a text as an argument of a command."""
    return np.frombuffer(text.encode(), np.uint8)


def decode_text(arrays: Sequence[np.ndarray]) -> str:
    """The text that is the first argument of a command."""
    return arrays[0].tobytes().decode()
