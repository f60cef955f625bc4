"""Local algorithms against closed forms on quadratics, batches against their law."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bofl_jax import local
from bofl_jax.core.errors import BoflError
from bofl_jax.local.base import halves

RNG = np.random.default_rng(0)
DIM = 4
A = np.diag([0.5, 1.0, 2.0, 3.0]).astype(np.float32) + 0.1
ALPHA = 0.05


def quadratic(params, batch):
    """f(w) = 1/2 (w - c)' A (w - c), with c the mean of the batch: gradient A (w - c), Hessian A."""
    gap = params - batch.features.mean(axis=0)
    return 0.5 * gap @ jnp.asarray(A) @ gap


def make_batch(size=6, seed=0):
    features = jax.random.normal(jax.random.key(seed), (size, DIM))
    return local.Batch(jnp.zeros((size, 1, 1)), features, jnp.zeros(size, jnp.int32))


W = jnp.asarray(RNG.standard_normal(DIM), jnp.float32)
SGD = optax.sgd(1.0)


def one_step(algorithm, batch, lr=0.1, anchor=None):
    state, loss = algorithm.step(algorithm.init(W), W if anchor is None else anchor, batch, jnp.float32(lr))
    return np.asarray(algorithm.params(state)), float(loss)


def test_sgd_closed_form():
    batch = make_batch()
    params, loss = one_step(local.sgd(quadratic, SGD), batch)
    gap = W - batch.features.mean(axis=0)
    np.testing.assert_allclose(params, W - 0.1 * A @ gap, rtol=1e-5)
    assert loss == pytest.approx(float(0.5 * gap @ A @ gap), rel=1e-5)


def test_prox_closed_form_and_mu_zero_is_sgd():
    batch, anchor = make_batch(), W + 1.0
    params, _ = one_step(local.prox(quadratic, SGD, mu=0.7), batch, anchor=anchor)
    gap = W - batch.features.mean(axis=0)
    np.testing.assert_allclose(params, W - 0.1 * (A @ gap + 0.7 * (W - anchor)), rtol=1e-5)
    plain, _ = one_step(local.sgd(quadratic, SGD), batch)
    np.testing.assert_array_equal(one_step(local.prox(quadratic, SGD, mu=0.0), batch, anchor=anchor)[0], plain)


@pytest.mark.parametrize("route", ["exact", "hvp", "first_order"])
def test_meta_gradient_closed_form(route):
    batch = make_batch()
    inner, outer = (half.features.mean(axis=0) for half in halves(batch))
    adapted = W - ALPHA * A @ (W - inner)
    expected = A @ (adapted - outer)
    if route != "first_order":
        expected = (np.eye(DIM) - ALPHA * A) @ expected
    params, loss = one_step(local.perfedavg(quadratic, SGD, ALPHA, route), batch, lr=0.1)
    np.testing.assert_allclose((W - params) / 0.1, expected, rtol=2e-4, atol=1e-5)
    assert loss == pytest.approx(float(0.5 * (adapted - outer) @ A @ (adapted - outer)), rel=1e-5)


def test_exact_and_hvp_agree_on_a_network_and_differ_from_first_order(samples):
    from bofl_jax.models import Cnn1dOptions, build

    model = build(Cnn1dOptions(pool=True, channels=(4,), kernels=(5,), strides=(1,), hidden=8), 32, 1, 2, 3)
    loss = local.cross_entropy(model.apply, np.ones(3, np.float32))
    batch = local.take(local.Batch(*map(jnp.asarray, (samples.x, samples.features, samples.y))), jnp.arange(16))
    params = model.init(jax.random.key(0))
    after = {}
    for route in ("exact", "hvp", "first_order"):
        algorithm = local.perfedavg(loss, SGD, 0.5, route)
        state, _ = jax.jit(algorithm.step)(algorithm.init(params), params, batch, jnp.float32(1.0))
        after[route] = jax.flatten_util.ravel_pytree(algorithm.params(state))[0]
    np.testing.assert_allclose(after["exact"], after["hvp"], atol=2e-6)
    assert np.abs(after["exact"] - after["first_order"]).max() > 1e-4


def test_halves_refuse_a_single_sample():
    with pytest.raises(BoflError, match="batch_size to 2"):
        halves(make_batch(size=1))


def test_class_weights():
    counts = np.array([900, 100, 0])
    np.testing.assert_array_equal(local.class_weights(counts, "none"), [1, 1, 0])
    inverse, root = local.class_weights(counts, "inverse"), local.class_weights(counts, "sqrt")
    assert inverse[1] / inverse[0] == pytest.approx(9)
    assert root[1] / root[0] == pytest.approx(3)
    assert inverse[:2].mean() == pytest.approx(1)
    assert inverse[2] == 0


def test_cross_entropy_is_the_weighted_mean():
    logits = jnp.asarray(RNG.standard_normal((6, 3)), jnp.float32)
    y = jnp.array([0, 1, 2, 0, 1, 2])
    weights = np.array([1.0, 2.0, 0.5], np.float32)
    loss = local.cross_entropy(lambda *_: logits, weights)
    batch = local.Batch(jnp.zeros((6, 1, 1)), jnp.zeros((6, 0)), y)
    each = -np.log(np.asarray(jax.nn.softmax(logits)))[np.arange(6), y]
    assert float(loss({}, batch)) == pytest.approx((weights[np.asarray(y)] * each).mean(), rel=1e-5)


