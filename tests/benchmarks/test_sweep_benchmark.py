"""Which members of a grid stand for the others."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The scripts import each other as neighbours."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    monkeypatch.delitem(sys.modules, "sweep", raising=False)
    import sweep

    return sweep


def test_they_are_spread_evenly_over_all_algorithms(benchmark):
    points = [{"algorithm": name, "seed": seed} for name in "abc" for seed in range(6)]
    assert [point["algorithm"] for point in benchmark.spread(points, 6)] == list("aabbcc")
    assert benchmark.spread(points, 99) == points
