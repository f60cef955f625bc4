"""What every client was worth: leave-one-out and Shapley values, exact and estimated.

A game is ``value(mask bool[C]) -> number``, what a coalition of clients achieves. In federated learning the game of one
round is the utility of the model that the coalition alone would have made, ``round_value``; it needs no training anew.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import comb
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from bofl_jax.core.errors import BoflError

Params = Any
Value = Callable[[Any], Any]
"""mask bool[C] -> a number, larger is better."""

MOST_CLIENTS = 12
"""An exact Shapley value needs 2**C coalitions."""
BATCH = 64
"""Coalitions that are valued side by side."""


class Estimate(NamedTuple):
    """Contributions, and what they cost."""

    contribution: np.ndarray  # float64[C], in units of the value
    evaluations: int  # coalitions that were valued
    permutations: int  # orders of the clients that were walked through


class Sampling(NamedTuple):
    """When to stop.

    Attributes:
        least: permutations before the first look; whole cycles of C for ``gtg_shapley``.
        most: permutations at most.
        last: looks back over as many of the latest estimates.
        criterion: converged when none of them differs from the newest by more than this share (mean absolute
            difference over mean absolute contribution, so that a client worth nothing does not hold up the others).
    """

    least: int = 30
    most: int = 1000
    last: int = 10
    criterion: float = 0.05


def coalition_model(params: Params, updates: Params, weights: jax.Array, mask: jax.Array) -> Params:
    r"""The model that some clients would have made: :math:`w + \sum_{i \in S} n_i u_i / \sum_{i \in S} n_i`.

    Args:
        params: the global model at the start of the round.
        updates: the same pytree with a leading axis of C: what every client sent.
        weights: float32[C], not negative, such as the clients' numbers of samples.
        mask: bool[C], the coalition S.

    Returns:
        A model like ``params``; without a client (or without weight) ``params`` itself.

    >>> model = coalition_model(jnp.zeros(1), jnp.array([[3.0], [6.0]]), jnp.array([2.0, 1.0]), jnp.array([True, True]))
    >>> model.tolist()
    [4.0]
    """
    shares = jnp.where(mask, weights, 0.0)
    total = shares.sum()
    shares = shares / jnp.where(total > 0, total, 1.0)
    return jax.tree.map(lambda leaf, update: leaf + jnp.tensordot(shares, update, axes=1), params, updates)


def round_value(utility: Callable[[Params], jax.Array], params: Params, updates: Params, weights: jax.Array) -> Value:
    """The game of one round: ``utility`` of ``coalition_model``, as a function of the mask.

    Args:
        utility: model -> number, such as minus the loss on held-out samples. Rounds of the same function object share
            one compiled program.
        params: as for ``coalition_model``.
        updates: as for ``coalition_model``.
        weights: as for ``coalition_model``.
    """
    return Partial(_worth(utility), params, updates, weights)


def coalition_values(value: Value, masks: np.ndarray, traced: bool = True) -> np.ndarray:
    """The value of M coalitions.

    Args:
        value: the game.
        masks: bool[M, C].
        traced: whether ``value`` is a JAX function; then all coalitions run in one program, side by side in batches.

    Returns:
        float64[M].
    """
    if traced:
        game = value if isinstance(value, Partial) else Partial(value)
        return np.asarray(_values(game, jnp.asarray(masks)), np.float64)
    return np.array([float(value(mask)) for mask in masks])


def leave_one_out(value: Value, clients: int, traced: bool = True) -> np.ndarray:
    """What is lost without each client, ``v(all) - v(all but i)``: float64[C].

    Args:
        value: the game.
        clients: C.
        traced: as for ``coalition_values``.

    Raises:
        BoflError: without a client.

    >>> leave_one_out(lambda mask: jnp.sum(mask * jnp.array([1.0, 3.0])), 2).tolist()
    [1.0, 3.0]
    """
    _check_clients(clients)
    masks = np.concatenate([np.ones((1, clients), bool), ~np.eye(clients, dtype=bool)])
    values = coalition_values(value, masks, traced)
    return values[0] - values[1:]


def shapley(value: Value, clients: int, traced: bool = True) -> np.ndarray:
    r"""Exact Shapley values from all :math:`2^C` coalitions.

    .. math:: \varphi_i = \frac1C \sum_{S \not\ni i} \binom{C - 1}{|S|}^{-1} \left(v(S \cup \{i\}) - v(S)\right)

    Args:
        value: the game.
        clients: C, at most 12.
        traced: as for ``coalition_values``.

    Returns:
        float64[C]; they add up to ``v(all) - v(nobody)``.

    Raises:
        BoflError: with too many clients or none.

    Shapley, "A value for n-person games", Contributions to the Theory of Games II, 1953.

    >>> both = lambda mask: 1.0 * (mask[0] & mask[1])
    >>> shapley(both, 3).tolist()
    [0.5, 0.5, 0.0]
    """
    _check_clients(clients)
    if clients > MOST_CLIENTS:
        raise BoflError(
            f"exact Shapley values of {clients} clients need 2**{clients} models: use gtg_shapley, or at most "
            f"{MOST_CLIENTS} clients"
        )
    coalition = np.arange(2**clients)
    members = (coalition[:, None] >> np.arange(clients)) & 1 == 1
    values = coalition_values(value, members, traced)
    size = members.sum(1)
    weight = np.array([1 / (clients * comb(clients - 1, s)) for s in range(clients)])
    without = [coalition[~members[:, client]] for client in range(clients)]
    gains = [weight[size[rest]] * (values[rest | 1 << client] - values[rest]) for client, rest in enumerate(without)]
    return np.stack(gains).sum(1)


def tmc_shapley(
    value: Value, clients: int, key: jax.Array, tolerance: float = 0.01, sampling: Sampling | None = None
) -> Estimate:
    """Shapley values by truncated Monte Carlo: mean gains over random orders of the clients.

    An order is walked through until the value is within ``tolerance`` of that of all clients; those left gain nothing.
    A coalition that comes up again is not valued again.

    Args:
        value: the game; every coalition is asked for alone, so let it be compiled.
        clients: C.
        key: of the orders.
        tolerance: in units of the value; 0 cuts nothing short.
        sampling: when to stop.

    Raises:
        BoflError: without a client or a permutation.

    Ghorbani & Zou, "Data Shapley: equitable valuation of data for machine learning", ICML 2019.
    """
    game = _Game(value, clients)
    orders = (_shuffled(jax.random.fold_in(key, index), clients) for index in range(_limits(sampling).most))
    return _sample(game, orders, 1, tolerance, _limits(sampling))


def gtg_shapley(
    value: Value,
    clients: int,
    key: jax.Array,
    round_tolerance: float = 0.01,
    tolerance: float = 0.001,
    sampling: Sampling | None = None,
) -> Estimate:
    """Shapley values of one round by guided truncation gradient sampling (GTG-Shapley).

    A round whose value changes by no more than ``round_tolerance`` gives nobody anything. Otherwise orders come in
    cycles of C in which every client stands first once, the others behind it at random; an order is walked through
    until the value is within ``tolerance`` of that of all clients. Cycles are whole, and convergence is looked at
    between them. What is cut short is lost to everybody: the order of the clients holds, the sum falls short.

    Args:
        value: the game of the round, as from ``round_value``.
        clients: C.
        key: of the orders.
        round_tolerance: in units of the value; between rounds.
        tolerance: in units of the value; within a round. 0 cuts nothing short.
        sampling: when to stop.

    Raises:
        BoflError: without a client or a permutation.

    Liu, Chen, Yu, Liu & Cui, "GTG-Shapley: efficient and accurate participant contribution evaluation in federated
    learning", ACM Transactions on Intelligent Systems and Technology, 2022. The tolerances are those of FedML's
    implementation, which divides by each client's own contribution where ``Sampling.criterion`` takes their mean.
    """
    game = _Game(value, clients)
    if abs(game.full - game.empty) <= round_tolerance:
        return Estimate(np.zeros(clients), game.evaluations, 0)
    limits = _limits(sampling)
    orders = (_guided(key, index, clients) for index in range(clients * -(-limits.most // clients)))
    return _sample(game, orders, clients, tolerance, limits)


def sum_rounds(rounds: Sequence[Estimate], cohorts: Sequence[np.ndarray], clients: int) -> Estimate:
    """Contributions to a whole run: those to its rounds, added up.

    Args:
        rounds: R estimates, each over its round's cohort.
        cohorts: R times int[C_r], which clients these are. Who is absent gets nothing for that round.
        clients: C.

    Raises:
        BoflError: if a round's estimate and its cohort differ in size.

    >>> one = Estimate(np.array([1.0, 2.0]), evaluations=4, permutations=2)
    >>> sum_rounds([one, one], [np.array([0, 1]), np.array([2, 1])], clients=3)
    Estimate(contribution=array([1., 4., 1.]), evaluations=8, permutations=4)
    """
    total = np.zeros(clients)
    for estimate, cohort in zip(rounds, cohorts, strict=True):
        if len(estimate.contribution) != len(cohort):
            raise BoflError(f"{len(estimate.contribution)} contributions for a cohort of {len(cohort)}: give one each")
        np.add.at(total, cohort, estimate.contribution)
    return Estimate(total, sum(one.evaluations for one in rounds), sum(one.permutations for one in rounds))


@lru_cache(maxsize=8)
def _worth(utility: Callable[[Params], jax.Array]) -> Callable[..., jax.Array]:
    return jax.jit(lambda params, updates, weights, mask: utility(coalition_model(params, updates, weights, mask)))


@jax.jit
def _values(game: Partial, masks: jax.Array) -> jax.Array:
    return jax.lax.map(game, masks, batch_size=BATCH)


class _Game:
    """A game that values no coalition twice and counts."""

    def __init__(self, value: Value, clients: int) -> None:
        _check_clients(clients)
        self._value, self._known = value, dict[bytes, float]()
        self.clients = clients
        self.empty, self.full = self(np.zeros(clients, bool)), self(np.ones(clients, bool))

    def __call__(self, mask: np.ndarray) -> float:
        name = mask.tobytes()
        if name not in self._known:
            self._known[name] = float(self._value(mask))
        return self._known[name]

    @property
    def evaluations(self) -> int:
        return len(self._known)


def _sample(game: _Game, orders: Iterable[np.ndarray], cycle: int, tolerance: float, limits: Sampling) -> Estimate:
    """Mean gains over orders, until they converge at the end of a cycle."""
    total, means = np.zeros(game.clients), list[np.ndarray]()
    for count, order in enumerate(orders, start=1):
        total += _gains(game, order, tolerance)
        means.append(total / count)
        if count % cycle == 0 and count >= limits.least and _converged(means, limits):
            break
    return Estimate(means[-1], game.evaluations, len(means))


def _gains(game: _Game, order: np.ndarray, tolerance: float) -> np.ndarray:
    """float64[C]: what the value gains as the clients of an order come in, until nearly all is gained."""
    gains, mask, before = np.zeros(game.clients), np.zeros(game.clients, bool), game.empty
    for client in order:
        if abs(game.full - before) < tolerance:
            break
        mask[client] = True
        after = game(mask)
        gains[client], before = after - before, after
    return gains


def _converged(means: list[np.ndarray], limits: Sampling) -> bool:
    if len(means) <= limits.last:
        return False
    errors = np.abs(np.stack(means[-limits.last - 1 : -1]) - means[-1]).mean(1)
    return bool(errors.max() <= limits.criterion * np.abs(means[-1]).mean())


def _guided(key: jax.Array, index: int, clients: int) -> np.ndarray:
    """int[C]: client ``index mod C`` first, the others at random."""
    first = index % clients
    order = _shuffled(jax.random.fold_in(key, index), clients)
    return np.concatenate([[first], order[order != first]])


def _shuffled(key: jax.Array, clients: int) -> np.ndarray:
    return np.asarray(jax.random.permutation(key, clients))


def _limits(sampling: Sampling | None) -> Sampling:
    limits = sampling or Sampling()
    if limits.most < 1 or limits.last < 1:
        raise BoflError(f"sampling needs at least one permutation and one look back, not {limits.most}, {limits.last}")
    return limits


def _check_clients(clients: int) -> None:
    if clients < 1:
        raise BoflError(f"contributions need at least one client, not {clients}")
