"""A ledger on a chain: every round opened, its updates recorded in the chosen mode, committed and finalised."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger import merkle
from bofl_jax.ledger.base import RoundCost, Submissions, VerdictDiffersError
from bofl_jax.ledger.chain.accounts import Network
from bofl_jax.ledger.chain.base import Applied, Engine, Outcome
from bofl_jax.ledger.clock import Clock
from bofl_jax.ledger.contract.artefact import ENUMS, load_contract
from bofl_jax.ledger.contract.calls import BATCH_GAS, ContractRefusedError, Step, read_view, seal_steps
from bofl_jax.ledger.contract.modes import MODES, Place, bit_map, expected, refusals
from bofl_jax.ledger.contract.registry import AFTER, BY_STATE, FUNCTION, due
from bofl_jax.ledger.options import LedgerOptions
from bofl_jax.ledger.storage.layout import files_of
from bofl_jax.ledger.storage.leaves import RoundLeaves, append_leaves, totals

U32 = 1 << 32
VIEW_BATCH = 1000


class GovernedLedger:
    """The ledger of a run whose contract is deployed and whose clients are registered.

    Args:
        options: mode, quorum, and what happens to the registry.
        engine: the chain, able to seal.
        network: who is who.
        address: 20 bytes, where the contract stands.
        config_hash: 32 bytes that every round is opened with.
        directory: the run directory.
        clock: what the engine charges its time to.
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
        clock: Clock,
        *,
        rounds: int = 0,
    ) -> None:
        self.mode: str = options.mode
        self._mode = MODES[options.mode]
        self.network, self.rounds = network, rounds
        self._options, self._engine, self._address, self._config_hash = options, engine, address, config_hash
        self._files, self._clock = files_of(directory), clock
        self._contract = load_contract()
        self._round, self._cohort = 0, np.zeros(0, np.int64)  # the round in hand; 0: none
        self._registry, self._standing = -1, np.zeros(0, np.uint8)
        self._outcomes: list[Outcome] = []
        self._latest = self.read("latestRound")

    @property
    def head_hash(self) -> str:
        """Hash of the last block as ``0x...``."""
        return "0x" + self._engine.head_hash.hex()

    @property
    def blocks(self) -> int:
        """Number of blocks in the log."""
        return self._engine.height

    def eligibility(self, round: int) -> np.ndarray:
        """uint8[C]: who may contribute, read from the contract; it is read anew only after the registry changed."""
        with self._clock.phase("registry"):
            current, changes = self._read_standing(), list(due(self._options, round))
            goal = {change.client: AFTER[change.action] for change in changes}
            missing = [change for change in changes if current[change.client] != goal[change.client]]
            for change in missing:  # none when asked again, or in a resumed run that finds them made
                self._change(change.action, change.client)
            return self._read_standing() if missing else current

    def open_round(self, round: int, cohort: np.ndarray) -> None:
        """Put the round, the configuration's hash, the cohort's digest and the quorum on the chain.

        Raises:
            VerdictDiffersError: if the contract refuses.
            BoflError: if the cohort names a client twice or one that does not exist, or `standing` was not asked.
        """
        with self._clock.phase("records"):
            cohort = np.asarray(cohort, np.int64)
            self._check_opening(round, cohort)
            number = self._latest + 1
            digest = cohort_digest(self.network.address_rows, cohort)
            members = bit_map(cohort) if self._mode.listed else []
            quorum = _quorum(self._options.quorum, len(cohort))
            args = (number, self._registry, self._config_hash, digest, len(cohort), quorum, members)
            try:
                self.transact(f"opening round {round}", [Step(self.network.aggregator, "openRound", args, BATCH_GAS)])
            except ContractRefusedError as error:
                raise VerdictDiffersError(f"round {round} was not opened: {error}") from error
            self._round, self._cohort, self._latest = number, cohort, number

    def close_round(self, round: int, submissions: Submissions, model_digest: bytes) -> RoundCost:
        """Record the updates, commit to the accepted ones by ascending client index, and finalise the round.

        Raises:
            VerdictDiffersError: if the contract refuses, or its verdict on an update is another; the round is aborted.
            BoflError: if a submission is malformed, or accepted from outside the cohort or twice.
        """
        with self._clock.phase("records"):
            self._check_closing(round, submissions, model_digest)
            sent = submissions.take(np.argsort(submissions.client, kind="stable"))
            accepted = sent.take(np.flatnonzero(sent.accepted))
            addresses = np.take(self.network.address_rows, accepted.client, axis=0)
            leaves = merkle.rows(self._round, addresses, accepted.digest, accepted.samples, accepted.metric)
            with self._clock.phase("hashing"):
                root = merkle.root(leaves)
            record = RoundLeaves(self._round, root, self._cohort, accepted.client, leaves)
            with self._aborting(round):
                self._record(round, sent)
                self._close(round, record, model_digest)
            append_leaves(self._files.leaves, record)
            self.rounds, self._round = round, 0
        return self._cost(len(accepted.client), len(sent.client) - len(accepted.client))

    def abort_round(self, round: int) -> None:
        """Give up the round in hand on chain."""
        self.transact(f"aborting round {round}", [Step(self.network.auditor, "abortRound", (self._round,))])
        self._round = 0
        self._outcomes.clear()
        self._clock.reset()

    def abort_unfinished(self) -> None:
        """Give up the round that an interrupted run left open on a chain that cannot be cut back."""
        state = self.read("rounds", self._latest)
        if state in (ENUMS["RoundState"].index("Open"), ENUMS["RoundState"].index("Committed")):
            self._round = self._latest
            self.abort_round(self.rounds + 1)

    def publish_results(self, digest: bytes) -> None:
        """Put the digest of the results on chain, beside the last global model."""
        step = Step(self.network.auditor, "publishResults", (self.rounds, digest))
        self.transact_apart("publishing the results", [step])

    def close(self) -> None:
        """Nothing to release: every block is on the disk as soon as it is sealed."""

    def transact(self, what: str, steps: Sequence[Step], *, strict: bool = True) -> Applied:
        """One block of contract calls, sealed and on the disk; ``strict`` refuses all of them if one is reverted.

        Raises:
            BoflError: with the contract's reason; then nothing has happened.
        """
        applied = seal_steps(self._engine, self._files.blocks, self._address, what, steps, strict=strict)
        self._outcomes += applied.outcomes
        return applied

    def transact_apart(self, what: str, steps: Sequence[Step]) -> Applied:
        """The same, for calls that are no part of a round and not of its cost."""
        outcomes, spent = self._outcomes, self._clock.reset()
        try:
            self._outcomes = []
            return self.transact(what, steps)
        finally:
            self._outcomes = outcomes
            self._clock.reset()
            self._clock.ms.update(spent)

    def read(self, function: str, *args: Any) -> Any:
        """The one value that a view of the contract returns."""
        return read_view(self._engine, self._address, function, *args)

    def _read_standing(self) -> np.ndarray:
        version = self.read("registryVersion")
        if version != self._registry:
            addresses = self.network.addresses
            batches = (addresses[start : start + VIEW_BATCH] for start in range(0, len(addresses), VIEW_BATCH))
            states = [state for batch in batches for state in self.read("clientStates", batch)]
            self._registry, self._standing = version, BY_STATE[states]
        return self._standing

    def _change(self, action: str, client: int) -> None:
        address = self.network.clients[client].address
        subject = [address] if action == "register" else address
        step = Step(self.network.admin, FUNCTION[action], (subject,))
        self.transact(f"changing the entry of client {client} ({action})", [step])

    def _record(self, round: int, sent: Submissions) -> None:
        """Bring the updates on chain as the mode says, and hold the contract's verdicts against the server's."""
        mode, what = self._mode, f"recording the updates of round {round}"
        place = Place(self.network, self._engine.chain_id, self._address, self._round)
        with self._clock.phase("signing"):
            recording = list(mode.record(place, sent))
        first, second = recording, list(refusals(mode, place, sent))
        if not mode.reverts:  # one block: none of its calls may be reverted
            first, second = [*first, *second], []
        outcomes = self.transact(what, first, strict=not mode.reverts).outcomes if first else ()
        if second:
            self.transact(what, second)
        heard = np.array(list(mode.heard(outcomes[: len(recording)])), np.uint8)
        for row in np.flatnonzero(heard != expected(sent)[: len(heard)]):
            raise ContractRefusedError(
                f"client {sent.client[row]} is {_name(heard[row])} by the contract, "
                f"and {_name(expected(sent)[row])} by the server"
            )

    def _close(self, round: int, record: RoundLeaves, model_digest: bytes) -> None:
        committed = (record.round, record.root, len(record.leaves), *totals(record.leaves))
        commitment = Step(self.network.aggregator, "commitRound", committed)
        finalisation = Step(self.network.auditor, "finaliseRound", (record.round, model_digest))
        self.transact(f"closing round {round}", [commitment, finalisation])

    @contextmanager
    def _aborting(self, round: int) -> Iterator[None]:
        """Where the contract refuses what is done inside, the round is aborted on chain."""
        try:
            yield
        except ContractRefusedError as error:
            self.abort_round(round)
            raise VerdictDiffersError(f"round {round} was aborted on chain: {error}") from error

    def _check_opening(self, round: int, cohort: np.ndarray) -> None:
        if self._registry < 0:
            raise BoflError(f"round {round} cannot be opened: ask for the clients' standing first")
        if round != self.rounds + 1 or self._round:
            raise BoflError(f"round {round} cannot be opened: the next one to be finalised is {self.rounds + 1}")
        known = len(self.network.clients)
        strangers = cohort[(cohort < 0) | (cohort >= known)]
        if len(strangers):
            raise BoflError(f"the cohort names client {strangers[0]}, but clients are 0..{known - 1}")
        if _repeats(cohort):
            raise BoflError("the cohort names a client twice: draw it without replacement")
        if not len(cohort):
            raise BoflError(f"round {round}: no client may contribute; readmit or register some (ledger.changes)")

    def _check_closing(self, round: int, sent: Submissions, model_digest: bytes) -> None:
        if not self._round or round != self.rounds + 1:
            raise BoflError(f"round {round} was not opened")
        if len(model_digest) != 32:
            raise BoflError(f"the model digest of round {round} has {len(model_digest)} bytes instead of 32")
        shapes = sent.digest.shape == sent.received.shape == (len(sent.client), 32)
        numbers = ((sent.samples >= 0) & (sent.samples < U32) & (sent.metric >= 0)).all()
        if not (shapes and numbers):
            raise BoflError(f"round {round}: updates need 32-byte digests, samples in 0..2^32-1 and a metric >= 0")
        accepted = sent.client[sent.accepted]
        strangers = accepted[~np.isin(accepted, self._cohort)]
        if len(strangers):
            raise BoflError(f"round {round}: an update of client {strangers[0]} was accepted, which was not invited")
        if _repeats(accepted):
            raise BoflError(f"round {round}: two updates of one client were accepted; the second is a duplicate")

    def _cost(self, accepted: int, rejected: int) -> RoundCost:
        outcomes, self._outcomes = self._outcomes, []
        phases = self._clock.reset()
        hash_ms = phases.pop("hashing", 0.0)
        gas_of: Counter[str] = Counter()
        for outcome in outcomes:
            gas_of[self._contract.function_of(outcome.data) or "unknown"] += outcome.gas
        return RoundCost(
            gas=gas_of.total(),
            bytes=sum(outcome.size for outcome in outcomes),
            transactions=len(outcomes),
            cpu_ms=sum(phases.values()),
            hash_ms=hash_ms,
            accepted=accepted,
            rejected=rejected,
            phases=phases,
            gas_of=dict(gas_of),
        )


def cohort_digest(addresses: np.ndarray, cohort: np.ndarray) -> bytes:
    """32 bytes: SHA-256 over the cohort's addresses (rows of uint8[C, 20]), in its order."""
    return sha256(np.take(addresses, cohort, axis=0).data).digest()


def _repeats(clients: np.ndarray) -> bool:
    return bool(len(clients)) and int(np.bincount(clients).max()) > 1


def _quorum(share: float, size: int) -> int:
    """The fewest clients that are this share of a cohort; 7 % of 100 are 7, whatever floating point makes of it."""
    return ceil(round(share * size, 9))


def _name(verdict: int) -> str:
    reason = RejectionReason(verdict)
    return "accepted" if reason is RejectionReason.NONE else f"refused ({reason.name.lower().replace('_', ' ')})"
