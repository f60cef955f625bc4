"""How a round's updates reach the chain before its Merkle root is committed.

``merkle``: nothing more. ``calldata``: their bare digests. ``signed``: typed data that their clients signed, relayed in
batches. ``per-client``: a transaction of each client. In the last two each client has a key of its own, and the
contract lists the cohort, to hold every sender against it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bofl_jax.ledger.accounts import Account
from bofl_jax.ledger.base import Applied, Refusal, Submission
from bofl_jax.ledger.contract import load_contract
from bofl_jax.ledger.folder import Network
from bofl_jax.ledger.genesis import CHAIN_ID
from bofl_jax.ledger.merkle import Leaf
from bofl_jax.ledger.typed import domain_separator, sign_update

STEP_GAS, BATCH_GAS = 500_000, 16_000_000
SIGNED_BATCH, DIGEST_BATCH, REFUSED_BATCH = 100, 10_000, 200


class Step(NamedTuple):
    """A contract call to be made: by whom, which, with what, and with how much gas at most."""

    account: Account
    function: str
    args: tuple[Any, ...]
    gas: int = STEP_GAS


class Sent(NamedTuple):
    """What the server has from one client: the submission and the leaf that it makes."""

    submission: Submission
    leaf: Leaf


Record = Callable[[Network, bytes, int, Sequence[Sent]], Iterator[Step]]
"""network, the contract's address, round, all that was sent -> calls."""


class Mode(NamedTuple):
    """One way to record a round; ``listed`` if clients are heard on chain themselves."""

    listed: bool
    record: Record


def _nothing(_network: Network, _address: bytes, _round: int, _sent: Sequence[Sent]) -> Iterator[Step]:
    return iter(())


def _digests(network: Network, _address: bytes, round: int, sent: Sequence[Sent]) -> Iterator[Step]:
    digests = [leaf.update_digest for submission, leaf in sent if submission.accepted]
    for batch in _batches(digests, DIGEST_BATCH):
        yield Step(network.aggregator, "publishDigests", (round, batch), BATCH_GAS)


def _signed(network: Network, address: bytes, round: int, sent: Sequence[Sent]) -> Iterator[Step]:
    domain = domain_separator(CHAIN_ID, address)
    updates = [
        (*leaf[1:], *sign_update(network.clients[submission.client].key, domain, leaf)) for submission, leaf in sent
    ]
    for batch in _batches(updates, SIGNED_BATCH):
        yield Step(network.aggregator, "submitSignedUpdates", (round, batch), BATCH_GAS)


def _per_client(network: Network, _address: bytes, round: int, sent: Sequence[Sent]) -> Iterator[Step]:
    for submission, leaf in sent:
        yield Step(network.clients[submission.client], "submitUpdate", (round, *leaf[2:]))


MODES = {
    "merkle": Mode(listed=False, record=_nothing),
    "calldata": Mode(listed=False, record=_digests),
    "signed": Mode(listed=True, record=_signed),
    "per-client": Mode(listed=True, record=_per_client),
}


def refusals(network: Network, round: int, sent: Sequence[Sent]) -> Iterator[Step]:
    """The calls that record which updates have no influence, and why."""
    refused = [
        (leaf.client, leaf.update_digest, submission.refusal) for submission, leaf in sent if not submission.accepted
    ]
    for batch in _batches(refused, REFUSED_BATCH):
        yield Step(network.aggregator, "refuseUpdates", (round, batch), BATCH_GAS)


def bit_map(cohort: Sequence[int]) -> list[int]:
    """A cohort as the contract lists it: bit i of word w stands for client 256 w + i.

    >>> bit_map([0, 3, 256])
    [9, 1]
    """
    words = [0] * (max(cohort) // 256 + 1)
    for client in cohort:
        words[client // 256] |= 1 << client % 256
    return words


def heard(block: Applied) -> dict[str, Refusal]:
    """The contract's own last word on every client that a block of updates is about: address ``0x...`` -> verdict."""
    contract = load_contract()
    verdicts = {}
    for outcome in block.outcomes:
        for _, topics, data in outcome.logs:
            event = contract.decode_log(topics, data)
            if event.name in ("UpdateAccepted", "UpdateRefused"):
                verdicts[event.args["client"]] = Refusal(event.args.get("reason", 0))
    return verdicts


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
