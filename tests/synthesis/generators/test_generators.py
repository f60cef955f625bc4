"""Every generator that is configured by name: one suite over the registry."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.algorithms import Batch
from bofl_jax.balancing.fit import DivergedError, FitInputs, fit
from bofl_jax.parallel.clients import ExecutionPlan
from bofl_jax.partition import pack
from bofl_jax.synthesis import GENERATORS, ClientSamples, Generator, SampleShape, Stage, build_generator
from bofl_jax.synthesis.base import SyntheticSamples, fitted_digest
from bofl_jax.synthesis.generators.gaussian import pca_gaussian
from bofl_jax.synthesis.generators.neighbours import oversample, smote

WINDOW, CLIENTS, EACH = 16, 3, 60
SHAPE = SampleShape(window=WINDOW, leads=1, features=2, classes=("N", "S", "V"), fs=180.0)
PLAN = ExecutionPlan("vmap", 0, 1, 1)


QUICK = {
    "diffusion": {"rounds": 3, "steps": 100, "width": 16, "depth": 1, "draws": 20, "average": 0.98} | {"lr": 5e-3},
    "gan": {"rounds": 3, "steps": 100, "hidden": [48], "noise": 8, "lr": 2e-3, "average": 0.98},
    "timegan": {"rounds": 4, "steps": 100, "hidden": 8, "layers": 1, "frame": 4, "batch": 64, "average": 0.98}
    | {"lr": 1e-2},
}
ECG = {"simulator"}
"""Generators of beats only, which have tests of their own (`test_mechanistic`)."""


def options(name):
    return GENERATORS[name].options(generator=name, **QUICK.get(name, {}))


@pytest.fixture(scope="module")
def pool():
    """Three classes with their own shape and features, three clients; class 2 has three samples in all."""
    rng = np.random.default_rng(0)
    y = rng.permutation(np.r_[np.zeros(117), np.ones(60), np.full(3, 2)]).astype(np.int32)
    base = np.stack([np.sin(np.linspace(0, k + 3, WINDOW)) * (k + 1) for k in range(3)])
    x = base[y][..., None] * rng.uniform(0.8, 1.2, (180, 1, 1)) + 0.05 * rng.standard_normal((180, WINDOW, 1))
    features = np.stack([y.astype(float), -y.astype(float)], axis=1) + 0.1 * rng.standard_normal((180, 2))
    return Batch(jnp.asarray(x, jnp.float32), jnp.asarray(features, jnp.float32), jnp.asarray(y))


def fitted(pool, generator, training, rows=None, seed=0):
    rows = rows or pack(np.split(np.arange(len(pool.y)), CLIENTS))
    return fit(generator, FitInputs(PLAN, pool, rows, np.asarray(pool.y), 3, jax.random.key(seed)), training)


@pytest.fixture(scope="module")
def fitted_once(pool):
    """A generator by name and training, fitted once for all tests that only look at it."""
    return functools.cache(lambda name, training: fitted(pool, build_generator(SHAPE, options(name)), training))


GENERAL = [name for name in GENERATORS if name not in ECG]
NEURAL = {"gan": ("federated", "local"), "diffusion": ("federated",), "timegan": ("federated",)}
"""The ways of training that are tested; a neural generator takes long to compile."""
CASES = [
    (name, training) for name in GENERAL for training in (NEURAL[name] if name in NEURAL else options(name).trainings)
]


@pytest.mark.parametrize(("name", "training"), CASES)
def test_a_class_looks_like_itself(pool, fitted_once, name, training):
    found = fitted_once(name, training)
    for label in (0, 1):
        drawn = found.sample(jax.random.key(1), 0, label, 50)
        assert drawn.x.shape == (50, WINDOW, 1)
        assert drawn.features.shape == (50, 2)
        own = np.asarray(pool.y) == label
        np.testing.assert_allclose(drawn.x.mean(axis=0), np.asarray(pool.x)[own].mean(axis=0), atol=0.25 * (label + 1))
        np.testing.assert_allclose(drawn.features.mean(axis=0), [label, -label], atol=0.2)
        assert drawn.x.std(axis=0).mean() > 0.03


@pytest.mark.parametrize(("name", "training"), CASES)
def test_the_same_key_gives_the_same_bits_and_another_one_others(pool, fitted_once, name, training):
    first, again = fitted_once(name, training), fitted(pool, build_generator(SHAPE, options(name)), training)
    assert first.digest(0) == again.digest(0)
    one, same, other = (f.sample(jax.random.key(k), 0, 1, 5).x for f, k in ((first, 3), (again, 3), (first, 4)))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0


@pytest.mark.parametrize("name", GENERAL)
def test_padding_changes_nothing(pool, name):
    generator = build_generator(SHAPE, options(name))
    known = 40

    def seen_with(filler):
        examples = ClientSamples(*(jnp.concatenate([a[:known], jnp.full_like(a[known:], filler)]) for a in pool), known)
        state = generator.init(jax.random.key(0))
        for stage in generator.stages:
            state, loss = stage.client_update(state, examples, jax.random.key(1))
            assert np.isfinite(loss)
        return generator.sample(generator.finalize(state), jax.random.key(2), jnp.int32(0), 7)

    jax.tree.map(np.testing.assert_array_equal, seen_with(0), seen_with(2))


@pytest.mark.parametrize("name", GENERAL)
def test_states_are_float32_so_that_they_can_be_averaged(pool, name):
    generator = build_generator(SHAPE, options(name))
    state = generator.init(jax.random.key(0))
    for stage in generator.stages:
        state, _ = stage.client_update(state, ClientSamples(*pool, jnp.int32(len(pool.y))), jax.random.key(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", GENERAL)
def test_few_sizes_are_compiled(fitted_once, name):
    found = fitted_once(name, options(name).training)
    whole = found.sample(jax.random.key(0), 0, 1, 8)
    part = found.sample(jax.random.key(0), 0, 1, 5)
    np.testing.assert_array_equal(whole.x[:5], part.x)


def test_local_generators_can_sample_only_the_classes_of_their_client(pool):
    labels = np.asarray(pool.y)
    has, lacks = np.flatnonzero(labels != 1), np.flatnonzero(labels == 0)
    found = fitted(pool, smote(SHAPE, 5), "local", pack([np.arange(180), lacks, has[:0]]))
    assert [found.can_sample(client, 1) for client in range(3)] == [True, False, False]
    together = fitted(pool, pca_gaussian(SHAPE, 4), "federated", pack([np.arange(180), lacks[:0]]))
    assert together.can_sample(1, 1)
    assert together.index_of(1) == 0


def test_federated_and_pooled_gaussians_are_the_same_to_rounding(pool):
    uneven = pack([np.arange(10), np.arange(10, 100), np.arange(100, 180)])
    together, pooled = (
        fitted(pool, pca_gaussian(SHAPE, 6), how, uneven).fitted_for(0) for how in ("federated", "pooled")
    )
    np.testing.assert_allclose(together.mean, pooled.mean, atol=1e-4)
    for label in (0, 1):
        ours, theirs = (np.asarray(axes[label]).T @ np.asarray(axes[label]) for axes in (together.axes, pooled.axes))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    own = np.asarray(pool.y) == 1
    vectors = np.concatenate([np.asarray(pool.x)[own, :, 0], np.asarray(pool.features)[own]], axis=1)
    np.testing.assert_allclose(pooled.mean[1], vectors.mean(axis=0), atol=1e-4)
    full = np.asarray(fitted(pool, pca_gaussian(SHAPE, 18), "pooled").fitted_for(0).axes[1])
    np.testing.assert_allclose(full.T @ full, np.cov(vectors.T, ddof=0), atol=1e-3)


def test_smote_stays_between_neighbours_of_the_class(pool):
    found = fitted(pool, smote(SHAPE, 2), "pooled")
    drawn = found.sample(jax.random.key(0), 0, 2, 40)
    own = np.asarray(pool.y) == 2
    real = np.concatenate([np.asarray(pool.x)[own, :, 0], np.asarray(pool.features)[own]], axis=1)
    made = np.concatenate([drawn.x[..., 0], drawn.features], axis=1)
    assert (made >= real.min(axis=0) - 1e-5).all()
    assert (made <= real.max(axis=0) + 1e-5).all()
    to_all = np.linalg.norm(made[:, None] - real[None], axis=2)
    pairs = [np.linalg.norm(real[a] - real[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    between = [
        min(abs(d[a] + d[b] - p) for (a, b), p in zip(((0, 1), (0, 2), (1, 2)), pairs, strict=True)) for d in to_all
    ]
    assert max(between) < 1e-3


def test_oversampling_without_jitter_and_warp_copies(pool):
    drawn = fitted(pool, oversample(SHAPE, 0.0, 0.0), "local").sample(jax.random.key(0), 1, 1, 9)
    real = np.asarray(pool.x)[60:120][np.asarray(pool.y)[60:120] == 1]
    assert all(np.abs(real - x).max(axis=(1, 2)).min() < 1e-6 for x in drawn.x)
    warped = fitted(pool, oversample(SHAPE, 0.0, 0.3), "local").sample(jax.random.key(0), 1, 1, 9)
    assert min(np.abs(real - x).max(axis=(1, 2)).min() for x in warped.x) > 1e-3


def broken(at):
    """A generator whose second phase produces NaN in one of its rounds."""

    def fine(state, *_):
        return state + 1, jnp.zeros(())

    def bad(state, *_):
        return jnp.where(state + 1 == at, jnp.nan, state + 1), jnp.zeros(())

    def sample(*arguments):
        n = arguments[-1]
        return SyntheticSamples(jnp.zeros((n, WINDOW, 1)), jnp.zeros((n, 2)))

    stages = (Stage("first", 2, fine), Stage("second", 5, bad))
    return Generator("broken", 1, lambda _: jnp.zeros(()), stages, lambda state: state, sample)


@pytest.mark.parametrize("training", ["federated", "local"])
def test_diverging_training_stops_with_phase_and_round_and_returns_the_last_good_state(pool, training):
    with pytest.raises(DivergedError, match="phase second, round 3 of 5") as raised:
        fitted(pool, broken(at=5), training)
    np.testing.assert_array_equal(raised.value.last_good, np.full_like(raised.value.last_good, 4))


def test_the_digest_depends_on_the_parameters(pool):
    found = fitted(pool, pca_gaussian(SHAPE, 3), "federated").fitted_for(0)
    assert fitted_digest(found) != fitted_digest(found._replace(mean=found.mean + 1e-6))
