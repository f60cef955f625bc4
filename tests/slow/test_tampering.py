"""A thousand random tamperings: not one is missed."""

from pathlib import Path

import pytest

from tests.runs.tampering.kinds import KINDS
from tests.runs.tampering.runs import make_runs
from tests.runs.tampering.trials import run_trials

TRIALS, SEED = 1000, 0


@pytest.mark.slow
def test_of_a_thousand_tamperings_none_is_missed(tmp_path: Path):
    counts = run_trials(make_runs(tmp_path), TRIALS, SEED)
    assert sum(count["tried"] for count in counts.values()) == TRIALS
    assert all(count["tried"] >= TRIALS // len(KINDS) for count in counts.values())
    assert {name: count["missed"] for name, count in counts.items() if count["missed"]} == {}
