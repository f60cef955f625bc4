"""What each client was worth to a round: the utility of the models that coalitions of the cohort would have made.

The utility of a shared model is minus its log-loss, averaged over the classes, in nats, on samples that it has not seen
(`safety.unseen`) where there are any, and on the clients' own training samples otherwise.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.keys import Purpose, derive
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.inference import to_first_device
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.round import RoundInfo
from bofl_jax.evaluation.reliability import unseen
from bofl_jax.evaluation.stratified import generator, stratified_sample
from bofl_jax.ledger import RejectionReason
from bofl_jax.metrics.contribution import gtg_shapley, leave_one_out, round_value

Tree = Any

MOST_SAMPLES = 2000
"""On how many samples a model is valued, at most; drawn once a run, spread over classes and clients."""


class Contributions:
    """The games of a run's rounds.

    Args:
        setting: of a run whose server takes the weighted mean of the updates.
    """

    def __init__(self, setting: FederatedProblem) -> None:
        self._setting = setting
        self._utility = utility(setting)

    def of_round(self, number: int, cohort: Cohort, info: RoundInfo, before: Tree) -> tuple[np.ndarray, np.ndarray]:
        """What the clients whose updates counted were worth.

        Args:
            number: of the round.
            cohort: who sent.
            info: what arrived.
            before: what was shared before the round.

        Returns:
            int[m], the clients, and float64[m], what each one's update added to the utility.
        """
        evaluate, lr = self._setting.config.evaluate, self._setting.config.optimizer.server_lr
        verdict = np.asarray(info.verdict)[: len(cohort.client)]
        rows = np.flatnonzero(cohort.sends & (verdict == RejectionReason.NONE))
        if not len(rows):
            return rows, np.zeros(0)
        updates = jax.tree.map(lambda leaf: lr * leaf[rows], to_first_device(info.updates))
        game = round_value(self._utility, to_first_device(before), updates, jnp.asarray(cohort.weight[rows]))
        if evaluate.contribution == "leave-one-out":
            worth = leave_one_out(game, len(rows), traced=False)  # one model at a time in the memory
        else:
            key = derive(self._setting.root, Purpose.CONTRIBUTION, 1, number)
            worth = gtg_shapley(game, len(rows), key).contribution
        return cohort.client[rows], worth


def valued_on(setting: FederatedProblem) -> np.ndarray:
    """int32[<=2000]: the samples on which the models of a run are valued; no synthetic ones."""
    rows, client = unseen(setting.population).flat()
    if not len(rows):
        rows, client = setting.population.train.flat()
        recorded = rows < len(setting.samples) - setting.synthetic
        rows, client = rows[recorded], client[recorded]
    drawn = generator(setting.root, Purpose.CONTRIBUTION, 0)
    return rows[stratified_sample(drawn, setting.samples.y[rows], client, MOST_SAMPLES)]


def utility(setting: FederatedProblem) -> Callable[[Tree], jax.Array]:
    """What is shared -> float32[], minus the log-loss of its model, each class counting the same."""
    rows, samples = valued_on(setting), setting.samples
    apply, model = setting.model.apply, setting.algorithm.model
    assert model is not None
    x, features, label = (jnp.asarray(column[rows]) for column in (samples.x, samples.features, samples.y))
    counts = np.bincount(samples.y[rows])
    weight = jnp.asarray(1 / (counts[samples.y[rows]] * np.count_nonzero(counts)), jnp.float32)

    def worth(shared: Tree) -> jax.Array:
        logits = apply(model(shared), x, features)
        of_label = jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], axis=1)[:, 0]
        return jnp.sum(weight * of_label)

    return worth


def total(records: Sequence[dict[str, Any]], clients: int) -> np.ndarray:
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
