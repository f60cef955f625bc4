"""Where the ledger's processor time goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """CPU time of the calling thread by phase, in ms; an inner phase does not count towards the outer one.

    Attributes:
        ms: phase -> ms since the last `reset`.
    """

    def __init__(self) -> None:
        self.ms: defaultdict[str, float] = defaultdict(float)
        self._phase, self._since = "", 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge what happens inside to ``name``."""
        outer = self._phase
        self._turn(name)
        try:
            yield
        finally:
            self._turn(outer)

    def reset(self) -> dict[str, float]:
        """What was charged, and start again."""
        spent, self.ms = dict(self.ms), defaultdict(float)
        return spent

    def _turn(self, name: str) -> None:
        now = time.thread_time()
        if self._phase:
            self.ms[self._phase] += 1e3 * (now - self._since)
        self._phase, self._since = name, now
