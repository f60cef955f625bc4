"""Local training keeps its optimiser state."""

import numpy as np
import optax

from bofl_jax import algorithms
from tests.algorithms.quadratics import DIM, LR, W, batch_stream, gradient, mean_of_batch, quadratic


def test_a_client_continues_where_it_stopped():
    algorithm = algorithms.local_only(quadratic, optax.sgd(1.0, momentum=0.9))
    state = algorithm.init(W, ())
    for part in (0, 1):
        sent, state, _ = algorithm.train(
            (), state, batch_stream(2)._replace(batch=lambda s, p, o=part: batch_stream().batch(s, p + o))
        )
        assert sent == ()
    w, velocity = np.asarray(W, np.float64), np.zeros(DIM)
    for part in (0, 1):
        for step in range(2):
            velocity = 0.9 * velocity + gradient(w, mean_of_batch(step, part))
            w = w - LR * velocity
    np.testing.assert_allclose(algorithm.personal_model((), state), w, rtol=1e-5, atol=1e-6)
