"""Attributions: the part of each input in a network's output, by gradients or integrated gradients.

A network is a function ``predict(x float32[T, L], features float32[F]) -> logits[K]`` of one sample. The logit of one
class is explained. The functions here are pure and take N samples at once. They are not compiled by themselves; for one
program that serves every client's parameters write

    explain = jax.jit(lambda params, *samples: integrated_gradients(partial(predict, params), *samples))
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.arithmetic import ratio


class PredictFunction(Protocol):
    """A network, for one sample."""

    def __call__(self, x: jax.Array, features: jax.Array, /) -> jax.Array:
        """Compute logits float32[K] from x float32[T, L] and features float32[F]."""
        ...


STEPS, MAX_STEPS = 64, 4096
REFINEMENT = 4
"""Factor by which a number of steps is multiplied if it was too small."""


class Inputs(NamedTuple):
    """Inputs of a network."""

    x: jax.Array  # float32[T, L]
    features: jax.Array  # float32[F]


class Attribution(NamedTuple):
    """The effect of every input on the logit of the class."""

    x: jax.Array  # float32[N, T, L]
    features: jax.Array  # float32[N, F]


class IntegratedGradients(NamedTuple):
    """An attribution whose sum is the gain of the logit over the baseline's, and the error of the sum."""

    x: jax.Array  # float32[N, T, L]
    features: jax.Array  # float32[N, F]
    completeness_error: jax.Array  # float32[N], relative; NaN where the logit equals the baseline's


_Refined = tuple[jax.Array, IntegratedGradients]
"""Number of steps, and their result."""


def saliency(predict: PredictFunction, x: jax.Array, features: jax.Array, label: jax.Array) -> Attribution:
    r"""Absolute gradient of a class's logit, :math:`|\partial f_k / \partial x|`.

    Args:
        predict: the network, for one sample.
        x: float32[N, T, L].
        features: float32[N, F].
        label: int32[N], the class k to explain.

    Raises:
        BoflError: when the shapes do not belong together.

    Simonyan, Vedaldi & Zisserman, "Deep inside convolutional networks: visualising image classification models and
    saliency maps", ICLR workshop 2014.

    >>> x, features = jnp.ones((1, 2, 1)), jnp.ones((1, 1))
    >>> linear = lambda x, features: jnp.stack([3 * x[0, 0] - x[1, 0] + features[0], 0.0])
    >>> saliency(linear, x, features, jnp.array([0])).x.ravel().tolist()
    [3.0, 1.0]
    """
    found: Attribution = jax.tree.map(jnp.abs, gradient(predict, x, features, label))
    return found


def gradient(predict: PredictFunction, x: jax.Array, features: jax.Array, label: jax.Array) -> Attribution:
    """The gradient with its sign; arguments and errors as those of ``saliency``."""
    check_samples(x, features, label)
    return Attribution(*jax.vmap(partial(_gradient_at, predict))(Inputs(x, features), label))


def integrated_gradients(
    predict: PredictFunction,
    x: jax.Array,
    features: jax.Array,
    label: jax.Array,
    baseline: Inputs | None = None,
    steps: int = STEPS,
    tolerance: float | None = None,
) -> IntegratedGradients:
    r"""Gradients along the straight path from a baseline :math:`b`, by the midpoint rule.

    .. math:: a_i = (x_i - b_i) \frac1m \sum_{j=1}^{m} \partial_i f_k\left(b + \frac{j - 1/2}{m} (x - b)\right)

    The sum of all :math:`a_i`, features included, is :math:`f_k(x) - f_k(b)` up to the error of the rule, which is
    returned as :math:`|\sum_i a_i - (f_k(x) - f_k(b))| / |f_k(x) - f_k(b)|`.

    Args:
        predict: the network, for one sample.
        x: float32[N, T, L].
        features: float32[N, F].
        label: int32[N], the class k to explain.
        baseline: x and features of the same shapes, or of shapes that broadcast to them; all zero if it is left out,
            that is a flat line and, where features are centred, their means.
        steps: m. With 64 steps the error of a smooth network is far below 1 %; with ReLU and max-pooling it is about
            1 %, and more where the logit hardly differs from the baseline's.
        tolerance: if given, a sample with a larger error is explained again with four times the steps, until the error
            is small enough or more than 4096 steps would be needed.

    Raises:
        BoflError: when the shapes do not belong together or there is no step.

    Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017.

    >>> square = lambda x, features: jnp.stack([x[0, 0] ** 2 + features[0], 0.0])
    >>> found = integrated_gradients(square, jnp.full((1, 1, 1), 3.0), jnp.ones((1, 1)), jnp.array([0]))
    >>> [round(float(found.x[0, 0, 0]), 4), round(float(found.features[0, 0]), 4)]
    [9.0, 1.0]
    """
    check_samples(x, features, label)
    if steps < 1:
        raise BoflError(f"integrated gradients need at least one step, not {steps}: {STEPS} are usual")
    samples = Inputs(x, features)
    start = broadcast_baseline(baseline, samples)
    once = partial(_integrate, predict)
    explain = partial(once, steps) if tolerance is None else partial(_refine_until, once, steps, tolerance)
    return jax.vmap(explain)(start, samples, label)


