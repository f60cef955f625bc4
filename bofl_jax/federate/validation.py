"""Does a client's own validation part improve by its synthetic samples? Asked before they may be used.

A client's training samples are cut into folds. For each fold a model is trained from the network's first parameters on
the other folds, with and without the batch, and predicts the fold. The batch is wanted if macro-F1 over the classes
that the client has is higher with it, over all folds together.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import local
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.federate.execute import run_clients
from bofl_jax.federate.setting import Setting, pool_of
from bofl_jax.federate.workshop import Batch
from bofl_jax.partition import pack
from bofl_jax.synthesis import SynthesisOptions

Tree = Any


class Trial(NamedTuple):
    """One model to train and to ask."""

    client: int
    fold: int
    request: int  # whose batch it trains on too; 0: none
    train: np.ndarray  # int32[n], rows of the pool
    ask: np.ndarray  # int32[m]


def improves(setting: Setting, options: SynthesisOptions, batches: Mapping[int, Batch]) -> set[int]:
    """The requests whose batches make their client's own models better.

    Args:
        setting: without synthetic samples.
        options: folds and steps.
        batches: by request.
    """
    if not batches:
        return set()
    trials = _trials(setting, options.validation_folds, batches)
    predicted = _predict(setting, options.validation_steps, trials, batches)
    labels = setting.samples.y
    answers: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for trial, answer in zip(trials, predicted, strict=True):
        answers.setdefault((trial.client, trial.request), []).append((labels[trial.ask], answer))
    score = {name: macro_f1(*map(np.concatenate, zip(*found, strict=True))) for name, found in answers.items()}
    return {r for r, batch in batches.items() if score[batch.need.client, r] > score[batch.need.client, 0]}


def macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that occur in ``truth``.

    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 2, 1]))
    0.8333333333333333
    """
    found = []
    for label in np.unique(truth):
        hits = np.sum((truth == label) & (predicted == label))
        found.append(2 * hits / (np.sum(truth == label) + np.sum(predicted == label)))
    return float(np.mean(found))


def _trials(setting: Setting, folds: int, batches: Mapping[int, Batch]) -> list[Trial]:
    """Every client's models without any batch, then one for each of its batches."""
    of_client: dict[int, list[int]] = {}
    place, first = len(setting.samples), {}
    for request, batch in batches.items():
        of_client.setdefault(batch.need.client, [0]).append(request)
        first[request] = np.arange(place, place + batch.need.amount)
        place += batch.need.amount
    words = jax.random.key_data(derive(setting.root, Purpose.SYNTHESIS, 4))
    rng = np.random.default_rng(np.asarray(words))
    trials = []
    for client, requests in of_client.items():
        rows = rng.permutation(setting.population.train.of(client))
        rows = rows[np.argsort(setting.samples.y[rows], kind="stable")]  # dealing in turn gives each fold all classes
        for fold in range(min(folds, len(rows))):
            ask = rows[fold::folds]
            train = np.setdiff1d(rows, ask)
            if len(train):
                trials += [
                    Trial(client, fold, request, np.concatenate([train, first.get(request, train[:0])]), ask)
                    for request in requests
                ]
    return trials


def _predict(setting: Setting, steps: int, trials: list[Trial], batches: Mapping[int, Batch]) -> list[np.ndarray]:
    """The classes that the trials' models find in what they are asked."""
    pool = setting.plan.replicate(_with(pool_of(setting.samples), batches))
    train, ask = pack([trial.train for trial in trials]), pack([trial.ask for trial in trials])
    keys = _keys(setting.root, jnp.array([(trial.client, trial.fold) for trial in trials]))

    def model(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, first, lr, known = shared
        rows, asked, key = each
        work = local.Work(rows.sample, rows.size, jnp.where(live, steps, 0), key)
        with_numbers = setting.with_numbers(known)
        data = local.local_data(setting.sampler, pool, work, lr)
        params, _ = with_numbers.descent(jax.value_and_grad(with_numbers.loss), first, data)
        batch = local.take(pool, asked)
        return (), jnp.float32(0), setting.model.apply(params, batch.x, batch.features).argmax(axis=1)

    shared = (pool, setting.first, jnp.float32(setting.config.optimizer.lr), setting.numbers)
    work = jax.jit(lambda shared, each: run_clients(setting.plan, model, shared, each).each)
    predicted = np.asarray(work(shared, (train, ask.sample, keys)))
    return [answer[:size] for answer, size in zip(predicted, ask.size, strict=True)]


@jax.jit
def _keys(root: jax.Array, places: jax.Array) -> jax.Array:
    """A key for each client and fold: models with and without a batch differ in nothing else."""
    return jax.vmap(lambda place: derive(root, Purpose.SYNTHESIS, 5, place[0], place[1]))(places)


def _with(pool: local.Batch, batches: Mapping[int, Batch]) -> local.Batch:
    drawn = [batch.drawn for batch in batches.values() if batch.drawn is not None]
    labels = [np.full(len(batch.drawn.x), batch.need.label, np.int32) for batch in batches.values() if batch.drawn]
    return local.Batch(
        jnp.concatenate([pool.x, *(part.x for part in drawn)]),
        jnp.concatenate([pool.features, *(part.features for part in drawn)]),
        jnp.concatenate([pool.y, *labels]),
    )
