"""What neural generators share: scaled vectors, optimisers that can be averaged, minibatches of real rows.

Networks see a sample as one vector z of D = T*L + F entries, which the client scales by what all clients have measured
together. All that is measured is a mean over samples, so that the mean over clients, weighted by their samples, is that
of the pooled data: federated and pooled scaling are the same, to rounding.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from bofl_jax.synthesis.base import Drawn, Examples, Shape, Stage, flat, unflat

Tree = Any
Scaling = Literal["none", "channels", "whiten"]

FLOOR = 1e-6
"""Variances below this share of the mean square are rounding: such a channel is constant. Also the least that is added
to the variances that are whitened."""


class Scale(NamedTuple):
    """What is known of all samples: means over them."""

    mean: jax.Array  # float32[L + F], of channels over time, and of features
    square: jax.Array  # float32[L + F], of their squares
    entry: jax.Array  # float32[D], of the entries of scaled vectors; [0] where they are not whitened
    product: jax.Array  # float32[D, D], of their products; [0, 0] likewise


class Lens(NamedTuple):
    """``z = (vector / sd - mean) inverse^T`` and back, ``vector = (z factor^T + mean) sd``."""

    sd: jax.Array  # float32[D]
    mean: jax.Array  # float32[D]
    factor: jax.Array  # float32[D, D] lower triangular; [0, 0]: the identity
    inverse: jax.Array  # float32[D, D]; likewise


def width(shape: Shape) -> int:
    """D, the entries of a sample as a vector."""
    return shape.window * shape.leads + shape.features


def start_scale(shape: Shape, scaling: Scaling) -> Scale:
    """The scale that changes nothing."""
    channels = shape.leads + shape.features
    whitened = width(shape) if scaling == "whiten" else 0
    return Scale(jnp.zeros(channels), jnp.ones(channels), jnp.zeros(whitened), jnp.eye(whitened))


def scale_stages(shape: Shape, scaling: Scaling) -> tuple[Stage, ...]:
    """The stages that measure the scale, one round each, of states that have a field ``scale``.

    ``channels`` brings every channel and feature to mean 0 and standard deviation 1. ``whiten`` then also makes the D
    entries uncorrelated: each becomes what the entries before it, in order of time, do not tell linearly, over its
    standard deviation (the Cholesky factor of the covariance). Unlike principal axes, which turn at will where two
    variances are close, this does not jump when the moments change by rounding.
    """

    def channels(state: Tree, examples: Examples, _: jax.Array) -> tuple[Tree, jax.Array]:
        scale = _measure_channels(state.scale, examples)
        return state._replace(scale=scale), checked(jnp.zeros(()), scale)

    def whiten(state: Tree, examples: Examples, _: jax.Array) -> tuple[Tree, jax.Array]:
        scale = _measure_entries(state.scale, examples, shape)
        return state._replace(scale=scale), checked(jnp.zeros(()), scale)

    both = Stage("scale", 1, channels), Stage("whiten", 1, whiten)
    return both[: ("none", "channels", "whiten").index(scaling)]


def _measure_channels(scale: Scale, examples: Examples) -> Scale:
    share = examples.real / jnp.maximum(examples.size, 1)
    x = jnp.where(examples.real[:, None, None], examples.x, 0)
    features = jnp.where(examples.real[:, None], examples.features, 0)

    def mean(x: jax.Array, features: jax.Array) -> jax.Array:
        return jnp.concatenate([share @ x.mean(axis=1), share @ features])

    return scale._replace(mean=mean(x, features), square=mean(x**2, features**2))


def _measure_entries(scale: Scale, examples: Examples, shape: Shape) -> Scale:
    bare = lens(scale._replace(entry=jnp.zeros(0), product=jnp.zeros((0, 0))), shape)
    vectors = jnp.where(examples.real[:, None], encode(bare, examples.x, examples.features), 0)
    size = jnp.maximum(examples.size, 1)
    return scale._replace(entry=vectors.sum(axis=0) / size, product=vectors.T @ vectors / size)


def lens(scale: Scale, shape: Shape) -> Lens:
    """What turns samples into vectors and back."""
    variance = scale.square - scale.mean**2
    sd = jnp.sqrt(jnp.where(variance <= FLOOR * scale.square, 1.0, variance))
    spread = _to_entries(sd, shape)
    mean = _to_entries(scale.mean / sd, shape)
    if not scale.entry.size:
        return Lens(spread, mean, jnp.zeros((0, 0)), jnp.zeros((0, 0)))
    covariance = scale.product - jnp.outer(scale.entry, scale.entry)
    factor = _factor(covariance)
    inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(len(factor)), lower=True)
    return Lens(spread, mean + scale.entry, factor, inverse)


def _factor(covariance: jax.Array) -> jax.Array:
    """The Cholesky factor ``[D, D]`` with `FLOOR` added to the variances, or ten times as much until there is one.

    Neighbours in long smooth windows tell each other up to rounding, where float32 finds no factor. NaN if there is
    none with 1 added, the size of the variances: then the covariance is no number.
    """

    def factor(added: jax.Array) -> jax.Array:
        return jnp.linalg.cholesky(covariance + added * jnp.eye(len(covariance)))

    def lacking(tried: tuple[jax.Array, jax.Array]) -> jax.Array:
        added, found = tried
        return ~jnp.isfinite(found).all() & (added < 1)

    def again(tried: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        added = 10 * tried[0]
        return added, factor(added)

    return lax.while_loop(lacking, again, (jnp.float32(FLOOR), factor(jnp.float32(FLOOR))))[1]


def _to_entries(channels: jax.Array, shape: Shape) -> jax.Array:
    """float32[D] from float32[L + F]."""
    return jnp.concatenate([jnp.tile(channels[: shape.leads], shape.window), channels[shape.leads :]])


def encode(lens: Lens, x: jax.Array, features: jax.Array) -> jax.Array:
    """``x[N,T,L], features[N,F] -> z[N, D]``."""
    z = flat(x, features) / lens.sd - lens.mean
    return z @ lens.inverse.T if lens.inverse.size else z


def decode(lens: Lens, z: jax.Array, shape: Shape) -> Drawn:
    """The samples that ``z[N, D]`` stands for."""
    vectors = z @ lens.factor.T if lens.factor.size else z
    return unflat((vectors + lens.mean) * lens.sd, shape)


def averageable(rule: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimiser with a state of float32 arrays only, so that states of clients can be averaged.

    Counters of steps are whole numbers in the rule and float32 outside; a mean of equal counters is rounded back.

    >>> rule = averageable(optax.adam(1e-3))
    >>> {str(leaf.dtype) for leaf in jax.tree.leaves(rule.init(jnp.zeros(3)))}
    {'float32'}
    """

    def init(params: Tree) -> Tree:
        return _float(rule.init(params))

    def update(gradient: Tree, state: Tree, params: Tree = None) -> tuple[Tree, Tree]:
        like = jax.eval_shape(rule.init, gradient)
        change, after = rule.update(gradient, jax.tree.map(_as, state, like), params)
        return change, _float(after)

    return optax.GradientTransformation(init, update)


