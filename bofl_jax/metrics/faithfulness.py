"""Faithfulness of attributions: deletion and insertion curves, and the comparison with a network of random weights.

As in ``attribution``, a network is a function ``predict(x[T, L], features[F]) -> logits[K]`` of one sample.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.attribution import (
    Inputs,
    PredictFunction,
    broadcast_baseline,
    check_samples,
    saliency,
    sample_keys,
)

POINTS = 32

Params = Any


class HasAttribution(Protocol):
    """The result of an explainer."""

    @property
    def x(self) -> jax.Array:
        """float32[N, T, L], the attribution."""
        ...


class Explainer(Protocol):
    """A method of explanation, for example `saliency`."""

    def __call__(
        self, predict: PredictFunction, x: jax.Array, features: jax.Array, label: jax.Array, /
    ) -> HasAttribution:
        """Explain the logit of class label int32[N] for x float32[N, T, L] and features float32[N, F]."""
        ...


class ParametricPredictFunction(Protocol):
    """A network as a function of its parameters, for one sample."""

    def __call__(self, params: Params, x: jax.Array, features: jax.Array, /) -> jax.Array:
        """Compute logits float32[K] from x float32[T, L] and features float32[F]."""
        ...


class Faithfulness(NamedTuple):
    """Areas under the curves of one order of the time samples, and of O random orders."""

    deletion: jax.Array  # float32[N], low is good
    insertion: jax.Array  # float32[N], high is good
    random_deletion: jax.Array  # float32[O, N]
    random_insertion: jax.Array  # float32[O, N]


def ranking(attribution: jax.Array) -> jax.Array:
    """Time samples from the largest attribution, summed over the leads, to the smallest; ties in order of time.

    Args:
        attribution: float32[N, T, L]. Pass its absolute value where the sign has no meaning.

    Returns:
        int32[N, T], a permutation of the time samples in every row.

    >>> ranking(jnp.array([[[0.1], [0.7], [-2.0]]])).tolist()
    [[1, 0, 2]]
    """
    return jnp.argsort(-attribution.sum(-1), axis=-1, stable=True)


def random_ranking(key: jax.Array, samples: int, window: int) -> jax.Array:
    """int32[N, T]: a random order of the time samples for each sample, uniformly distributed.

    Args:
        key: of the orders.
        samples: N.
        window: T.
    """
    return jax.vmap(lambda one: jax.random.permutation(one, window))(sample_keys(key, samples))


def deletion_curve(
    predict: PredictFunction,
    x: jax.Array,
    features: jax.Array,
    label: jax.Array,
    order: jax.Array,
    baseline: jax.Array | None = None,
    points: int = POINTS,
) -> jax.Array:
    """Probability of the class as time samples are replaced by a baseline, in the given order.

    Args:
        predict: the network, for one sample.
        x: float32[N, T, L].
        features: float32[N, F]; they are not replaced.
        label: int32[N], the class to follow.
        order: int32[N, T], as from ``ranking``.
        baseline: float32[T, L] or a shape that broadcasts to x; zero if it is left out.
        points: M.

    Returns:
        float32[N, M + 1]: at point m, ``m T / M`` time samples (rounded) are replaced.

    Raises:
        BoflError: when the shapes do not belong together or M is not in 1 .. T.

    Petsiuk, Das & Saenko, "RISE: randomized input sampling for explanation of black-box models", BMVC 2018.
    """
    return _curve(predict, Inputs(x, features), label, order, baseline, points, insert=False)


def insertion_curve(
    predict: PredictFunction,
    x: jax.Array,
    features: jax.Array,
    label: jax.Array,
    order: jax.Array,
    baseline: jax.Array | None = None,
    points: int = POINTS,
) -> jax.Array:
    """Probability of the class as time samples are inserted into a baseline; arguments as for ``deletion_curve``."""
    return _curve(predict, Inputs(x, features), label, order, baseline, points, insert=True)


def curve_area(curve: jax.Array) -> jax.Array:
    """Area under curves over the share of replaced time samples: float32[...] from float32[..., M + 1].

    >>> float(curve_area(jnp.array([1.0, 0.5, 0.0])))
    0.5
    """
    return jnp.trapezoid(curve, dx=1 / (curve.shape[-1] - 1), axis=-1)


def faithfulness(
    predict: PredictFunction,
    x: jax.Array,
    features: jax.Array,
    label: jax.Array,
    attribution: jax.Array,
    keys: jax.Array,
    baseline: jax.Array | None = None,
    points: int = POINTS,
) -> Faithfulness:
    """Areas under the deletion and insertion curves of an attribution beside those of random orders.

    Args:
        predict: the network, for one sample.
        x: float32[N, T, L].
        features: float32[N, F].
        label: int32[N], the class that was explained.
        attribution: float32[N, T, L], its explanation.
        keys: key[O], one for every random order.
        baseline: as for ``deletion_curve``.
        points: as for ``deletion_curve``.

    Raises:
        BoflError: as ``deletion_curve``.
    """

    @jax.jit
    def areas(order: jax.Array) -> tuple[jax.Array, jax.Array]:
        curves = (deletion_curve, insertion_curve)
        deleted, inserted = (curve(predict, x, features, label, order, baseline, points) for curve in curves)
        return curve_area(deleted), curve_area(inserted)

    random = [areas(random_ranking(key, *x.shape[:2])) for key in keys]
    deletion, insertion = (jnp.stack(column) for column in zip(*random, strict=True))
    deleted, inserted = areas(ranking(attribution))
    return Faithfulness(deleted, inserted, deletion, insertion)


def randomisation_check(
    predict: ParametricPredictFunction,
    params: Params,
    reinitialised: Params,
    x: jax.Array,
    features: jax.Array,
    label: jax.Array,
    layers: Sequence[str] | None = None,
    explain: Explainer = saliency,
) -> np.ndarray:
    """Rank correlation of explanations of the trained network and of networks with reinitialised layers.

    The explanation of a trained network should change (a correlation below .3). One that does not change shows the
    input and not the network.

    Args:
        predict: parameters, x[T, L], features[F] -> logits[K].
        params: the trained network's parameters.
        reinitialised: the same pytree, from the model's ``init`` with another key.
        x: float32[N, T, L].
        features: float32[N, F].
        label: int32[N], the class to explain.
        layers: keys of ``params`` from the last layer to the first, which are reinitialised cumulatively; if they are
            left out, all layers are reinitialised at once.
        explain: the method of explanation; its field ``x`` is compared.

    Returns:
        float64[stages, N]: Spearman's correlation of the absolute attributions over time and leads; a row for each
        layer, or a single row. NaN where an attribution is constant.

    Raises:
        BoflError: if the parameters have no such layer, or ``reinitialised`` is another pytree.

    Adebayo, Gilmer, Muelly, Goodfellow, Hardt & Kim, "Sanity checks for saliency maps", NeurIPS 2018.
    """
    layouts = {str(jax.tree.structure(tree)) for tree in (params, reinitialised)}
    if len(layouts) != 1:
        raise BoflError("reinitialised is another pytree than params: take both from the same model")

    stages = [reinitialised] if layers is None else _cascade(params, reinitialised, layers)

    @jax.jit
    def magnitude(params: Params) -> jax.Array:
        found = explain(partial(predict, params), x, features, label)
        return jnp.abs(found.x).reshape(len(x), -1)

    trained = np.asarray(magnitude(params))
    return np.stack([_rank_correlation(trained, np.asarray(magnitude(stage))) for stage in stages])


def _curve(
    predict: PredictFunction,
    samples: Inputs,
    label: jax.Array,
    order: jax.Array,
    baseline: jax.Array | None,
    points: int,
    insert: bool,
) -> jax.Array:
    check_samples(*samples, label)
    _check_order(samples.x, order, points)
    zero = jnp.zeros_like(samples.features)
    background = broadcast_baseline(None if baseline is None else Inputs(baseline, zero), samples).x
    window = samples.x.shape[1]
    counts = jnp.round(jnp.arange(points + 1) * window / points)
    before, after = (background, samples.x) if insert else (samples.x, background)

    def one(before: jax.Array, after: jax.Array, features: jax.Array, label: jax.Array, order: jax.Array) -> jax.Array:
        rank = jnp.argsort(order)[:, None]

        def probability(count: jax.Array) -> jax.Array:
            return jax.nn.softmax(predict(jnp.where(rank < count, after, before), features))[label]

        found: jax.Array = jax.lax.map(probability, counts)
        return found

    curves: jax.Array = jax.vmap(one)(before, after, samples.features, label, order)
    return curves


def _check_order(x: jax.Array, order: jax.Array, points: int) -> None:
    if order.shape != x.shape[:2]:
        raise BoflError(f"the order has shape {order.shape}: give {x.shape[:2]}, all time samples of every sample")
    if not 1 <= points <= x.shape[1]:
        raise BoflError(f"a curve of {points} points over {x.shape[1]} time samples: choose 1 to {x.shape[1]} points")


def _cascade(params: Params, reinitialised: Params, layers: Sequence[str]) -> list[Params]:
    known = list(params) if isinstance(params, Mapping) else []
    unknown = [name for name in layers if name not in known]
    if unknown or not layers:
        wrong = f"the parameters have no layer {unknown[0]!r}" if unknown else "there is no layer to reinitialise"
        raise BoflError(f"{wrong}: choose from {', '.join(known) or 'none'}, or leave layers out")
    ends = range(1, len(layers) + 1)
    return [{**params, **{name: reinitialised[name] for name in layers[:end]}} for end in ends]


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float[N, D] twice -> float64[N], Spearman's correlation of the rows."""
    from scipy.stats import spearmanr

    varied = (np.ptp(one, axis=1) > 0) & (np.ptp(other, axis=1) > 0)
    pairs = zip(one, other, varied, strict=True)
    return np.array([spearmanr(a, b).statistic if vary else np.nan for a, b, vary in pairs])
