"""The ledger on a chain: each round is opened, its updates are recorded, and it is committed and finalised."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from typing import Any

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger import merkle
from bofl_jax.ledger.base import RoundCost, Submissions, VerdictDiffersError
from bofl_jax.ledger.chain.accounts import RunAccounts
from bofl_jax.ledger.chain.base import ExecutedBlock, Receipt
from bofl_jax.ledger.clock import CpuClock
from bofl_jax.ledger.contract.artefact import ENUMS, load_contract
from bofl_jax.ledger.contract.calls import BATCH_GAS, ContractCall, ContractRejectionError
from bofl_jax.ledger.contract.cohort import cohort_bitmap, cohort_digest
from bofl_jax.ledger.contract.modes import MODES, RoundContext, expected_verdicts, rejection_calls
from bofl_jax.ledger.contract.registry import FUNCTION_OF_ACTION, REASON_AFTER, REASON_BY_STATE, changes_before
from bofl_jax.ledger.contract_client import ContractClient
from bofl_jax.ledger.options import LedgerOptions
from bofl_jax.ledger.storage.layout import LedgerFiles
from bofl_jax.ledger.storage.leaves import RoundLeaves, append_leaves

UINT32_RANGE = 1 << 32
STATES_PER_CALL = 1000
UNFINISHED = (ENUMS["RoundState"].index("Open"), ENUMS["RoundState"].index("Committed"))


class ContractLedger:
    """The ledger of a run whose contract is deployed and whose clients are registered.

    Args:
        options: submission mode, quorum and registry changes.
        contract: client of the deployed contract.
        accounts: the accounts of the run.
        config_hash: 32 bytes, the hash with which every round is opened.
        files: paths of the ledger's files.
        clock: the clock to which the chain charges its time.
        rounds: number of finalised rounds.
    """

    def __init__(
        self,
        options: LedgerOptions,
        contract: ContractClient,
        accounts: RunAccounts,
        config_hash: bytes,
        files: LedgerFiles,
        clock: CpuClock,
        *,
        rounds: int = 0,
    ) -> None:
        self.mode: str = options.mode
        self.contract, self.accounts, self.rounds = contract, accounts, rounds
        self._mode = MODES[options.mode]
        self._options, self._config_hash, self._files, self._clock = options, config_hash, files, clock
        self._open_round, self._cohort = 0, np.zeros(0, np.int64)  # number on the chain; 0 if no round is open
        self._registry_version, self._eligibility = -1, np.zeros(0, np.uint8)
        self._receipts: list[Receipt] = []
        self._latest_round: int = contract.call("latestRound")

    @property
    def head_hash(self) -> str:
        """Hash of the last block as ``0x...``."""
        return "0x" + self.contract.chain.head_hash.hex()

    @property
    def blocks(self) -> int:
        """Number of blocks in the block log."""
        return self.contract.chain.height

    def eligibility(self, round: int) -> np.ndarray:
        """uint8[C]: the clients' eligibility in a round, read from the contract after planned changes are made."""
        with self._clock.phase("registry"):
            current, changes = self._read_eligibility(), list(changes_before(self._options, round))
            goal = {change.client: REASON_AFTER[change.action] for change in changes}
            missing = [change for change in changes if current[change.client] != goal[change.client]]
            for change in missing:  # none if the changes were made before, by an earlier call or before a resume
                self._apply_change(change.action, change.client)
            return self._read_eligibility() if missing else current

    def open_round(self, round: int, cohort: np.ndarray) -> None:
        """Open a round on the chain with the configuration's hash, the cohort and the quorum.

        Args:
            round: number of the round, from 1.
            cohort: int[M], indices of the invited clients.

        Raises:
            VerdictDiffersError: if the contract rejects the round.
            BoflError: if the cohort names a client twice or an unknown client, or `eligibility` was not called before.
        """
        with self._clock.phase("records"):
            cohort = np.asarray(cohort, np.int64)
            self._check_cohort(round, cohort)
            number = self._latest_round + 1
            digest = cohort_digest(self.accounts.client_address_rows, cohort)
            members = cohort_bitmap(cohort) if self._mode.stores_cohort else []
            quorum = _quorum_size(self._options.quorum, len(cohort))
            args = (number, self._registry_version, self._config_hash, digest, len(cohort), quorum, members)
            call = ContractCall(self.accounts.aggregator, "openRound", args, BATCH_GAS)
            try:
                self.transact(f"opening round {round}", [call])
            except ContractRejectionError as error:
                raise VerdictDiffersError(f"round {round} was not opened: {error}") from error
            self._open_round, self._cohort, self._latest_round = number, cohort, number

    def close_round(self, round: int, submissions: Submissions, model_digest: bytes) -> RoundCost:
        """Record the updates, commit to the accepted ones by ascending client index, and finalise the round.

        Args:
            round: number of the open round.
            submissions: the updates that arrived, with the server's verdicts.
            model_digest: 32 bytes, digest of the global model after the round.

        Raises:
            VerdictDiffersError: if the contract rejects a call or its verdict on an update differs from the server's;
                the round is then aborted.
            BoflError: if a submission is malformed, or an accepted one is a duplicate or from outside the cohort.
        """
        with self._clock.phase("records"):
            self._check_submissions(round, submissions, model_digest)
            by_client = submissions.take(np.argsort(submissions.client, kind="stable"))
            accepted = by_client.take(np.flatnonzero(by_client.accepted))
            addresses = np.take(self.accounts.client_address_rows, accepted.client, axis=0)
            leaves = merkle.pack_leaves(self._open_round, addresses, accepted.digest, accepted.samples, accepted.metric)
            with self._clock.phase("hashing"):
                root = merkle.root(leaves)
            record = RoundLeaves(self._open_round, root, self._cohort, accepted.client, leaves)
            with self._abort_on_rejection(round):
                self._record_updates(round, by_client)
                self._commit_and_finalise(round, record, model_digest)
            append_leaves(self._files.leaves, record)
            self.rounds, self._open_round = round, 0
        return self._cost(len(accepted.client), len(by_client.client) - len(accepted.client))

    def abort_round(self, round: int) -> None:
        """Abort the open round on the chain; ``round`` is its number in error messages."""
        call = ContractCall(self.accounts.auditor, "abortRound", (self._open_round,))
        self.transact(f"aborting round {round}", [call])
        self._open_round = 0
        self._receipts.clear()
        self._clock.reset()

    def abort_unfinished(self) -> None:
        """Abort the round that an interrupted run left open on a chain that cannot be truncated."""
        if self.contract.call("rounds", self._latest_round) in UNFINISHED:
            self._open_round = self._latest_round
            self.abort_round(self.rounds + 1)

    def publish_results(self, digest: bytes) -> None:
        """Publish the 32-byte digest of the results of the last global model."""
        call = ContractCall(self.accounts.auditor, "publishResults", (self.rounds, digest))
        self.transact_outside_round("publishing the results", [call])

    def close(self) -> None:
        """Do nothing: every block is on the disk as soon as it is sealed."""

    def transact(self, task: str, calls: Sequence[ContractCall], *, strict: bool = True) -> ExecutedBlock:
        """Seal one block of contract calls; its cost is part of the round's.

        Args:
            task: what the calls are for, as an error message says it after "while".
            calls: the calls in order.
            strict: whether one reverted call rejects all of them.

        Raises:
            ContractRejectionError: if ``strict`` and the contract rejects a call; the chain is unchanged.
        """
        block = self.contract.transact(task, calls, strict=strict)
        self._receipts += block.receipts
        return block

    def transact_outside_round(self, task: str, calls: Sequence[ContractCall]) -> ExecutedBlock:
        """Seal one block of contract calls whose cost is not part of a round's.

        Args:
            task: what the calls are for, as an error message says it after "while".
            calls: the calls in order.

        Raises:
            ContractRejectionError: if the contract rejects a call; the chain is unchanged.
        """
        spent = self._clock.reset()
        try:
            return self.contract.transact(task, calls)
        finally:
            self._clock.reset()
            self._clock.ms.update(spent)

    def _read_eligibility(self) -> np.ndarray:
        """Read the eligibility again only if the registry has changed."""
        version = self.contract.call("registryVersion")
        if version != self._registry_version:
            addresses = self.accounts.client_addresses
            starts = range(0, len(addresses), STATES_PER_CALL)
            batches = (self.contract.call("clientStates", addresses[i : i + STATES_PER_CALL]) for i in starts)
            states: list[Any] = [state for batch in batches for state in batch]
            self._registry_version, self._eligibility = version, REASON_BY_STATE[states]
        return self._eligibility

    def _apply_change(self, action: str, client: int) -> None:
        address = self.accounts.client_addresses[client]
        argument = [address] if action == "register" else address
        call = ContractCall(self.accounts.admin, FUNCTION_OF_ACTION[action], (argument,))
        self.transact(f"changing the entry of client {client} ({action})", [call])

    def _record_updates(self, round: int, submissions: Submissions) -> None:
        """Record the updates as the mode says, and compare the contract's verdicts with the server's."""
        mode, task = self._mode, f"recording the updates of round {round}"
        context = RoundContext(self.accounts, self.contract.chain.chain_id, self.contract.address, self._open_round)
        with self._clock.phase("signing"):
            recording = list(mode.record(context, submissions))
        first, second = recording, list(rejection_calls(mode, context, submissions))
        if not mode.rejects_by_revert:  # a single block, in which no call may be reverted
            first, second = [*first, *second], []
        receipts = self.transact(task, first, strict=not mode.rejects_by_revert).receipts if first else ()
        if second:
            self.transact(task, second)
        verdicts = np.array(list(mode.read_verdicts(receipts[: len(recording)])), np.uint8)
        expected = expected_verdicts(submissions)
        for row in np.flatnonzero(verdicts != expected[: len(verdicts)]):
            raise ContractRejectionError(
                f"client {submissions.client[row]} is {_verdict_text(verdicts[row])} by the contract, "
                f"and {_verdict_text(expected[row])} by the server"
            )

    def _commit_and_finalise(self, round: int, record: RoundLeaves, model_digest: bytes) -> None:
        committed = (record.round, record.root, len(record.leaves), *merkle.totals(record.leaves))
        commitment = ContractCall(self.accounts.aggregator, "commitRound", committed)
        finalisation = ContractCall(self.accounts.auditor, "finaliseRound", (record.round, model_digest))
        self.transact(f"closing round {round}", [commitment, finalisation])

    @contextmanager
    def _abort_on_rejection(self, round: int) -> Iterator[None]:
        """Abort the round on the chain if the contract rejects a call inside the ``with`` block."""
        try:
            yield
        except ContractRejectionError as error:
            self.abort_round(round)
            raise VerdictDiffersError(f"round {round} was aborted on chain: {error}") from error

    def _check_cohort(self, round: int, cohort: np.ndarray) -> None:
        if self._registry_version < 0:
            raise BoflError(f"round {round} cannot be opened: call eligibility({round}) first")
        if round != self.rounds + 1 or self._open_round:
            raise BoflError(f"round {round} cannot be opened: the next one to be finalised is {self.rounds + 1}")
        known = len(self.accounts.clients)
        unknown = cohort[(cohort < 0) | (cohort >= known)]
        if len(unknown):
            raise BoflError(f"the cohort names client {unknown[0]}, but clients are 0..{known - 1}")
        if _has_duplicates(cohort):
            raise BoflError("the cohort names a client twice: draw it without replacement")
        if not len(cohort):
            raise BoflError(f"round {round}: no client may contribute; readmit or register some (ledger.changes)")

    def _check_submissions(self, round: int, submissions: Submissions, model_digest: bytes) -> None:
        if not self._open_round or round != self.rounds + 1:
            raise BoflError(f"round {round} was not opened")
        if len(model_digest) != 32:
            raise BoflError(f"the model digest of round {round} has {len(model_digest)} bytes instead of 32")
        samples, metric = submissions.samples, submissions.metric
        shapes = submissions.digest.shape == submissions.received.shape == (len(submissions.client), 32)
        ranges = ((samples >= 0) & (samples < UINT32_RANGE) & (metric >= 0)).all()
        if not (shapes and ranges):
            raise BoflError(f"round {round}: updates need 32-byte digests, samples in 0..2^32-1 and a metric >= 0")
        accepted = submissions.client[submissions.accepted]
        uninvited = accepted[~np.isin(accepted, self._cohort)]
        if len(uninvited):
            raise BoflError(f"round {round}: an update of client {uninvited[0]} was accepted, which was not invited")
        if _has_duplicates(accepted):
            raise BoflError(f"round {round}: two updates of one client were accepted; the second is a duplicate")

    def _cost(self, accepted: int, rejected: int) -> RoundCost:
        receipts, self._receipts = self._receipts, []
        phases = self._clock.reset()
        hash_ms = phases.pop("hashing", 0.0)
        gas: Counter[str] = Counter()
        for receipt in receipts:
            gas[load_contract().function_name(receipt.data) or "unknown"] += receipt.gas_used
        return RoundCost(
            gas=gas.total(),
            bytes=sum(receipt.size for receipt in receipts),
            transactions=len(receipts),
            cpu_ms=sum(phases.values()),
            hash_ms=hash_ms,
            accepted=accepted,
            rejected=rejected,
            phases=phases,
            gas_by_function=dict(gas),
        )


def _has_duplicates(clients: np.ndarray) -> bool:
    return bool(len(clients)) and int(np.bincount(clients).max()) > 1


def _quorum_size(share: float, size: int) -> int:
    """The smallest number of clients that reaches a share of a cohort; rounding first makes 7 % of 100 exactly 7."""
    return ceil(round(share * size, 9))


def _verdict_text(verdict: int) -> str:
    reason = RejectionReason(verdict)
    return "accepted" if reason is RejectionReason.NONE else f"rejected ({reason.name.lower().replace('_', ' ')})"
