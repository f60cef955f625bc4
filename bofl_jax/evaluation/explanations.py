"""Explanations of some test samples: how much each input contributes to the predicted class, and how faithful that is.

Integrated gradients (Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017) of the logit of
the predicted class, from a flat line. Each sample is explained through its client's own network where there is one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.keys import Purpose, derive
from bofl_jax.data import EcgOptions
from bofl_jax.engine.inference import SampleExplanations, explanations
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.evaluation.stratified import host_generator, stratified_sample
from bofl_jax.evaluation.summary import RunPredictions
from bofl_jax.metrics.explanation import attribution_share, qrs_window
from bofl_jax.metrics.report import json_number

Tree = Any


class Explanation(NamedTuple):
    """Result files of the explained samples."""

    arrays: dict[str, np.ndarray]  # of ``explanations.npz``
    summary: dict[str, Any]  # ``explanation`` of ``summary.json``


def explain_predictions(predictions: RunPredictions, shared: Tree, personal: Tree, count: int) -> Explanation:
    """Explain some test samples, drawn from the run's root key and spread over classes and clients.

    Args:
        predictions: of all test samples.
        shared: parameters of the shared model; read only where clients have no models of their own.
        personal: parameters ``[C, ...]`` of the clients' own models, or None.
        count: E, the largest number of samples.
    """
    problem = predictions.problem
    rng = host_generator(problem.root, Purpose.EXPLAIN, 0)
    rows = stratified_sample(rng, predictions.label, predictions.client, count)
    sample, client = predictions.sample[rows], predictions.client[rows]
    probability = predictions.probability["global" if personal is None else "personalised"][rows]
    predicted = probability.argmax(axis=1).astype(np.int32)
    params, network = _networks(shared, personal, client)
    keys = jax.vmap(lambda n: derive(problem.root, Purpose.EXPLAIN, 1, n))(jnp.asarray(sample))
    found = explanations(problem, params, network, sample, predicted, keys)
    arrays = {
        "x": problem.samples.x[sample],
        "attribution": found.attribution,
        "features_attribution": found.features_attribution,
        "completeness_error": found.completeness_error,
        "label": predictions.label[rows].astype(np.int32),
        "predicted": predicted,
        "probability": probability,
        "client": np.array(problem.population.names)[client],
        "classes": np.array(problem.samples.classes),
        "sample_rate": np.float64(problem.samples.fs),
    }
    return Explanation(arrays, _summary(problem, found))


def _networks(shared: Tree, personal: Tree, client: np.ndarray) -> tuple[Tree, np.ndarray]:
    """The networks that explain samples of these clients, stacked, and the network int32[E] of each sample."""
    if personal is None:
        return jax.tree.map(lambda leaf: leaf[None], shared), np.zeros(len(client), np.int32)
    clients, network = np.unique(client, return_inverse=True)
    return jax.tree.map(lambda leaf: leaf[clients], personal), network.astype(np.int32)


def _summary(problem: FederatedProblem, found: SampleExplanations) -> dict[str, Any]:
    """Means over the samples: deletion (low is good) and insertion (high is good), also of random orders."""
    areas = ("deletion", "deletion_random", "insertion", "insertion_random")
    errors = found.completeness_error[np.isfinite(found.completeness_error)]
    return {
        "samples": len(found.deletion),
        "completeness_error_median": json_number(np.median(errors)) if len(errors) else None,
        **{name: json_number(getattr(found, name).mean()) for name in areas},
        **_qrs_shares(problem, found.attribution),
    }


def _qrs_shares(problem: FederatedProblem, attribution: np.ndarray) -> dict[str, Any]:
    """Share of the absolute attribution within 60 ms of the R peak, and the share of an even attribution there.

    None for data whose windows are not centred on an R peak.
    """
    options = problem.config.data
    if not isinstance(options, EcgOptions):
        return {"qrs_share": None, "qrs_share_even": None}
    peak = round(options.half_window / options.decimate)
    inside = qrs_window(attribution.shape[1], peak, problem.samples.fs)
    shares = np.asarray(attribution_share(jnp.asarray(attribution), inside))
    known = shares[np.isfinite(shares)]
    return {
        "qrs_share": json_number(known.mean()) if len(known) else None,
        "qrs_share_even": json_number(inside.mean()),
    }
