"""Contributions of clients to a result: leave-one-out and exact Shapley values.

A cooperative game gives every coalition of clients a value, ``value(mask bool[C]) -> number``. In federated learning
the game of one round is the utility of the model that the coalition alone would have made (`round_value`); no training
is repeated. Shapley values of many clients are estimated in `bofl_jax.metrics.shapley_sampling`.
"""

from functools import lru_cache
from math import comb
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from bofl_jax.core.errors import BoflError

Params = Any

MAX_EXACT_CLIENTS = 12
"""Largest number of clients of an exact Shapley value, which needs ``2**C`` coalitions."""
BATCH = 64
"""Coalitions that are valued side by side."""


class CoalitionValue(Protocol):
    """A cooperative game."""

    def __call__(self, mask: Any, /) -> Any:
        """Value the coalition of the clients where ``mask`` bool[C] holds, as a number; larger is better."""
        ...


class ModelUtility(Protocol):
    """The utility of a model, in JAX."""

    def __call__(self, params: Params, /) -> jax.Array:
        """Value a model as float32[], for example minus its loss on held-out samples; larger is better."""
        ...


def coalition_model(params: Params, updates: Params, weights: jax.Array, mask: jax.Array) -> Params:
    r"""The model that a coalition would have made: :math:`w + \sum_{i \in S} n_i u_i / \sum_{i \in S} n_i`.

    Args:
        params: the global model at the start of the round.
        updates: the same pytree with a leading axis of C, the update of every client.
        weights: float32[C], not negative, for example the clients' numbers of samples.
        mask: bool[C], the coalition S.

    Returns:
        A model like ``params``; ``params`` itself for a coalition without clients or without weight.

    >>> model = coalition_model(jnp.zeros(1), jnp.array([[3.0], [6.0]]), jnp.array([2.0, 1.0]), jnp.array([True, True]))
    >>> model.tolist()
    [4.0]
    """
    shares = jnp.where(mask, weights, 0.0)
    total = shares.sum()
    shares = shares / jnp.where(total > 0, total, 1.0)
    return jax.tree.map(lambda leaf, update: leaf + jnp.tensordot(shares, update, axes=1), params, updates)


def round_value(utility: ModelUtility, params: Params, updates: Params, weights: jax.Array) -> CoalitionValue:
    """The game of one round: ``utility`` of ``coalition_model``, as a function of the mask.

    Args:
        utility: of a model. Rounds of the same function object share one compiled program.
        params: as for ``coalition_model``.
        updates: as for ``coalition_model``.
        weights: as for ``coalition_model``.
    """
    program = _compiled_value(utility)  # type: ignore[arg-type]  # functions are hashable
    game: CoalitionValue = Partial(program, params, updates, weights)  # type: ignore[no-untyped-call]
    return game


def coalition_values(value: CoalitionValue, masks: np.ndarray, traced: bool = True) -> np.ndarray:
    """The value of M coalitions.

    Args:
        value: the game.
        masks: bool[M, C].
        traced: whether ``value`` is a JAX function; then one program values all coalitions, in batches side by side.

    Returns:
        float64[M].
    """
    if traced:
        game = value if isinstance(value, Partial) else Partial(value)  # type: ignore[no-untyped-call]
        return np.asarray(_values(game, jnp.asarray(masks)), np.float64)
    return np.array([float(value(mask)) for mask in masks])


def leave_one_out(value: CoalitionValue, clients: int, traced: bool = True) -> np.ndarray:
    """The loss of value without each client, ``v(all) - v(all but i)``: float64[C].

    Args:
        value: the game.
        clients: C.
        traced: as for ``coalition_values``.

    Raises:
        BoflError: without a client.

    >>> leave_one_out(lambda mask: jnp.sum(mask * jnp.array([1.0, 3.0])), 2).tolist()
    [1.0, 3.0]
    """
    check_clients(clients)
    masks = np.concatenate([np.ones((1, clients), bool), ~np.eye(clients, dtype=bool)])
    values = coalition_values(value, masks, traced)
    return np.asarray(values[0] - values[1:])


def shapley(value: CoalitionValue, clients: int, traced: bool = True) -> np.ndarray:
    r"""Exact Shapley values from all :math:`2^C` coalitions.

    .. math:: \varphi_i = \frac1C \sum_{S \not\ni i} \binom{C - 1}{|S|}^{-1} \left(v(S \cup \{i\}) - v(S)\right)

    Args:
        value: the game.
        clients: C, at most 12.
        traced: as for ``coalition_values``.

    Returns:
        float64[C]; their sum is ``v(all) - v(none)``.

    Raises:
        BoflError: with too many clients or none.

    Shapley, "A value for n-person games", Contributions to the Theory of Games II, 1953.

    >>> both = lambda mask: 1.0 * (mask[0] & mask[1])
    >>> shapley(both, 3).tolist()
    [0.5, 0.5, 0.0]
    """
    check_clients(clients)
    if clients > MAX_EXACT_CLIENTS:
        raise BoflError(
            f"exact Shapley values of {clients} clients need 2**{clients} models: use gtg_shapley, or at most "
            f"{MAX_EXACT_CLIENTS} clients"
        )
    coalition = np.arange(2**clients)
    members = (coalition[:, None] >> np.arange(clients)) & 1 == 1
    values = coalition_values(value, members, traced)
    size = members.sum(1)
    weight = np.array([1 / (clients * comb(clients - 1, s)) for s in range(clients)])
    without = [coalition[~members[:, client]] for client in range(clients)]
    gains = [weight[size[rest]] * (values[rest | 1 << client] - values[rest]) for client, rest in enumerate(without)]
    return np.asarray(np.stack(gains).sum(1))


def check_clients(clients: int) -> None:
    """Raise BoflError if there is no client."""
    if clients < 1:
        raise BoflError(f"contributions need at least one client, not {clients}")


@lru_cache(maxsize=8)
def _compiled_value(utility: ModelUtility) -> Any:
    return jax.jit(lambda params, updates, weights, mask: utility(coalition_model(params, updates, weights, mask)))


@jax.jit
def _values(game: Partial, masks: jax.Array) -> jax.Array:
    values: jax.Array = jax.lax.map(game, masks, batch_size=BATCH)
    return values
