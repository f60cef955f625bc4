"""Resuming after Ctrl-C and after a crash: the same bits as a run that was never stopped."""

import shutil
import signal
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.state import TrainState
from bofl_jax.runs import Interrupted, audit
from bofl_jax.runs.checkpoint import CheckpointStore, restore
from tests.support.tiny import (
    ROUNDS,
    biggest_file,
    exact_results,
    flip_byte,
    read_rounds,
    run_tiny,
    snapshot_after_each_round,
    write_arrays,
)

VARIANTS = {
    "fedavg": {},
    "sampled": {
        "federation.cohort": 3,
        "federation.stragglers": 0.4,
        "optimizer.momentum": 0.9,
        "optimizer.schedule": "halving",
        "optimizer.server_lr": 0.5,
    },
    "ditto": {
        "federation.algorithm": "ditto",
        "federation.cohort": 3,
        "optimizer.server": "adam",
        "optimizer.server_lr": 0.05,
        "personalise.method": "own",
    },
    "bfln": {"federation.algorithm": "bfln", "federation.clusters": 2, "personalise.method": "own"},
    "local": {
        "federation.algorithm": "local",
        "ledger.mode": "off",
        "personalise.method": "none",
        "optimizer.momentum": 0.9,
    },
    "centralised": {
        "federation.algorithm": "centralised",
        "ledger.mode": "off",
        "optimizer.client": "adamw",
        "optimizer.weight_decay": 0.01,
    },
}
CRASHES = {
    "after the first round, no checkpoint": (1, lambda _: None),
    "after a checkpoint": (2, lambda _: None),
    "ahead of the checkpoint": (3, lambda _: None),
    "one round before the end": (4, lambda _: None),
    "half a line": (3, lambda run: append(run / "rounds.jsonl", b'{"round": 4, "lo')),
    "half a line, no checkpoint": (1, lambda run: append(run / "rounds.jsonl", b'{"rou')),
    "half a block": (3, lambda run: append(run / "ledger" / "blocks.rlp", b"\xf9\x02\x5f\xf9")),
    "half a row of leaves": (3, lambda run: append(run / "ledger" / "leaves.rlp", b'{"round": 4, ')),
    "half a checkpoint": (3, lambda run: half_checkpoint(run / "checkpoints")),
}


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def half_checkpoint(folder: Path) -> None:
    """A crash within Orbax's save leaves a folder without its final name."""
    shutil.copytree(folder / "2" / "state", folder / "4.orbax-checkpoint-tmp" / "state.orbax-checkpoint-tmp")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


def snapshots_of(arrays: Path, folder: Path, variant: str) -> Path:
    """``folder/whole`` and, for every round, ``folder/<round>``: the directory as it was then."""
    run_tiny(folder / "whole", arrays, VARIANTS[variant], on_round=snapshot_after_each_round(folder / "whole", folder))
    return folder


