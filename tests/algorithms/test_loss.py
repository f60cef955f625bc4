"""The loss and its class weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax import algorithms
from tests.algorithms.quadratics import RNG


def test_class_weights():
    counts = np.array([900, 100, 0])
    np.testing.assert_array_equal(algorithms.class_weights(counts, "none"), [1, 1, 0])
    inverse, root = algorithms.class_weights(counts, "inverse"), algorithms.class_weights(counts, "sqrt")
    assert inverse[1] / inverse[0] == pytest.approx(9)
    assert root[1] / root[0] == pytest.approx(3)
    assert inverse[:2].mean() == pytest.approx(1)
    assert inverse[2] == 0


def test_cross_entropy_is_the_weighted_mean():
    logits = jnp.asarray(RNG.standard_normal((6, 3)), jnp.float32)
    y = jnp.array([0, 1, 2, 0, 1, 2])
    weights = np.array([1.0, 2.0, 0.5], np.float32)
    loss = algorithms.cross_entropy(lambda *_: logits, weights)
    batch = algorithms.Batch(jnp.zeros((6, 1, 1)), jnp.zeros((6, 0)), y)
    each = -np.log(np.asarray(jax.nn.softmax(logits)))[np.arange(6), y]
    assert float(loss({}, batch)) == pytest.approx((weights[np.asarray(y)] * each).mean(), rel=1e-5)
