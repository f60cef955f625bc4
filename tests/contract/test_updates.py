"""Updates on chain: handed in, signed and relayed, published as digests, refused and withdrawn."""

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
REFUSALS = ENUMS["Refusal"]


def hexed(address):
    return "0x" + address.hex()


@pytest.fixture
def listed(staffed):
    """Round 1 is open for clients 0..17."""
    staffed.open(1, size=18, members=everyone(18))
    return staffed


def submit(world, client, number=1):
    return world.must(world.members[client], "submitUpdate", number, *UPDATE)


def signed(world, index, number=1, key=None, **changes):
    leaf = Leaf(number, world.clients[index], *UPDATE)
    r, vs = sign_update(key or world.members[index].key, domain_separator(CHAIN_ID, world.address), leaf)
    fields = {"client": leaf.client, "updateDigest": DIGEST, "samples": 100, "metric": 10**6, "r": r, "vs": vs}
    return tuple((fields | changes).values())


def relay(world, *updates, number=1):
    return world.events(world.do("submitSignedUpdates", number, updates))


def verdicts(events):
    assert {event.name for event in events} <= {"UpdateAccepted", "UpdateRefused"}
    return ["None" if e.name == "UpdateAccepted" else REFUSALS[e.args["reason"]] for e in events]


def test_a_client_hands_in_its_update(listed):
    told = listed.events(submit(listed, 3))
    args = {"round": 1, "client": hexed(listed.clients[3]), "updateDigest": DIGEST, "samples": 100, "metric": 10**6}
    assert [(event.name, event.args) for event in told] == [("UpdateAccepted", args)]
    assert listed.read("rounds", 1)[4] == 1
    assert listed.read("clients", listed.clients[3]) == (1, 3, 1, 0)


def refused_members(world):
    """Clients that no round accepts, and why."""
    world.do("suspendClient", world.clients[1])
    world.do("revokeClient", world.clients[2])
    submit(world, 3)
    stranger = derive_account(0, "stranger", 0)
    return {
        "NotRegistered": stranger,
        "Suspended": world.members[1],
        "Revoked": world.members[2],
        "NotInCohort": world.members[18],
        "Duplicate": world.members[3],
    }


@pytest.mark.parametrize("reason", REFUSALS[1:6])
def test_an_update_is_refused(listed, reason):
    who = refused_members(listed)[reason]
    expected = f"UpdateNotAccepted(client={hexed(who.address)}, reason={reason})"
    assert listed.refusal(who, "submitUpdate", 1, *UPDATE) == expected
    assert listed.read("rounds", 1)[4] == 1


@pytest.mark.parametrize("reason", REFUSALS[1:6])
def test_a_signed_update_gets_the_same_verdict(listed, reason):
    who = refused_members(listed)[reason]
    leaf = Leaf(1, who.address, *UPDATE)
    mine = (who.address, *UPDATE, *sign_update(who.key, domain_separator(CHAIN_ID, listed.address), leaf))
    assert verdicts(relay(listed, mine, signed(listed, 5))) == [reason, "None"]
    assert listed.read("rounds", 1)[4] == 2


def test_a_round_that_is_not_open_takes_no_update(listed):
    wrong = "WrongRoundState(round=2, actual=None, required=Open)"
    assert listed.refusal(listed.members[0], "submitUpdate", 2, *UPDATE) == wrong
    for function, args in (
        ("submitSignedUpdates", [signed(listed, 0)]),
        ("publishDigests", [DIGEST]),
        ("refuseUpdates", [(listed.clients[0], DIGEST, 7)]),
    ):
        assert listed.refused(function, 2, args) == wrong


def test_an_empty_digest_or_batch_is_refused(listed):
    assert listed.refusal(listed.members[0], "submitUpdate", 1, bytes(32), 1, 1) == "EmptyDigest()"
    assert listed.refused("submitSignedUpdates", 1, [signed(listed, 0, updateDigest=bytes(32))]) == "EmptyDigest()"
    assert listed.refused("submitSignedUpdates", 1, []) == "EmptyBatch()"
    assert listed.refused("refuseUpdates", 1, []) == "EmptyBatch()"


