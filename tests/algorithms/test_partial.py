"""Personal layers: FedPer, FedBN and FedRep."""

import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax import algorithms
from bofl_jax.core.errors import BoflError
from tests.algorithms.quadratics import INITIAL, LR, SGD, W, batch_stream, descend, gradient, mean_of_batch, quadratic

BODY, HEAD = slice(0, 2), slice(2, 4)


def layered(params, batch):
    """The same quadratic of a network of two layers."""
    return quadratic(jnp.concatenate([params["body"], params["head"]]), batch)


def test_personal_layers_train_with_the_others_and_stay():
    algorithm = algorithms.train_together(layered, SGD, {"head"})
    shared, own = {"body": W[BODY]}, {"head": W[HEAD]}
    update, state, _ = algorithm.train(shared, own, batch_stream(3))
    expected = descend(W, 3)
    np.testing.assert_allclose(W[BODY] + update["body"], expected[BODY], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state["head"], expected[HEAD], rtol=1e-5, atol=1e-6)
    whole = {"body": INITIAL[BODY], "head": INITIAL[HEAD]}
    assert list(algorithm.initial_shared(whole)) == list(update) == ["body"]
    np.testing.assert_array_equal(algorithm.init(whole, shared)["head"], INITIAL[HEAD])
    assert list(algorithm.personal_model(shared, own)) == ["body", "head"]
    assert not algorithm.has_global


def test_fedrep_fits_the_head_first_and_then_the_body():
    algorithm = algorithms.fedrep(layered, SGD, {"head"}, head_steps=2)
    update, state, info = algorithm.train({"body": W[BODY]}, {"head": W[HEAD]}, batch_stream(3))
    w = np.asarray(W, np.float64)
    for step in range(2):
        w[HEAD] -= LR * gradient(w, mean_of_batch(step, 1))[HEAD]
    np.testing.assert_allclose(state["head"], w[HEAD], rtol=1e-5, atol=1e-6)
    for step in range(3):
        w[BODY] -= LR * gradient(w, mean_of_batch(step))[BODY]
    np.testing.assert_allclose(W[BODY] + update["body"], w[BODY], rtol=1e-5, atol=1e-6)
    assert int(info.examples) == 5 * 6


@pytest.mark.parametrize("own", [{"neck"}, set(), {"head", "body"}])
def test_impossible_personal_layers_are_rejected(own):
    with pytest.raises(BoflError, match="name some of these, and not all"):
        algorithms.train_together(layered, SGD, own).initial_shared({"head": W, "body": W})
