"""Peak memory of a process and its descendants (Linux)."""

import contextlib
import threading
import time
from pathlib import Path

PROC = Path("/proc")
SHARE = 100
"""The measurement takes at most 1 / SHARE of one core's time."""


def children() -> dict[int, list[int]]:
    """Process -> its children."""
    found: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(stat.parent.name))
    return found


def process_tree(root: int) -> list[int]:
    """A process and its descendants."""
    children_of, found = children(), [root]
    for process in found:
        found.extend(children_of.get(process, ()))
    return found


def resident_bytes(pid: int) -> int:
    """Memory of one process, which has a share of 1 / n of a page that n processes share; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
    return 0


class PeakMemory:
    """Measures the peak memory of processes and their descendants while the ``with`` block runs.

    Attributes:
        roots: process ids; the caller adds them.
        peak: peak memory of all of them together, in bytes.
    """

    def __init__(self):
        self.roots: list[int] = []
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _measure(self) -> None:
        pause = 0.1
        while not self._done.wait(pause):
            began = time.thread_time()
            self.peak = max(self.peak, sum(resident_bytes(pid) for root in self.roots for pid in process_tree(root)))
            pause = max(0.2, SHARE * (time.thread_time() - began))
