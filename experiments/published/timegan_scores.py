"""Discriminative and predictive scores of synthetic windows, as the TimeGAN paper measures them.

- Discriminative: a GRU learns to tell real from synthetic windows. The score is ``|accuracy - 1/2|`` on the fifth of
  both that it was not trained on; 0 is best.
- Predictive: a GRU learns on synthetic windows to predict the last variable one step ahead from the others. The score
  is the mean absolute error on all real windows.

The networks are those of the authors' code: one layer of TensorFlow's GRU (reset before the product, gates begin with a
bias of 1) with D // 2 units, Glorot's uniform initialisation, Adam at 1e-3, batches of 128 windows, 2000 and 5000
steps. One thing differs: the windows of a batch are drawn with replacement.

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

from experiments.published.command import summarise_scores

BATCH, LR, TRAINING_SHARE = 128, 1e-3, 0.8
DISCRIMINATIVE_STEPS, PREDICTIVE_STEPS = 2000, 5000
REPEATS = 10
glorot = jax.nn.initializers.glorot_uniform()


class GruParams(NamedTuple):
    """Parameters of a GRU layer and a linear output; the rows of a kernel are the D inputs, then the H states."""

    gates: jax.Array  # float32[D + H, 2H], reset and update
    gates_bias: jax.Array  # float32[2H]
    candidate: jax.Array  # float32[D + H, H]
    candidate_bias: jax.Array  # float32[H]
    out: jax.Array  # float32[H, 1]
    out_bias: jax.Array  # float32[1]


def init_gru(key: jax.Array, inputs: int, units: int) -> GruParams:
    """Initial parameters, as in TensorFlow.

    Args:
        key: random key.
        inputs: D.
        units: H.
    """
    keys = jax.random.split(key, 3)
    return GruParams(
        glorot(keys[0], (inputs + units, 2 * units)),
        jnp.ones(2 * units),
        glorot(keys[1], (inputs + units, units)),
        jnp.zeros(units),
        glorot(keys[2], (units, 1)),
        jnp.zeros(1),
    )


def apply_gru(params: GruParams, x: jax.Array) -> jax.Array:
    """float32[T, B]: the output after every step.

    ``r, u = s(W [x, h] + b)``, ``c = tanh(W_c [x, r h] + b_c)``, ``h' = u h + (1 - u) c``

    Args:
        params: the parameters.
        x: float32[T, D, B].
    """
    inputs, units = x.shape[1], len(params.candidate_bias)

    def project(kernel: jax.Array, bias: jax.Array) -> jax.Array:
        return jnp.einsum("do,tdb->tob", kernel[:inputs], x) + bias[:, None]

    def step(h: jax.Array, projected: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        gates, candidate = projected
        r, u = jnp.split(jax.nn.sigmoid(gates + params.gates[inputs:].T @ h), 2)
        c = jnp.tanh(candidate + params.candidate[inputs:].T @ (r * h))
        h = u * h + (1 - u) * c
        return h, h

    projected = project(params.gates, params.gates_bias), project(params.candidate, params.candidate_bias)
    _, states = lax.scan(step, jnp.zeros((units, x.shape[2])), projected)
    return jnp.einsum("ho,thb->tb", params.out, states) + params.out_bias


def fit(loss: Callable[[GruParams, jax.Array], jax.Array], params: GruParams, key: jax.Array, steps: int) -> GruParams:
    """Minimise a loss by Adam.

    Args:
        loss: function of the parameters and of a random key.
        params: initial parameters.
        key: random key.
        steps: number of steps.
    """
    optimizer = optax.adam(LR)

    def step(state: Any, key: jax.Array) -> tuple[Any, None]:
        params, opt_state = state
        updates, opt_state = optimizer.update(jax.grad(loss)(params, key), opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    (params, _), _ = lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, steps))
    return params


def draw_batch(key: jax.Array, windows: jax.Array) -> jax.Array:
    """Draw a batch ``[T, D, B]`` of ``windows[N, T, D]``.

    Args:
        key: random key.
        windows: float32[N, T, D].
    """
    return jnp.moveaxis(windows[jax.random.randint(key, (BATCH,), 0, len(windows))], 0, -1)


def split_windows(key: jax.Array, windows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Shuffle windows and cut them into training and test windows.

    Args:
        key: random key.
        windows: float32[N, T, D].
    """
    cut = int(TRAINING_SHARE * len(windows))
    shuffled = windows[jax.random.permutation(key, len(windows))]
    return shuffled[:cut], shuffled[cut:]


