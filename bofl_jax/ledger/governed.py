"""Mode ``merkle``: three transactions in two blocks a round, whatever the number of clients."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from eth_abi.exceptions import EncodingError

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import merkle
from bofl_jax.ledger.base import Applied, Call, Engine, Outcome, RoundCost, Submission
from bofl_jax.ledger.blocklog import append_block
from bofl_jax.ledger.chain import TransactionRevertedError
from bofl_jax.ledger.contract import load_contract
from bofl_jax.ledger.folder import Network, files_of
from bofl_jax.ledger.leaves import RoundLeaves, append_leaves

ROUND_GAS = 500_000
U32, I64 = 1 << 32, 1 << 63


class GovernedLedger:
    """The ledger of a run whose contract is deployed and whose clients are registered.

    Args:
        engine: the chain, able to seal.
        network: who is who.
        address: 20 bytes, where the contract stands.
        config_hash: 32 bytes that every round is opened with.
        directory: the run directory.
        rounds: how many rounds are finalised.
    """

    mode = "merkle"

    def __init__(
        self, engine: Engine, network: Network, address: bytes, config_hash: bytes, directory: Path, *, rounds: int = 0
    ) -> None:
        self._engine, self._network, self._address, self._config_hash = engine, network, address, config_hash
        self._files = files_of(directory)
        self._round, self._cohort = rounds, tuple[int, ...]()
        self._opened: tuple[Outcome, ...] = ()
        self._cpu_ms = 0.0

    @property
    def head_hash(self) -> str:
        """Hash of the last block as ``0x...``."""
        return "0x" + self._engine.head_hash.hex()

    @property
    def blocks(self) -> int:
        """Number of blocks in the log."""
        return self._engine.height

    def open_round(self, round: int, cohort: Sequence[int]) -> None:
        """Put the round, the configuration's hash and the cohort's digest on the chain.

        Raises:
            BoflError: if the contract refuses, or the cohort names a client twice or one that does not exist.
        """
        with self._timed():
            cohort = tuple(int(client) for client in cohort)
            self._check_cohort(cohort)
            digest = cohort_digest(self._network.clients, cohort)
            opening = (self._network.aggregator, "openRound", round, self._config_hash, digest, len(cohort), 0, [])
            applied = self._seal(f"opening round {round}", opening)
            self._round, self._cohort, self._opened = round, cohort, applied.outcomes

    def close_round(self, round: int, submissions: Sequence[Submission], model_digest: bytes) -> RoundCost:
        """Commit to the accepted updates, by ascending client index, and finalise the round.

        Raises:
            BoflError: if the contract refuses, or a submission is from outside the cohort, a duplicate or malformed.
        """
        if len(model_digest) != 32:
            raise BoflError(f"the model digest of round {round} has {len(model_digest)} bytes instead of 32")
        with self._timed():
            accepted = self._accepted(round, submissions)
            leaves = tuple(self._leaf(round, submission) for submission in accepted)
            root = merkle.root(leaves)
            applied = self._seal(
                f"closing round {round}",
                (self._network.aggregator, "commitRound", round, root, len(leaves), *totals(leaves)),
                (self._network.auditor, "finaliseRound", round, model_digest),
            )
            clients = tuple(submission.client for submission in accepted)
            append_leaves(self._files.leaves, RoundLeaves(round, root, self._cohort, clients, leaves))
        return self._cost(applied, len(accepted), len(submissions) - len(accepted))

    def close(self) -> None:
        """Nothing to release: every block is on the disk as soon as it is sealed."""

    def _seal(self, what: str, *calls: tuple[Any, ...]) -> Applied:
        return seal_calls(self._engine, self._files.blocks, self._address, what, *calls)

    def _check_cohort(self, cohort: Sequence[int]) -> None:
        known = len(self._network.clients)
        strangers = [client for client in cohort if not 0 <= client < known]
        if strangers:
            raise BoflError(f"the cohort names client {strangers[0]}, but clients are 0..{known - 1}")
        if len(set(cohort)) != len(cohort):
            raise BoflError("the cohort names a client twice: draw it without replacement")

    def _accepted(self, round: int, submissions: Sequence[Submission]) -> list[Submission]:
        if round != self._round:
            raise BoflError(f"round {round} was not opened: the last one opened is round {self._round}")
        senders = [submission.client for submission in submissions]
        if len(set(senders)) != len(senders):
            raise BoflError(f"a client handed in two updates for round {round}: keep one a client")
        strangers = sorted(set(senders) - set(self._cohort))
        if strangers:
            raise BoflError(f"client {strangers[0]} handed in an update for round {round} without being in its cohort")
        return sorted((s for s in submissions if s.accepted), key=lambda submission: submission.client)

    def _leaf(self, round: int, submission: Submission) -> merkle.Leaf:
        client, digest, samples, metric, _ = submission
        if len(digest) != 32 or not 0 <= samples < U32 or not 0 <= metric < I64:
            raise BoflError(
                f"client {client}'s update in round {round} cannot be recorded: it needs a 32-byte digest, "
                f"samples in 0..2^32-1 and a metric in 0..2^63-1, not {len(digest)} bytes, {samples} and {metric}"
            )
        return merkle.Leaf(round, self._network.clients[client], digest, int(samples), int(metric))

    def _cost(self, closed: Applied, accepted: int, rejected: int) -> RoundCost:
        outcomes = self._opened + closed.outcomes
        cpu_ms, self._cpu_ms, self._opened = self._cpu_ms, 0.0, ()
        return RoundCost(sum(o.gas for o in outcomes), sum(o.size for o in outcomes), cpu_ms, accepted, rejected)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.thread_time()
        try:
            yield
        finally:
            self._cpu_ms += 1000 * (time.thread_time() - start)


def cohort_digest(clients: Sequence[bytes], cohort: Sequence[int]) -> bytes:
    """32 bytes: SHA-256 over the cohort's addresses, in its order."""
    return sha256(b"".join(clients[client] for client in cohort)).digest()


def totals(leaves: Sequence[merkle.Leaf]) -> tuple[int, int]:
    """What a commitment says about all contributors: their samples, and their mean metric weighted by samples."""
    samples = sum(leaf.samples for leaf in leaves)
    return samples, sum(leaf.samples * leaf.metric for leaf in leaves) // max(samples, 1)


def seal_calls(
    engine: Engine, log: Path, address: bytes, what: str, *calls: tuple[Any, ...], gas: int = ROUND_GAS
) -> Applied:
    """One block of contract calls, each ``(account, function, *arguments)``, sealed and on the disk.

    Raises:
        BoflError: with the contract's reason, if it refuses one, or if a value does not fit; then nothing has happened.
    """
    contract = load_contract()
    try:
        data = [contract.encode(*call[1:]) for call in calls]
    except EncodingError as error:
        raise BoflError(f"the contract cannot be called while {what}: {error}") from error
    try:
        applied = engine.seal_block(
            [Call(call[0].key, address, item, gas) for call, item in zip(calls, data, strict=True)]
        )
    except TransactionRevertedError as error:
        reason = contract.describe_error(error.output)
        raise BoflError(f"the contract refused {calls[error.index][1]} while {what}: {reason}") from error
    append_block(log, applied.raw)
    return applied
