"""Every generator, by the name of its options."""

from collections.abc import Callable
from typing import Any

from bofl_jax.synthesis.base import Generator, Shape
from bofl_jax.synthesis.ecg.mechanistic import MechanisticSettings, mechanistic
from bofl_jax.synthesis.generators.diffusion import DiffusionSettings, diffusion
from bofl_jax.synthesis.generators.gan import GanSettings, gan
from bofl_jax.synthesis.generators.gaussian import pca_gaussian
from bofl_jax.synthesis.generators.neighbours import oversample, smote
from bofl_jax.synthesis.generators.timegan import TimeganSettings, timegan
from bofl_jax.synthesis.options import SynthesisOptions

GENERATORS: dict[str, Callable[[Shape, Any, tuple[str, ...]], Generator]] = {
    "oversample": lambda shape, options, _: oversample(shape, options.jitter, options.warp),
    "smote": lambda shape, options, _: smote(shape, options.neighbours),
    "pca-gaussian": lambda shape, options, _: pca_gaussian(shape, options.rank),
    "simulator": lambda shape, options, classes: mechanistic(shape, _settings(MechanisticSettings, options), classes),
    "diffusion": lambda shape, options, _: diffusion(shape, _settings(DiffusionSettings, options)),
    "timegan": lambda shape, options, _: timegan(shape, _settings(TimeganSettings, options)),
    "gan": lambda shape, options, _: gan(shape, _settings(GanSettings, options)),
}


def _settings(kind: Any, options: SynthesisOptions) -> Any:
    """A generator's settings from options of the same names."""
    return kind(**{name: getattr(options, name) for name in kind._fields})


def build(options: SynthesisOptions, shape: Shape, classes: tuple[str, ...]) -> Generator:
    """Build the generator that options name.

    Args:
        options: of one generator.
        shape: of a sample.
        classes: names of the K classes.

    Raises:
        BoflError: if it cannot make such samples.
    """
    return GENERATORS[getattr(options, "generator", "")](shape, options, classes)
