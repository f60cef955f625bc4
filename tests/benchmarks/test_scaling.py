"""The line that the scaling benchmark fits."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scaling(monkeypatch):
    """The script, which imports its neighbours."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import scaling

    return scaling


def test_points_on_a_line_give_that_line(scaling):
    points = [{"work": {"clients": c}, "round_s_median": 0.01 + 0.002 * c} for c in (10, 100, 1000)]
    assert scaling.fit_line(points) == {"ms_per_client": 2.0, "ms_at_no_client": 10.0, "r_squared": 1.0}
    assert scaling.fit_line(points[:2]) is None
