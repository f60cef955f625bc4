"""``oversample`` and ``smote``: what a client has itself, changed a little.

Both keep the client's own samples, so there is nothing that could be averaged: they are trained locally or, as a
reference, pooled.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bofl_jax.synthesis.base import Drawn, Examples, Fitted, Generator, Shape, Stage, Training, flat, unflat

_TRAININGS: tuple[Training, ...] = ("local", "pooled")


class Held(NamedTuple):
    """A client's samples, which are what these generators are fitted to."""

    x: jax.Array  # float32[N, T, L]
    features: jax.Array  # float32[N, F]
    y: jax.Array  # float32[N], the class; -1: padding


def oversample(shape: Shape, jitter: float, warp: float) -> Generator:
    """Draw own samples again, each with noise and with its time axis stretched (Um et al., ICMI 2017).

    Args:
        shape: of a sample.
        jitter: standard deviation of the noise on each time sample, in units of x.
        warp: the stretch is U(1 - warp, 1 + warp) about the middle of the window; RR features stay as they are.
    """

    def sample(fitted: Held, key: jax.Array, label: jax.Array, n: int) -> Drawn:
        pick, stretch, noise = jax.random.split(key, 3)
        rows = _members(fitted, pick, label, n)
        middle = (shape.window - 1) / 2
        factor = jax.random.uniform(stretch, (n, 1), minval=1 - warp, maxval=1 + warp)
        place = middle + (jnp.arange(shape.window) - middle) * factor
        x = jax.vmap(_at)(fitted.x[rows], place)
        return Drawn(x + jitter * jax.random.normal(noise, x.shape), fitted.features[rows])

    return _holding("oversample", shape, 1, sample)


def smote(shape: Shape, neighbours: int) -> Generator:
    """Points between a sample and one of its nearest neighbours of the same class.

    Args:
        shape: of a sample.
        neighbours: k; fewer where the class has fewer other samples.

    Reference:
        Chawla, Bowyer, Hall, Kegelmeyer: SMOTE: Synthetic Minority Over-sampling Technique. JAIR, 2002.
    """

    def sample(fitted: Held, key: jax.Array, label: jax.Array, n: int) -> Drawn:
        pick, other, part = jax.random.split(key, 3)
        vectors = flat(fitted.x, fitted.features)
        member = fitted.y == label
        rows = _members(fitted, pick, label, n)
        near = jnp.sum((vectors[rows][:, None] - vectors[None]) ** 2, axis=2)
        near = jnp.where(member & (jnp.arange(len(member)) != rows[:, None]), near, jnp.inf)
        nearest = jnp.argsort(near, axis=1)[:, :neighbours]
        usable = jnp.clip(member.sum() - 1, 1, nearest.shape[1])
        chosen = jnp.take_along_axis(nearest, jax.random.randint(other, (n, 1), 0, usable), axis=1)[:, 0]
        share = jax.random.uniform(part, (n, 1))
        return unflat(vectors[rows] + share * (vectors[chosen] - vectors[rows]), shape)

    return _holding("smote", shape, 2, sample)


def _holding(name: str, shape: Shape, least: int, sample) -> Generator:
    def start(_: jax.Array) -> Held:
        empty = jnp.zeros((0, shape.window, shape.leads)), jnp.zeros((0, shape.features)), jnp.zeros(0)
        return Held(*empty)

    def work(_: Held, examples: Examples, __: jax.Array) -> tuple[Held, jax.Array]:
        y = jnp.where(examples.real, examples.y, -1).astype(jnp.float32)
        return Held(examples.x, examples.features, y), jnp.zeros(())

    def finish(state: Held) -> Fitted:
        return state

    return Generator(name, _TRAININGS, least, False, start, (Stage("hold", 1, work),), finish, sample)


def _members(fitted: Held, key: jax.Array, label: jax.Array, n: int) -> jax.Array:
    """int32[n]: rows of the class, drawn with replacement."""
    weight = jnp.where(fitted.y == label, 0.0, -jnp.inf)
    return jax.random.categorical(key, weight, shape=(n,))


def _at(signal: jax.Array, place: jax.Array) -> jax.Array:
    """A signal ``[T, L]`` at places float[T] between its samples; its ends go on."""
    return jax.vmap(lambda lead: jnp.interp(place, jnp.arange(len(lead)), lead), in_axes=1, out_axes=1)(signal)
