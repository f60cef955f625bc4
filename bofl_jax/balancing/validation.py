"""Cross-validation of synthetic batches on the client's own samples, before the batches may be used.

The training samples of a client are divided into folds. For each fold, a model is trained from the initial parameters
on the other folds, with and without the batch and with the same random draws, and predicts the fold. A batch is usable
if it lowers the log-loss, averaged over the classes that the client has, by more than its standard error allows. Small
folds are noisy, and a batch that only adds a class that the client does not have can only raise the loss.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bofl_jax import algorithms
from bofl_jax.balancing.sample_service import SyntheticBatch
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.engine.problem import FederatedProblem, pool_of
from bofl_jax.parallel.clients import map_clients
from bofl_jax.partition import pack
from bofl_jax.synthesis.options import SynthesisOptions

Tree = Any


class CrossValidationFit(NamedTuple):
    """One model to train and to validate."""

    client: int
    fold: int
    request: int  # number of the request whose batch is added to the training samples; 0: none
    train: np.ndarray  # int32[n], indices into the pool
    validation: np.ndarray  # int32[m], indices into the pool


def improving_batches(
    problem: FederatedProblem, options: SynthesisOptions, batches: Mapping[int, SyntheticBatch]
) -> set[int]:
    """The requests whose batches improve the client's own models.

    Args:
        problem: the problem without synthetic samples.
        options: folds, steps and confidence.
        batches: batches by the number of their request.
    """
    if not batches:
        return set()
    fits = _cross_validation_fits(problem, options.validation_folds, batches)
    losses: dict[tuple[int, int], np.ndarray] = {}
    labels: dict[int, np.ndarray] = {}
    for fit, loss in zip(fits, _validation_losses(problem, options.validation_steps, fits, batches), strict=True):
        name = (fit.client, fit.request)
        losses[name] = np.concatenate([losses.get(name, loss[:0]), loss])
        if not fit.request:
            known = labels.get(fit.client, problem.samples.y[:0])
            labels[fit.client] = np.concatenate([known, problem.samples.y[fit.validation]])
    return {
        request
        for request, batch in batches.items()
        if (client := batch.need.client) in labels
        and is_significant_gain(
            losses[client, 0] - losses[client, request], labels[client], options.validation_confidence
        )
    }


def is_significant_gain(gain: np.ndarray, label: np.ndarray, confidence: float) -> bool:
    """Whether a gain exceeds zero by a number of standard errors.

    The gain is the mean over classes of each class's mean. A class with a single sample is left out, because its
    variance is unknown.

    Args:
        gain: float[n], gain of every sample.
        label: int[n], class of every sample.
        confidence: number of standard errors.

    >>> is_significant_gain(np.array([0.2, 0.4, 0.1, 0.2]), np.array([0, 0, 1, 1]), 1.6)
    True
    >>> is_significant_gain(np.array([0.2, 0.4, -1.0]), np.array([0, 0, 1]), 1.6)
    True
    >>> is_significant_gain(np.array([1.0, -0.5, 0.1, 0.2]), np.array([0, 0, 1, 1]), 1.6)
    False
    """
    parts = [part for kind in np.unique(label) if len(part := gain[label == kind]) > 1]
    if not parts:
        return False
    mean = sum(part.mean() for part in parts) / len(parts)
    error = math.sqrt(sum(part.var(ddof=1) / len(part) for part in parts)) / len(parts)
    return bool(mean > confidence * error)


def _cross_validation_fits(
    problem: FederatedProblem, folds: int, batches: Mapping[int, SyntheticBatch]
) -> list[CrossValidationFit]:
    """For every client and fold, the fit without a batch, then one for each of the client's batches."""
    requests_of: dict[int, list[int]] = {}
    end, synthetic = len(problem.samples), {}
    for request, batch in batches.items():
        requests_of.setdefault(batch.need.client, [0]).append(request)
        synthetic[request] = np.arange(end, end + batch.need.amount)
        end += batch.need.amount
    words = jax.random.key_data(derive(problem.root, Purpose.SYNTHESIS, 4))
    rng = np.random.default_rng(np.asarray(words))
    fits = []
    for client, requests in requests_of.items():
        rows = rng.permutation(problem.population.train.of(client))
        rows = rows[np.argsort(problem.samples.y[rows], kind="stable")]  # a stride gives each fold all classes
        for fold in range(min(folds, len(rows))):
            validation = rows[fold::folds]
            train = np.setdiff1d(rows, validation)
            if len(train):
                added = [np.concatenate([train, synthetic.get(request, train[:0])]) for request in requests]
                fits += [
                    CrossValidationFit(client, fold, request, indices, validation)
                    for request, indices in zip(requests, added, strict=True)
                ]
    return fits


def _validation_losses(
    problem: FederatedProblem, steps: int, fits: list[CrossValidationFit], batches: Mapping[int, SyntheticBatch]
) -> list[np.ndarray]:
    """The log-loss of each fit's model on each of its validation samples."""
    pool = problem.plan.replicate(_append_batches(pool_of(problem.samples), batches))
    train, validation = pack([fit.train for fit in fits]), pack([fit.validation for fit in fits])
    keys = _fold_keys(problem.root, jnp.array([(fit.client, fit.fold) for fit in fits]))

    def client(shared: Tree, task: Tree, live: jax.Array) -> tuple[Tree, jax.Array, Tree]:
        pool, initial_params, lr, hyperparameters = shared
        rows, validated, key = task
        training = algorithms.ClientTask(rows.sample, rows.size, jnp.where(live, steps, 0), key)
        traced = problem.with_hyperparameters(hyperparameters)
        data = algorithms.local_data(problem.sampler, pool, training, lr)
        params, _ = traced.optimizer_loop(jax.value_and_grad(traced.loss), initial_params, data)
        batch = algorithms.take(pool, validated)
        logits = problem.model.apply(params, batch.x, batch.features)
        return (), jnp.float32(0), optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)

    shared = (pool, problem.initial_params, jnp.float32(problem.config.optimizer.lr), problem.hyperparameters)
    program = jax.jit(lambda shared, tasks: map_clients(problem.plan, client, shared, tasks).reports)
    losses = np.asarray(program(shared, (train, validation.sample, keys)))
    return [loss[:size] for loss, size in zip(losses, validation.size, strict=True)]


@jax.jit
def _fold_keys(root: jax.Array, pairs: jax.Array) -> jax.Array:
    """A key for each pair (client, fold), the same with and without a batch, so that models differ in nothing else."""
    return jax.vmap(lambda pair: derive(root, Purpose.SYNTHESIS, 5, pair[0], pair[1]))(pairs)


def _append_batches(pool: algorithms.Batch, batches: Mapping[int, SyntheticBatch]) -> algorithms.Batch:
    parts = [(batch.samples, batch.need.label) for batch in batches.values() if batch.samples is not None]
    return algorithms.Batch(
        jnp.concatenate([pool.x, *(samples.x for samples, _ in parts)]),
        jnp.concatenate([pool.features, *(samples.features for samples, _ in parts)]),
        jnp.concatenate([pool.y, *(np.full(len(samples.x), label, np.int32) for samples, label in parts)]),
    )
