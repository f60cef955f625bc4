"""The registry of generators: its order, and a generator from outside the package."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
import pytest

import bofl_jax
from bofl_jax.balancing.sample_service import SampleService
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.problem import build_problem
from bofl_jax.ledger.sample_requests import Decision, RequestState
from bofl_jax.parallel.clients import resolve_plan
from bofl_jax.synthesis import (
    GENERATORS,
    Generator,
    GeneratorEntry,
    LocalSynthesisOptions,
    SampleShape,
    Stage,
    SynthesisOptions,
    SyntheticSamples,
    build_generator,
)
from bofl_jax.synthesis.needs import SampleNeed

SHAPE = SampleShape(window=128, leads=1, features=7, classes=("N", "S", "V"), fs=180.0)


class MeanOptions(LocalSynthesisOptions):
    """Each client's mean sample, times ``gain``."""

    generator: Literal["mean"] = "mean"
    gain: float = 1.0


def mean_generator(shape, options):
    """Draws the mean sample of a class; NaN for a class without samples."""

    def init(_):
        k = shape.num_classes
        return SyntheticSamples(jnp.zeros((k, shape.window, shape.leads)), jnp.zeros((k, shape.features)))

    def measure(_, samples, __):
        member = (samples.y == jnp.arange(shape.num_classes)[:, None]) & samples.mask
        weight = member / jnp.maximum(member.sum(axis=1, keepdims=True), 1)
        return SyntheticSamples(jnp.einsum("kn,ntl->ktl", weight, samples.x), weight @ samples.features), jnp.zeros(())

    def sample(fitted, _, label, n):
        return SyntheticSamples(
            jnp.repeat(options.gain * fitted.x[label][None], n, axis=0), jnp.repeat(fitted.features[label][None], n, 0)
        )

    return Generator("mean", 1, init, (Stage("mean", 1, measure),), lambda state: state, sample)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(GENERATORS, "_entries", dict(GENERATORS._entries))
    return GENERATORS.register(GeneratorEntry(MeanOptions, mean_generator))


def test_the_order_of_the_generators_in_messages():
    assert list(GENERATORS) == ["oversample", "smote", "pca-gaussian", "simulator", "diffusion", "gan", "timegan"]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_has_the_name_of_its_options(name):
    assert build_generator(SHAPE, GENERATORS[name].options()).name == name


def test_a_registered_generator_draws_for_an_approved_request(registered, tmp_path):
    config = bofl_jax.load_config(
        {
            "data": {"source": "simulator", "patients": 4, "beats": 120, "ectopy": 3.0},
            "partition": {"scheme": "patient", "train_minutes": 1.0},
            "model": {"name": "linear"},
            "federation": {"algorithm": "fedavg", "rounds": 1, "local_steps": 1},
        }
    )
    problem = build_problem(config, resolve_plan(config.engine))
    options = registered.options(gain=2.0, holdout=0.01)
    label, train = 2, problem.population.train
    client = int(problem.recorded_counts(train)[:, label].argmax())
    service = SampleService(problem, options, tmp_path)
    batch = service.generate(SampleNeed(client, label, 3), Decision(1, RequestState.APPROVED, "", 0))
    own = train.of(client)[problem.samples.y[train.of(client)] == label]
    assert batch.source == "mean"
    assert batch.samples.x.shape == (3, *problem.samples.x.shape[1:])
    np.testing.assert_allclose(batch.samples.x[0], 2 * problem.samples.x[own].mean(axis=0), atol=1e-4)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (GeneratorEntry(GENERATORS["gan"].options, mean_generator), "'gan' is registered already"),
        (GeneratorEntry(SynthesisOptions, mean_generator), "does not name an entry"),
    ],
)
def test_an_entry_without_a_new_name_is_rejected(entry, message):
    with pytest.raises(BoflError, match=message):
        GENERATORS.register(entry)
