"""Files of a real run that are incomplete, older or damaged: one line that names the file and says how to fix it."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.results import read_rounds
from bofl_jax.results.clients import read_clients
from bofl_jax.results.environment import Environment, read_environment
from bofl_jax.results.explanations import EXPLANATION_ARRAYS, read_explanations
from bofl_jax.results.predictions import PREDICTION_ARRAYS, read_prediction_arrays, read_predictions
from bofl_jax.results.requests import (
    BATCH_ARRAYS,
    REQUESTS_FILE,
    RequestRecord,
    read_batch,
    read_request_outcomes,
    read_requests,
)
from bofl_jax.results.rounds import LedgerRecord, RoundRecord, read_round_records
from bofl_jax.results.run_config import read_config
from bofl_jax.results.summary import (
    LedgerSummary,
    SummaryRecord,
    Timing,
    is_complete,
    read_summary,
    read_summary_record,
)
from bofl_jax.results.sweep import SWEEP_FILE, read_sweep_table
from tests.pages.files import write_sweep
from tests.support.tiny import flip_byte

READERS: dict[str, list[Callable[[Path], Any]]] = {
    "config.toml": [read_config],
    "environment.json": [read_environment],
    "rounds.jsonl": [read_round_records, read_rounds],
    "clients.csv": [read_clients],
    "predictions.npz": [read_prediction_arrays, read_predictions],
    "summary.json": [read_summary_record, read_summary],
    "synthesis.jsonl": [read_requests, read_request_outcomes],
    "explanations.npz": [read_explanations],
}
OPTIONAL = {"synthesis.jsonl", "explanations.npz"}
KEYS = [
    *(("environment.json", (key,)) for key in Environment.__required_keys__),
    *(("rounds.jsonl", (key,)) for key in RoundRecord.__required_keys__),
    *(("rounds.jsonl", ("ledger", key)) for key in LedgerRecord.__required_keys__),
    *(("summary.json", (key,)) for key in SummaryRecord.__required_keys__),
    *(("summary.json", ("ledger", key)) for key in LedgerSummary.__required_keys__),
    *(("summary.json", ("timing", key)) for key in Timing.__required_keys__),
    *(("synthesis.jsonl", (key,)) for key in RequestRecord.__required_keys__),
]
"""Every key that a file must have."""
ARRAYS = {"predictions.npz": PREDICTION_ARRAYS, "explanations.npz": EXPLANATION_ARRAYS}


def one_line(read: Callable[[Path], Any], folder: Path, name: str) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(BoflError) as caught:
        read(folder)
    line = str(caught.value)
    assert caught.value.exit_code == 2
    assert line.startswith(str(folder / name))
    assert "\n" not in line
    assert ": " in line.removeprefix(str(folder / name))  # what is wrong: how to fix it
    return line


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the value of a JSON file, or of the last line of a file of JSON lines."""
    *before, last = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    value = json.loads(last)
    change(value)
    path.write_text("".join(line + "\n" for line in [*before, json.dumps(value)]))


