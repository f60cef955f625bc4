"""The members that the sweep benchmark runs alone."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The script, which imports its neighbours."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    monkeypatch.delitem(sys.modules, "sweep", raising=False)
    import sweep

    return sweep


def test_points_are_evenly_spaced_over_all_algorithms(benchmark):
    points = [{"algorithm": name, "seed": seed} for name in "abc" for seed in range(6)]
    assert [point["algorithm"] for point in benchmark.evenly_spaced(points, 6)] == list("aabbcc")
    assert benchmark.evenly_spaced(points, 99) == points
