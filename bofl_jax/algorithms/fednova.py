"""The client's part of FedNova."""

import jax
import jax.numpy as jnp
import optax

from bofl_jax.algorithms.base import (
    ClientState,
    LocalAlgorithm,
    LocalData,
    Loss,
    OptimizerLoop,
    Shared,
    Trained,
    stateless,
)


def fednova(loss: Loss, optimizer: optax.GradientTransformation) -> LocalAlgorithm:
    """Plain descent, of which the mean step and the number of steps are sent: ``((w - shared) / tau, tau)``.

    Clients that do more steps then pull no harder than others; `bofl_jax.aggregate.nova` puts the two together. For
    plain gradient steps (no momentum), where the normalising factor of the paper is the number of steps.

    Wang et al., Tackling the objective inconsistency problem in heterogeneous federated optimization, NeurIPS 2020.
    """
    descend, gradient = OptimizerLoop(optimizer), jax.value_and_grad(loss)

    def train(shared: Shared, kept: ClientState, data: LocalData) -> Trained:
        params, info = descend(gradient, shared, data)
        tau = jnp.maximum(data.steps, 1).astype(jnp.float32)
        direction = jax.tree.map(lambda w, s: (w - s) / tau, params, shared)
        return {"direction": direction, "steps": data.steps.astype(jnp.float32)}, kept, info

    return LocalAlgorithm(stateless, train)
