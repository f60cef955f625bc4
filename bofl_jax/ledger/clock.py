"""Measures the CPU time of the ledger by phase."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class CpuClock:
    """CPU time of the calling thread by phase, in ms; a nested phase is not charged to the phase around it.

    Attributes:
        ms: phase -> ms since the last `reset`.
    """

    def __init__(self) -> None:
        self.ms: defaultdict[str, float] = defaultdict(float)
        self._phase, self._since = "", 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the time spent inside the ``with`` block to the phase ``name``."""
        outer = self._phase
        self._switch_to(name)
        try:
            yield
        finally:
            self._switch_to(outer)

    def reset(self) -> dict[str, float]:
        """Return the times by phase and start again from zero."""
        spent, self.ms = dict(self.ms), defaultdict(float)
        return spent

    def _switch_to(self, name: str) -> None:
        now = time.thread_time()
        if self._phase:
            self.ms[self._phase] += 1e3 * (now - self._since)
        self._phase, self._since = name, now
