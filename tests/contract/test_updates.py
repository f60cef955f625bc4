"""Updates on chain: submitted, signed and relayed, published as digests, rejected and withdrawn."""

from hashlib import sha256

import pytest

from bofl_jax.ledger.chain.accounts import derive_account
from bofl_jax.ledger.chain.genesis import CHAIN_ID
from bofl_jax.ledger.contract.artefact import ENUMS
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update, update_hash
from bofl_jax.ledger.merkle import Leaf
from tests.contract.conftest import ROOT, everyone

DIGEST = bytes([7]) * 32
UPDATE = (DIGEST, 100, 10**6)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
REASONS = ENUMS["Refusal"]


def to_hex(address):
    return "0x" + address.hex()


@pytest.fixture
def listed(registered):
    """Round 1 is open for clients 0..17."""
    registered.open(1, size=18, members=everyone(18))
    return registered


def submit(world, client, number=1):
    return world.transact_as(world.members[client], "submitUpdate", number, *UPDATE)


def signed(world, index, number=1, key=None, **changes):
    leaf = Leaf(number, world.clients[index], *UPDATE)
    r, vs = sign_update(key or world.members[index].key, domain_separator(CHAIN_ID, world.address), leaf)
    fields = {"client": leaf.client, "updateDigest": DIGEST, "samples": 100, "metric": 10**6, "r": r, "vs": vs}
    return tuple((fields | changes).values())


def relay(world, *updates, number=1):
    return world.events(world.transact("submitSignedUpdates", number, updates))


def verdicts(events):
    assert {event.name for event in events} <= {"UpdateAccepted", "UpdateRefused"}
    return ["None" if e.name == "UpdateAccepted" else REASONS[e.args["reason"]] for e in events]


def test_a_client_submits_its_update(listed):
    events = listed.events(submit(listed, 3))
    args = {"round": 1, "client": to_hex(listed.clients[3]), "updateDigest": DIGEST, "samples": 100, "metric": 10**6}
    assert [(event.name, event.args) for event in events] == [("UpdateAccepted", args)]
    assert listed.call("rounds", 1)[4] == 1
    assert listed.call("clients", listed.clients[3]) == (1, 3, 1, 0)


def rejected_members(world):
    """Reason -> a client whose update is rejected for it."""
    world.transact("suspendClient", world.clients[1])
    world.transact("revokeClient", world.clients[2])
    submit(world, 3)
    stranger = derive_account(0, "stranger", 0)
    return {
        "NotRegistered": stranger,
        "Suspended": world.members[1],
        "Revoked": world.members[2],
        "NotInCohort": world.members[18],
        "Duplicate": world.members[3],
    }


@pytest.mark.parametrize("reason", REASONS[1:6])
def test_an_update_is_rejected(listed, reason):
    who = rejected_members(listed)[reason]
    expected = f"UpdateNotAccepted(client={to_hex(who.address)}, reason={reason})"
    assert listed.reverts_as(who, "submitUpdate", 1, *UPDATE) == expected
    assert listed.call("rounds", 1)[4] == 1


@pytest.mark.parametrize("reason", REASONS[1:6])
def test_a_signed_update_gets_the_same_verdict(listed, reason):
    who = rejected_members(listed)[reason]
    leaf = Leaf(1, who.address, *UPDATE)
    mine = (who.address, *UPDATE, *sign_update(who.key, domain_separator(CHAIN_ID, listed.address), leaf))
    assert verdicts(relay(listed, mine, signed(listed, 5))) == [reason, "None"]
    assert listed.call("rounds", 1)[4] == 2


def test_a_round_that_is_not_open_takes_no_update(listed):
    wrong = "WrongRoundState(round=2, actual=None, required=Open)"
    assert listed.reverts_as(listed.members[0], "submitUpdate", 2, *UPDATE) == wrong
    for function, args in (
        ("submitSignedUpdates", [signed(listed, 0)]),
        ("publishDigests", [DIGEST]),
        ("refuseUpdates", [(listed.clients[0], DIGEST, 7)]),
    ):
        assert listed.reverts(function, 2, args) == wrong


def test_an_empty_digest_or_batch_is_rejected(listed):
    assert listed.reverts_as(listed.members[0], "submitUpdate", 1, bytes(32), 1, 1) == "EmptyDigest()"
    assert listed.reverts("submitSignedUpdates", 1, [signed(listed, 0, updateDigest=bytes(32))]) == "EmptyDigest()"
    assert listed.reverts("submitSignedUpdates", 1, []) == "EmptyBatch()"
    assert listed.reverts("refuseUpdates", 1, []) == "EmptyBatch()"


def test_no_client_submits_without_a_stored_cohort(registered):
    registered.open()
    assert registered.reverts_as(registered.members[0], "submitUpdate", 1, *UPDATE) == "CohortNotListed(round=1)"
    assert registered.reverts("submitSignedUpdates", 1, [signed(registered, 0)]) == "CohortNotListed(round=1)"
    assert registered.reverts("publishDigests", 1, []) == "EmptyBatch()"


def test_an_update_counts_for_one_round_only(listed):
    """The signature of round 1 is not valid in round 2."""
    old = signed(listed, 0)
    assert verdicts(relay(listed, old, old)) == ["None", "Duplicate"]
    listed.commit(count=1)
    listed.finalise()
    listed.open(2, size=18, members=everyone(18))
    assert verdicts(relay(listed, old, number=2)) == ["BadSignature"]
    assert verdicts(relay(listed, signed(listed, 0, number=2), number=2)) == ["None"]


