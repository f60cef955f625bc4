"""The audit of a run directory passes on a good run and names any change of a verified value."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.runs import audit
from tests.support.tiny import (
    ROUNDS,
    biggest_file,
    flip_byte,
    read_rounds,
    run_tiny,
    write_arrays,
)

FLIPS = 30


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def finished(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_tiny(tmp_path_factory.mktemp("good") / "run", arrays).directory


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy whose files may be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def refused(run: Path) -> str:
    """The one line of a failed audit."""
    with pytest.raises(VerificationError) as failure:
        audit(run)
    assert failure.value.exit_code == 1
    line = str(failure.value)
    assert line
    assert "\n" not in line
    return line


def edit_json(path: Path, *keys: str, value: object) -> None:
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    assert inner[keys[-1]] != value
    inner[keys[-1]] = value
    path.write_text(json.dumps(content, indent=1) + "\n")


def edit_round(run: Path, number: int, change) -> None:
    records = read_rounds(run)
    change(records[number - 1])
    (run / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def block_ends(log: bytes) -> list[int]:
    """The end of each block in the log; blocks are RLP lists with one, two or three bytes of length."""
    ends = [0]
    while ends[-1] < len(log):
        width = log[ends[-1]] - 0xF7
        ends.append(ends[-1] + 1 + width + int.from_bytes(log[ends[-1] + 1 : ends[-1] + 1 + width], "big"))
    return ends[1:]


def test_a_good_run_holds(finished):
    found = audit(finished)
    summary = json.loads((finished / "summary.json").read_text())
    assert found.head_hash == summary["ledger"]["head_hash"]
    assert found.config_hash.hex() == summary["config_sha256"]
    assert (found.blocks, found.clients, len(found.rounds)) == (3 + 2 * ROUNDS, 6, ROUNDS)
    assert [r.count for r in found.rounds] == [6] * ROUNDS
    assert [r.gas for r in found.rounds] == [record["ledger"]["gas"] for record in read_rounds(finished)]


def test_an_audit_changes_no_file(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    audit(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_an_audit_needs_no_figures(run):
    (run / "environment.json").unlink()
    audit(run)


@pytest.mark.parametrize("name", ["predictions.npz", "clients.csv", "summary.json"])
def test_missing_results_are_found(name, run):
    (run / name).unlink()
    assert name in refused(run)


def test_changed_results_are_found(run):
    rows = (run / "clients.csv").read_text().splitlines()
    (run / "clients.csv").write_text("\n".join([rows[0], *rows[:0:-1]]) + "\n")
    assert "are not those that were published" in refused(run)


def test_an_unfinished_run_holds_up_to_its_last_checkpoint(arrays, tmp_path):
    """Chain, rounds and checkpoint of a run that was stopped end in the same round."""

    def copy_at_4(record):
        if record["round"] == 4:
            shutil.copytree(tmp_path / "run", tmp_path / "stopped")

    run_tiny(tmp_path / "run", arrays, on_round=copy_at_4)
    assert len(audit(tmp_path / "stopped").rounds) == 4


@pytest.mark.parametrize("number", range(FLIPS))
def test_any_changed_byte_of_the_block_log_is_found(number, finished, run):
    """The first byte, the last one and random ones get another random value."""
    log = run / "ledger" / "blocks.rlp"
    size = log.stat().st_size
    rng = np.random.default_rng(number)
    flip_byte(log, {0: 0, 1: size - 1}.get(number, int(rng.integers(size))), int(rng.integers(1, 256)))
    assert log.read_bytes() != (finished / "ledger" / "blocks.rlp").read_bytes()
    refused(run)


@pytest.mark.parametrize("blocks", [0, 1, 2, 3, 2 + 2 * ROUNDS - 1, 2 + 2 * ROUNDS])
def test_a_truncated_block_log_is_found(blocks, run):
    """Cut exactly between two blocks, so that all remaining blocks are valid."""
    log = run / "ledger" / "blocks.rlp"
    ends = [0, *block_ends(log.read_bytes())]
    assert len(ends) == 1 + 3 + 2 * ROUNDS
    log.write_bytes(log.read_bytes()[: ends[blocks]])
    refused(run)


def test_a_log_and_rounds_truncated_together_are_found(run):
    """The last round is missing in chain, leaves and rounds.jsonl; model and summary reveal it."""
    log, leaves, rounds = run / "ledger" / "blocks.rlp", run / "ledger" / "leaves.rlp", run / "rounds.jsonl"
    log.write_bytes(log.read_bytes()[: block_ends(log.read_bytes())[-4]])
    leaves.write_bytes(leaves.read_bytes()[: block_ends(leaves.read_bytes())[-2]])
    rounds.write_text("".join(rounds.read_text().splitlines(keepends=True)[:-1]))
    refused(run)
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))  # back to the checkpoint of round 4, which the chain does hold
    assert "summary.json: " in refused(run)


def test_a_changed_checkpoint_is_found(run):
    file = biggest_file(run / "checkpoints" / str(ROUNDS))
    flip_byte(file, file.stat().st_size // 2)
    assert "checkpoint" in refused(run)


def test_an_exchanged_model_is_found(run, arrays, tmp_path):
    """A valid checkpoint of another run, with correct digests of its own."""
    other = run_tiny(tmp_path / "other", arrays, {"optimizer.lr": 0.2}).directory
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(other / "checkpoints", run / "checkpoints")
    assert refused(run) == f"the model of checkpoint {ROUNDS} is not the one that the chain finalised"


@pytest.mark.parametrize("empty", [False, True])
def test_a_missing_checkpoint_is_found(empty, run):
    shutil.rmtree(run / "checkpoints")
    if empty:
        (run / "checkpoints").mkdir()
    assert refused(run).endswith(f"{'empty' if empty else 'missing'}: the final model cannot be checked")


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("ledger", "gas_total"), 1, "ledger.gas_total is 1"),
        (("ledger", "head_hash"), "0x" + 64 * "0", "ledger.head_hash is 0x000"),
        (("ledger", "rounds"), 50, "ledger.rounds is 50"),
        (("ledger", "accepted"), 0, "ledger.accepted is 0"),
        (("config_sha256",), 64 * "0", "config_sha256 is 000"),
        (("ledger",), None, "is damaged (ledger is None, not dict)"),
    ],
)
def test_a_changed_summary_is_found(keys, value, message, run):
    edit_json(run / "summary.json", *keys, value=value)
    line = refused(run)
    assert "summary.json" in line
    assert message in line


def test_a_damaged_summary_is_found(run):
    (run / "summary.json").write_text('{"test": ')
    assert "summary.json is damaged" in refused(run)


@pytest.mark.parametrize(
    ("old", "new"), [("lr = 0.1", "lr = 0.2"), ("seed = 0", "seed = 1"), ("rounds = 5", "rounds = 4"), ("\n\n", "\n")]
)
def test_a_changed_configuration_is_found(old, new, run):
    text = (run / "config.toml").read_text()
    assert old in text
    (run / "config.toml").write_text(text.replace(old, new, 1))
    assert refused(run).endswith("config.toml is not the configuration that the chain was opened with")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record["ledger"].update(gas=1),
        lambda record: record["ledger"].update(accepted=5),
        lambda record: record.update(round=7),
        lambda record: record.pop("ledger"),
    ],
)
def test_a_changed_line_of_rounds_is_found(change, run):
    edit_round(run, 3, change)
    assert "rounds.jsonl" in refused(run)


def test_missing_and_damaged_rounds_are_found(run):
    lines = (run / "rounds.jsonl").read_text().splitlines(keepends=True)
    (run / "rounds.jsonl").write_text("".join(lines[:-1]))
    assert refused(run) == "rounds.jsonl holds 4 rounds, the chain 5"
    (run / "rounds.jsonl").write_text("".join(lines)[:-20])
    assert "rounds.jsonl is damaged" in refused(run)
    (run / "rounds.jsonl").unlink()
    assert "rounds.jsonl is missing" in refused(run)


@pytest.mark.parametrize("name", ["blocks.rlp", "genesis.json", "contract.json", "leaves.rlp"])
def test_a_missing_file_of_the_ledger_is_found(name, run):
    (run / "ledger" / name).unlink()
    assert name in refused(run)


@pytest.mark.parametrize("name", ["genesis.json", "contract.json", "leaves.rlp"])
def test_a_changed_file_of_the_ledger_is_found(name, run):
    file = run / "ledger" / name
    flip_byte(file, file.stat().st_size // 2, 1)
    refused(run)


def test_a_directory_that_is_no_run_is_a_bad_request(tmp_path):
    with pytest.raises(BoflError, match=r"config\.toml is missing, .*: name a run directory") as failure:
        audit(tmp_path)
    assert failure.value.exit_code == 2


def test_a_run_without_a_ledger_is_a_bad_request(run):
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace('mode = "merkle"', 'mode = "off"'))
    with pytest.raises(BoflError, match=r"ledger\.mode = 'off': there is no chain to audit") as failure:
        audit(run)
    assert failure.value.exit_code == 2


@pytest.mark.parametrize(("old", "new"), [("[ledger]", "[lodger]"), ("[federation]", "[federatiom]")])
def test_a_configuration_without_a_section_is_one_line(old, new, run):
    path = run / "config.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BoflError, match=r"config\.toml is no run's configuration") as caught:
        audit(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.toml", "summary.json", "rounds.jsonl", "ledger/genesis.json"])
def test_a_text_that_is_nested_too_deeply_ends_nothing(name, run):
    (run / name).write_text("x = " * (name == "config.toml") + "[" * 200_000)
    with pytest.raises(BoflError) as caught:
        audit(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("added", ['"extra": 1,', '"test": {},', '"config_sha256": "0",'])
def test_nothing_can_be_added_to_the_summary(added, run):
    path = run / "summary.json"
    path.write_text(path.read_text().replace("{", "{" + added, 1))
    assert "summary.json was changed" in refused(run)
