"""The four ways to put a round on the chain: what each writes, refuses, costs, audits and resumes to."""

from types import SimpleNamespace

import numpy as np
import pytest

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger import (
    LedgerOptions,
    RegistryChange,
    RejectionReason,
    VerdictDiffersError,
    audit_chain,
    create_ledger,
    resume_ledger,
)
from bofl_jax.ledger.chain.genesis import read_genesis
from bofl_jax.ledger.chain.py_evm import PyEvmEngine
from bofl_jax.ledger.contract import modes
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.storage.block_log import read_blocks
from bofl_jax.ledger.storage.layout import files_of
from bofl_jax.ledger.storage.leaves import read_leaves
from tests.ledger.conftest import CLIENTS, CONFIG, MODEL, SEED, change_registry, opened, row, submissions

ON = list(modes.MODES)
LISTED = [name for name in ON if modes.MODES[name].listed]
UNLISTED = [name for name in ON if not modes.MODES[name].listed]


def told(directory):
    """Every event of a ledger, block by block, and who sent the transactions."""
    files = files_of(directory)
    engine, contract = PyEvmEngine(read_genesis(files.genesis)[0]), load_contract()
    for raw in read_blocks(files.blocks):
        block = engine.import_block(raw)
        events = [contract.decode_log(topics, data) for o in block.outcomes for _, topics, data in o.logs]
        yield events, [outcome.sender for outcome in block.outcomes]


def same_leaves(one, other):
    return files_of(one).leaves.read_bytes() == files_of(other).leaves.read_bytes()


@pytest.mark.parametrize("mode", ON)
def test_a_round_is_recorded_and_audited(tmp_path, new_ledger, rounds, mode):
    ledger = new_ledger(tmp_path, mode=mode)
    costs = rounds(ledger, 1, 3)
    audit = audit_chain(tmp_path)
    assert audit.head_hash == ledger.head_hash
    assert [r.gas for r in audit.rounds] == [cost.gas for cost in costs]
    assert [(r.count, r.samples, r.refused) for r in audit.rounds] == [(3, 35, 1)] * 3
    assert [(cost.accepted, cost.rejected) for cost in costs] == [(3, 1)] * 3


@pytest.mark.parametrize("mode", ON)
def test_the_leaves_are_the_same_in_every_mode(tmp_path, new_ledger, rounds, mode):
    rounds(new_ledger(tmp_path / "a", mode=mode), 1, 2)
    rounds(new_ledger(tmp_path / "b"), 1, 2)
    assert same_leaves(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("merkle", ["UpdateRefused"]),
        ("calldata", ["DigestsPublished", "UpdateRefused"]),
        ("signed", ["UpdateAccepted"] * 4 + ["UpdateRefused"]),
        ("per-client", ["UpdateAccepted"] * 4 + ["UpdateRefused"]),
    ],
)
def test_what_the_chain_is_told(tmp_path, new_ledger, rounds, mode, names):
    rounds(new_ledger(tmp_path, mode=mode), 1, 1)
    between = list(told(tmp_path))[3:-1]  # of opening and closing
    events = [event for events, _ in between for event in events]
    assert [event.name for event in events] == names
    assert events[-1].args["reason"] == RejectionReason.NOT_FINITE
    people = {bytes.fromhex(event.args["client"][2:]) for event in events if "client" in event.args}
    senders = {sender for _, senders in between for sender in senders}
    assert (people < senders) == (mode == "per-client")


@pytest.mark.parametrize("mode", ON)
@pytest.mark.parametrize("known", [0, 2])
def test_resuming_equals_not_having_stopped(tmp_path, new_ledger, rounds, mode, known):
    whole = new_ledger(tmp_path / "whole", mode=mode)
    rounds(whole, 1, 3)
    rounds(new_ledger(tmp_path / "cut", mode=mode), 1, 3)
    resumed = resume_ledger(LedgerOptions(mode=mode), tmp_path / "cut", CLIENTS, SEED, CONFIG, known)
    rounds(resumed, known + 1, 3)
    assert resumed.head_hash == whole.head_hash


@pytest.mark.parametrize("mode", ON)
def test_batches_do_not_change_what_is_recorded(tmp_path, new_ledger, rounds, mode, monkeypatch):
    for name in ("SIGNED_BATCH", "DIGEST_BATCH", "REFUSED_BATCH"):
        monkeypatch.setattr(modes, name, 1)
    rounds(new_ledger(tmp_path, mode=mode), 1, 2)
    assert [(r.count, r.samples) for r in audit_chain(tmp_path).rounds] == [(3, 35)] * 2


