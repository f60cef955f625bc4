"""The audit: what it reports of an honest run, and that nothing can be altered behind its back."""

import json
import random
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import rlp

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger import LedgerOptions, audit_chain, create_ledger
from bofl_jax.ledger.blocklog import read_blocks

ROOT = Path(__file__).parents[2]


def file_of(run, name):
    return run / "ledger" / name


def flip(path, offset, mask):
    content = bytearray(path.read_bytes())
    content[offset] ^= mask
    path.write_bytes(content)


def refuse(run, match=None):
    with pytest.raises(VerificationError, match=match) as caught:
        audit_chain(run)
    assert "\n" not in str(caught.value)


def blocks_of(run):
    return list(read_blocks(file_of(run, "blocks.rlp")))


def write_blocks(run, blocks):
    file_of(run, "blocks.rlp").write_bytes(b"".join(blocks))


def write_lines(run, lines):
    file_of(run, "leaves.jsonl").write_text("".join(lines))


def lines_of(run):
    return file_of(run, "leaves.jsonl").read_text().splitlines(keepends=True)


def test_an_honest_run_is_reported(finished):
    audit = audit_chain(finished)
    assert (audit.blocks, audit.clients, audit.config_hash) == (11, 5, sha256(b"config").digest())
    assert [(r.round, r.count, r.samples) for r in audit.rounds] == [(n, 3, 10 + 12 + 13) for n in (1, 2, 3)]
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
    path, draw = file_of(finished, "blocks.rlp"), random.Random(0)
    for offset in offsets(path.stat().st_size, 60, seed=0):
        mask = draw.randrange(1, 256)
        flip(path, offset, mask)
        refuse(finished)
        flip(path, offset, mask)
    audit_chain(finished)


def test_every_byte_of_a_block_header_counts(finished):
    """Where a byte stands for something that the execution does not decide: the last block's header and seal."""
    path, last = file_of(finished, "blocks.rlp"), blocks_of(finished)[-1]
    start = path.stat().st_size - len(last)
    for offset in range(start, start + 620, 14):
        flip(path, offset, 1)
        refuse(finished)
        flip(path, offset, 1)


@pytest.mark.parametrize("name", ["genesis.json", "contract.json", "leaves.jsonl"])
def test_a_flipped_byte_of_another_file_is_found(finished, name):
    path, draw = file_of(finished, name), random.Random(1)
    for offset in offsets(path.stat().st_size, 40, seed=1):
        mask = draw.randrange(1, 256)
        flip(path, offset, mask)
        refuse(finished)
        flip(path, offset, mask)
    flip(path, path.stat().st_size - 1, 0x0A ^ 0x0D)  # another line end
    refuse(finished)


@pytest.mark.parametrize("name", ["genesis.json", "contract.json", "blocks.rlp", "leaves.jsonl"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff\xfe", b"null\n"])
def test_a_missing_or_foreign_file_is_found(finished, name, content):
    path = file_of(finished, name)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    refuse(finished)


def test_a_log_that_ends_inside_a_block_is_found(finished):
    path, content = file_of(finished, "blocks.rlp"), file_of(finished, "blocks.rlp").read_bytes()
    for rest in (1, 2, 100, len(content) - 1, len(content) - 4):
        path.write_bytes(content[:-rest])
        refuse(finished, "ends inside block")


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
    refuse(finished, message)


def test_a_whole_round_missing_at_the_end_shows_in_the_head_hash(finished):
    head = audit_chain(finished).head_hash
    write_blocks(finished, blocks_of(finished)[:-3])
    write_lines(finished, lines_of(finished)[:-1])
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
    ids=["first dropped", "one dropped", "swapped", "repeated", "last repeated", "rubbish added"],
)
def test_changed_blocks_are_found(finished, change):
    write_blocks(finished, change(blocks_of(finished)))
    refuse(finished, "block")


def rewritten(line, change):
    fields = json.loads(line)
    change(fields)
    return json.dumps(fields, separators=(",", ":")) + "\n"


def drop_leaf(fields):
    del fields["leaves"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f["leaves"][0].__setitem__(3, 99), "the proof of client 0 does not hold"),
        (lambda f: f["leaves"][2].__setitem__(4, 99), "does not hold"),
        (lambda f: f["leaves"][2].__setitem__(4, 2**63), "signed 64-bit"),
        (lambda f: f["leaves"][0].__setitem__(2, "00"), "32-byte update digest"),
        (lambda f: f["leaves"][1].__setitem__(1, "0x" + "00" * 20), "client 2 has another address"),
        (lambda f: f["leaves"][0].__setitem__(0, 1), "client 1 has another address"),
        (lambda f: f["leaves"][0].__setitem__(0, 4), "ascending"),
        (lambda f: f["leaves"][2].__setitem__(0, 4), "outside the cohort"),
        (lambda f: f["leaves"].reverse(), "ascending"),
        (lambda f: f["leaves"].append(f["leaves"][-1]), "ascending"),
        (drop_leaf, "root or count"),
        (lambda f: f.update(root="0x" + "01" * 32), "root or count"),
        (lambda f: f.update(round=1), "was changed"),
        (lambda f: f["cohort"].reverse(), "cohort in leaves.jsonl is not the one on the chain"),
        (lambda f: f["cohort"].append(4), "cohort in leaves.jsonl is not the one on the chain"),
        (lambda f: f["cohort"].append(5), "not registered"),
        (lambda f: f["cohort"].append(-1), "not registered"),
        (lambda f: f.update(note="x"), "was changed"),
    ],
)
def test_changed_leaves_are_found(finished, change, message):
    first, second, third = lines_of(finished)
    write_lines(finished, [first, rewritten(second, change), third])
    refuse(finished, message)


def test_exchanged_lines_are_found(finished):
    first, second, third = lines_of(finished)
    write_lines(finished, [second, first, third])
    refuse(finished, "line 1 was changed")


def test_another_runs_chain_is_found(finished, tmp_path, rounds):
    other = tmp_path / "other"
    rounds(create_ledger(LedgerOptions(), other, 5, 8, sha256(b"config").digest()), 1, 3)
    file_of(finished, "blocks.rlp").write_bytes(file_of(other, "blocks.rlp").read_bytes())
    refuse(finished, "block 1 does not hold: parent_hash")


def test_no_ledger_at_all_is_found(tmp_path):
    refuse(tmp_path, "genesis.json cannot be read")


def test_an_audit_is_the_same_in_a_fresh_process(finished):
    script = "import sys, pathlib, bofl_jax.ledger as b; print(b.audit_chain(pathlib.Path(sys.argv[1])).head_hash)"
    command = [sys.executable, "-W", "error", "-c", script, str(finished)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == audit_chain(finished).head_hash
