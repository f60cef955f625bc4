"""The client's part of pFedMe."""

import jax
import jax.numpy as jnp

from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, Params, Shared, Trained, model_delta


def pfedme(loss: Loss, strength: float, personal_lr: float, inner_steps: int, decay: float = 0.0) -> LocalAlgorithm:
    """Descend on the Moreau envelope of the client's loss.

    For every batch, ``inner_steps`` steps take the own model to
    ``theta ~ argmin loss(theta) + strength/2 * |theta - w|^2``, then ``w <- w - lr strength (w - theta)``. Theta, which
    is the client's own model, begins each round at the shared one. The server's rate is the paper's beta.

    Args:
        loss: loss of one batch.
        strength: lambda.
        personal_lr: rate of theta.
        inner_steps: K.
        decay: weight decay of theta, as in the authors' code.

    Dinh, Tran and Nguyen, Personalized federated learning with Moreau envelopes, NeurIPS 2020.
    """
    gradient = jax.value_and_grad(loss)

    def init(first: Params, shared: Shared) -> Params:
        del first
        return shared

    def train(shared: Shared, kept: Params, data: LocalData) -> Trained:
        def step(state: tuple[Params, Params], batch: Batch) -> tuple[tuple[Params, Params], jax.Array]:
            local, own = state

            def inner(_: jax.Array, carry: tuple[Params, jax.Array]) -> tuple[Params, jax.Array]:
                theta, _ = carry
                value, slope = gradient(theta, batch)
                theta = jax.tree.map(
                    lambda t, g, w: t - personal_lr * (g + strength * (t - w) + decay * t), theta, slope, local
                )
                return theta, value

            own, value = jax.lax.fori_loop(0, inner_steps, inner, (own, jnp.float32(0)))
            local = jax.tree.map(lambda w, t: w - data.lr * strength * (w - t), local, own)
            return (local, own), value

        (local, own), info = data.run(step, (shared, shared))
        own = jax.tree.map(lambda new, old: jnp.where(data.steps > 0, new, old), own, kept)
        return model_delta(local, shared), own, info._replace(examples=info.examples * inner_steps)

    return LocalAlgorithm(init, train, personal_model=lambda _, own: own)
