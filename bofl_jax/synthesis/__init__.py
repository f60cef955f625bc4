"""Generators of rare-class samples, the samples that clients need, and the quality gates of synthetic batches."""

# The order of these imports is the order of the generators in messages and in the key reference.
from bofl_jax.synthesis.generators.neighbours import OversampleOptions, SmoteOptions, oversample, smote  # isort: skip
from bofl_jax.synthesis.generators.gaussian import PcaGaussianOptions, pca_gaussian  # isort: skip
from bofl_jax.synthesis.ecg.mechanistic import MechanisticOptions, mechanistic  # isort: skip
from bofl_jax.synthesis.generators.diffusion import DiffusionOptions, diffusion  # isort: skip
from bofl_jax.synthesis.generators.gan import GanOptions, gan  # isort: skip
from bofl_jax.synthesis.generators.timegan import TimeganOptions, timegan  # isort: skip
from bofl_jax.synthesis.base import ClientSamples, Generator, SampleShape, Stage, SyntheticSamples
from bofl_jax.synthesis.options import GateOptions, LocalSynthesisOptions, NoSynthesisOptions, SynthesisOptions
from bofl_jax.synthesis.registry import GENERATORS, GeneratorEntry, build_generator

__all__ = [
    "GENERATORS",
    "ClientSamples",
    "DiffusionOptions",
    "GanOptions",
    "GateOptions",
    "Generator",
    "GeneratorEntry",
    "LocalSynthesisOptions",
    "MechanisticOptions",
    "NoSynthesisOptions",
    "OversampleOptions",
    "PcaGaussianOptions",
    "SampleShape",
    "SmoteOptions",
    "Stage",
    "SynthesisOptions",
    "SyntheticSamples",
    "TimeganOptions",
    "build_generator",
    "diffusion",
    "gan",
    "mechanistic",
    "oversample",
    "pca_gaussian",
    "smote",
    "timegan",
]
