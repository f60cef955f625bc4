"""SCAFFOLD by hand."""

import jax.numpy as jnp
import numpy as np

from bofl_jax import algorithms
from tests.algorithms.quadratics import (
    DIM,
    INITIAL,
    LR,
    SGD,
    W,
    batch_stream,
    gradient,
    mean_of_batch,
    quadratic,
    train_once,
)


def test_scaffold_by_hand():
    algorithm = algorithms.scaffold(quadratic, SGD)
    variate, mine = jnp.full(DIM, 0.3), jnp.full(DIM, -0.2)
    shared = {"params": W, "variate": variate}
    update, state, _ = algorithm.train(shared, mine, batch_stream(3))
    y = np.asarray(W, np.float64)
    for step in range(3):
        y = y - LR * (gradient(y, mean_of_batch(step)) + 0.5)
    np.testing.assert_allclose(W + update["params"], y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state, -0.2 - 0.3 + (np.asarray(W) - y) / (3 * LR), rtol=1e-4)
    np.testing.assert_allclose(update["variate"], state - mine, rtol=1e-6)
    assert algorithm.model(algorithm.initial_shared(W)) is W
    np.testing.assert_array_equal(algorithm.init(INITIAL, shared), jnp.zeros(DIM))


def test_scaffold_without_variates_is_fedavg():
    algorithm = algorithms.scaffold(quadratic, SGD)
    update, _, _ = train_once(algorithm, 3, shared=algorithm.initial_shared(W))
    np.testing.assert_allclose(update["params"], train_once(algorithms.fedavg(quadratic, SGD), 3)[0], rtol=1e-6)
