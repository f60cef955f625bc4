"""Shapley values of many clients, estimated from sampled permutations of the clients."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.contribution import CoalitionValue, check_clients


class ShapleyEstimate(NamedTuple):
    """Estimated contributions and the cost of the estimate."""

    contribution: np.ndarray  # float64[C], in units of the value
    evaluations: int  # number of different coalitions that were valued
    permutations: int  # number of sampled permutations


class Sampling(NamedTuple):
    """When the sampling of permutations stops.

    Attributes:
        min_permutations: permutations before the first check; whole cycles of C for ``gtg_shapley``.
        max_permutations: the largest number of permutations.
        window: number of latest estimates that are compared with the newest one.
        tolerance: converged when none of them differs from the newest one by more than this share (mean absolute
            difference over mean absolute contribution, so that a client without contribution does not delay the end).
    """

    min_permutations: int = 30
    max_permutations: int = 1000
    window: int = 10
    tolerance: float = 0.05


def tmc_shapley(
    value: CoalitionValue, clients: int, key: jax.Array, tolerance: float = 0.01, sampling: Sampling | None = None
) -> ShapleyEstimate:
    """Shapley values by truncated Monte Carlo: mean gains over random permutations of the clients.

    The clients join a coalition in the order of a permutation until its value is within ``tolerance`` of that of all
    clients; the remaining clients gain nothing. No coalition is valued twice.

    Args:
        value: the game; it is called for one coalition at a time, so it should be compiled.
        clients: C.
        key: of the permutations.
        tolerance: in units of the value; with 0 no permutation is truncated.
        sampling: when to stop.

    Raises:
        BoflError: without a client or a permutation.

    Ghorbani & Zou, "Data Shapley: equitable valuation of data for machine learning", ICML 2019.
    """
    game, limits = _CachedGame(value, clients), _checked(sampling)
    permutations = (
        _random_permutation(jax.random.fold_in(key, index), clients) for index in range(limits.max_permutations)
    )
    return _average_permutations(game, permutations, 1, tolerance, limits)


def gtg_shapley(
    value: CoalitionValue,
    clients: int,
    key: jax.Array,
    round_tolerance: float = 0.01,
    tolerance: float = 0.001,
    sampling: Sampling | None = None,
) -> ShapleyEstimate:
    """Shapley values of one round by guided truncation gradient sampling (GTG-Shapley).

    If the round changes the value by no more than ``round_tolerance``, all contributions are zero. Otherwise
    permutations come in cycles of C; in each cycle every client stands first once, with the others in random order
    behind it. Clients join until the value is within ``tolerance`` of that of all clients. Cycles are always completed,
    and convergence is checked between them. Truncation keeps the order of the clients, but their sum falls short.

    Args:
        value: the game of the round, as from ``round_value``.
        clients: C.
        key: of the permutations.
        round_tolerance: in units of the value; between rounds.
        tolerance: in units of the value; within a round. With 0 no permutation is truncated.
        sampling: when to stop.

    Raises:
        BoflError: without a client or a permutation.

    Liu, Chen, Yu, Liu & Cui, "GTG-Shapley: efficient and accurate participant contribution evaluation in federated
    learning", ACM Transactions on Intelligent Systems and Technology, 2022. The tolerances are those of FedML's
    implementation, which divides by each client's own contribution where ``Sampling.tolerance`` uses their mean.
    """
    game = _CachedGame(value, clients)
    if abs(game.full - game.empty) <= round_tolerance:
        return ShapleyEstimate(np.zeros(clients), game.evaluations, 0)
    limits = _checked(sampling)
    count = clients * -(-limits.max_permutations // clients)  # whole cycles
    permutations = (_guided_permutation(key, index, clients) for index in range(count))
    return _average_permutations(game, permutations, clients, tolerance, limits)


def sum_rounds(rounds: Sequence[ShapleyEstimate], cohorts: Sequence[np.ndarray], clients: int) -> ShapleyEstimate:
    """Contributions to a whole run: the sums of the contributions to its rounds.

    Args:
        rounds: R estimates, each over its round's cohort.
        cohorts: R times int[C_r], the clients of each cohort. Clients outside of it gain nothing in that round.
        clients: C.

    Raises:
        BoflError: if a round's estimate and its cohort differ in size.

    >>> one = ShapleyEstimate(np.array([1.0, 2.0]), evaluations=4, permutations=2)
    >>> sum_rounds([one, one], [np.array([0, 1]), np.array([2, 1])], clients=3)
    ShapleyEstimate(contribution=array([1., 4., 1.]), evaluations=8, permutations=4)
    """
    total = np.zeros(clients)
    for estimate, cohort in zip(rounds, cohorts, strict=True):
        if len(estimate.contribution) != len(cohort):
            raise BoflError(f"{len(estimate.contribution)} contributions for a cohort of {len(cohort)}: give one each")
        np.add.at(total, cohort, estimate.contribution)
    return ShapleyEstimate(total, sum(one.evaluations for one in rounds), sum(one.permutations for one in rounds))


class _CachedGame:
    """A game that values no coalition twice."""

    def __init__(self, value: CoalitionValue, clients: int) -> None:
        check_clients(clients)
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


def _average_permutations(
    game: _CachedGame, permutations: Iterable[np.ndarray], cycle: int, tolerance: float, limits: Sampling
) -> ShapleyEstimate:
    """Mean gains over permutations, until they converge at the end of a cycle."""
    total, means = np.zeros(game.clients), list[np.ndarray]()
    for count, permutation in enumerate(permutations, start=1):
        total += _marginal_gains(game, permutation, tolerance)
        means.append(total / count)
        if count % cycle == 0 and count >= limits.min_permutations and _converged(means, limits):
            break
    return ShapleyEstimate(means[-1], game.evaluations, len(means))


def _marginal_gains(game: _CachedGame, permutation: np.ndarray, tolerance: float) -> np.ndarray:
    """float64[C]: the gain in value when each client joins, until the value of all clients is nearly reached."""
    gains, mask, value = np.zeros(game.clients), np.zeros(game.clients, bool), game.empty
    for client in permutation:
        if abs(game.full - value) < tolerance:
            break
        mask[client] = True
        joined = game(mask)
        gains[client], value = joined - value, joined
    return gains


def _converged(means: list[np.ndarray], limits: Sampling) -> bool:
    if len(means) <= limits.window:
        return False
    errors = np.abs(np.stack(means[-limits.window - 1 : -1]) - means[-1]).mean(1)
    return bool(errors.max() <= limits.tolerance * np.abs(means[-1]).mean())


def _guided_permutation(key: jax.Array, index: int, clients: int) -> np.ndarray:
    """int[C]: client ``index mod C`` first, the others at random."""
    first = index % clients
    order = _random_permutation(jax.random.fold_in(key, index), clients)
    return np.concatenate([[first], order[order != first]])


def _random_permutation(key: jax.Array, clients: int) -> np.ndarray:
    return np.asarray(jax.random.permutation(key, clients))


def _checked(sampling: Sampling | None) -> Sampling:
    limits = sampling or Sampling()
    if limits.max_permutations < 1 or limits.window < 1:
        raise BoflError(
            "sampling needs at least one permutation and one estimate to compare with, not "
            f"{limits.max_permutations}, {limits.window}"
        )
    return limits
