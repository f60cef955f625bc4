"""The audit verifies exactly the values of which the schema of the result files says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bofl_jax.core.errors import VerificationError
from bofl_jax.results.records import unverified_keys
from bofl_jax.results.requests import RequestRecord
from bofl_jax.results.rounds import LedgerRecord, RoundRecord
from bofl_jax.results.summary import LedgerSummary, SummaryRecord
from bofl_jax.runs import audit
from tests.support.complete_run import make_complete_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_complete_run(tmp_path_factory.mktemp("complete"))


def changed(value: Any) -> Any:
    """A value of the same type that differs."""
    if isinstance(value, dict):
        key = next(iter(value))
        return value | {key: changed(value[key])}
    if isinstance(value, list):
        return [*value, *value[:1]] if value else value
    return f"{value}0" if isinstance(value, str) else 0.5 if value is None else value + 1


def holds(run: Path) -> bool:
    try:
        audit(run)
    except VerificationError:
        return False
    return True


@pytest.fixture
def edit(finished: Path, tmp_path: Path) -> Callable[[str, Callable[[list[Any]], None]], Path]:
    """A copy of the run in which the values of a JSON file, or of its lines, are changed."""

    def change_file(name: str, change: Callable[[list[Any]], None]) -> Path:
        run = Path(shutil.copytree(finished, tmp_path / "run"))
        by_line = name.endswith(".jsonl")
        text = (run / name).read_text()
        values = [json.loads(one) for one in (text.splitlines() if by_line else [text])]
        change(values)
        text = "".join(json.dumps(value, indent=None if by_line else 1) + "\n" for value in values)
        (run / name).write_text(text)
        return run

    return change_file


def test_the_run_holds_as_it_is(finished):
    assert holds(finished)


@pytest.mark.parametrize("key", sorted(RoundRecord.__annotations__.keys() - unverified_keys(RoundRecord)))
def test_a_verified_value_of_a_round_cannot_be_changed(edit, key):
    def change(records: list[Any]) -> None:
        record = next(one for one in records if key in one)
        record[key] = changed(record[key])

    assert not holds(edit("rounds.jsonl", change))


@pytest.mark.parametrize("key", sorted(LedgerRecord.__annotations__.keys() - unverified_keys(LedgerRecord)))
def test_a_verified_cost_of_a_round_cannot_be_changed(edit, key):
    assert not holds(edit("rounds.jsonl", lambda records: records[1]["ledger"].update({key: 99})))


@pytest.mark.parametrize("key", sorted(SummaryRecord.__annotations__.keys() - unverified_keys(SummaryRecord)))
def test_a_verified_part_of_the_summary_cannot_be_changed(edit, key):
    assert not holds(edit("summary.json", lambda values: values[0].update({key: changed(values[0][key])})))


@pytest.mark.parametrize("key", sorted(LedgerSummary.__annotations__))
def test_no_cost_in_the_summary_can_differ_from_the_rounds(edit, key):
    assert not holds(
        edit("summary.json", lambda values: values[0]["ledger"].update({key: changed(values[0]["ledger"][key])}))
    )


@pytest.mark.parametrize("key", sorted(RequestRecord.__annotations__.keys() - {"why"}))
def test_requests_are_verified_where_the_schema_says_so(edit, key):
    def change(records: list[Any]) -> None:
        record = next(one for one in records if one.get(key) not in (None, [], {}))
        record[key] = changed(record[key])

    assert holds(edit("synthesis.jsonl", change)) == (key in unverified_keys(RequestRecord))


def test_what_nothing_verifies_can_be_changed(edit):
    def change(values: list[Any]) -> None:
        values[0]["timing"]["compile_s"] += 1
        values[0]["explanation"] = changed(values[0]["explanation"])

    run = edit("summary.json", change)
    (run / "explanations.npz").unlink()
    (run / "environment.json").unlink()
    assert {"timing", "explanation"} == unverified_keys(SummaryRecord)
    assert holds(run)
