"""The audit: its report on an honest run, and that every alteration is found."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import rlp

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger import LedgerOptions, RegistryChange, audit_chain, create_ledger
from bofl_jax.ledger.chain.accounts import derive_accounts
from bofl_jax.ledger.chain.py_evm.chain import ProofOfAuthorityVM
from bofl_jax.ledger.chain.py_evm.proof_of_authority import in_turn_signer, seal_header
from bofl_jax.ledger.storage.block_log import read_blocks, read_records
from bofl_jax.ledger.storage.leaves import _encode, read_leaves
from tests.ledger.conftest import CLIENTS, CONFIG, MODEL, SEED, opened, row, submissions

ROOT = Path(__file__).parents[3]


def ledger_file(run, name):
    return run / "ledger" / name


def flip(path, offset, mask):
    content = bytearray(path.read_bytes())
    content[offset] ^= mask
    path.write_bytes(content)


def assert_rejected(run, match=None):
    with pytest.raises(VerificationError, match=match) as caught:
        audit_chain(run)
    assert "\n" not in str(caught.value)


def blocks_of(run):
    return list(read_blocks(ledger_file(run, "blocks.rlp")))


def write_blocks(run, blocks):
    ledger_file(run, "blocks.rlp").write_bytes(b"".join(blocks))


def records_of(run):
    return list(read_records(ledger_file(run, "leaves.rlp"), "record"))


def write_records(run, records):
    ledger_file(run, "leaves.rlp").write_bytes(b"".join(records))


def test_an_honest_run_is_reported_with_all_its_rounds(finished):
    audit = audit_chain(finished)
    assert (audit.blocks, audit.clients, audit.config_hash) == (11, 5, CONFIG)
    assert [(r.round, r.version, r.count, r.rejected) for r in audit.rounds] == [(n, n, 3, 1) for n in (1, 2, 3)]
    assert [(r.samples, r.metric) for r in audit.rounds] == [(10 + 12 + 13, 10**6)] * 3
    assert [r.blocks for r in audit.rounds] == [(3, 5, 5), (6, 8, 8), (9, 11, 11)]
    assert (audit.aborted, audit.results, audit.engines) == ([], {}, ("py-evm",))
    assert [r.model_digest for r in audit.rounds] == [sha256(b"model %d" % n).digest() for n in (1, 2, 3)]
    assert audit.final_model_digest == audit.rounds[-1].model_digest
    golden = json.loads((ROOT / "tests" / "golden" / "ledger.json").read_text())
    assert (audit.head_hash, [r.gas for r in audit.rounds]) == (golden["head_hash"], golden["gas"])


def test_a_run_before_its_first_round_is_reported(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    audit = audit_chain(tmp_path)
    assert (audit.blocks, audit.rounds, audit.final_model_digest) == (2, [], b"")
    assert audit.head_hash == ledger.head_hash


def offsets(size, count, seed):
    return sorted({0, 1, 2, size - 1, *random.Random(seed).sample(range(size), count)})


def test_a_flipped_byte_of_the_block_log_is_found(finished):
    path, draw = ledger_file(finished, "blocks.rlp"), random.Random(0)
    for offset in offsets(path.stat().st_size, 60, seed=0):
        mask = draw.randrange(1, 256)
        flip(path, offset, mask)
        assert_rejected(finished)
        flip(path, offset, mask)
    audit_chain(finished)


def test_every_byte_of_a_block_header_counts(finished):
    """Bytes that do not result from the execution: the header and the seal of the last block."""
    path, last = ledger_file(finished, "blocks.rlp"), blocks_of(finished)[-1]
    start = path.stat().st_size - len(last)
    for offset in range(start, start + 620, 14):
        flip(path, offset, 1)
        assert_rejected(finished)
        flip(path, offset, 1)


@pytest.mark.parametrize("name", ["genesis.json", "contract.json", "leaves.rlp"])
def test_a_flipped_byte_of_another_file_is_found(finished, name):
    path, draw = ledger_file(finished, name), random.Random(1)
    for offset in offsets(path.stat().st_size, 40, seed=1):
        mask = draw.randrange(1, 256)
        flip(path, offset, mask)
        assert_rejected(finished)
        flip(path, offset, mask)


@pytest.mark.parametrize("name", ["genesis.json", "contract.json"])
def test_another_line_end_is_found(finished, name):
    path = ledger_file(finished, name)
    flip(path, path.stat().st_size - 1, 0x0A ^ 0x0D)
    assert_rejected(finished)


@pytest.mark.parametrize("name", ["genesis.json", "contract.json", "blocks.rlp", "leaves.rlp"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff\xfe", b"null\n"])
def test_a_missing_or_foreign_file_is_found(finished, name, content):
    path = ledger_file(finished, name)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert_rejected(finished)


def test_a_log_that_ends_inside_a_block_is_found(finished):
    path, content = ledger_file(finished, "blocks.rlp"), ledger_file(finished, "blocks.rlp").read_bytes()
    for rest in (1, 2, 100, len(content) - 1, len(content) - 4):
        path.write_bytes(content[:-rest])
        assert_rejected(finished, "ends inside block")


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (1, "before any round"),
        (2, "the chain has 0"),
        (3, "inside round 1"),
        (4, "inside round 1"),
        (5, "the chain has 1"),
        (9, "inside round 3"),
        (10, "inside round 3"),
    ],
)
def test_a_log_that_ends_after_a_block_is_found(finished, kept, message):
    write_blocks(finished, blocks_of(finished)[:kept])
    assert_rejected(finished, message)


def test_a_whole_round_missing_at_the_end_shows_in_the_head_hash(finished):
    head = audit_chain(finished).head_hash
    write_blocks(finished, blocks_of(finished)[:-3])
    write_records(finished, records_of(finished)[:-1])
    assert audit_chain(finished).head_hash != head


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[1:],
        lambda b: b[:3] + b[4:],
        lambda b: [*b[:4], b[5], b[4], *b[6:]],
        lambda b: [*b[:4], b[3], *b[4:]],
        lambda b: [*b, b[-1]],
        lambda b: [*b, rlp.encode([b"block"])],
    ],
    ids=["first dropped", "one dropped", "swapped", "repeated", "last repeated", "garbage added"],
)
def test_changed_blocks_are_found(finished, change):
    write_blocks(finished, change(blocks_of(finished)))
    assert_rejected(finished, "block")


def edited(name, row, value):
    """A function that changes one field of one leaf."""

    def change(record):
        leaves = record.leaves.copy()
        leaves[name][row] = value
        return record._replace(leaves=leaves)

    return change


def cohort(change):
    return lambda record: record._replace(cohort=np.array(change(record.cohort.tolist())))


def clients(*indices):
    return lambda record: record._replace(clients=np.array(indices))


def rows(*places):
    """A function that takes other rows than 0, 1, 2, with their clients."""
    return lambda record: record._replace(clients=record.clients[list(places)], leaves=record.leaves[list(places)])


def change_second(run, change):
    first, second, third = read_leaves(ledger_file(run, "leaves.rlp"))
    write_records(run, [_encode(first), change(second), _encode(third)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited("samples", 0, 99), "the proof of client 0 does not hold"),
        (edited("metric", 2, 99), "does not hold"),
        (edited("metric", 2, -(2**63)), "does not hold"),
        (edited("update_digest", 0, bytes(32)), "the proof of client 0 does not hold"),
        (edited("client", 1, bytes(20)), "client 2 has another address"),
        (edited("tag", 1, 1), "a leaf in leaves.rlp is of another round"),
        (edited("round", 1, 3), "a leaf in leaves.rlp is of another round"),
        (clients(1, 2, 3), "client 1 has another address"),
        (clients(4, 2, 3), "ascending"),
        (clients(0, 2, 4), "outside the cohort"),
        (clients(0, 2), "not one per client"),
        (clients(0, 1, 2, 3), "not one per client"),
        (rows(2, 1, 0), "ascending"),
        (rows(0, 1, 2, 2), "ascending"),
        (rows(1, 2), "root or count"),
        (lambda r: r._replace(leaves=r.leaves[[1, 0, 2]]), "client 0 has another address"),
        (lambda r: r._replace(root=b"\1" * 32), "root or count"),
        (lambda r: r._replace(root=r.root[:31]), "root or count"),
        (lambda r: r._replace(root=[r.root]), "root or count"),
        (lambda r: r._replace(round=1), "model 2 is not of round 1"),
        (lambda r: r._replace(round=2**70), "model 2 is not of round 1180591620717411303424"),
        (cohort(lambda c: c[::-1]), "cohort in leaves.rlp is not the one on the chain"),
        (cohort(lambda c: [*c, 4]), "cohort in leaves.rlp is not the one on the chain"),
        (cohort(lambda c: [*c, c[0]]), "cohort in leaves.rlp is not the one on the chain"),
        (cohort(lambda c: [*c, 5]), "not registered"),
        (cohort(lambda c: [*c, -1]), "not registered"),
    ],
)
def test_changed_leaves_are_found(finished, change, message):
    change_second(finished, lambda record: _encode(change(record)))
    assert_rejected(finished, message)


def item(index, change):
    """A function that changes one item of a record's list."""
    return lambda fields: [*fields[:index], change(fields[index]), *fields[index + 1 :]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: [*f, b"x"], "record 2 cannot be read"),
        (lambda f: f[:4], "record 2 cannot be read"),
        (lambda f: f[:0], "record 2 cannot be read"),
        (item(4, lambda leaves: leaves[:-1]), "record 2 cannot be read"),
        (item(4, lambda leaves: leaves + bytes(32)), "record 2 cannot be read"),
        (item(4, lambda leaves: [leaves]), "record 2 cannot be read"),
        (item(3, lambda indices: indices[:-1]), "record 2 cannot be read"),
        (item(2, lambda indices: [indices]), "record 2 cannot be read"),
        (item(0, lambda number: [number]), "record 2 cannot be read"),
        (item(0, lambda number: [*number[:0]]), "record 2 was changed"),
        (item(0, lambda number: b"\0" + number), "record 2 was changed"),
    ],
)
def test_records_of_another_form_are_found(finished, change, message):
    change_second(finished, lambda record: rlp.encode(change(rlp.decode(_encode(record)))))
    assert_rejected(finished, message)


