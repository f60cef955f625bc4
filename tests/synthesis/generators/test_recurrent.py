"""The fused GRU against a plain Flax RNN of GRU cells."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from bofl_jax.synthesis.generators.recurrent import Gru, GruStack, rational_sigmoid, rational_tanh

T, D, H, B = 9, 3, 5, 4


def as_flax(own):
    """A layer's parameters under the names of Flax's cell."""
    cell = {}
    for number, gate in enumerate("rzn"):
        columns = slice(number * H, (number + 1) * H)
        cell[f"i{gate}"] = {"kernel": own["inputs"][:, columns], "bias": own["bias"][columns]}
        cell[f"h{gate}"] = {"kernel": own["states"][:, columns]}
    cell["hn"]["bias"] = own["state_bias"]
    return {"params": {"cell": cell}}


def with_noise(params):
    """The parameters with noise on every leaf, so that no bias is 0."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    noisy = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, noisy)


@pytest.fixture
def x():
    return jax.random.normal(jax.random.key(0), (T, D, B))


def oracle(params, x):
    """Flax's RNN, whose first axis is the batch."""
    return jnp.moveaxis(nn.RNN(nn.GRUCell(H)).apply(params, jnp.moveaxis(x, -1, 0)), 0, -1)


def test_a_layer_is_flaxs_cell_over_time(x):
    """Tolerance: float32 sums in another order, through nine steps."""
    params = with_noise(Gru(H).init(jax.random.key(1), x))
    np.testing.assert_allclose(Gru(H).apply(params, x), oracle(as_flax(params["params"]), x), atol=1e-5)


def test_its_gradient_is_flaxs(x):
    params = with_noise(Gru(H).init(jax.random.key(1), x))
    weight = jax.random.normal(jax.random.key(2), (T, H, B))

    def ours(params, x):
        return jnp.sum(weight * Gru(H).apply(params, x))

    def theirs(params, x):
        return jnp.sum(weight * oracle(as_flax(params["params"]), x))

    found, expected = (jax.grad(loss, argnums=(0, 1))(params, x) for loss in (ours, theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected)


def test_a_stack_applies_its_layers_in_order(x):
    stack = GruStack(H, 2)
    params = with_noise(stack.init(jax.random.key(1), x))["params"]
    between = oracle(as_flax(params["Gru_0"]), x)
    np.testing.assert_allclose(stack.apply({"params": params}, x), oracle(as_flax(params["Gru_1"]), between), atol=1e-5)
    assert sorted(params) == ["Gru_0", "Gru_1"]


def test_a_step_depends_on_no_later_step_and_no_other_sequence(x):
    params = with_noise(Gru(H).init(jax.random.key(1), x))
    before = Gru(H).apply(params, x)
    after = Gru(H).apply(params, x.at[5:, :, 1].add(1.0))
    changed = np.abs(after - before).max(axis=1) > 0
    expected = np.zeros((T, B), bool)
    expected[5:, 1] = True
    np.testing.assert_array_equal(changed, expected)


def test_every_gate_starts_orthogonal(x):
    states = Gru(H).init(jax.random.key(1), x)["params"]["states"]
    gates = np.split(np.asarray(states), 3, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(H), atol=1e-5)
    assert np.abs(gates[0] - gates[1]).max() > 0.1


def test_the_rational_tanh_is_tanh():
    """Within two units of float32's last place of 1, and with its slope."""
    x = jnp.concatenate([jnp.linspace(-12, 12, 20_001), jnp.array([-1e30, 0.0, 1e30])])
    np.testing.assert_allclose(rational_tanh(x), np.tanh(np.float64(x)), atol=2.5e-7)
    np.testing.assert_allclose(rational_sigmoid(x), 1 / (1 + np.exp(-np.clip(np.float64(x), -80, 80))), atol=2.5e-7)
    slope = jax.vmap(jax.grad(rational_tanh))(x)
    np.testing.assert_allclose(slope, 1 - np.tanh(np.float64(x)) ** 2, atol=1e-6)
    assert jnp.isnan(rational_tanh(jnp.nan))
