"""The comparison with other simulators: all do the same work, failures and lost comparisons are reported."""

import importlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "peers"
MODULES = ("work", "memory", "environments", "tables", "run", "ours", "torch_networks", "torch_peer")


@pytest.fixture(scope="module")
def peers():
    """A function that imports a module of the benchmark by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        for name in MODULES:
            patch.delitem(sys.modules, name, raising=False)
        yield importlib.import_module
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture
def data(peers, tmp_path, monkeypatch):
    """The module `work`, whose data are written to a folder of the test."""
    monkeypatch.setenv("PEERS_DATA", str(tmp_path))
    return peers("work")


def tiny_images(work):
    """The images' protocol with images of 10 x 10 and four clients, two a round."""
    flat = 64 * 3 * 3
    parameters = (27 + 1) * 32 + (288 + 1) * 64 + (flat + 1) * 128 + (128 + 1) * 10
    smaller = {"clients": 4, "cohort": 2, "samples": 20, "steps": 2, "shape": (10, 10, 3), "parameters": parameters}
    return work.PROTOCOLS["cifar10"]._replace(**smaller)


def row(speed, **more):
    return {"samples_per_s": speed, "rounds_per_s": 1.0, "memory_mib": 100, "start_up_s": 2.0, "setting": {}} | more


# The work


def test_the_protocols_are_the_published_ones(peers):
    protocols = peers("work").PROTOCOLS
    sizes = {name: (p.clients, p.cohort, p.steps, p.batch) for name, p in protocols.items()}
    assert sizes == {"64x10x32": (64, 64, 10, 32), "1000x1x16": (1000, 1000, 1, 16), "cifar10": (1000, 50, 5, 10)}
    images = protocols["cifar10"]
    assert images.steps * images.batch == images.samples == 50
    assert images.epochs == 1


def test_every_pass_sees_every_sample_once(peers):
    work = peers("work")
    rows = work.batches(work.PROTOCOLS["64x10x32"], np.random.default_rng(0), clients=3)
    assert rows.shape == (3, 10, 32)
    for client in rows:
        for one_pass in client.reshape(5, 64):
            np.testing.assert_array_equal(np.sort(one_pass), np.arange(64))


def test_a_round_has_distinct_clients(peers):
    work = peers("work")
    drawn = work.cohorts(work.PROTOCOLS["cifar10"])
    first, second = next(drawn), next(drawn)
    assert len(set(first)) == len(first) == 50
    assert set(first) != set(second)


def test_data_are_written_once_and_are_the_same_for_all(data):
    protocol = tiny_images(data)
    first, second = data.load(protocol), data.load(protocol)
    assert first.x.shape == (4, 20, 10, 10, 3)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.x, data.random_data(protocol).x)


def test_a_result_has_the_median_without_the_first_round(peers):
    work = peers("work")
    protocol = work.PROTOCOLS["64x10x32"]
    outcome = work.Outcome([100.0, 109.0, 110.0, 112.0, 115.0], protocol.parameters, (1.6, 1.5), ("numpy",))
    result = work.to_result("peer", protocol, {"threads": 1}, outcome)
    assert result["round_s"] == [1.0, 2.0, 3.0]
    assert result["samples_per_s"] == 64 * 10 * 32 / 2
    assert result["start_up_s"] == round(109.0 - work.BEGAN, 2)


@pytest.mark.parametrize(
    ("parameters", "loss", "message"), [(36901, (1.5, 1.6), "learns nothing"), (9, (1.6, 1.5), "9 parameters")]
)
def test_other_work_is_rejected(peers, parameters, loss, message):
    work = peers("work")
    outcome = work.Outcome([0.0, 1.0, 2.0], parameters, loss, ())
    with pytest.raises(ValueError, match=message):
        work.to_result("peer", work.PROTOCOLS["64x10x32"], {}, outcome)


def test_tuning_keeps_failed_settings_at_the_end(peers, capsys):
    work = peers("work")
    protocol = work.PROTOCOLS["64x10x32"]

    def simulate(protocol, setting, device, rounds):
        del device
        if setting["speed"] == 0:
            raise RuntimeError("cannot do that")
        return work.Outcome(list(np.arange(rounds + 1) / setting["speed"]), protocol.parameters, (2.0, 1.0), ())

    speeds = [{"speed": 1}, {"speed": 0}, {"speed": 4}]
    tried = work.tune(protocol, "cpu", 3, lambda *_: speeds, simulate)
    assert [one["setting"]["speed"] for one in tried] == [4, 1, 0]
    assert tried[-1]["error"] == "RuntimeError: cannot do that"
    assert len(capsys.readouterr().err.splitlines()) == 3