def aborted_by(ledger, rows, match):
    """The round in hand must end in an abort, and leave a ledger that holds and goes on."""
    with pytest.raises(VerdictDiffersError, match=match) as caught:
        ledger.close_round(1, submissions(*rows), MODEL)
    assert "\n" not in str(caught.value)
    opened(ledger, 1, [0])
    ledger.close_round(1, submissions(row(0)), MODEL)


def aborted_once(directory):
    audit = audit_chain(directory)
    return (audit.aborted, [(r.round, r.version, r.count) for r in audit.rounds]) == ([1], [(2, 1, 1)])


@pytest.mark.parametrize("mode", LISTED)
def test_a_verdict_that_differs_aborts_the_round(tmp_path, new_ledger, mode):
    """The contract knows of a suspension that the server has not heard of."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1, 2])
    change_registry(ledger, "suspendClient", 1)
    difference = r"client 1 is refused \(suspended\) by the contract, and accepted by the server"
    aborted_by(ledger, [row(0), row(1), row(2)], f"round 1 was aborted on chain: {difference}")
    assert aborted_once(tmp_path)


@pytest.mark.parametrize("mode", ["calldata", *LISTED])
def test_leaves_that_are_not_what_was_recorded_are_found(tmp_path, new_ledger, mode, monkeypatch):
    """A server that commits to another update than the one that went on chain."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1, 2])
    record = type(ledger)._record
    monkeypatch.setattr(
        ledger, "_record", lambda round, sent: record(ledger, round, sent._replace(digest=np.full_like(sent.digest, 9)))
    )
    ledger.close_round(1, submissions(row(0), row(1), row(2)), MODEL)
    assert read_leaves(files_of(tmp_path).leaves)[0].leaves["update_digest"][0].tobytes() == row(0)[1]
    with pytest.raises(VerificationError, match=r"round 1: the leaves are not the (updates|digests) that"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("mode", ON)
def test_a_quorum_that_is_missed_is_refused(tmp_path, new_ledger, mode):
    ledger = opened(new_ledger(tmp_path, mode=mode, quorum=0.7), 1, [0, 1, 2, 3])
    aborted_by(ledger, [row(0), row(1), row(2, RejectionReason.NOT_FINITE)], r"QuorumMissed\(count=2, quorum=3\)")
    assert aborted_once(tmp_path)


def test_a_listed_round_may_have_more_clients_than_a_word_has_bits():
    words = modes.bit_map(np.arange(700))
    assert [word.bit_count() for word in words] == [256, 256, 188]


UNREGISTERED, MEMBERS = 6, 7
STANDING = LedgerOptions(
    registered=UNREGISTERED,
    changes=(
        RegistryChange(round=1, action="suspend", client=4),
        RegistryChange(round=1, action="revoke", client=5),
    ),
)
SENT = {
    "first of two": row(0),
    "second of two": row(0, RejectionReason.DUPLICATE),
    "altered": row(1, RejectionReason.DIGEST_MISMATCH),
    "not finite": row(2, RejectionReason.NOT_FINITE),
    "not in the cohort": row(3, RejectionReason.NOT_IN_COHORT),
    "suspended": row(4, RejectionReason.SUSPENDED),
    "revoked": row(5, RejectionReason.REVOKED),
    "unregistered": row(UNREGISTERED, RejectionReason.NOT_REGISTERED),
}
ARRIVED = {list(SENT).index("altered"): b"\xee" * 32}


def standing_ledger(directory, mode):
    """Clients 0 to 3 are active, 4 is suspended, 5 revoked, 6 not registered."""
    return create_ledger(STANDING.model_copy(update={"mode": mode}), directory, MEMBERS, SEED, CONFIG)


def all_kinds(directory, mode):
    ledger = opened(standing_ledger(directory, mode), 1, [0, 1, 2])
    cost = ledger.close_round(1, submissions(*SENT.values(), received=ARRIVED), MODEL)
    return SimpleNamespace(directory=directory, ledger=ledger, cost=cost, audit=audit_chain(directory))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A round with a sender of every kind, in mode ``merkle``."""
    return all_kinds(tmp_path_factory.mktemp("plain"), "merkle")


@pytest.fixture(scope="module", params=ON)
def mixed(tmp_path_factory, request):
    """The same in every mode."""
    return all_kinds(tmp_path_factory.mktemp("mixed"), request.param)


def refusals(run):
    """(client, reason) -> the digest that is on record."""
    number = {"0x" + address.hex(): client for client, address in enumerate(run.ledger.network.addresses)}
    events = [told.event.args for told in run.audit.told if told.event.name == "UpdateRefused"]
    return {(number[args["client"]], args["reason"]): args["updateDigest"] for args in events}


@pytest.mark.parametrize("kind", [kind for kind in SENT if kind != "first of two"])
def test_a_sender_that_must_be_refused_is_on_record_with_the_reason(mixed, kind):
    client, digest, *_, reason = SENT[kind]
    arrived = ARRIVED.get(list(SENT).index(kind), digest)
    assert refusals(mixed)[client, reason] == arrived


def test_every_refusal_is_recorded_once(mixed):
    assert len([told for told in mixed.audit.told if told.event.name == "UpdateRefused"]) == len(SENT) - 1
    assert (mixed.cost.accepted, mixed.cost.rejected) == (1, len(SENT) - 1)
    assert (mixed.audit.rounds[0].count, mixed.audit.rounds[0].refused) == (1, len(SENT) - 1)


def test_nobody_who_is_refused_has_a_leaf(mixed):
    assert mixed.audit.rounds[0].record.clients.tolist() == [0]


def test_refused_senders_leave_the_same_leaves_in_every_mode(mixed, plain):
    assert same_leaves(mixed.directory, plain.directory)


def test_refused_senders_are_paid_for_in_the_round(mixed):
    assert mixed.audit.rounds[0].gas == mixed.cost.gas


WRONG = {
    "suspended taken for active": ([0, 4], [row(0), row(4)], "client 4 is refused (suspended)"),
    "active taken for suspended": ([0, 1], [row(0), row(1, RejectionReason.SUSPENDED)], "client 1 is accepted"),
    "revoked taken for suspended": ([0], [row(0), row(5, RejectionReason.SUSPENDED)], "client 5 is refused (revoked)"),
    "revoked taken for not finite": (
        [0],
        [row(0), row(5, RejectionReason.NOT_FINITE)],
        "client 5 is refused (revoked)",
    ),
    "unregistered taken for uninvited": (
        [0],
        [row(0), row(UNREGISTERED, RejectionReason.NOT_IN_COHORT)],
        "client 6 is refused (not registered)",
    ),
    "uninvited taken for a duplicate": (
        [0],
        [row(0), row(1, RejectionReason.DUPLICATE)],
        "client 1 is refused (not in cohort)",
    ),
    "duplicate taken for altered": (
        [0, 1],
        [row(0), row(0, RejectionReason.DIGEST_MISMATCH)],
        "client 0 is refused (duplicate)",
    ),
    "good signature taken for a bad one": ([0], [row(0, RejectionReason.BAD_SIGNATURE)], "client 0 is accepted"),
}


@pytest.mark.parametrize("mode", LISTED)
@pytest.mark.parametrize("case", WRONG)
def test_a_server_that_predicts_a_wrong_verdict_is_stopped(tmp_path, mode, case):
    cohort, rows, verdict = WRONG[case]
    ledger = opened(standing_ledger(tmp_path, mode), 1, cohort)
    aborted_by(ledger, rows, f"{verdict} by the contract, and ".replace("(", r"\(").replace(")", r"\)"))
    assert aborted_once(tmp_path)


@pytest.mark.parametrize("mode", UNLISTED)
@pytest.mark.parametrize("client", [4, 5])
def test_where_the_contract_does_not_hear_clients_the_audit_finds_who_was_not_active(tmp_path, mode, client):
    ledger = opened(standing_ledger(tmp_path, mode), 1, [0, client])
    ledger.close_round(1, submissions(row(0), row(client)), MODEL)
    with pytest.raises(VerificationError, match=f"round 1: client {client} contributed without being active"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("mode", UNLISTED)
def test_a_cohort_with_an_unregistered_client_is_found(tmp_path, mode):
    ledger = opened(standing_ledger(tmp_path, mode), 1, [0, UNREGISTERED])
    ledger.close_round(1, submissions(row(0)), MODEL)
    with pytest.raises(VerificationError, match="round 1: the cohort names a client that is not registered"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("mode", LISTED)
def test_an_update_that_the_contract_takes_for_none_aborts_the_round(tmp_path, new_ledger, mode):
    """No update has a digest of zeros."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1])
    aborted_by(ledger, [row(0), (1, bytes(32), 10, 10**6, RejectionReason.NONE)], "EmptyDigest")
    assert aborted_once(tmp_path)


@pytest.mark.parametrize("mode", LISTED)
def test_an_update_that_is_withdrawn_twice_aborts_the_round(tmp_path, new_ledger, mode):
    """The second one of a client is a duplicate, whatever is in it."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1])
    aborted_by(
        ledger,
        [row(0), row(1, RejectionReason.NOT_FINITE), row(1, RejectionReason.NOT_FINITE)],
        "client 1|AlreadyWithdrawn",
    )
    assert aborted_once(tmp_path)
