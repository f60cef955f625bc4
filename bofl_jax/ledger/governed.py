"""A ledger on a chain: every round opened, its updates recorded in the chosen mode, committed and finalised."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import ceil
from pathlib import Path

from eth_abi.exceptions import EncodingError

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import merkle
from bofl_jax.ledger.base import Applied, Call, Engine, Outcome, Refusal, RoundCost, Submission
from bofl_jax.ledger.blocklog import append_block
from bofl_jax.ledger.chain import TransactionRevertedError
from bofl_jax.ledger.contract import load_contract
from bofl_jax.ledger.folder import Network, files_of
from bofl_jax.ledger.leaves import RoundLeaves, append_leaves, totals
from bofl_jax.ledger.modes import BATCH_GAS, MODES, Sent, Step, bit_map, heard, refusals
from bofl_jax.ledger.options import LedgerOptions

U32, I64 = 1 << 32, 1 << 63


class GovernedLedger:
    """The ledger of a run whose contract is deployed and whose clients are registered.

    Args:
        options: mode and quorum.
        engine: the chain, able to seal.
        network: who is who.
        address: 20 bytes, where the contract stands.
        config_hash: 32 bytes that every round is opened with.
        directory: the run directory.
        rounds: how many rounds are finalised.
    """

    def __init__(
        self,
        options: LedgerOptions,
        engine: Engine,
        network: Network,
        address: bytes,
        config_hash: bytes,
        directory: Path,
        *,
        rounds: int = 0,
    ) -> None:
        self.mode: str = options.mode
        self._share = options.quorum
        self._engine, self._network, self._address, self._config_hash = engine, network, address, config_hash
        self._files = files_of(directory)
        self._round, self._cohort = rounds, tuple[int, ...]()
        self._outcomes: list[Outcome] = []
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
        """Put the round, the configuration's hash, the cohort's digest and the quorum on the chain.

        Raises:
            BoflError: if the contract refuses, or the cohort names a client twice or one that does not exist.
        """
        with self._timed():
            cohort = tuple(int(client) for client in cohort)
            self._check_cohort(cohort)
            digest = cohort_digest(self._network.addresses, cohort)
            members = bit_map(cohort) if MODES[self.mode].listed else []
            args = (round, self._config_hash, digest, len(cohort), _quorum(self._share, len(cohort)), members)
            self._seal(f"opening round {round}", [Step(self._network.aggregator, "openRound", args, BATCH_GAS)])
            self._round, self._cohort = round, cohort

    def close_round(self, round: int, submissions: Sequence[Submission], model_digest: bytes) -> RoundCost:
        """Record the updates, commit to the accepted ones by ascending client index, and finalise the round.

        Raises:
            BoflError: if the contract refuses, or its verdict on an update differs (then the round is aborted on
                chain), or a submission is from outside the cohort, a duplicate or malformed.
        """
        if len(model_digest) != 32:
            raise BoflError(f"the model digest of round {round} has {len(model_digest)} bytes instead of 32")
        with self._timed():
            self._check_senders(round, submissions)
            sent = [Sent(one, self._leaf(round, one)) for one in sorted(submissions, key=lambda one: one.client)]
            self._record(round, sent)
            accepted = [one for one in sent if one.submission.accepted]
            leaves = tuple(one.leaf for one in accepted)
            root = merkle.root(leaves)
            commitment = Step(self._network.aggregator, "commitRound", (round, root, len(leaves), *totals(leaves)))
            finalisation = Step(self._network.auditor, "finaliseRound", (round, model_digest))
            self._seal(f"closing round {round}", [commitment, finalisation])
            clients = tuple(one.submission.client for one in accepted)
            append_leaves(self._files.leaves, RoundLeaves(round, root, self._cohort, clients, leaves))
        return self._cost(len(accepted), len(sent) - len(accepted))

    def close(self) -> None:
        """Nothing to release: every block is on the disk as soon as it is sealed."""

    def _record(self, round: int, sent: Sequence[Sent]) -> None:
        """Bring the updates on chain as the mode says, and hold the contract's verdicts against the server's."""
        mode = MODES[self.mode]
        steps = [
            *mode.record(self._network, self._address, round, sent),
            *refusals(self._network, round, sent),
        ]
        if not steps:
            return
        verdicts = heard(self._seal(f"recording the updates of round {round}", steps))
        for submission, leaf in sent:
            expected = submission.refusal
            found = verdicts.get("0x" + leaf.client.hex(), Refusal.NONE if not mode.listed else None)
            if found is not expected:
                self._abort(round, f"client {submission.client}: {_name(found)}, not {_name(expected)}")

    def _abort(self, round: int, reason: str) -> None:
        self._seal(f"aborting round {round}", [Step(self._network.auditor, "abortRound", (round,))])
        raise BoflError(f"round {round} was aborted on chain, whose verdict differs from the server's on {reason}")

    def _seal(self, what: str, steps: Sequence[Step]) -> Applied:
        applied = seal_steps(self._engine, self._files.blocks, self._address, what, steps)
        self._outcomes += applied.outcomes
        return applied

    def _check_cohort(self, cohort: Sequence[int]) -> None:
        known = len(self._network.clients)
        strangers = [client for client in cohort if not 0 <= client < known]
        if strangers:
            raise BoflError(f"the cohort names client {strangers[0]}, but clients are 0..{known - 1}")
        if len(set(cohort)) != len(cohort):
            raise BoflError("the cohort names a client twice: draw it without replacement")

    def _check_senders(self, round: int, submissions: Sequence[Submission]) -> None:
        if round != self._round:
            raise BoflError(f"round {round} was not opened: the last one opened is round {self._round}")
        senders = [submission.client for submission in submissions]
        if len(set(senders)) != len(senders):
            raise BoflError(f"a client handed in two updates for round {round}: keep one a client")
        strangers = sorted(set(senders) - set(self._cohort))
        if strangers:
            raise BoflError(f"client {strangers[0]} handed in an update for round {round} without being in its cohort")

    def _leaf(self, round: int, submission: Submission) -> merkle.Leaf:
        client, digest, samples, metric, _ = submission
        if len(digest) != 32 or not 0 <= samples < U32 or not 0 <= metric < I64:
            raise BoflError(
                f"client {client}'s update in round {round} cannot be recorded: it needs a 32-byte digest, "
                f"samples in 0..2^32-1 and a metric in 0..2^63-1, not {len(digest)} bytes, {samples} and {metric}"
            )
        return merkle.Leaf(round, self._network.clients[client].address, digest, int(samples), int(metric))

    def _cost(self, accepted: int, rejected: int) -> RoundCost:
        outcomes, cpu_ms = self._outcomes, self._cpu_ms
        self._outcomes, self._cpu_ms = [], 0.0
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


def seal_steps(engine: Engine, log: Path, address: bytes, what: str, steps: Sequence[Step]) -> Applied:
    """One block of contract calls, sealed and on the disk.

    Raises:
        BoflError: with the contract's reason, if it refuses one, or if a value does not fit; then nothing has happened.
    """
    contract = load_contract()
    try:
        calls = [Call(s.account.key, address, contract.encode(s.function, *s.args), s.gas) for s in steps]
    except EncodingError as error:
        raise BoflError(f"the contract cannot be called while {what}: {error}") from error
    try:
        applied = engine.seal_block(calls)
    except TransactionRevertedError as error:
        reason = contract.describe_error(error.output)
        raise BoflError(f"the contract refused {steps[error.index].function} while {what}: {reason}") from error
    append_block(log, applied.raw)
    return applied


def _quorum(share: float, size: int) -> int:
    """The fewest clients that are this share of a cohort; 7 % of 100 are 7, whatever floating point makes of it."""
    return ceil(round(share * size, 9))


def _name(verdict: Refusal | None) -> str:
    if verdict is None:
        return "not heard of"
    return "accepted" if verdict is Refusal.NONE else f"refused ({verdict.name.lower().replace('_', ' ')})"
