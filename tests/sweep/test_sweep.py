"""Sweeps: each member is the run that it would be alone, and an error of one member leaves the others intact."""

import csv
import json
import shutil
import signal

import jax
import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.core.errors import BoflError
from bofl_jax.runs import Interrupted
from bofl_jax.runs.session import RunSession
from bofl_jax.sweep import Axis, sweep
from tests.support.tiny import exact_results, run_tiny, tiny_config, write_arrays

AXES = [Axis("optimizer.lr", (0.1, 1e30)), Axis("seed", (0, 1))]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("arrays") / "mine.npz")


def loader(arrays, fixed=()):
    return lambda point: bofl.load_config(tiny_config(arrays), dict(fixed) | dict(point))


@pytest.fixture(scope="module")
def done(arrays, tmp_path_factory):
    """A grid of four members side by side, of which two diverge: the sweep, and the calls of ``on_member``."""
    calls = []
    out = tmp_path_factory.mktemp("sweep") / "out"
    return sweep(loader(arrays), AXES, out, on_member=lambda *call: calls.append(call)), calls


def assert_alike(one, other):
    """Two runs differ by rounding only: in floats, and in the digests that depend on them."""
    one, other = exact_results(one), exact_results(other)
    assert one["config"] == other["config"]
    for name, (kind, content) in one["predictions"].items():
        mine, yours = np.frombuffer(content, kind), np.frombuffer(other["predictions"][name][1], kind)
        if mine.dtype.kind == "f":
            np.testing.assert_allclose(mine, yours, atol=2e-5)
        else:
            np.testing.assert_array_equal(mine, yours)
    for mine, yours in zip(one["rounds"], other["rounds"], strict=True):
        assert mine["loss"] == pytest.approx(yours["loss"], abs=1e-5)
        assert [mine[key] for key in ("examples", "clients")] == [yours[key] for key in ("examples", "clients")]
        counts = ("accepted", "rejected", "bytes")
        assert [mine["ledger"][key] for key in counts] == [yours["ledger"][key] for key in counts]


