"""The thread that puts rounds on the ledger while the devices train the next round."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from bofl_jax.core.digest import digest
from bofl_jax.core.digest_jax import words_to_bytes
from bofl_jax.core.serialization import canonical_bytes, stacked_canonical_bytes
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.state import RoundInfo
from bofl_jax.ledger import Ledger, RejectionReason, RoundCost, Submissions, VerdictDiffersError, digest_rows
from bofl_jax.ledger.base import NO_COST
from bofl_jax.results.rounds import LedgerRecord

Tree = Any


def ledger_thread() -> ThreadPoolExecutor:
    """The thread for all calls of ledgers, in which they follow one another."""
    return ThreadPoolExecutor(1, thread_name_prefix="ledger")


class LedgerWorker:
    """The only caller of a run's ledger: it puts rounds on the chain in a thread, one after another.

    Args:
        ledger: the run's ledger.
        shares: whether clients send updates; without updates there is nothing to put on the ledger.
        thread: the thread, from `ledger_thread`.
    """

    def __init__(self, ledger: Ledger, shares: bool, thread: ThreadPoolExecutor) -> None:
        self.ledger, self._shares, self._thread = ledger, shares, thread

    def eligibility(self, number: int) -> np.ndarray:
        """uint8[C], a `RejectionReason` for each client: whether the contract lets it contribute to a round."""
        return self._thread.submit(self.ledger.eligibility, number).result()

    def record(
        self, number: int, eligibility: np.ndarray, cohort: Cohort, info: RoundInfo, params: Tree
    ) -> "Future[LedgerRecord]":
        """Put a round on the ledger.

        Args:
            number: number of the round.
            eligibility: uint8[C], the eligibility with which the round was trained.
            cohort: the clients that sent updates.
            info: the updates that arrived and the verdicts of the server.
            params: the global model after the round.

        Returns:
            The costs of the round, or the error of the ledger, once the thread has finished.
        """
        if not self._shares:
            return self._thread.submit(cost_record, NO_COST, 0.0)
        return self._thread.submit(self._record, number, eligibility, cohort, info, params)

    def publish(self, digest: bytes) -> None:
        """Publish the digest of the run's results on the ledger."""
        self._thread.submit(self.ledger.publish_results, digest).result()

    def close(self) -> None:
        """Finish the pending rounds and close the ledger."""
        self._thread.submit(self.ledger.close).result()

    def _record(
        self, number: int, eligibility: np.ndarray, cohort: Cohort, info: RoundInfo, params: Tree
    ) -> LedgerRecord:
        on_chain = self.ledger.eligibility(number)
        for client in np.flatnonzero(on_chain != eligibility):
            raise VerdictDiffersError(
                f"round {number} was not opened: client {client} is {_status(on_chain[client])} by the contract, "
                f"and was taken for {_status(eligibility[client])}"
            )
        self.ledger.open_round(number, cohort.invited)
        began = time.thread_time()
        to_digest = info._replace(updates=()) if info.digests else info
        submissions, model = self._submissions(cohort, jax.device_get(to_digest)), self._model_digest(params)
        digest_ms = (time.thread_time() - began) * 1e3
        return cost_record(self.ledger.close_round(number, submissions, model), digest_ms)

    def _submissions(self, cohort: Cohort, info: RoundInfo) -> Submissions:
        sent, received = self._update_digests(info)
        submissions = Submissions(
            client=cohort.client,
            digest=sent,
            received=received,
            samples=cohort.weight.astype(np.int64),
            metric=_millionths(np.asarray(info.loss)),
            rejection=np.asarray(info.verdict, np.uint8),
        )
        return submissions.take(np.flatnonzero(cohort.sends))

    def _update_digests(self, info: RoundInfo) -> tuple[np.ndarray, np.ndarray]:
        """uint8[M, 32] each: the digests of the updates that were sent, and of those that arrived."""
        if self.ledger.mode == "off":
            zeros = np.zeros((len(info.loss), 32), np.uint8)
            return zeros, zeros
        if info.digests:
            sent, received = map(words_to_bytes, info.digests)
            return sent, received
        digests = digest_rows(*stacked_canonical_bytes(info.updates))
        return digests, digests

    def _model_digest(self, params: Tree) -> bytes:
        return b"" if self.ledger.mode == "off" else digest(*canonical_bytes(params))


def cost_record(cost: RoundCost, digest_ms: float) -> LedgerRecord:
    """The costs of a round as ``rounds.jsonl`` holds them.

    Args:
        cost: costs of the round's transactions, and of hashing their tree.
        digest_ms: CPU time of hashing the updates.
    """
    return {
        "gas": cost.gas,
        "bytes": cost.bytes,
        "cpu_ms": cost.cpu_ms,
        "accepted": cost.accepted,
        "rejected": cost.rejected,
        "digest_ms": digest_ms + cost.hash_ms,
    }


def _millionths(loss: np.ndarray) -> np.ndarray:
    """int64[M]: training losses float32[M] as the fixed-point numbers of the contract; 0 for one that is not finite."""
    return np.rint(np.clip(np.nan_to_num(loss.astype(np.float64), posinf=0.0), 0, 1e9) * 1e6).astype(np.int64)


def _status(reason: int) -> str:
    return "active" if reason == RejectionReason.NONE else RejectionReason(reason).name.lower().replace("_", " ")
