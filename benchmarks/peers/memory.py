"""The most memory that a process and its descendants hold at once (Linux)."""

import contextlib
import threading
import time
from pathlib import Path

PROC = Path("/proc")
SHARE = 100
"""Looking takes at most one part in so many of one core's time."""


def children() -> dict[int, list[int]]:
    """Every process's children."""
    found: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(stat.parent.name))
    return found


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    family, members = children(), [root]
    for member in members:
        members.extend(family.get(member, ()))
    return members


def held(pid: int) -> int:
    """Bytes of one process; of pages shared by n processes, one part in n. 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(OSError):
        for line in (PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
    return 0


class Watch:
    """Looks again and again while the ``with`` block runs; ``peak`` is in bytes.

    Attributes:
        roots: process ids, to be filled in.
        peak: the most that they and their descendants held together.
    """

    def __init__(self):
        self.roots: list[int] = []
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        pause = 0.1
        while not self._done.wait(pause):
            began = time.thread_time()
            self.peak = max(self.peak, sum(held(pid) for root in self.roots for pid in tree(root)))
            pause = max(0.2, SHARE * (time.thread_time() - began))
