"""Fitted generators that are kept: what shares one, what does not, and that no result depends on it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import bofl_jax
from bofl_jax.balancing import sample_service
from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.problem import build_problem
from bofl_jax.parallel.clients import resolve
from bofl_jax.results.requests import read_lines
from bofl_jax.sweep import sweep
from bofl_jax.sweep.grid import parse_axis
from bofl_jax.synthesis.needs import Need

BASE = {
    "data": {"source": "simulator", "patients": 4, "beats": 60, "ectopy": 3.0},
    "partition": {"scheme": "patient", "train_minutes": 0.5},
    "model": {"name": "linear"},
    "federation": {"algorithm": "fedavg", "rounds": 1, "local_steps": 1},
    "ledger": {"mode": "merkle"},
}
GAN = {"generator": "gan", "rounds": 2, "steps": 2, "batch": 8, "hidden": [8], "gates": {"utility": 0.0}, "probe": 20}


def config(changed=None, **synthesis):
    return bofl_jax.load_config(BASE | {"synthesis": GAN | synthesis}, changed)


@pytest.fixture
def fits(monkeypatch):
    """Names of the generators that are fitted from now on."""
    names, fit = [], sample_service.fit

    def counted(generator, *rest):
        names.append(generator.name)
        return fit(generator, *rest)

    monkeypatch.setattr(sample_service, "fit", counted)
    return names


@pytest.fixture(scope="module")
def stocked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shelf")
    bofl_jax.run(config(), folder / "run", generators=folder / "generators")
    return folder / "generators"


@pytest.fixture
def shelf(stocked, tmp_path):
    """A folder with the generator of `config()`."""
    return Path(shutil.copytree(stocked, tmp_path / "shelf"))


class _Asked(Exception):  # noqa: N818 - no error: stops before anything is fitted
    """With the name that is asked for."""


class _Librarian(GeneratorCache):
    def fitted(self, name, *_):
        raise _Asked(name)


def name(configuration, folder):
    """That a run of a configuration looks for."""
    setting = build_problem(configuration, resolve(configuration.engine))
    with pytest.raises(_Asked) as asked:
        sample_service.SampleService(setting, configuration.synthesis, folder, _Librarian(folder)).knows(Need(0, 1, 3))
    return str(asked.value)


@pytest.mark.parametrize(
    "changed", [{"dose": 0.3}, {"quota": "uniform"}, {"gates": {"diversity": 9.0}}, {"class_quota": 3}, {"probe": 30}]
)
def test_runs_that_differ_in_quota_dose_and_gates_share_a_generator(tmp_path, changed):
    assert name(config(**changed), tmp_path) == name(config(), tmp_path)


@pytest.mark.parametrize(
    ("changed", "synthesis"),
    [
        ({"seed": 1}, {}),
        ({}, {"steps": 3}),
        ({}, {"training": "pooled"}),
        ({}, {"holdout": 0.4}),
        ({"data.beats": 61}, {}),
        ({"partition.train_minutes": 0.6}, {}),
        ({"engine.blocks": 2}, {}),
    ],
)
def test_what_a_generator_follows_from_makes_another_one(tmp_path, changed, synthesis):
    assert name(config(changed, **synthesis), tmp_path) != name(config(), tmp_path)


def test_another_seed_is_fitted_and_kept_too(tmp_path, shelf, fits):
    bofl_jax.run(config({"seed": 1}), tmp_path / "run", generators=shelf)
    assert fits == ["gan"]
    assert len(list(shelf.iterdir())) == 2


def test_no_result_depends_on_the_shelf(tmp_path, shelf, fits):
    shared = bofl_jax.run(config(), tmp_path / "shared", generators=shelf)
    assert fits == []
    alone = bofl_jax.run(config(), tmp_path / "alone")
    assert read_lines(alone.directory) == read_lines(shared.directory)
    assert alone.summary["ledger"]["head_hash"] == shared.summary["ledger"]["head_hash"]
    for mine, other in zip(*(sorted((run.directory / "synthetic").iterdir()) for run in (alone, shared)), strict=True):
        assert mine.read_bytes() == other.read_bytes()


def test_a_damaged_file_is_fitted_again_and_mended(tmp_path, shelf, fits):
    (kept,) = shelf.iterdir()
    with np.load(kept) as arrays:
        before = {name: arrays[name] for name in arrays.files}
    kept.write_bytes(kept.read_bytes()[:100])
    bofl_jax.run(config(), tmp_path / "run", generators=shelf)
    with np.load(kept) as arrays:
        assert {name: arrays[name].tobytes() for name in arrays.files} == {n: a.tobytes() for n, a in before.items()}
    assert fits == ["gan"]


def test_cheap_generators_are_not_kept(tmp_path):
    cheap = bofl_jax.load_config(BASE | {"synthesis": {"generator": "pca-gaussian"}})
    bofl_jax.run(cheap, tmp_path / "run", generators=tmp_path / "shelf")
    assert not (tmp_path / "shelf").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "shelf").write_text("a file")
    with pytest.raises(BoflError, match=r"shelf cannot be written .* name another folder"):
        bofl_jax.run(config(), tmp_path / "run", generators=tmp_path / "shelf")


def test_members_of_a_sweep_share_a_generator(tmp_path, fits):
    axes = [parse_axis("synthesis.dose=0.1,0.3")]
    done = sweep(config, axes, tmp_path / "sweep")
    assert not done.failed
    assert fits == ["gan"]