@partial(jax.jit, static_argnums=3)
def discriminative_score(real: jax.Array, synthetic: jax.Array, key: jax.Array, steps: int) -> jax.Array:
    """float32[]: ``|accuracy - 1/2|``.

    Args:
        real: float32[N, T, D] in [0, 1].
        synthetic: float32[N, T, D].
        key: random key of initial parameters, split and batches.
        steps: steps of training.
    """
    init_key, real_key, synthetic_key, train_key = jax.random.split(key, 4)
    real, real_test = split_windows(real_key, real)
    synthetic, synthetic_test = split_windows(synthetic_key, synthetic)

    def loss(params: GruParams, key: jax.Array) -> jax.Array:
        first, second = jax.random.split(key)
        logit = apply_gru(params, jnp.concatenate([draw_batch(first, real), draw_batch(second, synthetic)], axis=2))[-1]
        return jax.nn.softplus(-logit[:BATCH]).mean() + jax.nn.softplus(logit[BATCH:]).mean()

    params = fit(loss, init_gru(init_key, real.shape[2], max(real.shape[2] // 2, 1)), train_key, steps)
    correct = jnp.concatenate([looks_real(params, real_test), ~looks_real(params, synthetic_test)])
    return jnp.abs(correct.mean() - 0.5)


def looks_real(params: GruParams, windows: jax.Array) -> jax.Array:
    """bool[N]: which windows the network classifies as real.

    Args:
        params: parameters of the discriminating network.
        windows: float32[N, T, D].
    """
    return apply_gru(params, jnp.moveaxis(windows, 0, -1))[-1] > 0


@partial(jax.jit, static_argnums=3)
def predictive_score(real: jax.Array, synthetic: jax.Array, key: jax.Array, steps: int) -> jax.Array:
    """float32[]: mean absolute error.

    Args:
        real: float32[N, T, D] in [0, 1].
        synthetic: float32[N, T, D].
        key: random key of initial parameters and batches.
        steps: steps of training.
    """
    init_key, train_key = jax.random.split(key)
    inputs = real.shape[2] - 1

    def error(params: GruParams, x: jax.Array) -> jax.Array:
        return jnp.abs(jax.nn.sigmoid(apply_gru(params, x[:-1, :-1])) - x[1:, -1]).mean()

    def loss(params: GruParams, key: jax.Array) -> jax.Array:
        return error(params, draw_batch(key, synthetic))

    params = fit(loss, init_gru(init_key, inputs, max(real.shape[2] // 2, 1)), train_key, steps)
    return error(params, jnp.moveaxis(real, 0, -1))


def discriminative(real: np.ndarray, synthetic: np.ndarray, key: jax.Array) -> float:
    """The discriminative score of one repeat.

    Args:
        real: float[N, T, D] in [0, 1].
        synthetic: float[N, T, D].
        key: random key of initial parameters, split and batches.
    """
    return float(discriminative_score(jnp.float32(real), jnp.float32(synthetic), key, DISCRIMINATIVE_STEPS))


def predictive(real: np.ndarray, synthetic: np.ndarray, key: jax.Array) -> float:
    """The predictive score of one repeat.

    Args:
        real: float[N, T, D] in [0, 1].
        synthetic: float[N, T, D].
        key: random key of initial parameters and batches.
    """
    return float(predictive_score(jnp.float32(real), jnp.float32(synthetic), key, PREDICTIVE_STEPS))


def repeat_scores(real: np.ndarray, synthetic: np.ndarray, key: jax.Array, repeats: int = REPEATS) -> dict[str, Any]:
    """Mean, standard deviation and values of both scores over repeats, which run as one program.

    Args:
        real: float[N, T, D] in [0, 1].
        synthetic: float[N, T, D].
        key: random key.
        repeats: number of repeats.
    """
    keys = jax.random.split(key, (2, repeats))
    pair = jnp.float32(real), jnp.float32(synthetic)
    over_keys = partial(jax.vmap, in_axes=(None, None, 0, None))
    return {
        "discriminative": summarise_scores(over_keys(discriminative_score)(*pair, keys[0], DISCRIMINATIVE_STEPS)),
        "predictive": summarise_scores(over_keys(predictive_score)(*pair, keys[1], PREDICTIVE_STEPS)),
    }
