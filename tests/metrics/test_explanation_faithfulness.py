"""Deletion, insertion and random weights: against loops, and on networks whose reasons are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.attribution import Attribution, integrated_gradients
from bofl_jax.metrics.faithfulness import (
    curve_area,
    deletion_curve,
    faithfulness,
    insertion_curve,
    random_ranking,
    randomisation_check,
    ranking,
)

T, N = 40, 8
READ = slice(12, 20)
KEYS = jax.random.split(jax.random.key(3), 5)
RNG = np.random.default_rng(0)
X = jnp.asarray(0.2 * RNG.standard_normal((N, T, 1)), jnp.float32).at[:, READ].add(1.0)
NONE = jnp.zeros((N, 0))
ONES = jnp.ones(N, jnp.int32)


def one_window(x, _):
    """Class 1 where the eight time samples that it reads are high."""
    return jnp.stack([0.0, x[READ].sum() - 4.0])


@pytest.mark.parametrize("insert", [False, True])
def test_curves_are_a_loop(insert):
    order, points = random_ranking(KEYS[0], N, T), 7
    curve = insertion_curve if insert else deletion_curve
    found = curve(one_window, X, NONE, ONES, order, baseline=jnp.full((T, 1), 0.1), points=points)
    assert found.shape == (N, points + 1)
    for n in range(N):
        for m in range(points + 1):
            first = np.asarray(order[n, : round(m * T / points)])
            x = np.full((T, 1), 0.1) if insert else np.array(X[n], np.float64)
            x[first] = X[n][first] if insert else 0.1
            expected = 1 / (1 + np.exp(4.0 - x[READ].sum()))
            assert found[n, m] == pytest.approx(expected, rel=1e-5)  # a softmax in float32


def test_area_is_that_of_trapezia():
    curve = RNG.random((3, 9))
    np.testing.assert_allclose(curve_area(jnp.asarray(curve)), np.trapezoid(curve, np.linspace(0, 1, 9)), rtol=1e-6)


def test_every_random_order_is_a_permutation_of_its_own():
    orders = np.asarray(random_ranking(KEYS[0], N, T))
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(T), (N, 1)))
    assert len({tuple(row) for row in orders}) == N
    np.testing.assert_array_equal(orders[:3], random_ranking(KEYS[0], 3, T))  # whatever the number of samples


def test_the_true_reason_beats_every_random_order():
    found = integrated_gradients(one_window, X, NONE, ONES)
    areas = faithfulness(one_window, X, NONE, ONES, found.x, KEYS)
    assert areas.random_deletion.shape == (len(KEYS), N)
    assert (areas.deletion < areas.random_deletion.min(0)).all()
    assert (areas.insertion > areas.random_insertion.max(0)).all()
    worst = faithfulness(one_window, X, NONE, ONES, -found.x, KEYS)
    assert (worst.deletion > areas.random_deletion.max(0)).all()


def bumps(key, count):
    """Two classes: a bump early or late, at a place and of a height that vary, in noise."""
    label_key, place_key, noise_key = jax.random.split(key, 3)
    label = jax.random.bernoulli(label_key, 0.5, (count,)).astype(jnp.int32)
    place = jnp.where(label == 1, 26.0, 12.0) + 2 * jax.random.normal(place_key, (count,))
    x = jnp.exp(-0.5 * ((jnp.arange(T) - place[:, None]) / 2) ** 2)
    return (x + 0.1 * jax.random.normal(noise_key, x.shape))[..., None], label


def start(key):
    first, last = jax.random.split(key)
    return {
        "first": jax.random.normal(first, (T, 16)) / jnp.sqrt(T),
        "last": jax.random.normal(last, (16, 2)) / 4,
    }


def predict(params, x, _):
    return jnp.tanh(x[:, 0] @ params["first"]) @ params["last"]


@pytest.fixture(scope="module")
def trained():
    x, label = bumps(jax.random.key(0), 256)

    def loss(params):
        logits = jax.vmap(partial(predict, params))(x, label)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1).mean()

    def step(params, _):
        return jax.tree.map(lambda leaf, slope: leaf - 0.5 * slope, params, jax.grad(loss)(params)), None

    params = jax.jit(lambda params: jax.lax.scan(step, params, None, 300)[0])(start(jax.random.key(1)))
    held_out, truth = bumps(jax.random.key(2), 32)
    logits = jax.vmap(partial(predict, params))(held_out, truth)
    assert (logits.argmax(1) == truth).mean() > 0.95
    return params, held_out, jnp.zeros((32, 0)), truth


def edges(_predict, x, _features, _label):
    """An explanation that never asks the network."""
    return Attribution(jnp.abs(jnp.diff(x, axis=1, prepend=0.0)), jnp.zeros((len(x), 0)))


def test_a_trained_network_forgets_and_an_edge_detector_does_not(trained):
    params, *samples = trained
    fresh = start(jax.random.key(9))
    assert randomisation_check(predict, params, fresh, *samples).mean() < 0.3
    np.testing.assert_allclose(randomisation_check(predict, params, fresh, *samples, explain=edges), 1.0)
    np.testing.assert_allclose(randomisation_check(predict, params, params, *samples), 1.0)


def test_the_cascade_ends_with_everything_drawn_anew(trained):
    params, *samples = trained
    fresh = start(jax.random.key(9))
    cascade = randomisation_check(predict, params, fresh, *samples, layers=("last", "first"))
    assert cascade.shape == (2, 32)
    np.testing.assert_array_equal(cascade[1:], randomisation_check(predict, params, fresh, *samples))
    only_last = randomisation_check(predict, params, {**params, "last": fresh["last"]}, *samples)
    np.testing.assert_array_equal(cascade[:1], only_last)
    assert cascade[0].mean() > cascade[1].mean()  # the first layer still holds what was learnt


def test_correlation_is_that_of_scipy_over_single_samples(trained):
    from scipy.stats import spearmanr

    params, x, features, label = trained
    fresh = start(jax.random.key(9))
    found = randomisation_check(predict, params, fresh, x, features, label)
    slopes = [
        np.abs(jax.grad(lambda one, tree=tree: predict(tree, one, None)[label[0]])(x[0])).ravel()
        for tree in (params, fresh)
    ]
    assert found[0, 0] == pytest.approx(spearmanr(*slopes).statistic, abs=2e-3)  # float32 may swap near ties


def test_a_constant_attribution_has_no_correlation(trained):
    params, *samples = trained

    def nothing(_predict, x, _features, _label):
        return Attribution(jnp.zeros_like(x), jnp.zeros((len(x), 0)))

    assert np.isnan(randomisation_check(predict, params, params, *samples, explain=nothing)).all()


def test_ties_are_ranked_in_order_of_time():
    assert ranking(jnp.zeros((1, 4, 1))).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: deletion_curve(one_window, X, NONE, ONES, jnp.zeros((N, 3), int)), "the order has shape"),
        (lambda: deletion_curve(one_window, X, NONE, ONES, jnp.zeros((N, T), int), points=T + 1), "choose 1 to 40"),
        (lambda: randomisation_check(predict, {"a": 1.0}, {"b": 1.0}, X, NONE, ONES), "another pytree"),
        (
            lambda: randomisation_check(predict, {"a": 1.0}, {"a": 1.0}, X, NONE, ONES, layers=("c",)),
            "no layer 'c': choose from a",
        ),
        (lambda: randomisation_check(predict, {"a": 1.0}, {"a": 1.0}, X, NONE, ONES, layers=()), "leave layers out"),
    ],
)
def test_bad_arguments_are_rejected(call, words):
    with pytest.raises(BoflError, match=words):
        call()