@pytest.mark.parametrize(
    "changes",
    [{"updateDigest": bytes([8]) * 32}, {"samples": 101}, {"metric": -1}, {"r": bytes(32)}, {"r": bytes([255]) * 32}],
)
def test_a_signature_binds_every_field(listed, changes):
    assert verdicts(relay(listed, signed(listed, 0, **changes))) == ["BadSignature"]


def test_only_the_client_itself_signs(listed):
    foreign = signed(listed, 0, key=listed.members[1].key)
    renamed = signed(listed, 0, client=listed.clients[1])
    nobody = signed(listed, 0, client=bytes(20), r=bytes(32))
    assert verdicts(relay(listed, foreign, renamed, nobody)) == ["BadSignature"] * 3


def test_a_malleated_signature_is_rejected(listed):
    """(r, N - s) with the other parity signs the same message; its s is above N / 2."""
    *fields, r, vs = signed(listed, 0)
    parity, s = divmod(int.from_bytes(vs, "big"), 1 << 255)
    packed = ((1 - parity) << 255 | (ORDER - s) % (1 << 255)).to_bytes(32, "big")
    highest = ((1 - parity) << 255 | ((1 << 255) - 1)).to_bytes(32, "big")
    assert verdicts(relay(listed, (*fields, r, packed), (*fields, r, highest))) == ["BadSignature"] * 2


def test_a_signature_is_for_this_chain_and_contract(listed):
    leaf = Leaf(1, listed.clients[0], *UPDATE)
    for domain in (domain_separator(CHAIN_ID + 1, listed.address), domain_separator(CHAIN_ID, bytes(20))):
        r, vs = sign_update(listed.members[0].key, domain, leaf)
        assert verdicts(relay(listed, signed(listed, 0, r=r, vs=vs))) == ["BadSignature"]


def test_the_typed_data_is_that_of_the_standard(registered):
    """eth-account, an independent implementation of EIP-712, signs the same 32 bytes."""
    messages = pytest.importorskip("eth_account.messages", reason="eth-account comes with bofl_jax[node]")
    client = registered.clients[4]
    domain = {
        "name": "FederationGovernance",
        "version": "1",
        "chainId": CHAIN_ID,
        "verifyingContract": registered.address,
    }
    kinds = ("uint32 round", "address client", "bytes32 updateDigest", "uint32 samples", "int64 metric")
    types = {"ClientUpdate": [dict(zip(("type", "name"), label.split(), strict=True)) for label in kinds]}
    message = {"round": 9, "client": client, "updateDigest": DIGEST, "samples": 100, "metric": -5}
    content = messages.encode_typed_data(domain, types, message)
    ours = domain_separator(CHAIN_ID, registered.address)
    assert content.header == ours == registered.call("domainSeparator")
    assert messages._hash_eip191_message(content) == update_hash(ours, Leaf(9, client, DIGEST, 100, -5))


def test_digests_are_published_up_to_the_cohort(registered):
    registered.open(size=5)
    events = [registered.events(registered.transact("publishDigests", 1, [DIGEST] * count)) for count in (3, 2)]
    assert [events[0].name for events in events] == ["DigestsPublished"] * 2
    assert [events[0].args["digest"] for events in events] == [sha256(DIGEST * count).digest() for count in (3, 2)]
    assert registered.reverts("publishDigests", 1, [DIGEST]) == "CountAboveCohort(count=6, cohortSize=5)"
    assert registered.reverts("commitRound", 1, ROOT, 4, 0, 0) == "CountIsNotSubmitted(count=4, submitted=5)"
    registered.commit(count=5)


def test_clients_of_a_stored_cohort_submit_themselves(listed):
    assert listed.reverts("publishDigests", 1, [DIGEST]) == "CountIsNotSubmitted(count=1, submitted=0)"
    submit(listed, 0)
    for count in (0, 2):
        expected = f"CountIsNotSubmitted(count={count}, submitted=1)"
        assert listed.reverts("commitRound", 1, ROOT if count else bytes(32), count, 0, 0) == expected
    listed.commit(count=1)


@pytest.mark.parametrize("reason", ["DigestMismatch", "NotFinite"])
def test_an_accepted_update_can_be_withdrawn_once(listed, reason):
    submit(listed, 0)
    submit(listed, 1)
    entry = (listed.clients[0], DIGEST, REASONS.index(reason))
    assert verdicts(listed.events(listed.transact("refuseUpdates", 1, [entry]))) == [reason]
    assert listed.reverts("refuseUpdates", 1, [entry]) == f"AlreadyWithdrawn(client={to_hex(listed.clients[0])})"
    again = listed.reverts_as(listed.members[0], "submitUpdate", 1, *UPDATE)
    assert again == f"UpdateNotAccepted(client={to_hex(listed.clients[0])}, reason=Duplicate)"
    listed.commit(count=1)


def test_a_rejection_needs_a_reason_and_an_early_reason_withdraws_nothing(listed):
    submit(listed, 0)
    assert listed.reverts("refuseUpdates", 1, [(listed.clients[0], DIGEST, 0)]) == "NoReason()"
    events = listed.events(
        listed.transact("refuseUpdates", 1, [(listed.clients[0], DIGEST, 5), (bytes(20), DIGEST, 1)])
    )
    assert verdicts(events) == ["Duplicate", "NotRegistered"]
    listed.commit(count=1)


def test_a_rejection_is_recorded_without_a_stored_cohort_too(registered):
    registered.open()
    events = registered.events(registered.transact("refuseUpdates", 1, [(registered.clients[0], DIGEST, 7)]))
    assert verdicts(events) == ["DigestMismatch"]
    registered.commit(count=19)