def _float(tree: Tree) -> Tree:
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)


def _as(leaf: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
    whole = jnp.issubdtype(like.dtype, jnp.integer)
    return (jnp.round(leaf) if whole else leaf).astype(like.dtype)


def adam(lr: float, steps: int | None = None, b1: float = 0.9, b2: float = 0.999) -> optax.GradientTransformation:
    """Adam with an averageable state.

    Args:
        lr: the rate at first.
        steps: of all rounds together, in which it falls to zero along half a cosine; None: it stays as it is.
        b1: decay of the mean of gradients.
        b2: decay of the mean of their squares.

    References:
        Kingma, Ba: Adam: A method for stochastic optimization. ICLR, 2015.
        Loshchilov, Hutter: SGDR: Stochastic gradient descent with warm restarts. ICLR, 2017.
    """
    rate = optax.cosine_decay_schedule(lr, steps) if steps else lr
    return averageable(optax.adam(rate, b1=b1, b2=b2))


def moving_average(average: Tree, params: Tree, decay: float, count: jax.Array) -> Tree:
    """``d average + (1 - d) params``, ``d = min(decay, (1 + count) / (10 + count))``: short at first, then long."""
    kept = jnp.minimum(decay, (1 + count) / (10 + count))
    return jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, average, params)


def ladder(examples: Examples, classes: int, balance: float) -> jax.Array:
    """float32[N]: running sum of the rows' weights ``(samples of the row's class) ** -balance``; 0 for padding.

    Args:
        examples: of one client.
        classes: K.
        balance: 0 draws rows as they come, 1 every class that there is as often as any other.
    """
    member = (examples.y[:, None] == jnp.arange(classes)) & examples.real[:, None]
    each = jnp.maximum(member.sum(axis=0), 1).astype(jnp.float32) ** -balance
    return jnp.cumsum(member @ each)


def draw_rows(key: jax.Array, ladder: jax.Array, size: jax.Array, batch: int) -> jax.Array:
    """int32[batch]: rows below ``size``, drawn with replacement by the weights of the ladder."""
    at = jax.random.uniform(key, (batch,)) * ladder[-1]
    return jnp.minimum(jnp.searchsorted(ladder, at, side="right"), jnp.maximum(size - 1, 0))


class Minibatch(NamedTuple):
    """B samples as a network sees them."""

    z: jax.Array  # float32[B, D]
    y: jax.Array  # int32[B]


def minibatches(
    scale: Scale, examples: Examples, shape: Shape, balance: float, batch: int
) -> Callable[[jax.Array], Minibatch]:
    """key -> a minibatch of a client's real rows."""
    rungs, glass = ladder(examples, shape.classes, balance), lens(scale, shape)

    def draw(key: jax.Array) -> Minibatch:
        rows = draw_rows(key, rungs, examples.size, batch)
        return Minibatch(encode(glass, examples.x[rows], examples.features[rows]), examples.y[rows])

    return draw


def run_steps(
    step: Callable[[Tree, jax.Array], tuple[Tree, jax.Array]],
    state: Tree,
    examples: Examples,
    key: jax.Array,
    steps: int,
) -> tuple[Tree, jax.Array]:
    """``steps`` of (state, key) -> (state, loss), and their mean loss; without samples the state stays as it is."""
    after, losses = lax.scan(step, state, jax.random.split(key, steps))
    some = examples.size > 0
    after = jax.tree.map(lambda new, old: jnp.where(some, new, old), after, state)
    return after, checked(jnp.where(some, losses.mean(), 0.0), after)


def checked(loss: jax.Array, tree: Tree) -> jax.Array:
    """The loss; NaN if anything in the tree is not finite."""
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
    return jnp.where(finite, loss, jnp.nan)
