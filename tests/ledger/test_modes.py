"""The four ways to put a round on the chain: what each writes, costs, audits and resumes to."""

import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger import LedgerOptions, Refusal, Submission, audit_chain, modes, resume_ledger
from bofl_jax.ledger.blocklog import read_blocks
from bofl_jax.ledger.chain import PyEvmEngine
from bofl_jax.ledger.contract import load_contract
from bofl_jax.ledger.folder import files_of
from bofl_jax.ledger.genesis import read_genesis
from bofl_jax.ledger.leaves import read_leaves
from tests.ledger.conftest import CLIENTS, CONFIG, SEED

ON = list(modes.MODES)
LISTED = [name for name in ON if modes.MODES[name].listed]
MODEL = b"\x05" * 32


def told(directory):
    """Every event of a ledger, block by block, and who sent the transactions."""
    files = files_of(directory)
    engine, contract = PyEvmEngine(read_genesis(files.genesis)[0]), load_contract()
    for raw in read_blocks(files.blocks):
        block = engine.import_block(raw)
        events = [contract.decode_log(topics, data) for o in block.outcomes for _, topics, data in o.logs]
        yield events, [outcome.sender for outcome in block.outcomes]


def update(client, refusal=Refusal.NONE):
    return Submission(client, bytes([client + 1]) * 32, 10, 10**6, refusal)


@pytest.mark.parametrize("mode", ON)
def test_a_round_is_recorded_and_audited(tmp_path, new_ledger, rounds, mode):
    ledger = new_ledger(tmp_path, mode=mode)
    costs = rounds(ledger, 1, 3)
    audit = audit_chain(tmp_path)
    assert audit.head_hash == ledger.head_hash
    assert [r.gas for r in audit.rounds] == [cost.gas for cost in costs]
    assert [(r.count, r.samples) for r in audit.rounds] == [(3, 35)] * 3
    assert [(cost.accepted, cost.rejected) for cost in costs] == [(3, 1)] * 3


@pytest.mark.parametrize("mode", ON)
def test_the_leaves_are_the_same_in_every_mode(tmp_path, new_ledger, rounds, mode):
    rounds(new_ledger(tmp_path / "a", mode=mode), 1, 2)
    rounds(new_ledger(tmp_path / "b"), 1, 2)
    assert (tmp_path / "a/ledger/leaves.jsonl").read_bytes() == (tmp_path / "b/ledger/leaves.jsonl").read_bytes()


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
    blocks = list(told(tmp_path))
    assert [event.name for event in blocks[3][0]] == names
    assert blocks[3][0][-1].args["reason"] == Refusal.NOT_FINITE
    people = {bytes.fromhex(event.args["client"][2:]) for event in blocks[3][0] if "client" in event.args}
    assert (people < set(blocks[3][1])) == (mode == "per-client")


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


@pytest.mark.parametrize("mode", LISTED)
def test_a_verdict_that_differs_aborts_the_round(tmp_path, new_ledger, mode):
    """The contract knows of a suspension that the server has not heard of."""
    ledger = new_ledger(tmp_path, mode=mode)
    ledger.open_round(1, [0, 1, 2])
    suspension = modes.Step(ledger._network.admin, "suspendClient", (ledger._network.clients[1].address,))
    ledger._seal("suspending", [suspension])
    with pytest.raises(BoflError, match=r"client 1.*" if mode == "signed" else "SUSPENDED|Suspended"):
        ledger.close_round(1, [update(0), update(1), update(2)], MODEL)
    if mode == "signed":
        assert [event.name for event in list(told(tmp_path))[-1][0]] == ["RoundAborted"]


@pytest.mark.parametrize("mode", ["calldata", *LISTED])
def test_leaves_that_are_not_what_was_recorded_are_found(tmp_path, new_ledger, mode, monkeypatch):
    """A server that commits to another update than the one that went on chain."""
    ledger = new_ledger(tmp_path, mode=mode)
    ledger.open_round(1, [0, 1, 2])
    honest = ledger._leaf
    record = type(ledger)._record

    def swap(round, sent):
        altered = [one._replace(leaf=one.leaf._replace(update_digest=b"\x09" * 32)) for one in sent]
        record(ledger, round, altered)

    monkeypatch.setattr(ledger, "_record", swap)
    ledger.close_round(1, [update(0), update(1), update(2)], MODEL)
    assert honest(1, update(0)) in read_leaves(files_of(tmp_path).leaves)[0].leaves
    with pytest.raises(VerificationError, match=r"round 1: the leaves are not the (updates|digests) that"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("mode", ON)
def test_a_quorum_that_is_missed_is_refused(tmp_path, new_ledger, mode):
    ledger = new_ledger(tmp_path, mode=mode, quorum=0.7)
    ledger.open_round(1, [0, 1, 2, 3])
    with pytest.raises(BoflError, match=r"QuorumMissed\(count=2, quorum=3\)"):
        ledger.close_round(1, [update(0), update(1), update(2, Refusal.NOT_FINITE)], MODEL)


def test_a_listed_round_may_have_more_clients_than_a_word_has_bits():
    words = modes.bit_map(range(700))
    assert [word.bit_count() for word in words] == [256, 256, 188]
