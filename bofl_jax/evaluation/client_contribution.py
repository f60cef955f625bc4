"""What each client was worth to a round: the utility of the models that coalitions of the cohort would have made.

The utility of a shared model is minus its log-loss, averaged over the classes, in nats, on samples that it has not seen
(`safety.unseen`) where there are any, and on the clients' own training samples otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.keys import Purpose, derive
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.inference import to_first_device
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.round import RoundInfo
from bofl_jax.evaluation.reliability import unseen_samples
from bofl_jax.evaluation.stratified import host_generator, stratified_sample
from bofl_jax.ledger import RejectionReason
from bofl_jax.metrics.contribution import gtg_shapley, leave_one_out, round_value

Tree = Any

MAX_SAMPLES = 2000
"""On how many samples a model is valued, at most; drawn once a run, spread over classes and clients."""


class ContributionEstimator:
    """The games of a run's rounds.

    Args:
        setting: of a run whose server takes the weighted mean of the updates.
    """

    def __init__(self, problem: FederatedProblem) -> None:
        self._problem = problem
        self._utility = utility(problem)

    def value_round(
        self, number: int, cohort: Cohort, info: RoundInfo, previous: Tree
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the clients whose updates counted were worth.

        Args:
            number: of the round.
            cohort: who sent.
            info: what arrived.
            before: what was shared before the round.

        Returns:
            int[m], the clients, and float64[m], what each one's update added to the utility.
        """
        evaluate, lr = self._problem.config.evaluate, self._problem.config.optimizer.server_lr
        verdict = np.asarray(info.verdict)[: len(cohort.client)]
        rows = np.flatnonzero(cohort.sends & (verdict == RejectionReason.NONE))
        if not len(rows):
            return rows, np.zeros(0)
        updates = jax.tree.map(lambda leaf: lr * leaf[rows], to_first_device(info.updates))
        game = round_value(self._utility, to_first_device(previous), updates, jnp.asarray(cohort.weight[rows]))
        if evaluate.contribution == "leave-one-out":
            worth = leave_one_out(game, len(rows), traced=False)  # one model at a time in the memory
        else:
            key = derive(self._problem.root, Purpose.CONTRIBUTION, 1, number)
            worth = gtg_shapley(game, len(rows), key).contribution
        return cohort.client[rows], worth


def valuation_samples(problem: FederatedProblem) -> np.ndarray:
    """int32[<=2000]: the samples on which the models of a run are valued; no synthetic ones."""
    rows, client = unseen_samples(problem.population).flat()
    if not len(rows):
        rows, client = problem.population.train.flat()
        recorded = rows < len(problem.samples) - problem.synthetic
        rows, client = rows[recorded], client[recorded]
    drawn = host_generator(problem.root, Purpose.CONTRIBUTION, 0)
    return rows[stratified_sample(drawn, problem.samples.y[rows], client, MAX_SAMPLES)]


def utility(problem: FederatedProblem) -> Callable[[Tree], jax.Array]:
    """What is shared -> float32[], minus the log-loss of its model, each class counting the same."""
    rows, samples = valuation_samples(problem), problem.samples
    apply, model = problem.model.apply, problem.algorithm.model
    assert model is not None
    x, features, label = (jnp.asarray(column[rows]) for column in (samples.x, samples.features, samples.y))
    counts = np.bincount(samples.y[rows])
    weight = jnp.asarray(1 / (counts[samples.y[rows]] * np.count_nonzero(counts)), jnp.float32)

    def worth(shared: Tree) -> jax.Array:
        logits = apply(model(shared), x, features)
        of_label = jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)[:, 0]
        return jnp.sum(weight * of_label)

    return worth


def total_contributions(records: Sequence[Mapping[str, Any]], clients: int) -> np.ndarray:
    """float64[C]: contributions to a whole run, from the lines of ``rounds.jsonl``; 0 for who was never valued.

    >>> first, last = ([0, 2], [0.5, 0.25]), ([2], [1.0])
    >>> lines = [{"contributors": clients, "contribution": worth} for clients, worth in (first, last)]
    >>> total([*lines, {}], 3).tolist()
    [0.5, 0.0, 1.25]
    """
    found = np.zeros(clients)
    for record in records:
        if "contributors" in record:
            np.add.at(found, record["contributors"], record["contribution"])
    return found
