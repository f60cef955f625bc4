"""Generators of rare-class samples, what clients may ask of them, and what their batches must reach."""

from bofl_jax.synthesis.base import Drawn, Examples, Generator, Shape, Stage
from bofl_jax.synthesis.options import GenerationOptions, NeuralOptions, NoSynthesisOptions, SynthesisOptions
from bofl_jax.synthesis.registry import GENERATORS, build

__all__ = [
    "GENERATORS",
    "Drawn",
    "Examples",
    "GenerationOptions",
    "Generator",
    "NeuralOptions",
    "NoSynthesisOptions",
    "Shape",
    "Stage",
    "SynthesisOptions",
    "build",
]
