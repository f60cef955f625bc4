"""FedNova: the normalised update."""

import numpy as np

from bofl_jax import algorithms
from tests.algorithms.quadratics import SGD, W, descend, quadratic, train_once


def test_a_client_sends_its_mean_step_and_the_number_of_steps():
    update, _, _ = train_once(algorithms.fednova(quadratic, SGD), 3)
    np.testing.assert_allclose(W + 3 * update["direction"], descend(W, 3), rtol=1e-5, atol=1e-6)
    assert float(update["steps"]) == 3
