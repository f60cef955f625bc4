"""The processes of one run: joining them, meeting at a barrier, broadcasting from the first one."""

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
"""How long a process waits for the first one, which may be at its ledger or its metrics meanwhile."""


def join_processes(text: str, engine: EngineOptions) -> bool:
    """Join the other processes of a run; to be called before JAX is first used.

    Args:
        text: ``auto``, where a job scheduler says who is there (SLURM, Open MPI, Kubernetes, Cloud TPU), or
            ``I/N@HOST:PORT``: the I-th of N processes, the first of which listens there.
        engine: of the run.

    Returns:
        Whether this process conducts.

    Raises:
        BoflError: if the text is neither, or the others cannot be reached.
    """
    given: dict[str, Any] = {}
    if text != "auto":
        who, _, address = text.partition("@")
        number, _, count = who.partition("/")
        port = address.rpartition(":")[2]
        if not (number.isdigit() and count.isdigit() and port.isdigit() and 1 <= int(number) <= int(count)):
            raise BoflError(f"--distributed {text} is not possible: write auto, or I/N@HOST:PORT, as in 2/3@node1:8476")
        given = {"coordinator_address": address, "num_processes": int(count), "process_id": int(number) - 1}
    try:
        jax.distributed.initialize(**given)
    except (ValueError, RuntimeError) as error:
        mend = "write I/N@HOST:PORT" if text == "auto" else "start all processes, with one address that all can reach"
        raise BoflError(f"--distributed {text}: {str(error).splitlines()[0]}: {mend}") from error
    devices.configure_devices(engine)
    return is_coordinator()


def is_coordinator() -> bool:
    """Whether this process conducts: the first of several, or the only one."""
    return jax.process_index() == 0


_BARRIERS = itertools.count()


def barrier() -> None:
    """Wait until every process has come here; the communication of programs themselves is less patient."""
    from orbax.checkpoint import multihost  # two seconds: only runs on several hosts pay for it here

    multihost.get_barrier_sync_fn()(key=f"bofl_jax {next(_BARRIERS)}", timeout_ms=BARRIER_TIMEOUT_MS)


def broadcast_command(what: str, content: Sequence[Any] = ()) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, what, *content, allow_pickle=False)
    _broadcast(buffer.getvalue())


def receive_command() -> tuple[str, list[np.ndarray]]:
    with np.load(io.BytesIO(_broadcast(b""))) as arrays:
        what, *content = (arrays[name] for name in arrays.files)
    return str(what), content


def _broadcast(message: bytes) -> bytes:
    """What the first process says, in every process."""
    barrier()
    length = np.frombuffer(len(message).to_bytes(8, "little"), np.uint8)
    size = int.from_bytes(multihost_utils.broadcast_one_to_all(length).tobytes(), "little")
    padded = np.zeros(max(4096, 1 << (size - 1).bit_length()), np.uint8)  # few sizes: each is compiled
    padded[: len(message)] = np.frombuffer(message, np.uint8)
    return multihost_utils.broadcast_one_to_all(padded).tobytes()[:size]


def _name(process: int) -> str:
    return f"process {process + 1} of {jax.process_count()}"


def _bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _text(content: Sequence[np.ndarray]) -> str:
    return content[0].tobytes().decode()
