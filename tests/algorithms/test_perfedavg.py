"""Per-FedAvg: the meta-gradient against its closed form, and its three ways against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax import algorithms
from bofl_jax.algorithms import split_support_query
from tests.algorithms.quadratics import DIM, LR, SGD, A, W, make_batch, quadratic, train_once

ALPHA = 0.05


@pytest.mark.parametrize("route", ["exact", "hvp", "first_order"])
def test_meta_gradient_closed_form(route):
    inner, outer = (half.features.mean(axis=0) for half in split_support_query(make_batch()))
    adapted = W - ALPHA * A @ (W - inner)
    expected = A @ (adapted - outer)
    if route != "first_order":
        expected = (np.eye(DIM) - ALPHA * A) @ expected
    algorithm = algorithms.perfedavg(quadratic, SGD, ALPHA, route)
    update, _, info = train_once(algorithm)
    np.testing.assert_allclose(-update / LR, expected, rtol=2e-4, atol=1e-5)
    assert float(info.loss) == pytest.approx(float(0.5 * (adapted - outer) @ A @ (adapted - outer)), rel=1e-5)
    assert not algorithm.has_global


def test_exact_and_hvp_agree_on_a_network_and_differ_from_first_order(samples):
    from bofl_jax.models import Cnn1dOptions, build

    model = build(Cnn1dOptions(pool=True, channels=(4,), kernels=(5,), strides=(1,), hidden=8), 32, 1, 2, 3)
    loss = algorithms.cross_entropy(model.apply, np.ones(3, np.float32))
    batch = algorithms.take(
        algorithms.Batch(*map(jnp.asarray, (samples.x, samples.features, samples.y))), jnp.arange(16)
    )
    params = model.init(jax.random.key(0))
    data = algorithms.LocalData(lambda *_: batch, 16, jnp.int32(1), jnp.float32(1))
    after = {}
    for route in ("exact", "hvp", "first_order"):
        train = algorithms.perfedavg(loss, SGD, 0.5, route).train
        after[route] = jax.flatten_util.ravel_pytree(jax.jit(lambda p, train=train: train(p, (), data)[0])(params))[0]
    np.testing.assert_allclose(after["exact"], after["hvp"], atol=2e-6)
    assert np.abs(after["exact"] - after["first_order"]).max() > 1e-4