# The table


def test_the_table_shows_that_ours_meets_its_aim(peers):
    text = peers("tables").table("64x10x32", {"fedjax": row(1000.0), "ours": row(4000.0), "flower": row(500.0)})
    assert [line.split("|")[1].strip() for line in text.splitlines()[4:7]] == ["ours", "fedjax", "flower"]
    assert "| fedjax | 1000 | 4.00 x |" in text
    assert text.endswith("Ours is 4.00 x as fast as the best peer, fedjax. The aim, 3.5 x on two cores, is met.")


def test_the_table_shows_that_a_peer_wins(peers):
    text = peers("tables").table("cifar10", {"ours": row(200.0), "torch-loop": row(250.0)})
    assert text.endswith("**torch-loop wins**: ours has 0.80 x the speed of the best peer, torch-loop.")


def test_the_aims_are_not_for_a_gpu(peers):
    rows = {name: row(speed, device_mib=50.0) for name, speed in (("ours", 200.0), ("torch-loop", 100.0))}
    text = peers("tables").table("1000x1x16", rows)
    assert "| 100 + 50 on the GPU |" in text
    assert text.endswith("Ours is 2.00 x as fast as the best peer, torch-loop.")


def test_failed_peers_are_in_the_table(peers):
    text = peers("tables").table("cifar10", {"ours": row(1.0), "flsim": {"error": "no environment flsim"}})
    assert "| flsim | failed: no environment flsim |" in text
    assert text.endswith("Nothing to compare.")


def test_the_speeds_of_copies_are_added(peers):
    run, work = peers("run"), peers("work")
    protocol = work.PROTOCOLS["64x10x32"]
    halves = [row(speed, round_s=[1.0], start_up_s=start) for speed, start in ((1000.0, 3.0), (1048.0, 4.0))]
    both = run.add_copies(halves, protocol)
    assert both["samples_per_s"] == 2048.0
    assert both["round_s_median"] == 10.0
    assert both["start_up_s"] == 4.0


# How peers are started


def test_ranks_have_a_launcher(peers, tmp_path):
    run = peers("run")
    runner = run.Runner(tmp_path, "cpu", 1, 10.0)
    two = runner.command(run.PEERS["pfl-research"], "cifar10", 2)
    assert two[0] == str(tmp_path / "pfl" / "bin" / "python")
    assert "torch.distributed.run" in two
    assert "torch.distributed.run" not in runner.command(run.PEERS["torch-loop"], "cifar10", 2)


def test_a_missing_environment_is_reported(peers, tmp_path):
    run = peers("run")
    with pytest.raises(run.PeerError, match=r"environment fedjax: make it with environments\.py"):
        run.Runner(tmp_path, "cpu", 1, 10.0).tune("fedjax", "cifar10", 1)


def test_a_process_that_takes_too_long_is_killed(peers, monkeypatch):
    run = peers("run")
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(run.Runner, "command", lambda *_: [*sleeper])
    began = time.monotonic()
    with pytest.raises(run.PeerError, match="took too long"):
        run.Runner(None, "cpu", 1, 0.5).run_peer("ours", "cifar10")
    assert time.monotonic() - began < 30


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_of_descendants_is_counted(peers):
    grandchild = "block = b'1' * (100 << 20); import time; time.sleep(3)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    with peers("memory").PeakMemory() as memory, subprocess.Popen([sys.executable, "-c", child]) as process:
        memory.roots.append(process.pid)
    assert 100 << 20 < memory.peak < 200 << 20


def test_requirements_are_exact_and_name_no_address(peers):
    for name in peers("environments").NAMES[1:]:
        lines = peers("environments").pinned(name).read_text().splitlines()
        for line in lines:
            assert line.startswith("#") or re.fullmatch(r"[\w.\-]+==[\w.\-+!]+", line), f"{name}: {line}"
        assert not any("://" in line or "@" in line for line in lines)