def smooth_grad(
    predict: PredictFunction,
    x: jax.Array,
    features: jax.Array,
    label: jax.Array,
    key: jax.Array,
    noise: float = 0.15,
    draws: int = 50,
) -> Attribution:
    """The mean gradient over noisy copies of the sample.

    Args:
        predict: the network, for one sample.
        x: float32[N, T, L].
        features: float32[N, F]; no noise is added to them.
        label: int32[N], the class to explain.
        key: of the noise; the noise of sample n depends on the key and on n alone.
        noise: standard deviation of the noise, as a share of the range (max - min) of the sample's x.
        draws: number of noisy copies.

    Raises:
        BoflError: when the shapes do not belong together or there is no copy.

    Smilkov, Thorat, Kim, Viégas & Wattenberg, "SmoothGrad: removing noise by adding noise", ICML workshop 2017.
    """
    check_samples(x, features, label)
    if draws < 1:
        raise BoflError(f"smooth_grad needs at least one noisy copy, not {draws}: 50 are usual")

    def one(key: jax.Array, sample: Inputs, label: jax.Array) -> Inputs:
        scale = noise * (sample.x.max() - sample.x.min())

        def add(total: Inputs, index: jax.Array) -> tuple[Inputs, None]:
            shift = scale * jax.random.normal(jax.random.fold_in(key, index), sample.x.shape)
            return jax.tree.map(jnp.add, total, _gradient_at(predict, sample._replace(x=sample.x + shift), label)), None

        total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, sample), jnp.arange(draws))
        mean: Inputs = jax.tree.map(lambda leaf: leaf / draws, total)
        return mean

    return Attribution(*jax.vmap(one)(sample_keys(key, len(x)), Inputs(x, features), label))


def check_samples(x: jax.Array, features: jax.Array, label: jax.Array) -> None:
    """Reject samples whose shapes do not belong together.

    Args:
        x: float32[N, T, L].
        features: float32[N, F].
        label: int32[N].

    Raises:
        BoflError: naming the shapes.
    """
    if x.ndim != 3 or features.ndim != 2 or len({len(x), len(features), *label.shape}) != 1 or label.ndim != 1:
        raise BoflError(
            "an explanation needs x[N, T, L], features[N, F] and label[N], not shapes "
            f"{x.shape}, {features.shape} and {label.shape}"
        )


def broadcast_baseline(baseline: Inputs | None, samples: Inputs) -> Inputs:
    """A baseline for every sample: the given one, or zeros.

    Args:
        baseline: of shapes that broadcast to those of the samples, or None.
        samples: x[N, T, L] and features[N, F].

    Raises:
        BoflError: when the baseline's shapes do not fit.
    """
    if baseline is None:
        return Inputs(*map(jnp.zeros_like, samples))
    try:
        return Inputs(*(jnp.broadcast_to(one, other.shape) for one, other in zip(baseline, samples, strict=True)))
    except ValueError as error:
        shapes = [jnp.shape(leaf) for leaf in baseline]
        raise BoflError(f"a baseline of shapes {shapes} does not fit samples: give x[T, L] and features[F]") from error


def sample_keys(key: jax.Array, count: int) -> jax.Array:
    """key[N]: a key for each sample, independent of the number of samples.

    Args:
        key: to be split.
        count: N.
    """
    return jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(count))


def _gradient_at(predict: PredictFunction, sample: Inputs, label: jax.Array) -> Inputs:
    gradient: Inputs = jax.grad(lambda inputs: predict(*inputs)[label])(sample)
    return gradient


def _refine_until(
    once: Callable[..., IntegratedGradients],
    steps: int,
    tolerance: float,
    start: Inputs,
    sample: Inputs,
    label: jax.Array,
) -> IntegratedGradients:
    """Explain one sample, with as many steps as the tolerance needs."""

    def not_converged(state: _Refined) -> jax.Array:
        used, found = state
        return (found.completeness_error > tolerance) & (used * REFINEMENT <= MAX_STEPS)

    def refine(state: _Refined) -> _Refined:
        used = state[0] * REFINEMENT
        return used, once(used, start, sample, label)

    first = (jnp.int32(steps), once(steps, start, sample, label))
    return jax.lax.while_loop(not_converged, refine, first)[1]


def _integrate(
    predict: PredictFunction, steps: int | jax.Array, start: Inputs, sample: Inputs, label: jax.Array
) -> IntegratedGradients:
    """Explain one sample."""
    path = jax.tree.map(jnp.subtract, sample, start)

    def add(step: jax.Array, total: Inputs) -> Inputs:
        point = jax.tree.map(lambda first, by: first + (step + 0.5) / steps * by, start, path)
        return Inputs(*map(jnp.add, total, _gradient_at(predict, point, label)))

    total = jax.lax.fori_loop(0, steps, add, jax.tree.map(jnp.zeros_like, sample))
    found = jax.tree.map(lambda by, slope: by * slope / steps, path, total)
    gain = predict(*sample)[label] - predict(*start)[label]
    error = jnp.abs(found.x.sum() + found.features.sum() - gain)
    return IntegratedGradients(found.x, found.features, ratio(error, jnp.abs(gain)))
