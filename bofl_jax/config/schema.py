"""The schema of a configuration: its sections, and what they need of each other."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import tomli_w
from pydantic import BaseModel, Field, model_validator

from bofl_jax.algorithms import (
    ALGORITHMS,
    NoPersonaliseOptions,
    OptimizerOptions,
    PersonaliseOptions,
    TrainingOptions,
)
from bofl_jax.attacks import AdversaryOptions
from bofl_jax.core.errors import BoflError
from bofl_jax.core.options import Options
from bofl_jax.core.registry import Registry
from bofl_jax.data import SOURCES, DataOptions
from bofl_jax.ledger import LedgerOptions
from bofl_jax.metrics import METRICS, Metric
from bofl_jax.metrics.options import EvaluateOptions
from bofl_jax.models import MODELS, Cnn1dOptions, ModelOptions
from bofl_jax.parallel.options import EngineOptions
from bofl_jax.partition import SCHEMES, PartitionOptions
from bofl_jax.synthesis import GENERATORS, NoSynthesisOptions, SynthesisOptions

if TYPE_CHECKING:
    FederationOptions = TrainingOptions
    GenerationOptions = SynthesisOptions | NoSynthesisOptions
else:
    FederationOptions = ALGORITHMS.section_type()
    GenerationOptions = GENERATORS.section_type()

REGISTRIES: tuple[Registry[Any], ...] = (SOURCES, SCHEMES, MODELS, ALGORITHMS, GENERATORS)
"""The sections whose alternatives can be extended by `register`."""

DISCRIMINATORS = {registry.section: registry.key for registry in REGISTRIES} | {"personalise": "method"}
"""Section -> the key that names its alternative."""


class Config(Options):
    """A complete configuration."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9._-]+$", description="names the default run directory")
    seed: int = Field(0, ge=0, lt=2**31, description="the root of every random number of the run")
    data: DataOptions
    partition: PartitionOptions
    model: ModelOptions = Cnn1dOptions()
    federation: FederationOptions
    optimizer: OptimizerOptions = OptimizerOptions()
    synthesis: GenerationOptions = NoSynthesisOptions()
    personalise: PersonaliseOptions = NoPersonaliseOptions()
    evaluate: EvaluateOptions = EvaluateOptions()
    ledger: LedgerOptions = LedgerOptions()
    adversary: AdversaryOptions = AdversaryOptions()
    engine: EngineOptions = EngineOptions()

    @model_validator(mode="after")
    def _sections_agree(self) -> "Config":
        for _, options in self.sections():
            options.check_sections(self)
        return self

    def sections(self) -> Iterator[tuple[str, Options]]:
        """The sections by name."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Options):
                yield name, value

    def to_toml(self) -> str:
        """The complete configuration as TOML; entries that are None are left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def sha256(self) -> bytes:
        """The 32-byte identity of this configuration: SHA-256 of its TOML text."""
        return hashlib.sha256(self.to_toml().encode()).digest()


def register(entry: Any) -> None:
    """Add a data source, partition scheme, model, algorithm, generator or metric of your own.

    Args:
        entry: a `bofl_jax.data.Source`, `bofl_jax.partition.Scheme`, `bofl_jax.models.Architecture`,
            `bofl_jax.algorithms.Algorithm`, `bofl_jax.synthesis.GeneratorEntry` or `bofl_jax.metrics.Metric`.

    Raises:
        BoflError: if it is none of these, its name is taken, or its options do not give it a name.
    """
    if isinstance(entry, Metric):
        METRICS.register(entry)
        return
    for registry in REGISTRIES:
        if isinstance(entry, registry.kind):
            registry.register(entry)
            _rebuild_section(registry)
            return
    kinds = ", ".join(registry.kind.__name__ for registry in REGISTRIES)
    raise BoflError(f"{type(entry).__name__} cannot be registered: give a {kinds} or Metric")


def _rebuild_section(registry: Registry[Any]) -> None:
    """Let the schema accept what the registry holds now."""
    union, *_ = get_args(registry.section_type())
    Config.model_fields[registry.section].annotation = union
    Config.model_rebuild(force=True)


def section_kinds(section: str) -> list[type[BaseModel]]:
    """The alternatives of a section, as classes of options; none for an unknown section."""
    field = Config.model_fields.get(section)
    annotation = field.annotation if field else None
    return [kind for kind in get_args(annotation) or (annotation,) if isinstance(kind, type)]


def kind_name(kind: type[BaseModel], discriminator: str) -> str:
    """The name of an alternative.

    Args:
        kind: class of its options.
        discriminator: the key that names it.
    """
    return str(get_args(kind.model_fields[discriminator].annotation)[0])


def exclusive_fields(section: str) -> tuple[frozenset[str], ...]:
    """The groups of keys of a section that rule each other out."""
    return next((kind.exclusive_fields for kind in section_kinds(section) if issubclass(kind, Options)), ())
