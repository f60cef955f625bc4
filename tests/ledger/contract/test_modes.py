"""The four submission modes: what each writes, rejects and costs, and that it is audited and resumed."""

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
from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain
from bofl_jax.ledger.contract import modes
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.contract.cohort import cohort_bitmap
from bofl_jax.ledger.storage.block_log import read_blocks
from bofl_jax.ledger.storage.genesis_file import read_genesis
from bofl_jax.ledger.storage.layout import ledger_files
from bofl_jax.ledger.storage.leaves import read_leaves
from tests.ledger.conftest import CLIENTS, CONFIG, MODEL, SEED, change_registry, opened, row, submissions

ON = list(modes.MODES)
WITH_COHORT = [name for name in ON if modes.MODES[name].stores_cohort]
WITHOUT_COHORT = [name for name in ON if not modes.MODES[name].stores_cohort]


def events_and_senders(directory):
    """Every event of a ledger and the senders of the transactions, block by block."""
    files = ledger_files(directory)
    chain, contract = PyEvmChain(read_genesis(files.genesis)[0]), load_contract()
    for raw in read_blocks(files.blocks):
        block = chain.import_block(raw)
        events = [contract.decode_log(topics, data) for receipt in block.receipts for _, topics, data in receipt.logs]
        yield events, [receipt.sender for receipt in block.receipts]


def same_leaves(one, other):
    return ledger_files(one).leaves.read_bytes() == ledger_files(other).leaves.read_bytes()


@pytest.mark.parametrize("mode", ON)
def test_a_round_is_recorded_and_audited(tmp_path, new_ledger, rounds, mode):
    ledger = new_ledger(tmp_path, mode=mode)
    costs = rounds(ledger, 1, 3)
    audit = audit_chain(tmp_path)
    assert audit.head_hash == ledger.head_hash
    assert [r.gas for r in audit.rounds] == [cost.gas for cost in costs]
    assert [(r.count, r.samples, r.rejected) for r in audit.rounds] == [(3, 35, 1)] * 3
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
def test_each_mode_has_its_events_and_senders(tmp_path, new_ledger, rounds, mode, names):
    rounds(new_ledger(tmp_path, mode=mode), 1, 1)
    between = list(events_and_senders(tmp_path))[3:-1]  # without opening and closing
    events = [event for events, _ in between for event in events]
    assert [event.name for event in events] == names
    assert events[-1].args["reason"] == RejectionReason.NOT_FINITE
    clients = {bytes.fromhex(event.args["client"][2:]) for event in events if "client" in event.args}
    senders = {sender for _, senders in between for sender in senders}
    assert (clients < senders) == (mode == "per-client")


@pytest.mark.parametrize("mode", ON)
@pytest.mark.parametrize("known", [0, 2])
def test_a_resumed_ledger_equals_an_uninterrupted_one(tmp_path, new_ledger, rounds, mode, known):
    whole = new_ledger(tmp_path / "whole", mode=mode)
    rounds(whole, 1, 3)
    rounds(new_ledger(tmp_path / "cut", mode=mode), 1, 3)
    resumed = resume_ledger(LedgerOptions(mode=mode), tmp_path / "cut", CLIENTS, SEED, CONFIG, known)
    rounds(resumed, known + 1, 3)
    assert resumed.head_hash == whole.head_hash


@pytest.mark.parametrize("mode", ON)
def test_the_size_of_batches_does_not_change_the_record(tmp_path, new_ledger, rounds, mode, monkeypatch):
    for name in ("SIGNED_PER_CALL", "DIGESTS_PER_CALL", "REJECTED_PER_CALL"):
        monkeypatch.setattr(modes, name, 1)
    rounds(new_ledger(tmp_path, mode=mode), 1, 2)
    assert [(r.count, r.samples) for r in audit_chain(tmp_path).rounds] == [(3, 35)] * 2


def aborted_by(ledger, rows, match):
    """Check that the open round is aborted, and that the next round can be recorded."""
    with pytest.raises(VerdictDiffersError, match=match) as caught:
        ledger.close_round(1, submissions(*rows), MODEL)
    assert "\n" not in str(caught.value)
    opened(ledger, 1, [0])
    ledger.close_round(1, submissions(row(0)), MODEL)


