"""Putting rounds on the ledger in a thread of its own, while the device trains the next one."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from bofl_jax.core.digest import digest
from bofl_jax.core.digest_jax import words_to_bytes
from bofl_jax.core.serialization import canonical_bytes, stacked_canonical_bytes
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.round import RoundInfo
from bofl_jax.ledger import Ledger, RejectionReason, RoundCost, Submissions, VerdictDiffersError, digest_rows
from bofl_jax.ledger.base import NO_COST

Tree = Any
COST_FIELDS = ("gas", "bytes", "cpu_ms", "accepted", "rejected")


def ledger_thread() -> ThreadPoolExecutor:
    """The thread in which ledgers work."""
    return ThreadPoolExecutor(1, thread_name_prefix="ledger")


class LedgerWorker:
    """The only caller of a run's ledger: one job after another, in one thread.

    Args:
        ledger: the run's ledger.
        shares: whether there are updates to record.
        thread: of one worker, from `ledger_thread`.
    """

    def __init__(self, ledger: Ledger, shares: bool, thread: ThreadPoolExecutor) -> None:
        self.ledger, self._shares, self._thread = ledger, shares, thread

    def eligibility(self, number: int) -> np.ndarray:
        """uint8[C]: who may contribute to a round, from the contract."""
        return self._thread.submit(self.ledger.eligibility, number).result()

    def record(
        self, number: int, standing: np.ndarray, cohort: Cohort, info: RoundInfo, params: Tree
    ) -> "Future[dict[str, Any]]":
        """Put a round on the ledger; the result is its line ``ledger`` of ``rounds.jsonl``.

        Args:
            number: of the round.
            standing: what the round was trained on the strength of.
            cohort: who sent.
            info: what arrived, and the server's verdicts.
            params: the global model after the round.
        """
        work = self._record if self._shares else lambda *_: cost_record(NO_COST, 0.0)
        return self._thread.submit(work, number, standing, cohort, info, params)

    def publish(self, digest: bytes) -> None:
        """Put the digest of the run's results on the ledger."""
        self._thread.submit(self.ledger.publish_results, digest).result()

    def close(self) -> None:
        """Finish what was begun."""
        self._thread.submit(self.ledger.close).result()

    def _record(
        self, number: int, standing: np.ndarray, cohort: Cohort, info: RoundInfo, params: Tree
    ) -> dict[str, Any]:
        found = self.ledger.eligibility(number)
        for client in np.flatnonzero(found != standing):
            raise VerdictDiffersError(
                f"round {number} was not opened: client {client} is {_standing(found[client])} by the contract, "
                f"and was taken for {_standing(standing[client])}"
            )
        self.ledger.open_round(number, cohort.invited)
        began = time.thread_time()
        hashed = info._replace(updates=()) if info.digests else info
        submissions, model = self._submissions(cohort, jax.device_get(hashed)), self._digest(params)
        digest_ms = (time.thread_time() - began) * 1e3
        return cost_record(self.ledger.close_round(number, submissions, model), digest_ms)

    def _submissions(self, cohort: Cohort, info: RoundInfo) -> Submissions:
        rows = np.flatnonzero(cohort.sends)
        sent, received = self._update_digests(info)
        everything = Submissions(
            client=cohort.client,
            digest=sent,
            received=received,
            samples=cohort.weight.astype(np.int64),
            metric=_millionths(np.asarray(info.loss)),
            rejection=np.asarray(info.verdict, np.uint8),
        )
        return everything.take(rows)

    def _update_digests(self, info: RoundInfo) -> tuple[np.ndarray, np.ndarray]:
        """uint8[M, 32] each: of what was sent and of what arrived."""
        if self.ledger.mode == "off":
            nothing = np.zeros((len(info.loss), 32), np.uint8)
            return nothing, nothing
        if info.digests:
            sent, received = map(words_to_bytes, info.digests)
            return sent, received
        same = digest_rows(*stacked_canonical_bytes(info.updates))
        return same, same

    def _digest(self, params: Tree) -> bytes:
        return b"" if self.ledger.mode == "off" else digest(*canonical_bytes(params))


def cost_record(cost: RoundCost, digest_ms: float) -> dict[str, Any]:
    """What ``rounds.jsonl`` says of a round's cost; hashing of updates and of their tree is ``digest_ms``."""
    return {name: getattr(cost, name) for name in COST_FIELDS} | {"digest_ms": digest_ms + cost.hash_ms}


def _millionths(loss: np.ndarray) -> np.ndarray:
    """int64[M]: training losses as the ledger's fixed-point numbers; one that is not finite counts as 0."""
    return np.rint(np.clip(np.nan_to_num(loss.astype(np.float64), posinf=0.0), 0, 1e9) * 1e6).astype(np.int64)


def _standing(reason: int) -> str:
    return "active" if reason == RejectionReason.NONE else RejectionReason(reason).name.lower().replace("_", " ")
