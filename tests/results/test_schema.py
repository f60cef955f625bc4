"""A real run's files hold exactly what their schema names: no key and no array is missing from it."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bofl_jax.results.clients import NUMBERS, read_clients
from bofl_jax.results.environment import Environment
from bofl_jax.results.explanations import EXPLANATION_ARRAYS
from bofl_jax.results.predictions import PREDICTION_ARRAYS
from bofl_jax.results.requests import BATCH_ARRAYS, RequestRecord, RequestTotals, read_requests, request_totals
from bofl_jax.results.rounds import LedgerRecord, RoundRecord, read_round_records
from bofl_jax.results.summary import (
    LedgerSummary,
    SummaryRecord,
    Timing,
    is_as_written,
    ledger_summary,
    read_summary_record,
    timing_of,
)


def keys_of(kind: Any) -> set[str]:
    return set(kind.__required_keys__ | kind.__optional_keys__)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_summary(complete_run):
    summary = json.loads((complete_run / "summary.json").read_text())
    assert set(summary) == keys_of(SummaryRecord)
    assert list(summary["ledger"]) == list(LedgerSummary.__annotations__)
    assert list(summary["timing"]) == list(Timing.__annotations__)
    assert list(summary["synthesis"]) == list(RequestTotals.__annotations__)


def test_rounds(complete_run):
    records = lines(complete_run / "rounds.jsonl")
    assert {key for record in records for key in record} == keys_of(RoundRecord)
    assert {tuple(record["ledger"]) for record in records} == {tuple(LedgerRecord.__annotations__)}
    order = list(RoundRecord.__annotations__)
    assert all([key for key in order if key in record] == list(record) for record in records)


def test_requests(complete_run):
    records = lines(complete_run / "synthesis.jsonl")
    assert {key for record in records for key in record} | {"why"} == keys_of(RequestRecord)


def test_environment(complete_run):
    written = json.loads((complete_run / "environment.json").read_text())
    assert list(written) == list(Environment.__annotations__)


@pytest.mark.parametrize(
    ("name", "schema", "absent"),
    [
        ("predictions.npz", PREDICTION_ARRAYS, {"group", "group_names"}),
        ("explanations.npz", EXPLANATION_ARRAYS, set()),
        ("synthetic/*.npz", BATCH_ARRAYS, set()),
    ],
)
def test_arrays(complete_run, name, schema, absent):
    (path, *_) = complete_run.glob(name)
    with np.load(path) as arrays:
        assert set(arrays.files) == set(schema) - absent
        for array in arrays.files:
            kind = np.dtype(schema[array].dtype)
            assert arrays[array].dtype == kind if kind.kind != "U" else arrays[array].dtype.kind == "U", array
            assert arrays[array].ndim == len(schema[array].axes)


def test_clients(complete_run):
    with (complete_run / "clients.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    clients = read_clients(complete_run)
    classes = list(clients.counts["train"])
    counts = {f"{role}_{name}" for role in ("train", "test", "synthetic") for name in classes}
    assert set(rows[0]) == {"client", "subject", "global_accuracy", "personalised_accuracy", *NUMBERS, *counts}
    assert clients.name == tuple(row["client"] for row in rows)
    for name, column in clients.numbers.items():
        np.testing.assert_array_equal(column, [float(row[name] or "nan") for row in rows])
    for name, column in clients.counts["synthetic"].items():
        assert column.tolist() == [int(row[f"synthetic_{name}"]) for row in rows]


def test_totals_of_a_real_run_are_those_of_its_records(complete_run):
    records, summary = read_round_records(complete_run), read_summary_record(complete_run)
    assert ledger_summary(records, "merkle", summary["ledger"]["head_hash"]) == summary["ledger"]
    assert timing_of(records, summary["timing"]["compile_s"]) == summary["timing"]
    assert request_totals(read_requests(complete_run)) == summary["synthesis"]
    assert is_as_written(complete_run, summary)
