"""Discriminative and predictive scores of synthetic windows, as the TimeGAN paper measures them.

- Discriminative: a GRU learns to tell real from synthetic windows; ``|accuracy - 1/2|`` on the fifth of both that it
  did not see. 0 is best.
- Predictive: a GRU learns on synthetic windows to tell the last variable one step ahead from the others; mean absolute
  error on all real windows.

The networks are those of the authors' code: one layer of TensorFlow's GRU (reset before the product, gates begin with a
bias of 1) with D // 2 units, Glorot's uniform start, Adam at 1e-3, batches of 128 rows, 2000 and 5000 steps. One thing
differs: rows of a batch are drawn with replacement.

Windows are in [0, 1] (the predictor ends in a sigmoid). The batch is the last axis throughout: with two or three units,
only the batch is wide enough for vector instructions.

Yoon, Jarrett, van der Schaar: Time-series generative adversarial networks. NeurIPS, 2019.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

Tree = Any

BATCH, RATE, TRAINED_ON = 128, 1e-3, 0.8
DISCRIMINATIVE_STEPS, PREDICTIVE_STEPS = 2000, 5000
REPEATS = 10
glorot = jax.nn.initializers.glorot_uniform()


class Reader(NamedTuple):
    """A layer of GRU and a linear output; kernels act on inputs and state, one under the other."""

    gates: jax.Array  # float32[D + H, 2H], reset and update
    gates_bias: jax.Array  # float32[2H]
    candidate: jax.Array  # float32[D + H, H]
    candidate_bias: jax.Array  # float32[H]
    out: jax.Array  # float32[H, 1]
    out_bias: jax.Array  # float32[1]


def reader(key: jax.Array, inputs: int, units: int) -> Reader:
    """As TensorFlow starts it."""
    keys = jax.random.split(key, 3)
    return Reader(
        glorot(keys[0], (inputs + units, 2 * units)),
        jnp.ones(2 * units),
        glorot(keys[1], (inputs + units, units)),
        jnp.zeros(units),
        glorot(keys[2], (units, 1)),
        jnp.zeros(1),
    )


def read(params: Reader, x: jax.Array) -> jax.Array:
    """The output after every step: ``x[T, D, B] -> [T, B]``.

    ``r, u = s(W [x, h] + b)``, ``c = tanh(W_c [x, r h] + b_c)``, ``h' = u h + (1 - u) c``
    """
    inputs, units = x.shape[1], len(params.candidate_bias)

    def project(kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return jnp.einsum("do,tdb->tob", kernel[:inputs], x) + bias[:, None]

    def step(h: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        gates, candidate = given
        r, u = jnp.split(jax.nn.sigmoid(gates + params.gates[inputs:].T @ h), 2)
        c = jnp.tanh(candidate + params.candidate[inputs:].T @ (r * h))
        h = u * h + (1 - u) * c
        return h, h

    given = project(params.gates, params.gates_bias), project(params.candidate, params.candidate_bias)
    _, states = lax.scan(step, jnp.zeros((units, x.shape[2])), given)
    return jnp.einsum("ho,thb->tb", params.out, states) + params.out_bias


def fit(loss: Callable[[Reader, jax.Array], jax.Array], params: Reader, key: jax.Array, steps: int) -> Reader:
    """The parameters after ``steps`` of Adam on ``loss(params, key)``."""
    rule = optax.adam(RATE)

    def step(state: Tree, key: jax.Array) -> tuple[Tree, None]:
        params, memory = state
        change, memory = rule.update(jax.grad(loss)(params, key), memory)
        return (optax.apply_updates(params, change), memory), None

    (params, _), _ = lax.scan(step, (params, rule.init(params)), jax.random.split(key, steps))
    return params


def rows(key: jax.Array, windows: jax.Array) -> jax.Array:
    """A batch ``[T, D, B]`` of ``windows[N, T, D]``."""
    return jnp.moveaxis(windows[jax.random.randint(key, (BATCH,), 0, len(windows))], 0, -1)


def divide(key: jax.Array, windows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Shuffled windows for training and for testing."""
    cut = int(TRAINED_ON * len(windows))
    shuffled = windows[jax.random.permutation(key, len(windows))]
    return shuffled[:cut], shuffled[cut:]


