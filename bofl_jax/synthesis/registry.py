"""The registry of generators: each file of a generator registers its options and the function that builds it.

A generator of your own needs one file, too::

    class MineOptions(SynthesisOptions):
        generator: Literal["mine"]
        strength: float = 1.0

    def mine(shape: SampleShape, options: MineOptions) -> Generator: ...

    GENERATORS.register(GeneratorEntry(MineOptions, mine))
"""

from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from bofl_jax.core.registry import Registry
from bofl_jax.synthesis.base import Generator, SampleShape
from bofl_jax.synthesis.options import NoSynthesisOptions, SynthesisOptions

SomeOptions = TypeVar("SomeOptions", bound=SynthesisOptions)
SomeOptions_contra = TypeVar("SomeOptions_contra", bound=SynthesisOptions, contravariant=True)


class BuildGenerator(Protocol[SomeOptions_contra]):
    """Builds a generator for samples of a shape."""

    def __call__(self, shape: SampleShape, options: SomeOptions_contra, /) -> Generator:
        """Build the generator.

        Args:
            shape: sizes and class names of the samples.
            options: options of this generator.

        Raises:
            BoflError: if it cannot make such samples.
        """
        ...


class GeneratorEntry(NamedTuple, Generic[SomeOptions]):
    """A registered generator.

    Attributes:
        options: class of its options; the literal of their field ``generator`` is its name.
        build: builds it.
    """

    options: type[SomeOptions]
    build: BuildGenerator[SomeOptions]


GENERATORS: Registry[GeneratorEntry[Any]] = Registry(
    "synthesis", "generator", kind=GeneratorEntry, base=SynthesisOptions, none=NoSynthesisOptions
)
"""All generators by name, in the order in which messages list them."""


def build_generator(shape: SampleShape, options: SynthesisOptions) -> Generator:
    """Build the generator that options name.

    Args:
        shape: sizes and class names of the samples.
        options: options of a registered generator.

    Raises:
        BoflError: if the generator cannot make such samples.
    """
    return GENERATORS[getattr(options, GENERATORS.key)].build(shape, options)


def default_options(name: str) -> SynthesisOptions:
    """The options of a registered generator with their default values."""
    options: SynthesisOptions = GENERATORS[name].options.model_validate({GENERATORS.key: name})
    return options
