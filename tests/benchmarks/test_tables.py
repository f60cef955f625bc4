"""What the benchmarks make of their measurements."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scripts(monkeypatch):
    """The scripts import each other as neighbours."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import gpu_table
    import scaling

    return gpu_table, scaling


def write(folder, name, value):
    (folder / f"{name}.json").write_text(json.dumps(value))


def test_the_table_shows_the_fastest_setting_and_leaves_out_what_was_not_measured(scripts, tmp_path):
    gpu_table, _ = scripts
    write(tmp_path, "engine", {"machine": {"device": "a GPU"}})
    tried = [{"setting": {"graph": True, "width": 64}, "samples_per_s": 2377014.1}, {"setting": {}, "error": "no"}]
    write(tmp_path, "vmap-64x10x32", tried)
    write(tmp_path, "loop-cifar10", tried[1:])
    write(tmp_path, "digest-64", {"device_gb_per_s": 2.4})
    result = gpu_table.collect(tmp_path)
    assert result["machine"] == {"device": "a GPU"}
    assert result["digest"] == [{"device_gb_per_s": 2.4}]
    assert result["peers"]["vmap"] == {"64x10x32": tried, "1000x1x16": None, "cifar10": None}
    assert (
        gpu_table.table(result["peers"]).splitlines()[3] == "| torch.func.vmap | 2,377,014 (graph, width 64) | - | - |"
    )
    assert gpu_table.table(result["peers"]).splitlines()[4] == "| PyTorch loop | - | - | - |"


def test_the_line_through_points_on_a_line_is_that_line(scripts):
    _, scaling = scripts
    points = [{"work": {"clients": c}, "round_s_median": 0.01 + 0.002 * c} for c in (10, 100, 1000)]
    assert scaling.line(points) == {"ms_per_client": 2.0, "ms_at_no_client": 10.0, "r_squared": 1.0}
    assert scaling.line(points[:2]) is None
