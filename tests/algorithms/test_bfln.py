"""BFLN: the client's part."""

import jax.numpy as jnp
import numpy as np

from bofl_jax import algorithms
from tests.algorithms.quadratics import DIM, SGD, W, batch_stream, descend, mean_of_batch, quadratic


def test_a_client_trains_the_model_of_its_cluster_and_sends_prototypes():
    def embed(params, batch):
        return params + batch.features

    algorithm = algorithms.bfln(quadratic, SGD, embed, classes=2, clients=3, clusters=2, prototype_steps=2)
    shared = algorithm.initial_shared(W)
    shared["models"] = shared["models"].at[1].add(1.0)
    shared["cluster"] = jnp.array([0, 1, 0])
    view = algorithm.download(shared, jnp.int32(1))
    np.testing.assert_array_equal(view, W + 1)
    update, state, info = algorithm.train(view, (), batch_stream(3))
    trained = descend(W + 1, 3)
    np.testing.assert_allclose(view + update["params"], trained, rtol=1e-5, atol=1e-6)
    seen = 6 * (2 * trained + mean_of_batch(0, 1) + mean_of_batch(1, 1))
    np.testing.assert_allclose(update["prototype"], np.stack([seen, np.zeros(DIM)]), rtol=1e-4, atol=1e-4)
    assert update["count"].tolist() == [12, 0]
    assert (state, int(info.examples)) == ((), 5 * 6)
    assert algorithm.personal_model(view, ()) is view