@pytest.fixture(scope="module")
def snapshots(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshots_of(arrays, tmp_path_factory.mktemp("fedavg"), "fedavg")


@pytest.fixture
def crashed(snapshots: Path, tmp_path: Path) -> Path:
    """Killed after round 3; the last checkpoint is of round 2."""
    return Path(shutil.copytree(snapshots / "3", tmp_path / "crashed"))


@pytest.mark.parametrize("crash", CRASHES)
def test_a_killed_run_resumes_to_the_same_bits(crash, snapshots, arrays, tmp_path):
    number, damage = CRASHES[crash]
    run = Path(shutil.copytree(snapshots / str(number), tmp_path / "run"))
    assert not (run / "summary.json").exists()
    damage(run)
    rounds = []
    run_tiny(run, arrays, resume=True, on_round=lambda record: rounds.append(record["round"]))
    assert exact_results(run) == exact_results(snapshots / "whole")
    assert rounds == list(range(number // 2 * 2 + 1, ROUNDS + 1))
    for name in ("blocks.rlp", "leaves.rlp", "genesis.json", "contract.json"):
        assert (run / "ledger" / name).read_bytes() == (snapshots / "whole" / "ledger" / name).read_bytes()
    assert len(audit(run).rounds) == ROUNDS


def test_a_run_killed_between_opening_and_closing_a_round_resumes(snapshots, arrays, crashed):
    """The log holds round 4's opening block, which nothing else knows of."""
    log = crashed / "ledger" / "blocks.rlp"
    before = log.stat().st_size
    later = (snapshots / "4" / "ledger" / "blocks.rlp").read_bytes()
    length = 3 + int.from_bytes(later[before + 1 : before + 3], "big")  # 0xf9, two bytes of length
    assert later[before] == 0xF9
    append(log, later[before : before + length])
    run_tiny(crashed, arrays, resume=True)
    assert exact_results(crashed) == exact_results(snapshots / "whole")


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "fedavg"])
def test_every_kind_of_state_is_restored(variant, arrays, tmp_path):
    """Sampled cohorts and rates by round; the clients' own parameters, momenta and moments."""
    folder = snapshots_of(arrays, tmp_path, variant)
    run_tiny(folder / "3", arrays, VARIANTS[variant], resume=True)
    assert exact_results(folder / "3") == exact_results(folder / "whole")


def test_momentum_of_local_clients_is_in_the_checkpoint(arrays, tmp_path):
    """Without it the run above would start its third round at rest."""
    run_tiny(tmp_path / "run", arrays, VARIANTS["local"] | {"federation.rounds": 2})
    saved = latest(tmp_path / "run")
    assert [name for name, leaves in saved.leaves.items() if leaves] == ["clients"]
    assert "trace" in saved.layout["clients"]
    assert all(leaf.shape[0] == 6 and np.abs(leaf).max() > 0 for leaf in saved.leaves["clients"] if leaf.ndim > 1)


@pytest.mark.parametrize("number", [1, 3])
def test_ctrl_c_completes_the_round_and_saves_it(number, snapshots, arrays, tmp_path):
    def press(record):
        if record["round"] == number:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as stop:
        run_tiny(tmp_path / "run", arrays, on_round=press)
    assert signal.getsignal(signal.SIGINT) is handler
    done = number + 1  # the signal came between two rounds
    assert str(stop.value) == f"stopped after round {done} of {ROUNDS}; go on with --resume --out {tmp_path / 'run'}"
    assert stop.value.exit_code == 130
    assert len(read_rounds(tmp_path / "run")) == latest(tmp_path / "run").round == done
    assert not (tmp_path / "run" / "summary.json").exists()
    run_tiny(tmp_path / "run", arrays, resume=True)
    assert exact_results(tmp_path / "run") == exact_results(snapshots / "whole")


def test_ctrl_c_in_the_last_round_ends_the_run(snapshots, arrays, tmp_path):
    def press(record):
        if record["round"] == ROUNDS:
            signal.raise_signal(signal.SIGINT)

    run_tiny(tmp_path / "run", arrays, on_round=press)
    assert exact_results(tmp_path / "run") == exact_results(snapshots / "whole")


@pytest.mark.parametrize("started", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_a_second_ctrl_c_stops_at_once(started, arrays, tmp_path):
    def press_twice(_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, started)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_tiny(tmp_path / "run", arrays, on_round=press_twice)
        assert signal.getsignal(signal.SIGINT) is started
    finally:
        signal.signal(signal.SIGINT, before)
    run_tiny(tmp_path / "run", arrays, resume=True)


def test_a_run_can_be_stopped_again_and_again(snapshots, arrays, tmp_path):
    def press(record):
        if record["round"] in (1, 3):
            signal.raise_signal(signal.SIGINT)

    for done in (2, 4):
        with pytest.raises(Interrupted, match=f"stopped after round {done} of {ROUNDS}"):
            run_tiny(tmp_path / "run", arrays, on_round=press, resume=True)
    run_tiny(tmp_path / "run", arrays, resume=True)
    assert exact_results(tmp_path / "run") == exact_results(snapshots / "whole")


def test_resuming_a_complete_run_is_harmless(snapshots, arrays, tmp_path):
    run = Path(shutil.copytree(snapshots / "whole", tmp_path / "run"))
    rounds = []
    run_tiny(run, arrays, resume=True, on_round=rounds.append)
    assert exact_results(run) == exact_results(snapshots / "whole")
    assert rounds == []


def test_resume_without_a_run_starts_one(snapshots, arrays, tmp_path):
    run_tiny(tmp_path / "run", arrays, resume=True)
    assert exact_results(tmp_path / "run") == exact_results(snapshots / "whole")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optimizer.lr": 0.2}, "was begun with optimizer.lr = 0.1, not 0.2: resume it with the same configuration"),
        ({"seed": 3}, "was begun with seed = 0, not 3: "),
        ({"federation.rounds": 9}, "was begun with federation.rounds = 5, not 9: "),
        ({"federation.cohort": 2}, "was begun with federation.cohort = None, not 2: "),
        ({"ledger.mode": "off"}, 'was begun with ledger.mode = "merkle", not "off": '),
        ({"engine.execution": "map"}, "was begun with engine.devices = 2, not 1: "),
    ],
)
def test_another_configuration_is_refused_by_its_key(overrides, message, arrays, crashed):
    before = {path: path.read_bytes() for path in crashed.rglob("*") if path.is_file()}
    with pytest.raises(BoflError) as refusal:
        run_tiny(crashed, arrays, overrides, resume=True)
    assert message in str(refusal.value)
    assert {path: path.read_bytes() for path in crashed.rglob("*") if path.is_file()} == before


