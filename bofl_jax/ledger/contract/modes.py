"""The submission modes: how a round's updates reach the chain, and how the contract's verdicts on them are read.

``merkle`` records only rejections. ``calldata`` adds the bare digests of accepted updates. ``signed`` relays batches of
EIP-712 data that the clients signed. ``per-client`` sends one transaction per client. In the last two modes each client
has its own key, the contract stores the cohort, and its verdict on every update can be read.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.base import Submissions
from bofl_jax.ledger.chain.accounts import Account, RunAccounts
from bofl_jax.ledger.chain.base import Receipt
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.contract.calls import BATCH_GAS, ContractCall, ContractRejectionError
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update
from bofl_jax.ledger.merkle import Leaf

SIGNED_PER_CALL, DIGESTS_PER_CALL, REJECTED_PER_CALL = 100, 10_000, 200
FIRST_SERVER_REASON = RejectionReason.DIGEST_MISMATCH
"""This reason and later ones are found by the server alone: the contract cannot see the received update."""


class RoundContext(NamedTuple):
    """The round in which updates are recorded.

    Attributes:
        accounts: the accounts of the run.
        chain_id: id of the chain.
        address: 20 bytes, the contract's address.
        round: number of the round on the chain.
    """

    accounts: RunAccounts
    chain_id: int
    address: bytes
    round: int


class RecordUpdates(Protocol):
    """Turns the updates of a round into contract calls."""

    def __call__(self, context: RoundContext, submissions: Submissions, /) -> Iterator[ContractCall]:
        """The calls that record the updates, whose rows ascend by client."""
        ...


class ReadVerdicts(Protocol):
    """Reads the contract's verdicts on the updates of a round."""

    def __call__(self, receipts: Sequence[Receipt], /) -> Iterator[RejectionReason]:
        """One verdict per update, in the order of the updates; none if the mode has no verdicts."""
        ...


class SubmissionMode(NamedTuple):
    """One way to record the updates of a round.

    Attributes:
        stores_cohort: whether the contract stores the cohort, because clients take part on the chain themselves.
        record: makes the calls that record the updates.
        read_verdicts: reads the verdicts from the receipts of those calls.
        rejects_by_revert: whether the contract rejects an update by reverting its transaction, which the block keeps.
        min_recorded_rejection: rejections from this reason on need a call; the contract's events record earlier ones.
    """

    stores_cohort: bool
    record: RecordUpdates
    read_verdicts: ReadVerdicts
    rejects_by_revert: bool = False
    min_recorded_rejection: RejectionReason = RejectionReason.NOT_REGISTERED


def _record_nothing(_context: RoundContext, _submissions: Submissions) -> Iterator[ContractCall]:
    return iter(())


def _no_verdicts(_receipts: Sequence[Receipt]) -> Iterator[RejectionReason]:
    return iter(())


def _publish_digests(context: RoundContext, submissions: Submissions) -> Iterator[ContractCall]:
    digests = [row.tobytes() for row in submissions.digest[submissions.accepted]]
    for batch in _batches(digests, DIGESTS_PER_CALL):
        yield ContractCall(context.accounts.aggregator, "publishDigests", (context.round, batch), BATCH_GAS)


def _relay_signed(context: RoundContext, submissions: Submissions) -> Iterator[ContractCall]:
    domain = domain_separator(context.chain_id, context.address)
    updates = [(*leaf[1:], *sign_update(account.key, domain, leaf)) for account, leaf in _leaves(context, submissions)]
    for batch in _batches(updates, SIGNED_PER_CALL):
        yield ContractCall(context.accounts.aggregator, "submitSignedUpdates", (context.round, batch), BATCH_GAS)


def _verdicts_from_events(receipts: Sequence[Receipt]) -> Iterator[RejectionReason]:
    """Every update has one event, in the order of the batch."""
    contract = load_contract()
    for receipt in receipts:
        for log in receipt.logs:
            yield RejectionReason(contract.decode_log(log.topics, log.data).args.get("reason", 0))


def _submit_per_client(context: RoundContext, submissions: Submissions) -> Iterator[ContractCall]:
    for account, leaf in _leaves(context, submissions):
        yield ContractCall(account, "submitUpdate", (context.round, *leaf[2:]))


def _verdicts_from_reverts(receipts: Sequence[Receipt]) -> Iterator[RejectionReason]:
    """A rejected update is a reverted transaction whose error contains the reason.

    Raises:
        ContractRejectionError: if a transaction was reverted with another error.
    """
    for receipt in receipts:
        try:
            reason = 0 if receipt.success else load_contract().decode_error(receipt.output, "UpdateNotAccepted")[1]
        except ValueError as error:
            raise ContractRejectionError(f"the contract rejected submitUpdate: {error}") from error
        yield RejectionReason(reason)


MODES = {
    "merkle": SubmissionMode(stores_cohort=False, record=_record_nothing, read_verdicts=_no_verdicts),
    "calldata": SubmissionMode(stores_cohort=False, record=_publish_digests, read_verdicts=_no_verdicts),
    "signed": SubmissionMode(
        stores_cohort=True,
        record=_relay_signed,
        read_verdicts=_verdicts_from_events,
        min_recorded_rejection=FIRST_SERVER_REASON,
    ),
    "per-client": SubmissionMode(
        stores_cohort=True, record=_submit_per_client, read_verdicts=_verdicts_from_reverts, rejects_by_revert=True
    ),
}


def rejection_calls(mode: SubmissionMode, context: RoundContext, submissions: Submissions) -> Iterator[ContractCall]:
    """The calls that record rejected updates with their reasons, as far as no event of the contract records them.

    Args:
        mode: the submission mode.
        context: the round.
        submissions: the updates, with the server's verdicts.
    """
    rejected = submissions.take(np.flatnonzero(submissions.rejection >= mode.min_recorded_rejection))
    addresses = context.accounts.client_address_rows[rejected.client]
    entries = [
        (address.tobytes(), received.tobytes(), int(reason))
        for address, received, reason in zip(addresses, rejected.received, rejected.rejection, strict=True)
    ]
    for batch in _batches(entries, REJECTED_PER_CALL):
        yield ContractCall(context.accounts.aggregator, "refuseUpdates", (context.round, batch), BATCH_GAS)


def expected_verdicts(submissions: Submissions) -> np.ndarray:
    """uint8[M]: the verdict that the contract must give on each update.

    The contract first accepts an update that only the server can reject.
    """
    return np.where(submissions.rejection >= FIRST_SERVER_REASON, RejectionReason.NONE, submissions.rejection)


def _leaves(context: RoundContext, submissions: Submissions) -> Iterator[tuple[Account, Leaf]]:
    """The account of every sender, and the leaf of the update that it sent."""
    for client, digest, _, samples, metric, _ in zip(*submissions, strict=True):
        account = context.accounts.clients[client]
        yield account, Leaf(context.round, account.address, digest.tobytes(), int(samples), int(metric))


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
