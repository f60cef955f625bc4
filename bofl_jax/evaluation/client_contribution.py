"""How much each client contributed to a round, from the utilities of models that coalitions of the cohort would make.

The utility of a shared model is minus its log-loss, averaged over the classes, in nats. It is measured on samples that
the model was not trained on (`reliability.unseen_samples`) where there are any, otherwise on the clients' own training
samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.keys import Purpose, derive
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.inference import to_first_device
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.state import RoundInfo
from bofl_jax.evaluation.reliability import unseen_samples
from bofl_jax.evaluation.stratified import host_generator, stratified_sample
from bofl_jax.ledger import RejectionReason
from bofl_jax.metrics.contribution import ModelUtility, leave_one_out, round_value
from bofl_jax.metrics.shapley_sampling import gtg_shapley

Tree = Any

MAX_SAMPLES = 2000
"""Largest number of samples on which a model is valued; drawn once a run, spread over classes and clients."""


class ContributionEstimator:
    """Estimates client contributions, round by round.

    Args:
        problem: of a run whose server takes the weighted mean of the updates.
    """

    def __init__(self, problem: FederatedProblem) -> None:
        self._problem = problem
        self._utility = utility(problem)

    def value_round(
        self, number: int, cohort: Cohort, info: RoundInfo, previous: Tree
    ) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the contributions of the clients whose updates were accepted.

        Args:
            number: of the round.
            cohort: the clients that sent updates.
            info: the updates that arrived, and their verdicts.
            previous: what clients shared before the round.

        Returns:
            int[m], the clients, and float64[m], their contributions in units of the utility.
        """
        evaluate, lr = self._problem.config.evaluate, self._problem.config.optimizer.server_lr
        verdict = np.asarray(info.verdict)[: len(cohort.client)]
        rows = np.flatnonzero(cohort.sends & (verdict == RejectionReason.NONE))
        if not len(rows):
            return rows, np.zeros(0)
        updates = jax.tree.map(lambda leaf: lr * leaf[rows], to_first_device(info.updates))
        game = round_value(self._utility, to_first_device(previous), updates, jnp.asarray(cohort.weight[rows]))
        if evaluate.contribution == "leave-one-out":
            contribution = leave_one_out(game, len(rows), traced=False)  # one model at a time in memory
        else:
            key = derive(self._problem.root, Purpose.CONTRIBUTION, 1, number)
            contribution = gtg_shapley(game, len(rows), key).contribution
        return cohort.client[rows], contribution


def valuation_samples(problem: FederatedProblem) -> np.ndarray:
    """int32[V], V at most 2000: indices of the samples on which models are valued, none of them synthetic."""
    rows, client = unseen_samples(problem.population).flat()
    if not len(rows):
        rows, client = problem.population.train.flat()
        recorded = rows < len(problem.samples) - problem.synthetic
        rows, client = rows[recorded], client[recorded]
    rng = host_generator(problem.root, Purpose.CONTRIBUTION, 0)
    return np.asarray(rows[stratified_sample(rng, problem.samples.y[rows], client, MAX_SAMPLES)])


def utility(problem: FederatedProblem) -> ModelUtility:
    """The utility of shared models: minus the log-loss, in which every class has the same weight."""
    rows, samples = valuation_samples(problem), problem.samples
    apply, model = problem.model.apply, problem.algorithm.model
    assert model is not None
    x, features, label = (jnp.asarray(column[rows]) for column in (samples.x, samples.features, samples.y))
    counts = np.bincount(samples.y[rows])
    weight = jnp.asarray(1 / (counts[samples.y[rows]] * np.count_nonzero(counts)), jnp.float32)

    def value(shared: Tree, /) -> jax.Array:
        logits = apply(model(shared), x, features)
        log_likelihood = jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)[:, 0]
        return jnp.sum(weight * log_likelihood)

    return value


def total_contributions(records: Sequence[Mapping[str, Any]], clients: int) -> np.ndarray:
    """Add up the contributions of a whole run.

    Args:
        records: lines of ``rounds.jsonl``.
        clients: C.

    Returns:
        float64[C]; 0 for a client whose contribution was never estimated.

    >>> lines = [{"contributors": [0, 2], "contribution": [0.5, 0.25]}, {"contributors": [2], "contribution": [1.0]}]
    >>> total_contributions([*lines, {}], 3).tolist()
    [0.5, 0.0, 1.25]
    """
    total = np.zeros(clients)
    for record in records:
        if "contributors" in record:
            np.add.at(total, record["contributors"], record["contribution"])
    return total
