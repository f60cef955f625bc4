"""FedProx against gradient descent in float64."""

import numpy as np

from bofl_jax import algorithms
from tests.algorithms.quadratics import SGD, W, descend, quadratic, train_once


def test_fedprox_closed_form_and_mu_zero_is_fedavg():
    update, _, _ = train_once(algorithms.fedprox(quadratic, SGD, mu=0.7), 3)
    np.testing.assert_allclose(W + update, descend(W, 3, 0.7, np.asarray(W)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        train_once(algorithms.fedprox(quadratic, SGD, mu=0.0), 3)[0],
        train_once(algorithms.fedavg(quadratic, SGD), 3)[0],
    )