def long_number(raw):
    """The round's number, below 128, as a string of one byte instead of the byte itself."""
    length = len(raw) - 3 + 1
    assert raw[0] == 0xF9
    return b"\xf9" + length.to_bytes(2, "big") + b"\x81" + raw[3:]


def long_head(raw):
    """The list's length in three bytes instead of two."""
    return b"\xfa\0" + raw[1:]


@pytest.mark.parametrize("change", [long_number, long_head])
def test_a_second_encoding_of_a_record_is_found(finished, change):
    change_second(finished, lambda record: change(_encode(record)))
    assert_rejected(finished, "record 2 cannot be read")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ((1, 0, 2), "model 1 is not of round 2"),
        ((0, 2, 1), "model 2 is not of round 3"),
        ((0, 0, 2), "model 2 is not of round 1"),
        ((0, 1, 2, 2), "leaves.rlp has 4 rounds, the chain has 3"),
        ((0, 2), "leaves.rlp has 2 rounds, the chain has 3"),
        ((), "leaves.rlp has 0 rounds, the chain has 3"),
    ],
)
def test_exchanged_records_are_found(finished, order, message):
    records = records_of(finished)
    write_records(finished, [records[place] for place in order])
    assert_rejected(finished, message)


def test_bytes_between_records_are_found(finished):
    first, second, third = records_of(finished)
    write_records(finished, [first, b"\n", second, third])
    assert_rejected(finished, "record 2 does not start as an RLP list")


