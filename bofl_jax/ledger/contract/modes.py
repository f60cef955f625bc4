"""How a round's updates reach the chain before its Merkle root is committed, and what the contract says of each.

``merkle``: only refusals. ``calldata``: the bare digests of accepted updates as well. ``signed``: typed data that the
senders signed, relayed in batches. ``per-client``: a transaction of each sender. In the last two each client has a key
of its own, the contract lists the cohort, and its own verdict on every update can be read back.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.base import Submissions
from bofl_jax.ledger.chain.accounts import Account, Network
from bofl_jax.ledger.chain.base import Outcome
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.contract.calls import BATCH_GAS, ContractRefusedError, Step
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update
from bofl_jax.ledger.merkle import Leaf

SIGNED_BATCH, DIGEST_BATCH, REFUSED_BATCH = 100, 10_000, 200
BY_SERVER = RejectionReason.DIGEST_MISMATCH
"""From here on, reasons are the server's to find: the contract cannot see what arrived."""


class Place(NamedTuple):
    """Where a round is recorded: who is who, the chain, the contract's address, and the round's number there."""

    network: Network
    chain_id: int
    address: bytes
    round: int


class Mode(NamedTuple):
    """One way to record a round.

    Attributes:
        listed: whether clients are heard on chain themselves, so that the contract has to know the cohort.
        record: where, what arrived -> calls.
        heard: outcomes of those calls -> the contract's verdict on each update, as far as it gives any.
        reverts: whether the contract refuses an update by a revert, so that its call stands in a block all the same.
        unsaid: from which reason on a refusal has still to be recorded; those below, an event of the contract tells.
    """

    listed: bool
    record: Callable[[Place, Submissions], Iterator[Step]]
    heard: Callable[[Sequence[Outcome]], Iterator[RejectionReason]]
    reverts: bool = False
    unsaid: RejectionReason = RejectionReason.NOT_REGISTERED


def _nothing(_place: Place, _sent: Submissions) -> Iterator[Step]:
    return iter(())


def _unheard(_outcomes: Sequence[Outcome]) -> Iterator[RejectionReason]:
    return iter(())


def _digests(place: Place, sent: Submissions) -> Iterator[Step]:
    digests = [row.tobytes() for row in sent.digest[sent.accepted]]
    for batch in _batches(digests, DIGEST_BATCH):
        yield Step(place.network.aggregator, "publishDigests", (place.round, batch), BATCH_GAS)


def _signed(place: Place, sent: Submissions) -> Iterator[Step]:
    domain = domain_separator(place.chain_id, place.address)
    updates = [(*leaf[1:], *sign_update(account.key, domain, leaf)) for account, leaf in _leaves(place, sent)]
    for batch in _batches(updates, SIGNED_BATCH):
        yield Step(place.network.aggregator, "submitSignedUpdates", (place.round, batch), BATCH_GAS)


def _heard_signed(outcomes: Sequence[Outcome]) -> Iterator[RejectionReason]:
    """One event an update, in the order of the batch."""
    contract = load_contract()
    for outcome in outcomes:
        for _, topics, data in outcome.logs:
            yield RejectionReason(contract.decode_log(topics, data).args.get("reason", 0))


def _per_client(place: Place, sent: Submissions) -> Iterator[Step]:
    for account, leaf in _leaves(place, sent):
        yield Step(account, "submitUpdate", (place.round, *leaf[2:]))


def _heard_per_client(outcomes: Sequence[Outcome]) -> Iterator[RejectionReason]:
    """A refused update is a reverted transaction, and its error says why.

    Raises:
        ContractRefusedError: if it says that the call was no update at all.
    """
    for outcome in outcomes:
        try:
            reason = 0 if outcome.success else load_contract().decode_error(outcome.output, "UpdateNotAccepted")[1]
        except ValueError as error:
            raise ContractRefusedError(f"the contract refused submitUpdate: {error}") from error
        yield RejectionReason(reason)


MODES = {
    "merkle": Mode(listed=False, record=_nothing, heard=_unheard),
    "calldata": Mode(listed=False, record=_digests, heard=_unheard),
    "signed": Mode(listed=True, record=_signed, heard=_heard_signed, unsaid=BY_SERVER),
    "per-client": Mode(listed=True, record=_per_client, heard=_heard_per_client, reverts=True),
}


def refusals(mode: Mode, place: Place, sent: Submissions) -> Iterator[Step]:
    """The calls that record which updates have no influence, and why, as far as the contract has not said it."""
    refused = sent.take(np.flatnonzero(sent.rejection >= mode.unsaid))
    addresses = place.network.address_rows[refused.client]
    rows = [
        (address.tobytes(), received.tobytes(), int(reason))
        for address, received, reason in zip(addresses, refused.received, refused.rejection, strict=True)
    ]
    for batch in _batches(rows, REFUSED_BATCH):
        yield Step(place.network.aggregator, "refuseUpdates", (place.round, batch), BATCH_GAS)


def expected(sent: Submissions) -> np.ndarray:
    """uint8[M]: what the contract must say of each update; what only the server can find it accepts at first."""
    return np.where(sent.rejection >= BY_SERVER, RejectionReason.NONE, sent.rejection)


def bit_map(cohort: np.ndarray) -> list[int]:
    """A cohort as the contract lists it: bit i of word w stands for client 256 w + i.

    >>> bit_map(np.array([0, 3, 256]))
    [9, 1]
    """
    bits = np.zeros(256 * (int(cohort.max()) // 256 + 1), np.uint8)
    bits[cohort] = 1
    packed = np.packbits(bits, bitorder="little").reshape(-1, 32)
    return [int.from_bytes(word.tobytes(), "little") for word in packed]


def _leaves(place: Place, sent: Submissions) -> Iterator[tuple[Account, Leaf]]:
    """Every sender's account and what it says it sent."""
    for client, digest, _, samples, metric, _ in zip(*sent, strict=True):
        account = place.network.clients[client]
        yield account, Leaf(place.round, account.address, digest.tobytes(), int(samples), int(metric))


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