def test_every_peer_has_an_environment_and_a_script(peers):
    for peer in peers("run").PEERS.values():
        assert peer.environment in peers("environments").NAMES
        assert (FOLDER / peer.script).exists()


# Ours


def test_ours_learns_windows(peers, data):
    protocol = data.with_fewer_clients(data.PROTOCOLS["64x10x32"], 16)
    outcome = peers("ours").simulate(protocol, {"execution": "auto"}, "cpu", rounds=2)
    result = data.to_result("ours", protocol, {}, outcome)
    assert result["parameters"] == 36901
    assert result["rounds"] == 1


@pytest.mark.parametrize("how", ["patches", "lax"])
def test_ours_learns_images(peers, data, how):
    protocol = tiny_images(data)
    outcome = peers("ours").simulate(protocol, {"execution": "auto", "convolution": how}, "cpu", rounds=4)
    assert data.to_result("ours", protocol, {}, outcome)["rounds"] == 3


def test_both_convolutions_are_the_same(peers):
    import jax

    ours, protocol = peers("ours"), tiny_images(peers("work"))
    params = ours.image_model(protocol, "patches").init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 100, 3))
    key = jax.random.key(2)
    patches, lax = (ours.image_logits(protocol, how, params, x, key) for how in ("patches", "lax"))
    np.testing.assert_allclose(patches, lax, atol=1e-5)


def test_the_pool_is_the_maximum_of_four(peers):
    import jax

    x = jax.random.normal(jax.random.key(0), (2, 6, 4, 5))
    square = np.asarray(x).reshape(2, 3, 2, 2, 2, 5).max(axis=(2, 4))
    np.testing.assert_array_equal(peers("ours").pool(x), np.maximum(square, 0))


def test_dropout_keeps_its_share_and_the_mean(peers):
    import jax
    import jax.numpy as jnp

    units = np.asarray(peers("ours").dropout(jnp.ones((100, 1000)), jax.random.key(0), 192))
    assert set(np.unique(units)) == {0.0, np.float32(4 / 3)}
    assert units.mean() == pytest.approx(1, abs=5 * np.sqrt(1 / 3 / units.size))


def test_one_command_measures_and_prints(tmp_path, monkeypatch):
    monkeypatch.setenv("PEERS_DATA", str(tmp_path / "data"))
    tuned = {"protocols": {"64x10x32": {"ours": {"tried": [{"setting": {"execution": "auto"}, "samples_per_s": 1}]}}}}
    (tmp_path / "tuned.json").write_text(json.dumps(tuned))
    options = ["--here", "--peers", "ours", "--protocols", "64x10x32", "--shrink", "32", "--rounds", "2"]
    files = ["--tuned", tmp_path / "tuned.json", "--json", tmp_path / "found.json"]
    command = [sys.executable, FOLDER / "run.py", *options, *files]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "| ours |" in ran.stdout
    found = json.loads((tmp_path / "found.json").read_text())["protocols"]["64x10x32"]["ours"]
    assert found["loss"]["after"] < found["loss"]["before"]
    assert found["memory_mib"] > 50


# PyTorch, where it is installed


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is in the peers' own environments")


def test_torchs_patches_are_its_convolutions(peers, torch):
    networks = peers("torch_networks")
    for protocol in (peers("work").PROTOCOLS["64x10x32"], tiny_images(peers("work"))):
        plain, patches = (networks.network(protocol, how).eval() for how in (False, True))
        assert networks.count(plain) == protocol.parameters
        x = networks.channels_first(torch.randn(3, *protocol.shape))
        torch.testing.assert_close(plain(x), patches(x))


def test_torchs_loop_and_vmap_do_the_same(peers, torch, data):
    torch_peer, protocol = peers("torch_peer"), data.with_fewer_clients(data.PROTOCOLS["64x10x32"], 16)
    sums = []
    for how, setting in (("loop", {}), ("vmap", {}), ("vmap", {"width": 2, "patches": True})):
        clients = torch_peer.ClientTrainer(how, protocol, setting, "cpu", seed=0)
        sums.append(clients(np.arange(4), clients.workspace.flat.clone()))
    torch.testing.assert_close(sums[0], sums[1])
    torch.testing.assert_close(sums[0], sums[2])