DAMAGES = {
    "a byte of the model": lambda run: flip_byte(biggest_file(run / "checkpoints" / "2"), -40),
    "the round's number": lambda run: (run / "checkpoints" / "2").rename(run / "checkpoints" / "3"),
    "the description": lambda run: (run / "checkpoints" / "2" / "meta" / "metadata").write_text("{"),
    "half of it gone": lambda run: biggest_file(run / "checkpoints" / "2").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_one_line(damage, arrays, crashed):
    DAMAGES[damage](crashed)
    with pytest.raises(BoflError) as refusal:
        run_tiny(crashed, arrays, resume=True)
    message = str(refusal.value)
    assert message.startswith(f"checkpoint {(crashed / 'checkpoints').absolute()}")
    assert "is damaged (" in message
    assert message.endswith("restore the folder from a copy, or start again with another --out")
    assert "\n" not in message
    assert not (crashed / "summary.json").exists()


def test_a_damaged_block_log_is_one_line(arrays, crashed):
    flip_byte(crashed / "ledger" / "blocks.rlp", 1500)
    with pytest.raises(BoflError, match=r"^the ledger cannot be resumed: .*") as refusal:
        run_tiny(crashed, arrays, resume=True)
    assert refusal.value.exit_code == 2
    assert "\n" not in str(refusal.value)
    assert not (crashed / "summary.json").exists()


def test_missing_rounds_are_one_line(arrays, crashed):
    lines = (crashed / "rounds.jsonl").read_text().splitlines(keepends=True)
    (crashed / "rounds.jsonl").write_text(lines[0])
    with pytest.raises(BoflError, match=r"rounds\.jsonl does not hold the first 2 rounds: start again with another"):
        run_tiny(crashed, arrays, resume=True)


class OlderState(NamedTuple):
    """The state of an earlier version of the package."""

    params: dict
    server: tuple
    kept: tuple


def test_a_checkpoint_of_another_version_is_one_line(arrays, crashed):
    store = CheckpointStore(crashed / "checkpoints")
    store.save(3, OlderState({"w": np.zeros(2, np.float32)}, (), ()))
    store.close()
    with pytest.raises(BoflError) as refusal:
        run_tiny(crashed, arrays, resume=True)
    message = "the checkpoint was made by another version of bofl_jax: start again with another --out"
    assert str(refusal.value) == message
    assert len(read_rounds(crashed)) == 3


def state_of(scale: float) -> TrainState:
    params = {"b": np.arange(3, dtype=np.float32) * scale, "a": {"w": np.ones((2, 2), np.float32) * scale}}
    return TrainState(params, (), {"count": np.int32(7)})


def latest(run: Path):
    checkpoints = CheckpointStore(run / "checkpoints")
    try:
        return checkpoints.latest()
    finally:
        checkpoints.close()


def test_a_state_is_restored_exactly_and_the_newest_two_are_kept(tmp_path):
    checkpoints = CheckpointStore(tmp_path / "checkpoints")
    assert checkpoints.latest() is None
    for number in (1, 2, 3):
        checkpoints.save(number, state_of(number))
    checkpoints.close()
    saved = latest(tmp_path)
    assert saved.round == 3
    jax.tree.map(np.testing.assert_array_equal, restore(saved, state_of(0)), state_of(3))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["2", "3"]


def test_a_state_of_another_shape_is_refused(tmp_path):
    checkpoints = CheckpointStore(tmp_path / "checkpoints")
    checkpoints.save(1, state_of(1))
    saved = checkpoints.latest()
    checkpoints.close()
    other = state_of(1)._replace(params={"b": np.zeros(4, np.float32)})
    with pytest.raises(BoflError, match="the checkpoint holds another params than this configuration makes"):
        restore(saved, other)


def test_a_run_resumes_with_its_written_configuration(snapshots, crashed):
    """As the message of an interrupted run advises, without the original file."""
    bofl.run(bofl.load_config(crashed / "config.toml"), out=crashed, resume=True)
    assert exact_results(crashed) == exact_results(snapshots / "whole")
