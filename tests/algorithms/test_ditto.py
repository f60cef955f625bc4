"""Ditto by hand."""

import numpy as np

from bofl_jax import algorithms
from tests.algorithms.quadratics import INITIAL, SGD, W, descend, quadratic, train_once


def test_ditto_by_hand():
    own = W + 1
    update, state, info = train_once(algorithms.ditto(quadratic, SGD, prox_weight=0.7, personal_steps=2), 3, state=own)
    np.testing.assert_allclose(W + update, descend(W, 3), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state, descend(own, 2, 0.7, np.asarray(W), part=1), rtol=1e-5, atol=1e-6)
    assert int(info.examples) == 5 * 6
    assert algorithms.ditto(quadratic, SGD, 0.7).init(INITIAL, W) is W


def test_ditto_with_weight_zero_is_local_training():
    own = W + 1
    _, state, _ = train_once(algorithms.ditto(quadratic, SGD, prox_weight=0.0), 3, state=own)
    np.testing.assert_allclose(state, descend(own, 3, part=1), rtol=1e-5, atol=1e-6)