def inner(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    for key in keys[:-1]:
        value = value[key]
    return value


@pytest.mark.parametrize("name", READERS)
def test_every_file_of_a_real_run_is_read(complete_run, name):
    for read in READERS[name]:
        assert read(complete_run)
    assert is_complete(complete_run)


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_is_named_unless_a_run_may_lack_it(run_copy, name):
    (run_copy / name).unlink()
    for read in READERS[name]:
        if name in OPTIONAL:
            assert not read(run_copy)
        else:
            assert " is missing, so the run is not complete: " in one_line(read, run_copy, name)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_a_truncated_file_is_damaged(run_copy, name, share):
    data = (run_copy / name).read_bytes()
    (run_copy / name).write_bytes(data[: int(share * len(data))])
    for read in READERS[name]:
        if name == "config.toml":  # its beginning is a configuration too: the chain tells
            continue
        assert " is damaged" in one_line(read, run_copy, name)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x80 no text \x00", b"[[[", b'{"a": 1}\n', b"1\n"])
def test_a_file_of_something_else_is_damaged(run_copy, name, content):
    (run_copy / name).write_bytes(content)
    for read in READERS[name]:
        assert " is damaged" in one_line(read, run_copy, name)


@pytest.mark.parametrize("name", READERS)
def test_a_folder_in_place_of_a_file_cannot_be_read(run_copy, name):
    (run_copy / name).unlink()
    (run_copy / name).mkdir()
    for read in READERS[name]:
        assert "cannot be read (Is a directory)" in one_line(read, run_copy, name)


@pytest.mark.parametrize(("name", "keys"), KEYS)
def test_a_missing_key_is_named_as_one_of_another_version(run_copy, name, keys):
    edit(run_copy / name, lambda value: inner(value, keys).pop(keys[-1]))
    line = one_line(READERS[name][0], run_copy, name)
    assert f"is damaged or of another version of bofl_jax ({'.'.join(keys)} is missing): " in line


@pytest.mark.parametrize(("name", "keys"), KEYS)
@pytest.mark.parametrize("value", [[1], {"a": [1]}, True])
def test_a_value_of_another_type_is_named(run_copy, name, keys, value):
    if isinstance(value, dict) and keys[-1] in ("test", "fairness", "synthesis", "ledger", "timing", "packages"):
        value = "text"
    edit(run_copy / name, lambda record: inner(record, keys).update({keys[-1]: value}))
    assert f"({'.'.join(keys)} is " in one_line(READERS[name][0], run_copy, name)


@pytest.mark.parametrize("name", ["rounds.jsonl", "summary.json", "synthesis.jsonl", "environment.json"])
def test_unknown_keys_are_accepted(run_copy, name):
    edit(run_copy / name, lambda value: value.update({"of a later version": {"a": 1}}))
    for read in READERS[name]:
        assert read(run_copy)


def test_metrics_of_ones_own_are_accepted(run_copy):
    def add(summary: dict[str, Any]) -> None:
        for measured in summary["test"].values():
            measured["my_metric"] = 0.5
            for row in measured["per_class"].values():
                row["my_metric"] = None

    edit(run_copy / "summary.json", add)
    assert read_summary(run_copy).test["global"]["my_metric"] == 0.5
    assert read_summary_record(run_copy)["test"]["personalised"]["my_metric"] == 0.5


def test_a_summary_of_before_there_was_safety_is_read(run_copy):
    edit(run_copy / "summary.json", lambda summary: (summary.pop("safety"), summary.pop("explanation")))
    assert "safety" not in read_summary_record(run_copy)
    assert read_summary(run_copy).ledger_mode == "merkle"


def test_figures_and_pages_read_the_little_that_older_versions_wrote(run_copy):
    (run_copy / "summary.json").write_text('{"test": {"global": null}, "ledger": {"mode": "off"}}')
    summary = read_summary(run_copy)
    assert (summary.test, summary.ledger_mode, summary.timing, summary.synthesis) == ({}, "off", {}, None)
    (run_copy / "rounds.jsonl").write_text('{"round": 1}\n{"round": 3, "loss": 0.5}\n')
    rounds = read_rounds(run_copy)
    assert rounds.number.tolist() == [1, 3]
    np.testing.assert_array_equal(rounds.loss, [np.nan, 0.5])
    assert np.isnan(rounds.gas).all()


@pytest.mark.parametrize("name", ARRAYS)
def test_a_flipped_byte_of_arrays_is_found(run_copy, name):
    with zipfile.ZipFile(run_copy / name) as file:
        biggest = max(file.infolist(), key=lambda member: member.compress_size)
    flip_byte(run_copy / name, biggest.header_offset + biggest.compress_size // 2 + 60)
    for read in READERS[name]:
        assert " is damaged" in one_line(read, run_copy, name)


@pytest.mark.parametrize(("name", "array"), [(name, array) for name, schema in ARRAYS.items() for array in schema])
def test_a_missing_array_is_named_unless_a_file_may_lack_it(run_copy, name, array):
    with np.load(run_copy / name) as stored:
        arrays = {key: stored[key] for key in stored.files if key != array}
    np.savez(run_copy / name, **arrays)
    for read in READERS[name]:
        if ARRAYS[name][array].required:
            assert f"another version of bofl_jax ({array} is missing)" in one_line(read, run_copy, name)
        else:
            assert read(run_copy)


def test_a_row_with_fewer_fields_is_named(run_copy):
    rows = (run_copy / "clients.csv").read_text().splitlines()
    (run_copy / "clients.csv").write_text("\n".join([*rows[:2], rows[2].rsplit(",", 1)[0], *rows[3:]]) + "\n")
    assert "row 2 has another number of fields than the header" in one_line(read_clients, run_copy, "clients.csv")


def test_a_damaged_batch_says_how_to_fix_it(run_copy):
    number = next(record["request"] for record in read_requests(run_copy) if record["used"])
    assert set(read_batch(run_copy, number)) >= {name for name, kind in BATCH_ARRAYS.items() if kind.required}
    path = run_copy / "synthetic" / f"{number:06d}.npz"
    path.write_bytes(path.read_bytes()[:-30])
    name = str(path.relative_to(run_copy))
    assert one_line(lambda folder: read_batch(folder, number, "start again"), run_copy, name).endswith(": start again")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"", b"member,seed,status,error\n", b"member,seed,status\na,1,done\n"]
)
def test_a_damaged_table_of_a_sweep_is_named(tmp_path, content):
    folder = write_sweep(tmp_path / "sweep")
    (folder / SWEEP_FILE).write_bytes(content)
    assert one_line(read_sweep_table, folder, SWEEP_FILE).endswith("run the sweep again with --resume")


def test_a_run_without_requests_has_none(tmp_path):
    assert read_requests(tmp_path) == []
    assert read_request_outcomes(tmp_path) == ()
    assert not (tmp_path / REQUESTS_FILE).exists()
