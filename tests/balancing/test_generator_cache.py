"""The cache of fitted generators: which runs share one, and that no result depends on the cache."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import bofl_jax
from bofl_jax.balancing import sample_service
from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.problem import build_problem
from bofl_jax.parallel.clients import resolve_plan
from bofl_jax.results.requests import read_requests
from bofl_jax.sweep import sweep
from bofl_jax.sweep.grid import parse_axis
from bofl_jax.synthesis.needs import SampleNeed

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
    """Names of the generators that are fitted during a test."""
    names, fit = [], sample_service.fit

    def recording_fit(generator, *rest):
        names.append(generator.name)
        return fit(generator, *rest)

    monkeypatch.setattr(sample_service, "fit", recording_fit)
    return names


@pytest.fixture(scope="module")
def filled_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    bofl_jax.run(config(), folder / "run", generator_cache=folder / "generators")
    return folder / "generators"


@pytest.fixture
def cache(filled_cache, tmp_path):
    """A folder with the generator of `config()`."""
    return Path(shutil.copytree(filled_cache, tmp_path / "cache"))


class KeyRequested(Exception):  # noqa: N818 - not an error: stops before anything is fitted
    """Carries the key that was looked up."""


class KeyRecorder(GeneratorCache):
    def get_or_fit(self, key, *_):
        raise KeyRequested(key)


def key_of(configuration, folder):
    """The key under which a run looks up its generator."""
    problem = build_problem(configuration, resolve_plan(configuration.engine))
    service = sample_service.SampleService(problem, configuration.synthesis, folder, KeyRecorder(folder))
    with pytest.raises(KeyRequested) as requested:
        service.can_generate(SampleNeed(0, 1, 3))
    return str(requested.value)


@pytest.mark.parametrize(
    "changed", [{"dose": 0.3}, {"quota": "uniform"}, {"gates": {"diversity": 9.0}}, {"class_quota": 3}, {"probe": 30}]
)
def test_runs_that_differ_in_quota_dose_and_gates_share_a_generator(tmp_path, changed):
    assert key_of(config(**changed), tmp_path) == key_of(config(), tmp_path)


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
def test_a_change_of_what_a_generator_depends_on_changes_its_key(tmp_path, changed, synthesis):
    assert key_of(config(changed, **synthesis), tmp_path) != key_of(config(), tmp_path)


def test_a_generator_of_another_seed_is_fitted_and_stored_too(tmp_path, cache, fits):
    bofl_jax.run(config({"seed": 1}), tmp_path / "run", generator_cache=cache)
    assert fits == ["gan"]
    assert len(list(cache.iterdir())) == 2


def test_no_result_depends_on_the_cache(tmp_path, cache, fits):
    shared = bofl_jax.run(config(), tmp_path / "shared", generator_cache=cache)
    assert fits == []
    alone = bofl_jax.run(config(), tmp_path / "alone")
    assert read_requests(alone.directory) == read_requests(shared.directory)
    assert alone.summary["ledger"]["head_hash"] == shared.summary["ledger"]["head_hash"]
    for mine, other in zip(*(sorted((run.directory / "synthetic").iterdir()) for run in (alone, shared)), strict=True):
        assert mine.read_bytes() == other.read_bytes()


def test_a_damaged_file_is_replaced_by_a_new_fit(tmp_path, cache, fits):
    (stored,) = cache.iterdir()
    with np.load(stored) as arrays:
        before = {name: arrays[name] for name in arrays.files}
    stored.write_bytes(stored.read_bytes()[:100])
    bofl_jax.run(config(), tmp_path / "run", generator_cache=cache)
    with np.load(stored) as arrays:
        assert {name: arrays[name].tobytes() for name in arrays.files} == {n: a.tobytes() for n, a in before.items()}
    assert fits == ["gan"]


def test_generators_that_are_fast_to_fit_are_not_stored(tmp_path):
    cheap = bofl_jax.load_config(BASE | {"synthesis": {"generator": "pca-gaussian"}})
    bofl_jax.run(cheap, tmp_path / "run", generator_cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(BoflError, match=r"cache cannot be written .* name another folder"):
        bofl_jax.run(config(), tmp_path / "run", generator_cache=tmp_path / "cache")


def test_members_of_a_sweep_share_a_generator(tmp_path, fits):
    axes = [parse_axis("synthesis.dose=0.1,0.3")]
    done = sweep(config, axes, tmp_path / "sweep")
    assert not done.failed
    assert fits == ["gan"]