def test_a_leaf_of_an_inactive_client_is_found(tmp_path, new_ledger):
    """A server that accepts a suspended client, and a contract that receives only the Merkle root."""
    change = RegistryChange(round=1, action="suspend", client=2)
    ledger = opened(new_ledger(tmp_path, changes=(change,)), 1, [0, 2])
    ledger.close_round(1, submissions(row(0), row(2)), MODEL)
    assert_rejected(tmp_path, "round 1: client 2 contributed without being active")


def test_another_runs_chain_is_found(finished, tmp_path, rounds):
    other = tmp_path / "other"
    rounds(create_ledger(LedgerOptions(), other, 5, 8, CONFIG), 1, 3)
    ledger_file(finished, "blocks.rlp").write_bytes(ledger_file(other, "blocks.rlp").read_bytes())
    assert_rejected(finished, "block 1 does not hold: parent_hash")


def resealed(raw, **fields):
    """A block with other header fields, sealed by the in-turn signer."""
    accounts = derive_accounts(SEED, 3, CLIENTS)
    keys = {signer.address: signer for signer in accounts.signers}
    block = rlp.decode(raw, sedes=ProofOfAuthorityVM.get_block_class())
    header = block.header.copy(**fields)
    return rlp.encode(
        block.copy(header=seal_header(header, keys[in_turn_signer(accounts.genesis(CONFIG), block.number)]))
    )


def require_eels():
    pytest.importorskip("ethereum", reason="EELS comes with bofl_jax[audit], for Python < 3.13")


@pytest.mark.parametrize("second", [None, "eels"])
def test_a_wrong_state_root_sealed_by_the_signer_is_found(finished, second):
    if second:
        require_eels()
    *kept, last = blocks_of(finished)
    write_blocks(finished, [*kept, resealed(last)])
    audit_chain(finished, second)
    write_blocks(finished, [*kept, resealed(last, state_root=b"\1" * 32)])
    with pytest.raises(VerificationError, match="block 11 does not hold"):
        audit_chain(finished, second)


def test_a_second_engine_gives_the_same_result(finished):
    require_eels()
    one, both = audit_chain(finished), audit_chain(finished, "eels")
    assert both.engines == ("py-evm", "eels")
    assert repr(replace(both, engines=one.engines, encoded_receipts=one.encoded_receipts)) == repr(one)


@pytest.mark.parametrize("field", ["gas_used", "success", "sender"])
def test_engines_that_differ_are_found(finished, monkeypatch, field):
    require_eels()
    from bofl_jax.ledger.chain.eels import EelsChain

    import_block = EelsChain.import_block

    def differing(engine, raw):
        block = import_block(engine, raw)
        first, *rest = block.receipts
        return block._replace(receipts=(first._replace(**{field: 0}), *rest))

    monkeypatch.setattr(EelsChain, "import_block", differing)
    with pytest.raises(VerificationError, match=f"block 1, transaction 0: the two EVMs differ in {field}"):
        audit_chain(finished, "eels")


def test_a_missing_ledger_is_found(tmp_path):
    assert_rejected(tmp_path, "genesis.json cannot be read")


def test_an_audit_is_the_same_in_a_fresh_process(finished):
    script = "import sys, pathlib, bofl_jax.ledger as b; print(b.audit_chain(pathlib.Path(sys.argv[1])).head_hash)"
    command = [sys.executable, "-W", "error", "-c", script, str(finished)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == audit_chain(finished).head_hash
