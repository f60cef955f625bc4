"""APFL by hand."""

import numpy as np
import pytest

from bofl_jax import algorithms
from tests.algorithms.quadratics import INITIAL, LR, SGD, W, gradient, mean_of_batch, quadratic, train_once


@pytest.mark.parametrize("adaptive", [False, True])
def test_apfl_by_hand(adaptive):
    algorithm = algorithms.apfl(quadratic, SGD, mixing=0.4, adaptive=adaptive)
    state = algorithm.init(INITIAL, W)._replace(personal=W + 1)
    update, after, _ = train_once(algorithm, 2, state=state)
    w, v, a = np.asarray(W, np.float64), np.asarray(W + 1, np.float64), 0.4
    for step in range(2):
        w = w - LR * gradient(w, mean_of_batch(step))
        g = gradient(a * v + (1 - a) * w, mean_of_batch(step))
        v, a = v - LR * a * g, np.clip(a - LR * g @ (v - w), 0, 1) if adaptive else a
    np.testing.assert_allclose(W + update, w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after.personal, v, rtol=1e-5, atol=1e-6)
    assert float(after.share) == pytest.approx(a, abs=1e-6)
    np.testing.assert_allclose(algorithm.personal_model(W, after), a * v + (1 - a) * np.asarray(W), rtol=1e-5)