def test_without_a_list_no_client_submits(staffed):
    staffed.open()
    assert staffed.refusal(staffed.members[0], "submitUpdate", 1, *UPDATE) == "CohortNotListed(round=1)"
    assert staffed.refused("submitSignedUpdates", 1, [signed(staffed, 0)]) == "CohortNotListed(round=1)"
    assert staffed.refused("publishDigests", 1, []) == "EmptyBatch()"


def test_an_update_counts_for_one_round_only(listed):
    """The signature of round 1 says nothing in round 2."""
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


def test_a_signature_has_no_twin(listed):
    """(r, N - s) with the other parity signs the same; its s is above N / 2, and above 2^255 it does not even fit."""
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


def test_the_typed_data_is_that_of_the_standard(staffed):
    """eth-account, an implementation of EIP-712 that is not ours, signs the same 32 bytes."""
    messages = pytest.importorskip("eth_account.messages", reason="eth-account comes with bofl_jax[node]")
    client = staffed.clients[4]
    domain = {"name": "FederationGovernance", "version": "1", "chainId": CHAIN_ID, "verifyingContract": staffed.address}
    kinds = ("uint32 round", "address client", "bytes32 updateDigest", "uint32 samples", "int64 metric")
    types = {"ClientUpdate": [dict(zip(("type", "name"), kind.split(), strict=True)) for kind in kinds]}
    message = {"round": 9, "client": client, "updateDigest": DIGEST, "samples": 100, "metric": -5}
    content = messages.encode_typed_data(domain, types, message)
    ours = domain_separator(CHAIN_ID, staffed.address)
    assert content.header == ours == staffed.read("domainSeparator")
    assert messages._hash_eip191_message(content) == update_hash(ours, Leaf(9, client, DIGEST, 100, -5))


def test_digests_are_published_up_to_the_cohort(staffed):
    staffed.open(size=5)
    told = [staffed.events(staffed.do("publishDigests", 1, [DIGEST] * count)) for count in (3, 2)]
    assert [events[0].name for events in told] == ["DigestsPublished"] * 2
    assert [events[0].args["digest"] for events in told] == [sha256(DIGEST * count).digest() for count in (3, 2)]
    assert staffed.refused("publishDigests", 1, [DIGEST]) == "CountAboveCohort(count=6, cohortSize=5)"
    assert staffed.refused("commitRound", 1, ROOT, 4, 0, 0) == "CountIsNotSubmitted(count=4, submitted=5)"
    staffed.commit(count=5)


def test_a_listed_cohort_submits_for_itself(listed):
    assert listed.refused("publishDigests", 1, [DIGEST]) == "CountIsNotSubmitted(count=1, submitted=0)"
    submit(listed, 0)
    for count in (0, 2):
        expected = f"CountIsNotSubmitted(count={count}, submitted=1)"
        assert listed.refused("commitRound", 1, ROOT if count else bytes(32), count, 0, 0) == expected
    listed.commit(count=1)


@pytest.mark.parametrize("reason", ["DigestMismatch", "NotFinite"])
def test_what_was_accepted_can_be_withdrawn_once(listed, reason):
    submit(listed, 0)
    submit(listed, 1)
    entry = (listed.clients[0], DIGEST, REFUSALS.index(reason))
    assert verdicts(listed.events(listed.do("refuseUpdates", 1, [entry]))) == [reason]
    assert listed.refused("refuseUpdates", 1, [entry]) == f"AlreadyWithdrawn(client={hexed(listed.clients[0])})"
    again = listed.refusal(listed.members[0], "submitUpdate", 1, *UPDATE)
    assert again == f"UpdateNotAccepted(client={hexed(listed.clients[0])}, reason=Duplicate)"
    listed.commit(count=1)


def test_a_refusal_needs_a_reason_and_recording_one_withdraws_nothing(listed):
    submit(listed, 0)
    assert listed.refused("refuseUpdates", 1, [(listed.clients[0], DIGEST, 0)]) == "NoReason()"
    told = listed.events(listed.do("refuseUpdates", 1, [(listed.clients[0], DIGEST, 5), (bytes(20), DIGEST, 1)]))
    assert verdicts(told) == ["Duplicate", "NotRegistered"]
    listed.commit(count=1)


def test_a_refusal_is_recorded_without_a_list_too(staffed):
    staffed.open()
    told = staffed.events(staffed.do("refuseUpdates", 1, [(staffed.clients[0], DIGEST, 7)]))
    assert verdicts(told) == ["DigestMismatch"]
    staffed.commit(count=19)