def aborted_once(directory):
    audit = audit_chain(directory)
    return (audit.aborted, [(r.round, r.version, r.count) for r in audit.rounds]) == ([1], [(2, 1, 1)])


@pytest.mark.parametrize("mode", WITH_COHORT)
def test_a_verdict_that_differs_aborts_the_round(tmp_path, new_ledger, mode):
    """The contract knows of a suspension that the server does not know."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1, 2])
    change_registry(ledger, "suspendClient", 1)
    difference = r"client 1 is rejected \(suspended\) by the contract, and accepted by the server"
    aborted_by(ledger, [row(0), row(1), row(2)], f"round 1 was aborted on chain: {difference}")
    assert aborted_once(tmp_path)


@pytest.mark.parametrize("mode", ["calldata", *WITH_COHORT])
def test_leaves_that_differ_from_the_recorded_updates_are_found(tmp_path, new_ledger, mode, monkeypatch):
    """A server that commits to another update than the one on the chain."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1, 2])
    record = type(ledger)._record_updates

    def record_other_digests(round, sent):
        record(ledger, round, sent._replace(digest=np.full_like(sent.digest, 9)))

    monkeypatch.setattr(ledger, "_record_updates", record_other_digests)
    ledger.close_round(1, submissions(row(0), row(1), row(2)), MODEL)
    assert read_leaves(ledger_files(tmp_path).leaves)[0].leaves["update_digest"][0].tobytes() == row(0)[1]
    with pytest.raises(VerificationError, match=r"round 1: the leaves are not the (updates|digests) that"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("mode", ON)
def test_a_round_without_its_quorum_is_aborted(tmp_path, new_ledger, mode):
    ledger = opened(new_ledger(tmp_path, mode=mode, quorum=0.7), 1, [0, 1, 2, 3])
    aborted_by(ledger, [row(0), row(1), row(2, RejectionReason.NOT_FINITE)], r"QuorumMissed\(count=2, quorum=3\)")
    assert aborted_once(tmp_path)


def test_a_stored_cohort_may_have_more_clients_than_a_word_has_bits():
    words = cohort_bitmap(np.arange(700))
    assert [word.bit_count() for word in words] == [256, 256, 188]


UNREGISTERED, MEMBERS = 6, 7
MIXED_REGISTRY = LedgerOptions(
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


def mixed_registry_ledger(directory, mode):
    """Clients 0 to 3 are active, 4 is suspended, 5 revoked, 6 not registered."""
    return create_ledger(MIXED_REGISTRY.model_copy(update={"mode": mode}), directory, MEMBERS, SEED, CONFIG)


def all_kinds(directory, mode):
    ledger = opened(mixed_registry_ledger(directory, mode), 1, [0, 1, 2])
    cost = ledger.close_round(1, submissions(*SENT.values(), received=ARRIVED), MODEL)
    return SimpleNamespace(directory=directory, ledger=ledger, cost=cost, audit=audit_chain(directory))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A round with one sender of every kind in mode ``merkle``."""
    return all_kinds(tmp_path_factory.mktemp("plain"), "merkle")


@pytest.fixture(scope="module", params=ON)
def mixed(tmp_path_factory, request):
    """A round with one sender of every kind in every mode."""
    return all_kinds(tmp_path_factory.mktemp("mixed"), request.param)


def recorded_rejections(run):
    """(client, reason) -> the recorded digest."""
    number = {"0x" + address.hex(): client for client, address in enumerate(run.ledger.accounts.client_addresses)}
    events = [event.args for _, event in run.audit.events if event.name == "UpdateRefused"]
    return {(number[args["client"]], args["reason"]): args["updateDigest"] for args in events}


@pytest.mark.parametrize("kind", [kind for kind in SENT if kind != "first of two"])
def test_a_rejected_sender_is_recorded_with_the_reason(mixed, kind):
    client, digest, *_, reason = SENT[kind]
    arrived = ARRIVED.get(list(SENT).index(kind), digest)
    assert recorded_rejections(mixed)[client, reason] == arrived


def test_every_rejection_is_recorded_once(mixed):
    assert len([event for _, event in mixed.audit.events if event.name == "UpdateRefused"]) == len(SENT) - 1
    assert (mixed.cost.accepted, mixed.cost.rejected) == (1, len(SENT) - 1)
    assert (mixed.audit.rounds[0].count, mixed.audit.rounds[0].rejected) == (1, len(SENT) - 1)


def test_no_rejected_sender_has_a_leaf(mixed):
    assert mixed.audit.rounds[0].record.clients.tolist() == [0]


def test_rejected_senders_do_not_change_the_leaves_in_any_mode(mixed, plain):
    assert same_leaves(mixed.directory, plain.directory)


def test_recording_rejections_is_part_of_the_rounds_gas(mixed):
    assert mixed.audit.rounds[0].gas == mixed.cost.gas


WRONG = {
    "suspended taken for active": ([0, 4], [row(0), row(4)], "client 4 is rejected (suspended)"),
    "active taken for suspended": ([0, 1], [row(0), row(1, RejectionReason.SUSPENDED)], "client 1 is accepted"),
    "revoked taken for suspended": ([0], [row(0), row(5, RejectionReason.SUSPENDED)], "client 5 is rejected (revoked)"),
    "revoked taken for not finite": (
        [0],
        [row(0), row(5, RejectionReason.NOT_FINITE)],
        "client 5 is rejected (revoked)",
    ),
    "unregistered taken for uninvited": (
        [0],
        [row(0), row(UNREGISTERED, RejectionReason.NOT_IN_COHORT)],
        "client 6 is rejected (not registered)",
    ),
    "uninvited taken for a duplicate": (
        [0],
        [row(0), row(1, RejectionReason.DUPLICATE)],
        "client 1 is rejected (not in cohort)",
    ),
    "duplicate taken for altered": (
        [0, 1],
        [row(0), row(0, RejectionReason.DIGEST_MISMATCH)],
        "client 0 is rejected (duplicate)",
    ),
    "good signature taken for a bad one": ([0], [row(0, RejectionReason.BAD_SIGNATURE)], "client 0 is accepted"),
}


@pytest.mark.parametrize("mode", WITH_COHORT)
@pytest.mark.parametrize("case", WRONG)
def test_a_round_is_aborted_if_the_server_expects_a_wrong_verdict(tmp_path, mode, case):
    cohort, rows, verdict = WRONG[case]
    ledger = opened(mixed_registry_ledger(tmp_path, mode), 1, cohort)
    aborted_by(ledger, rows, f"{verdict} by the contract, and ".replace("(", r"\(").replace(")", r"\)"))
    assert aborted_once(tmp_path)


@pytest.mark.parametrize("mode", WITHOUT_COHORT)
@pytest.mark.parametrize("client", [4, 5])
def test_the_audit_finds_inactive_contributors_in_modes_without_a_stored_cohort(tmp_path, mode, client):
    ledger = opened(mixed_registry_ledger(tmp_path, mode), 1, [0, client])
    ledger.close_round(1, submissions(row(0), row(client)), MODEL)
    with pytest.raises(VerificationError, match=f"round 1: client {client} contributed without being active"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("mode", WITHOUT_COHORT)
def test_a_cohort_with_an_unregistered_client_is_found(tmp_path, mode):
    ledger = opened(mixed_registry_ledger(tmp_path, mode), 1, [0, UNREGISTERED])
    ledger.close_round(1, submissions(row(0)), MODEL)
    with pytest.raises(VerificationError, match="round 1: the cohort names a client that is not registered"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("mode", WITH_COHORT)
def test_an_update_with_an_empty_digest_aborts_the_round(tmp_path, new_ledger, mode):
    """The contract accepts no digest of zeros."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1])
    aborted_by(ledger, [row(0), (1, bytes(32), 10, 10**6, RejectionReason.NONE)], "EmptyDigest")
    assert aborted_once(tmp_path)


@pytest.mark.parametrize("mode", WITH_COHORT)
def test_an_update_that_is_withdrawn_twice_aborts_the_round(tmp_path, new_ledger, mode):
    """The second update of a client is a duplicate, whatever its content is."""
    ledger = opened(new_ledger(tmp_path, mode=mode), 1, [0, 1])
    aborted_by(
        ledger,
        [row(0), row(1, RejectionReason.NOT_FINITE), row(1, RejectionReason.NOT_FINITE)],
        "client 1|AlreadyWithdrawn",
    )
    assert aborted_once(tmp_path)