def sampler(sampling="replacement", batch=5, scale=0.0, noise=0.0):
    return local.Sampler(batch, sampling, scale, noise)


def test_batches_with_replacement_are_uniform_over_the_real_rows():
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: sampler().positions(key, jnp.int32(0), jnp.int32(4), None))(keys)
    counts = np.bincount(np.asarray(drawn).ravel(), minlength=8)
    assert counts[4:].sum() == 0
    assert np.abs(counts[:4] / 20000 - 0.25).max() < 0.015


def test_shuffled_batches_visit_every_row_once_an_epoch():
    drawer = sampler("shuffle", batch=3)
    order = drawer.order(jax.random.key(1), jnp.int32(6), 10)
    seen = [drawer.positions(jax.random.key(0), jnp.int32(step), jnp.int32(6), order).tolist() for step in range(4)]
    assert sorted(seen[0] + seen[1]) == list(range(6))
    assert seen[2] + seen[3] == seen[0] + seen[1]


def test_augmentation_has_the_stated_size_and_none_is_none():
    batch = local.Batch(jnp.ones((2000, 8, 1)), jnp.zeros((2000, 0)), jnp.zeros(2000, jnp.int32))
    np.testing.assert_array_equal(sampler().augment(jax.random.key(0), batch).x, batch.x)
    scaled = np.asarray(sampler(scale=0.2).augment(jax.random.key(0), batch).x)
    assert 0.8 <= scaled.min() < 0.81
    assert 1.19 < scaled.max() <= 1.2
    assert np.ptp(scaled, axis=1).max() == 0
    noisy = np.asarray(sampler(noise=0.1).augment(jax.random.key(0), batch).x)
    assert (noisy - 1).std() == pytest.approx(0.1, rel=0.03)


def work(steps, size=4, capacity=6, fill=0, seed=0):
    index = jnp.arange(capacity).at[size:].set(fill)
    return local.Work(index, jnp.int32(size), jnp.int32(steps), jax.random.key(seed))


POOL = local.Batch(
    jnp.zeros((6, 1, 1)), jnp.asarray(RNG.standard_normal((6, DIM)), jnp.float32), jnp.zeros(6, jnp.int32)
)
ALGORITHMS = {
    "sgd": local.sgd(quadratic, SGD),
    "sgd-momentum": local.sgd(quadratic, optax.sgd(1.0, momentum=0.9)),
    "adamw": local.sgd(quadratic, optax.adamw(1.0, weight_decay=0.01)),
    "prox": local.prox(quadratic, SGD, 0.3),
    "perfedavg-exact": local.perfedavg(quadratic, SGD, ALPHA, "exact"),
    "perfedavg-hvp": local.perfedavg(quadratic, SGD, ALPHA, "hvp"),
    "perfedavg-first_order": local.perfedavg(quadratic, SGD, ALPHA, "first_order"),
}


def trained(name, task, sampling="replacement"):
    algorithm = ALGORITHMS[name]
    run = jax.jit(
        lambda task: local.train(algorithm, sampler(sampling, 4), POOL, W, algorithm.init(W), task, jnp.float32(0.1))
    )
    state, info = run(task)
    return np.asarray(algorithm.params(state)), info


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
class TestEveryLocalAlgorithm:
    """The behaviour that every entry of the table inherits."""

    def test_padding_never_matters(self, name, sampling):
        for other in (work(5, fill=3), work(5, capacity=6, fill=5)):
            np.testing.assert_array_equal(trained(name, work(5), sampling)[0], trained(name, other, sampling)[0])

    def test_no_work_changes_nothing(self, name, sampling):
        params, info = trained(name, work(0), sampling)
        np.testing.assert_array_equal(params, W)
        assert (float(info.loss), int(info.examples)) == (0.0, 0)

    def test_an_empty_client_is_harmless(self, name, sampling):
        params, _ = trained(name, work(0, size=0), sampling)
        assert np.isfinite(params).all()

    def test_work_adds_up_step_by_step(self, name, sampling):
        algorithm = ALGORITHMS[name]
        drawer, task = sampler(sampling, 4), work(3)
        order = drawer.order(task.key, task.size, 6) if sampling == "shuffle" else None
        state = algorithm.init(W)
        for step in range(3):
            draw, change = jax.random.split(jax.random.fold_in(task.key, step + 1))
            rows = task.rows[drawer.positions(draw, jnp.int32(step), task.size, order)]
            batch = drawer.augment(change, local.take(POOL, rows))
            state, _ = algorithm.step(state, W, batch, jnp.float32(0.1))
        np.testing.assert_allclose(trained(name, task, sampling)[0], algorithm.params(state), rtol=2e-5, atol=1e-6)

    def test_the_type_is_kept(self, name, sampling):
        assert trained(name, work(2), sampling)[0].dtype == np.float32