def rows(out):
    with (out / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_member_is_the_run_that_it_is_alone(done, arrays, tmp_path):
    """One after another to the bit; side by side to rounding, which the ledger's digests show too."""
    swept, _ = done
    alone = run_tiny(tmp_path / "alone", arrays, {"optimizer.lr": 0.1, "seed": 1})
    apart = {"engine.sweep": "sequential"}
    run_tiny(tmp_path / "apart", arrays, {"optimizer.lr": 0.1, "seed": 1} | apart)
    again = sweep(loader(arrays, apart), [Axis("optimizer.lr", (0.1,)), Axis("seed", (0, 1))], tmp_path / "out")
    assert exact_results(again.results[1].directory) == exact_results(tmp_path / "apart")
    assert_alike(swept.directory / "lr=0.1,seed=1", alone.directory)


def test_every_member_has_its_own_chain(done):
    swept, _ = done
    heads = {json.loads((r.directory / "summary.json").read_text())["ledger"]["head_hash"] for r in swept.results[:2]}
    assert len(heads) == 2
    for result in swept.results[:2]:
        bofl.audit(result.directory)


def test_a_member_that_fails_is_reported_and_the_others_continue(done):
    swept, calls = done
    assert [result.member.name for result in swept.failed] == ["lr=1e+30,seed=0", "lr=1e+30,seed=1"]
    assert all("training diverged: lower optimizer.lr (now 1e+30)" in result.error for result in swept.failed)
    assert [(number, count) for number, count, _ in calls] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [result for _, _, result in calls] == swept.results


def test_the_table_has_a_row_a_member_with_all_numbers_of_its_summary(done):
    swept, _ = done
    table = rows(swept.directory)
    assert [row["status"] for row in table] == ["done", "done", "failed", "failed"]
    assert [(row["optimizer.lr"], row["seed"]) for row in table][::3] == [("0.1", "0"), ("1e+30", "1")]
    summary = json.loads((swept.results[1].directory / "summary.json").read_text())
    assert float(table[1]["test.personalised.macro_f1"]) == summary["test"]["personalised"]["macro_f1"]
    assert int(table[1]["ledger.gas_total"]) == summary["ledger"]["gas_total"]
    with np.load(swept.directory / "sweep.npz") as columns:
        assert set(columns.files) == set(table[0])
        accuracy = columns["test.global.accuracy"]
        assert accuracy[1] == summary["test"]["global"]["accuracy"]
        assert np.isnan(accuracy).tolist() == [False, False, True, True]
        assert columns["error"][0] == ""


def test_resuming_repeats_no_member_that_is_complete(done, arrays, tmp_path):
    swept, _ = done
    out = shutil.copytree(swept.directory, tmp_path / "again")
    before = exact_results(out / "lr=0.1,seed=0")
    shutil.rmtree(out / "lr=0.1,seed=1")
    again = sweep(loader(arrays), [Axis("optimizer.lr", (0.1,)), AXES[1]], out, resume=True)
    assert [result.seconds > 0 for result in again.results] == [False, True]
    assert not again.failed
    assert exact_results(out / "lr=0.1,seed=0") == before
    assert_alike(out / "lr=0.1,seed=1", swept.directory / "lr=0.1,seed=1")  # this time it was alone


def test_resuming_with_another_configuration_is_an_error_of_each_member(done, arrays):
    swept, _ = done
    load = loader(arrays, {"federation.local_steps": 3})
    other = sweep(load, [Axis("optimizer.lr", (0.1,)), Axis("seed", (0,))], swept.directory, resume=True)
    assert "was begun with federation.local_steps = 2, not 3" in other.failed[0].error


def test_shards_are_joined_by_copying(done, arrays, tmp_path):
    swept, _ = done
    axes = [Axis("optimizer.lr", (0.1,)), Axis("seed", (0, 1))]
    out = tmp_path / "second"
    half = sweep(loader(arrays), axes, out, shard="2/2")
    assert [result.member.name for result in half.results] == ["lr=0.1,seed=1"]
    assert [row["status"] for row in rows(out)] == ["missing", "done"]
    shutil.copytree(swept.directory / "lr=0.1,seed=0", out / "lr=0.1,seed=0")
    sweep(loader(arrays), axes, out, resume=True)
    assert [row["status"] for row in rows(out)] == ["done", "done"]


def test_a_wrong_value_is_reported_before_the_first_run(arrays, tmp_path):
    with pytest.raises(BoflError, match=r"federation\.rounds"):
        sweep(loader(arrays), [Axis("federation.rounds", (2, -1))], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(done, arrays):
    swept, _ = done
    with pytest.raises(BoflError, match=r"is not empty: name another --out, or go on with it by --resume$"):
        sweep(loader(arrays), AXES, swept.directory)


def test_ctrl_c_leaves_a_sweep_that_can_be_resumed(arrays, tmp_path, monkeypatch):
    """All members of a group save their round; the resumed sweep has the bits of an uninterrupted one."""
    axes = [Axis("seed", (0, 1))]
    whole = sweep(loader(arrays), axes, tmp_path / "whole")
    begin = RunSession.begin_round_record

    def press(session, number, *rest):
        if number == 3 and session.problem.config.seed == 0:
            signal.raise_signal(signal.SIGINT)
        return begin(session, number, *rest)

    monkeypatch.setattr(RunSession, "begin_round_record", press)
    with pytest.raises(Interrupted, match=r"^stopped, 0 of 2 members were done; go on with --resume --out "):
        sweep(loader(arrays), axes, tmp_path / "out")
    assert [row["status"] for row in rows(tmp_path / "out")] == ["missing", "missing"]
    monkeypatch.undo()
    again = sweep(loader(arrays), axes, tmp_path / "out", resume=True)
    assert not again.failed
    for one, other in zip(whole.results, again.results, strict=True):
        assert [record["round"] for record in exact_results(other.directory)["rounds"]] == [1, 2, 3, 4, 5]
        assert exact_results(one.directory) == exact_results(other.directory)


def test_a_damaged_member_leaves_its_group_intact(arrays, tmp_path):
    axes = [Axis("seed", (0, 1, 2))]
    (tmp_path / "out" / "seed=1").mkdir(parents=True)
    (tmp_path / "out" / "seed=1" / "mine.txt").write_text("not yours")
    swept = sweep(loader(arrays), axes, tmp_path / "out", resume=True)
    assert ["is not empty" in result.error for result in swept.results] == [False, True, False]
    assert [row["status"] for row in rows(tmp_path / "out")] == ["done", "failed", "done"]


def test_members_that_differ_in_shape_run_one_group_after_another(arrays, tmp_path, monkeypatch):
    """Two groups of two members. In each group a program is compiled once, and each round is reported once."""
    calls = []
    compiled, original = [], jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda self, *a, **k: (compiled.append(1), original(self, *a, **k))[1]
    )
    axes = [Axis("federation.batch_size", (4, 6)), Axis("seed", (0, 1))]
    swept = sweep(loader(arrays), axes, tmp_path / "out", on_round=lambda *call: calls.append(call))
    assert not swept.failed
    assert calls == [(2, number) for number in (1, 2, 3, 4, 5)] * 2
    assert len(compiled) == 2 * 4  # a round, the two tests, the fine-tuning


def test_several_hosts_use_shards_instead_of_joining(tmp_path, monkeypatch):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    with pytest.raises(BoflError, match="start a sweep on each with --shard I/N"):
        sweep(lambda point: bofl.load_config("quickstart", point), [Axis("seed", (0, 1))], tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_a_damaged_configuration_of_a_complete_member_leaves_the_others_intact(arrays, tmp_path):
    out, axes = tmp_path / "sweep", [Axis("seed", (0, 1))]
    sweep(lambda point: bofl.load_config(tiny_config(arrays), point), axes, out)
    (out / "seed=0" / "config.toml").write_text("not toml = = 1")
    again = sweep(lambda point: bofl.load_config(tiny_config(arrays), point), axes, out, resume=True)
    assert [result.member.name for result in again.failed] == ["seed=0"]
    assert "config.toml is damaged" in again.failed[0].error
