"""Does a client's own validation part improve by its synthetic samples? Asked before they may be used.

A client's training samples are cut into folds. For each fold a model is trained from the network's first parameters on
the other folds, with and without the batch, with the same draws, and predicts the fold. The batch is wanted if
log-loss, averaged over the classes that the client has, is lower with it by more than its standard error allows: what
small parts say is noisy, and a batch that only adds a class the client never has makes it worse, if anything.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bofl_jax import algorithms
from bofl_jax.balancing.sample_service import Batch
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.engine.problem import FederatedProblem, pool_of
from bofl_jax.parallel.clients import map_clients
from bofl_jax.partition import pack
from bofl_jax.synthesis import SynthesisOptions

Tree = Any


class CrossValidationFit(NamedTuple):
    """One model to train and to ask."""

    client: int
    fold: int
    request: int  # whose batch it trains on too; 0: none
    train: np.ndarray  # int32[n], rows of the pool
    ask: np.ndarray  # int32[m]


def improving_batches(setting: FederatedProblem, options: SynthesisOptions, batches: Mapping[int, Batch]) -> set[int]:
    """The requests whose batches make their client's own models better.

    Args:
        setting: without synthetic samples.
        options: folds and steps.
        batches: by request.
    """
    if not batches:
        return set()
    trials = _trials(setting, options.validation_folds, batches)
    losses: dict[tuple[int, int], np.ndarray] = {}
    labels: dict[int, np.ndarray] = {}
    for trial, loss in zip(trials, _losses(setting, options.validation_steps, trials, batches), strict=True):
        name = (trial.client, trial.request)
        losses[name] = np.concatenate([losses.get(name, loss[:0]), loss])
        if not trial.request:
            known = labels.get(trial.client, setting.samples.y[:0])
            labels[trial.client] = np.concatenate([known, setting.samples.y[trial.ask]])
    return {
        request
        for request, batch in batches.items()
        if (client := batch.need.client) in labels
        and is_significant_gain(
            losses[client, 0] - losses[client, request], labels[client], options.validation_confidence
        )
    }


def is_significant_gain(gain: np.ndarray, label: np.ndarray, confidence: float) -> bool:
    """Whether a gain is above zero by so many standard errors.

    Args:
        gain: float[n], of every sample.
        label: int[n], its class. The gain is the mean of the classes' means; a class of one sample says nothing, as
            nobody knows how much it would vary.
        confidence: standard errors.

    >>> is_gain(np.array([0.2, 0.4, 0.1, 0.2]), np.array([0, 0, 1, 1]), 1.6)
    True
    >>> is_gain(np.array([0.2, 0.4, -1.0]), np.array([0, 0, 1]), 1.6)
    True
    >>> is_gain(np.array([1.0, -0.5, 0.1, 0.2]), np.array([0, 0, 1, 1]), 1.6)
    False
    """
    parts = [part for kind in np.unique(label) if len(part := gain[label == kind]) > 1]
    if not parts:
        return False
    mean = sum(part.mean() for part in parts) / len(parts)
    error = math.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)) / len(parts)
    return bool(mean > confidence * error)


def _trials(setting: FederatedProblem, folds: int, batches: Mapping[int, Batch]) -> list[CrossValidationFit]:
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
                    CrossValidationFit(
                        client, fold, request, np.concatenate([train, first.get(request, train[:0])]), ask
                    )
                    for request in requests
                ]
    return trials


def _losses(
    setting: FederatedProblem, steps: int, trials: list[CrossValidationFit], batches: Mapping[int, Batch]
) -> list[np.ndarray]:
    """The log-loss of the trials' models on each sample that they are asked."""
    pool = setting.plan.replicate(_with(pool_of(setting.samples), batches))
    train, ask = pack([trial.train for trial in trials]), pack([trial.ask for trial in trials])
    keys = _keys(setting.root, jnp.array([(trial.client, trial.fold) for trial in trials]))

    def model(shared: Tree, each: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, first, lr, known = shared
        rows, asked, key = each
        work = algorithms.ClientTask(rows.sample, rows.size, jnp.where(live, steps, 0), key)
        with_numbers = setting.with_hyperparameters(known)
        data = algorithms.local_data(setting.sampler, pool, work, lr)
        params, _ = with_numbers.descent(jax.value_and_grad(with_numbers.loss), first, data)
        batch = algorithms.take(pool, asked)
        logits = setting.model.apply(params, batch.x, batch.features)
        return (), jnp.float32(0), optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)

    shared = (pool, setting.initial_params, jnp.float32(setting.config.optimizer.lr), setting.hyperparameters)
    work = jax.jit(lambda shared, each: map_clients(setting.plan, model, shared, each).reports)
    losses = np.asarray(work(shared, (train, ask.sample, keys)))
    return [loss[:size] for loss, size in zip(losses, ask.size, strict=True)]


@jax.jit
def _keys(root: jax.Array, places: jax.Array) -> jax.Array:
    """A key for each client and fold: models with and without a batch differ in nothing else."""
    return jax.vmap(lambda place: derive(root, Purpose.SYNTHESIS, 5, place[0], place[1]))(places)


def _with(pool: algorithms.Batch, batches: Mapping[int, Batch]) -> algorithms.Batch:
    drawn = [batch.drawn for batch in batches.values() if batch.drawn is not None]
    labels = [np.full(len(batch.drawn.x), batch.need.label, np.int32) for batch in batches.values() if batch.drawn]
    return algorithms.Batch(
        jnp.concatenate([pool.x, *(part.x for part in drawn)]),
        jnp.concatenate([pool.features, *(part.features for part in drawn)]),
        jnp.concatenate([pool.y, *labels]),
    )
