"""FedAvg against gradient descent in float64."""

import numpy as np
import pytest

from bofl_jax import algorithms
from tests.algorithms.quadratics import SGD, A, W, descend, mean_of_batch, quadratic, train_once


def test_fedavg_closed_form():
    update, state, info = train_once(algorithms.fedavg(quadratic, SGD), 3)
    np.testing.assert_allclose(W + update, descend(W, 3), rtol=1e-5, atol=1e-6)
    gap = np.asarray(W) - mean_of_batch(0)
    _, _, first = train_once(algorithms.fedavg(quadratic, SGD), 1)
    assert float(first.loss) == pytest.approx(0.5 * gap @ A @ gap, rel=1e-5)
    assert (state, int(info.examples)) == ((), 18)
