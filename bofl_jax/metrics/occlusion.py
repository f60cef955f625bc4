"""Attribution by occlusion: the fall of a logit when a part of the input is replaced."""

from functools import partial

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.attribution import Attribution, Inputs, PredictFunction, broadcast_baseline, check_samples


def occlusion(
    predict: PredictFunction,
    x: jax.Array,
    features: jax.Array,
    label: jax.Array,
    width: int,
    stride: int = 1,
    baseline: Inputs | None = None,
) -> Attribution:
    """The fall of the logit when a piece of the window, or one feature, is replaced by the baseline.

    Pieces start at 0, ``stride``, ``2 stride`` ... and the last one ends with the window. A piece covers all leads. The
    attribution of a time sample is the mean fall over the pieces that cover it.

    Args:
        predict: the network, for one sample.
        x: float32[N, T, L].
        features: float32[N, F].
        label: int32[N], the class to explain.
        width: time samples of a piece.
        stride: time samples from piece to piece, at most ``width``.
        baseline: the replacement, as for ``integrated_gradients``.

    Returns:
        Attribution, with x float32[N, T, 1].

    Raises:
        BoflError: when the shapes do not belong together, or some time sample would not be covered.

    Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
    """
    check_samples(x, features, label)
    window = x.shape[1]
    if not 1 <= stride <= width <= window:
        raise BoflError(
            f"occlusion with width {width} and stride {stride} does not cover {window} time samples: "
            "choose 1 <= stride <= width <= T"
        )
    starts = jnp.array(sorted({*range(0, window - width + 1, stride), window - width}))
    time = jnp.arange(window)
    pieces = (time >= starts[:, None]) & (time < starts[:, None] + width)
    samples = Inputs(x, features)
    return jax.vmap(partial(_occlude, predict, pieces))(samples, broadcast_baseline(baseline, samples), label)


def _occlude(
    predict: PredictFunction, pieces: jax.Array, sample: Inputs, start: Inputs, label: jax.Array
) -> Attribution:
    """Explain one sample; pieces is bool[O, T]."""
    whole = predict(*sample)[label]

    def without_piece(piece: jax.Array) -> jax.Array:
        return whole - predict(jnp.where(piece[:, None], start.x, sample.x), sample.features)[label]

    def without_feature(chosen: jax.Array) -> jax.Array:
        return whole - predict(sample.x, jnp.where(chosen, start.features, sample.features))[label]

    falls = jax.lax.map(without_piece, pieces)
    mean = jnp.where(pieces, falls[:, None], 0.0).sum(0) / pieces.sum(0)
    each = jnp.eye(sample.features.shape[0], dtype=bool)
    return Attribution(mean[:, None], jax.vmap(without_feature)(each))
