"""pFedMe by hand, and against the solution of its envelope."""

import numpy as np

from bofl_jax import algorithms
from tests.algorithms.quadratics import DIM, LR, A, W, gradient, mean_of_batch, quadratic, train_once


def test_pfedme_by_hand():
    algorithm = algorithms.pfedme(quadratic, prox_weight=2.0, personal_lr=0.05, inner_steps=3, weight_decay=0.01)
    update, state, info = train_once(algorithm, 2, state=W + 7)
    w = theta = np.asarray(W, np.float64)
    for step in range(2):
        for _ in range(3):
            theta = theta - 0.05 * (gradient(theta, mean_of_batch(step)) + 2.0 * (theta - w) + 0.01 * theta)
        w = w - LR * 2.0 * (w - theta)
    np.testing.assert_allclose(W + update, w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state, theta, rtol=1e-5, atol=1e-6)
    assert int(info.examples) == 2 * 3 * 6


def test_pfedme_solves_the_envelope():
    """With many inner steps theta is the prox point ``(A + lambda I)^-1 (A c + lambda w)``."""
    algorithm = algorithms.pfedme(quadratic, prox_weight=2.0, personal_lr=0.1, inner_steps=400)
    _, theta, _ = train_once(algorithm, 1)
    expected = np.linalg.solve(A + 2 * np.eye(DIM), A @ mean_of_batch(0) + 2 * np.asarray(W))
    np.testing.assert_allclose(theta, expected, rtol=1e-4)
