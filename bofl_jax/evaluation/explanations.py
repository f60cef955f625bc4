"""Some test samples of a run explained: what each time sample adds to the predicted class, and whether that is true.

Integrated gradients (Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017) of the logit of
the predicted class, from a flat line; each sample through its client's own network where there is one.
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
from bofl_jax.evaluation.summary import TestPredictions
from bofl_jax.metrics.explanation import attribution_share, qrs_window
from bofl_jax.metrics.report import json_number

Tree = Any


class Explanation(NamedTuple):
    """What is written of the explained samples."""

    arrays: dict[str, np.ndarray]  # of ``explanations.npz``
    summary: dict[str, Any]  # ``explanation`` of ``summary.json``


def explain_predictions(predictions: TestPredictions, shared: Tree, personal: Tree, count: int) -> Explanation:
    """Explain some test samples, drawn from the run's root key and spread over classes and clients.

    Args:
        predictions: of all test samples.
        shared: parameters of the shared model; read only where clients have none of their own.
        own: parameters ``[C, ...]``, or None.
        count: E, at most.
    """
    setting = predictions.problem
    rows = stratified_sample(
        host_generator(setting.root, Purpose.EXPLAIN, 0), predictions.label, predictions.client, count
    )
    sample, client = predictions.sample[rows], predictions.client[rows]
    probability = predictions.probability["global" if personal is None else "personalised"][rows]
    predicted = probability.argmax(axis=1).astype(np.int32)
    whose, place = np.unique(client, return_inverse=True)
    if personal is None:
        params, place = jax.tree.map(lambda leaf: leaf[None], shared), np.zeros(len(rows), np.int32)
    else:
        params = jax.tree.map(lambda leaf: leaf[whose], personal)
    keys = jax.vmap(lambda n: derive(setting.root, Purpose.EXPLAIN, 1, n))(jnp.asarray(sample))
    found = explanations(setting, params, place.astype(np.int32), sample, predicted, keys)
    arrays = {
        "x": setting.samples.x[sample],
        "attribution": found.attribution,
        "features_attribution": found.features_attribution,
        "completeness_error": found.completeness_error,
        "label": predictions.label[rows].astype(np.int32),
        "predicted": predicted,
        "probability": probability,
        "client": np.array(setting.population.names)[client],
        "classes": np.array(setting.samples.classes),
        "sample_rate": np.float64(setting.samples.fs),
    }
    return Explanation(arrays, _summary(setting, found))


def _summary(problem: FederatedProblem, found: SampleExplanations) -> dict[str, Any]:
    """Means over the samples. Low deletion and high insertion are good, seen beside those of random orders."""
    areas = ("deletion", "deletion_random", "insertion", "insertion_random")
    errors = found.completeness_error[np.isfinite(found.completeness_error)]
    return {
        "samples": len(found.deletion),
        "completeness_error_median": json_number(np.median(errors)) if len(errors) else None,
        **{name: json_number(getattr(found, name).mean()) for name in areas},
        **_qrs_shares(problem, found.attribution),
    }


def _qrs_shares(problem: FederatedProblem, attribution: np.ndarray) -> dict[str, Any]:
    """How much of the absolute attribution lies within 60 ms of the R peak, and how much of an even one would.

    None where nobody knows of an R peak in the middle of the window.
    """
    options = problem.config.data
    if not isinstance(options, EcgOptions):
        return {"qrs_share": None, "qrs_share_even": None}
    peak = round(options.half_window / options.decimate)
    inside = qrs_window(attribution.shape[1], peak, problem.samples.fs)
    share = np.asarray(attribution_share(jnp.asarray(attribution), inside))
    known = share[np.isfinite(share)]
    return {
        "qrs_share": json_number(known.mean()) if len(known) else None,
        "qrs_share_even": json_number(inside.mean()),
    }
