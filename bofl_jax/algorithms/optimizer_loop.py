"""Optimiser steps of a client, and the algorithm that follows a gradient."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from bofl_jax.algorithms.base import (
    Batch,
    ClientState,
    LocalAlgorithm,
    LocalData,
    Params,
    Shared,
    Trained,
    TrainInfo,
    Tree,
    ValueAndGrad,
    stateless,
)


class OptimizerState(NamedTuple):
    """Parameters and the state of their optimiser."""

    params: Params
    opt_state: optax.OptState


class OptimizerLoop(NamedTuple):
    """Steps of an optimiser that was built for a learning rate of 1."""

    optimizer: optax.GradientTransformation

    def init(self, params: Params) -> OptimizerState:
        """Build the state before the first step."""
        return OptimizerState(params, self.optimizer.init(params))

    def step(self, state: OptimizerState, gradient: Params, lr: jax.Array) -> OptimizerState:
        """Do one step.

        Args:
            state: parameters and optimiser state.
            gradient: direction of steepest ascent.
            lr: float32, learning rate.
        """
        updates, opt_state = self.optimizer.update(gradient, state.opt_state, state.params)
        return OptimizerState(jax.tree.map(lambda p, u: p + lr * u, state.params, updates), opt_state)

    def run(
        self,
        value_and_grad: ValueAndGrad,
        state: OptimizerState,
        data: LocalData,
        *,
        part: int = 0,
        steps: int | jax.Array | None = None,
        lr: float | None = None,
    ) -> tuple[OptimizerState, TrainInfo]:
        """Do one step for every batch.

        Args:
            value_and_grad: what is followed.
            state: parameters and optimiser state before the first step.
            data: the client's batches.
            part: index of the stream of batches.
            steps: number of steps, if not the round's.
            lr: learning rate, if not the round's.

        Returns:
            The state after the last step, and what explains it.
        """
        rate = data.lr if lr is None else jnp.float32(lr)

        def step(state: OptimizerState, batch: Batch) -> tuple[OptimizerState, jax.Array]:
            loss, gradient = value_and_grad(state.params, batch)
            return self.step(state, gradient, rate), loss

        return data.run(step, state, part, steps)

    def __call__(
        self, value_and_grad: ValueAndGrad, params: Params, data: LocalData, **options: Any
    ) -> tuple[Params, TrainInfo]:
        """The same as `run`, from parameters to parameters, with an optimiser state that is new and then dropped.

        Args:
            value_and_grad: what is followed.
            params: parameters before the first step.
            data: the client's batches.
            **options: those of `run`.
        """
        state, info = self.run(value_and_grad, self.init(params), data, **options)
        return state.params, info


class GradientFromShared(Protocol):
    """Call signature of the argument of `from_gradient`."""

    def __call__(self, shared: Shared, /) -> ValueAndGrad:
        """Return what the optimiser follows in a round that starts at ``shared``."""
        ...


def from_gradient(optimizer: optax.GradientTransformation, gradient: GradientFromShared) -> LocalAlgorithm:
    """An algorithm that starts at the shared parameters, follows a gradient, and sends the difference.

    Args:
        optimizer: the clients' optimiser, for a learning rate of 1.
        gradient: returns what is followed.
    """
    loop = OptimizerLoop(optimizer)

    def train(download: Shared, state: ClientState, data: LocalData) -> Trained:
        params, info = loop(gradient(download), download, data)
        return model_delta(params, download), state, info

    return LocalAlgorithm(stateless, train)


def model_delta(after: Tree, before: Tree) -> Tree:
    """``after - before``, leaf by leaf: the update that a client sends.

    Args:
        after: parameters after training.
        before: parameters before training, of the same structure.
    """
    return jax.tree.map(jnp.subtract, after, before)