@partial(jax.jit, static_argnums=3)
def discriminative_score(real: jax.Array, synthetic: jax.Array, key: jax.Array, steps: int) -> jax.Array:
    """``|accuracy - 1/2|`` float32[] after so many steps."""
    first, cut_real, cut_synthetic, train = jax.random.split(key, 4)
    (real, real_test), (made, made_test) = divide(cut_real, real), divide(cut_synthetic, synthetic)

    def loss(params: Reader, key: jax.Array) -> jax.Array:
        one, other = jax.random.split(key)
        logit = read(params, jnp.concatenate([rows(one, real), rows(other, made)], axis=2))[-1]
        return jax.nn.softplus(-logit[:BATCH]).mean() + jax.nn.softplus(logit[BATCH:]).mean()

    params = fit(loss, reader(first, real.shape[2], max(real.shape[2] // 2, 1)), train, steps)
    right = jnp.concatenate([taken(params, real_test), ~taken(params, made_test)])
    return jnp.abs(right.mean() - 0.5)


def taken(params: Reader, windows: jax.Array) -> jax.Array:
    """bool[N]: which are taken for real."""
    return read(params, jnp.moveaxis(windows, 0, -1))[-1] > 0


@partial(jax.jit, static_argnums=3)
def predictive_score(real: jax.Array, synthetic: jax.Array, key: jax.Array, steps: int) -> jax.Array:
    """Mean absolute error float32[] after so many steps."""
    first, train = jax.random.split(key)
    inputs = real.shape[2] - 1

    def error(params: Reader, x: jax.Array) -> jax.Array:
        return jnp.abs(jax.nn.sigmoid(read(params, x[:-1, :-1])) - x[1:, -1]).mean()

    def loss(params: Reader, key: jax.Array) -> jax.Array:
        return error(params, rows(key, synthetic))

    params = fit(loss, reader(first, inputs, max(real.shape[2] // 2, 1)), train, steps)
    return error(params, jnp.moveaxis(real, 0, -1))


def discriminative(real: np.ndarray, synthetic: np.ndarray, key: jax.Array) -> float:
    """The discriminative score of one repeat.

    Args:
        real: float[N, T, D] in [0, 1].
        synthetic: float[N, T, D].
        key: of start, split and batches.
    """
    return float(discriminative_score(jnp.float32(real), jnp.float32(synthetic), key, DISCRIMINATIVE_STEPS))


def predictive(real: np.ndarray, synthetic: np.ndarray, key: jax.Array) -> float:
    """The predictive score of one repeat.

    Args:
        real: float[N, T, D] in [0, 1].
        synthetic: float[N, T, D].
        key: of start and batches.
    """
    return float(predictive_score(jnp.float32(real), jnp.float32(synthetic), key, PREDICTIVE_STEPS))


def repeated(real: np.ndarray, synthetic: np.ndarray, key: jax.Array, repeats: int = REPEATS) -> dict[str, Any]:
    """Both scores, mean, standard deviation and each, of repeats side by side."""
    keys = jax.random.split(key, (2, repeats))
    pair = jnp.float32(real), jnp.float32(synthetic)
    side_by_side = partial(jax.vmap, in_axes=(None, None, 0, None))
    return {
        "discriminative": summary(side_by_side(discriminative_score)(*pair, keys[0], DISCRIMINATIVE_STEPS)),
        "predictive": summary(side_by_side(predictive_score)(*pair, keys[1], PREDICTIVE_STEPS)),
    }


def summary(scores: jax.Array) -> dict[str, Any]:
    """Mean, standard deviation and all."""
    each = np.asarray(scores)
    return {"mean": float(each.mean()), "sd": float(each.std()), "each": [round(float(score), 4) for score in each]}
