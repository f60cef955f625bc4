"""A user's own file: one addition of every kind, as ``bofl run CONFIG --import own_kinds.py`` imports it."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import bofl_jax as bofl
from bofl_jax import algorithms
from bofl_jax.algorithms import Algorithm
from bofl_jax.data import Source, SourceOptions
from bofl_jax.metrics import FromConfusion, Metric
from bofl_jax.models import Architecture, ArchitectureOptions
from bofl_jax.partition import Assignment, Scheme, SplitOptions
from bofl_jax.synthesis import Generator, GeneratorEntry, Stage, SynthesisOptions, SyntheticSamples


class SinesOptions(SourceOptions):
    """Data source: sines of three frequencies."""

    source: Literal["sines"]
    subjects: int = 4


def load_sines(options: SinesOptions, seed: int) -> bofl.Samples:
    """Sixty windows a subject, two seconds apart; the third class is rare."""
    rng = np.random.default_rng(seed)
    each = 60
    y = rng.choice(3, options.subjects * each, p=[0.55, 0.38, 0.07]).astype(np.int32)
    time = np.arange(24) / 24
    x = np.sin(2 * np.pi * (y[:, None] + 1) * time) + 0.3 * rng.standard_normal((len(y), 24))
    return bofl.Samples(
        x=x[:, :, None].astype(np.float32),
        features=np.zeros((len(y), 0), np.float32),
        y=y,
        subject=np.repeat(np.arange(options.subjects, dtype=np.int32), each),
        time=np.tile(2.0 * np.arange(each), options.subjects),
        classes=("slow", "fast", "rare"),
        subjects=tuple(f"subject-{i}" for i in range(options.subjects)),
        fs=24.0,
    )


class PairsOptions(SplitOptions):
    """Partition scheme: two subjects a client."""

    scheme: Literal["pairs"]


def assign_pairs(samples, parts, options, rng):
    """Client c has the samples of subjects 2 c and 2 c + 1."""
    del options, rng
    pair = samples.subject // 2
    count = int(pair.max()) + 1
    halves = [[part[pair[part] == client] for client in range(count)] for part in (parts.train, parts.test)]
    return Assignment(tuple(f"pair-{i}" for i in range(count)), *halves)


class TanhOptions(ArchitectureOptions):
    """Network: one hidden layer of tanh units."""

    name: Literal["tanh"]
    units: int = 5


class Tanh(nn.Module):
    """One hidden layer."""

    options: TanhOptions
    classes: int

    @nn.compact
    def __call__(self, x: jax.Array, features: jax.Array, embed: bool = False) -> jax.Array:
        """Return logits[B, K], or the hidden units."""
        inputs = jnp.concatenate([x.reshape(len(x), -1), features], axis=-1)
        hidden = jnp.tanh(nn.Dense(self.options.units)(inputs))
        return hidden if embed else nn.Dense(self.classes)(hidden)


class HalfOptions(bofl.FederatedOptions):
    """Algorithm: FedAvg with half of every update."""

    traced_fields = ("factor",)
    algorithm: Literal["half"]
    factor: float = 0.5


def build_half(options: HalfOptions, context: algorithms.BuildContext) -> algorithms.LocalAlgorithm:
    """Train as FedAvg does, and scale the update."""
    whole = algorithms.fedavg(context.loss, context.optimizer)

    def train(shared, state, data):
        update, state, info = whole.train(shared, state, data)
        return jax.tree.map(lambda u: options.factor * u, update), state, info

    return whole._replace(train=train)


class RepeatOptions(SynthesisOptions):
    """Generator: the mean window of a class, with noise."""

    generator: Literal["repeat"]
    noise: float = 0.3


def build_repeat(shape, options: RepeatOptions) -> Generator:
    """One round sums up the windows of every class."""

    def init(_):
        return {"sum": jnp.zeros((shape.num_classes, shape.size)), "count": jnp.zeros(shape.num_classes)}

    def client_update(_, samples, __):
        vectors = jnp.concatenate([samples.x.reshape(len(samples.y), -1), samples.features], axis=1)
        member = jax.nn.one_hot(samples.y, shape.num_classes) * samples.mask[:, None]
        size = jnp.maximum(samples.size, 1)
        return {"sum": member.T @ vectors / size, "count": member.sum(axis=0) / size}, jnp.float32(0)

    def finalize(state):
        return state["sum"] / jnp.maximum(state["count"], 1e-6)[:, None]

    def sample(fitted, key, label, n):
        vectors = fitted[label] + options.noise * jax.random.normal(key, (n, shape.size))
        x = vectors[:, : shape.signal_size].reshape(n, shape.window, shape.leads)
        return SyntheticSamples(x, vectors[:, shape.signal_size :])

    return Generator("repeat", 1, init, (Stage("means", 1, client_update),), finalize, sample)


def error_rate(matrix):
    """Share of wrong predictions."""
    return 1 - jnp.trace(matrix) / jnp.maximum(matrix.sum(), 1)


bofl.register(Source(SinesOptions, "sines of three frequencies", load_sines))
bofl.register(Scheme(PairsOptions, assign_pairs))
bofl.register(Architecture(TanhOptions, Tanh))
bofl.register(Algorithm(HalfOptions, build_half))
bofl.register(GeneratorEntry(RepeatOptions, build_repeat))
bofl.register(Metric("error_rate", "error rate", FromConfusion(error_rate), better="lower"))
