"""The mean aggregator in closed form."""

import jax.numpy as jnp
import numpy as np

from bofl_jax.aggregate import mean


def test_the_server_moves_by_its_rate_times_the_mean_update():
    params, update = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([0.5, -1.0])}
    for rate in (1.0, 0.5, 2.0):
        aggregator = mean(rate)
        state, new = aggregator.step(aggregator.init(params), params, update)
        np.testing.assert_allclose(new["w"], [1 + 0.5 * rate, 2 - rate])
        assert state == ()
