"""The configuration of a run: read, override, check, resolve, write."""

import hashlib
from typing import Any, Union, cast, get_args

import tomli_w
from pydantic import BaseModel, Field, model_validator

from bofl_jax.algorithms.options import FederationOptions, OptimizerOptions, SharedOptions
from bofl_jax.algorithms.personalisation import NoPersonaliseOptions, OwnOptions, PersonaliseOptions
from bofl_jax.algorithms.registry import METHODS, Method
from bofl_jax.attacks import AdversaryOptions
from bofl_jax.core.errors import BoflError
from bofl_jax.core.options import Options
from bofl_jax.data import DataOptions, describing
from bofl_jax.ledger import LedgerOptions
from bofl_jax.metrics.options import EvaluateOptions
from bofl_jax.models import Cnn1dOptions, ModelOptions
from bofl_jax.parallel.options import EngineOptions
from bofl_jax.partition import PartitionOptions
from bofl_jax.synthesis.options import GenerationOptions, NoSynthesisOptions, SynthesisOptions

DISCRIMINATORS = {
    "data": "source",
    "partition": "scheme",
    "model": "name",
    "federation": "algorithm",
    "personalise": "method",
    "synthesis": "generator",
}


EXCLUSIVE = {
    "federation": ({"local_steps"}, {"local_epochs"}),
    "partition": (
        {"train_minutes", "guard_seconds"},
        {"test_subjects", "adapt_minutes"},
        {"test_fraction", "adapt_minutes"},
    ),
}
"""Keys of a section that rule each other out, in groups; those of a common group go together."""


class Config(Options):
    """A complete configuration; see DESIGN for the sections."""

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
        algorithm, personalised = self.federation.algorithm, self.personalise.method != "none"
        if algorithm in ("local", "centralised"):
            if self.ledger.mode != "off":
                raise ValueError(f"federation.algorithm = '{algorithm}' shares no update: set ledger.mode = 'off'")
            if self.adversary != AdversaryOptions():
                raise ValueError(f"federation.algorithm = '{algorithm}' shares no update: leave adversary.* out")
            for key in _server_keys(self.optimizer):
                raise ValueError(f"federation.algorithm = '{algorithm}' has no server: leave optimizer.{key} out")
        if isinstance(self.synthesis, SynthesisOptions):
            self._synthesis_agrees(self.synthesis)
        if METHODS[algorithm].server and (keys := set(_server_keys(self.optimizer)) - {"server_lr"}):
            raise ValueError(
                f"federation.algorithm = '{algorithm}' brings its own server: leave optimizer.{min(keys)} out"
            )
        if algorithm == "bfln" and self.optimizer.server_lr != 1.0:
            raise ValueError("federation.algorithm = 'bfln' averages within clusters: leave optimizer.server_lr out")
        if self.federation.plain_steps and (self.optimizer.client != "sgd" or self.optimizer.momentum):
            raise ValueError(
                f"federation.algorithm = '{algorithm}' takes plain gradient steps: "
                "set optimizer.client = 'sgd', and leave optimizer.momentum out"
            )
        if isinstance(self.personalise, OwnOptions) and self.personalise.steps:
            for key in (key for key in self.federation.fixed_steps if getattr(self.federation, key) is not None):
                raise ValueError(
                    f"federation.{key} fixes the steps of a client's own model, so personalise.steps could not: "
                    "leave one of the two out"
                )
        self._contributions_agree()
        self._groups_are_known()
        if algorithm == "local" and personalised:
            raise ValueError("federation.algorithm = 'local' is personal already: set personalise.method = 'none'")
        if algorithm == "perfedavg" and not personalised:
            raise ValueError(
                "federation.algorithm = 'perfedavg' trains a starting point that is no classifier by itself: "
                "set personalise.method = 'finetune'"
            )
        return self

    def _contributions_agree(self) -> None:
        if self.evaluate.contribution == "none":
            return
        algorithm, server, rounds = self.federation.algorithm, self.optimizer.server, self.federation.rounds
        if not isinstance(self.federation, SharedOptions):
            raise ValueError(
                f"federation.algorithm = '{algorithm}' shares no update that could be worth something: "
                "set evaluate.contribution = 'none'"
            )
        if METHODS[algorithm].server or server != "sgd":
            whose = f"federation.algorithm = '{algorithm}'" if METHODS[algorithm].server else f"'{server}'"
            raise ValueError(
                f"evaluate.contribution values weighted means of updates, and the server of {whose} makes more of "
                "them: set it to 'none', or choose federation.algorithm = 'fedavg' and optimizer.server = 'sgd'"
            )
        if self.evaluate.contribution_every > rounds:
            raise ValueError(
                f"evaluate.contribution_every = {self.evaluate.contribution_every} values none of {rounds} rounds: "
                "lower it"
            )

    def _groups_are_known(self) -> None:
        source, known = self.data.source, describing()
        if self.evaluate.groups != "none" and source not in known:
            raise ValueError(
                f"data.source = '{source}' does not say who its people are: set evaluate.groups = 'none', or "
                f"data.source = {' or '.join(map(repr, known))}"
            )

    def _synthesis_agrees(self, options: SynthesisOptions) -> None:
        if self.ledger.mode == "off":
            raise ValueError(
                "synthetic samples are asked for through the contract: set ledger.mode, or synthesis.generator = 'none'"
            )
        if options.training not in options.trainings:
            name = getattr(options, "generator", "")
            raise ValueError(
                f"synthesis.generator = '{name}' cannot be trained as '{options.training}': "
                f"set synthesis.training to one of {', '.join(options.trainings)}"
            )

    def to_toml(self) -> str:
        """The complete configuration as TOML; entries that are None are left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def sha256(self) -> bytes:
        """32 bytes that name this configuration: SHA-256 of its TOML text."""
        return hashlib.sha256(self.to_toml().encode()).digest()


def _server_keys(options: OptimizerOptions) -> list[str]:
    """The server's keys that are not as they are when left out."""
    fields = OptimizerOptions.model_fields
    return sorted(
        name for name in fields if name.startswith("server") and getattr(options, name) != fields[name].default
    )


def register(method: Method) -> None:
    """Add a federated method of one's own; its options become a kind of the section ``federation``.

    Args:
        method: options with a literal ``algorithm``, which names the method, and what builds its two parts.

    Raises:
        BoflError: if the name is taken, or the options name none.
    """
    field = method.options.model_fields.get("algorithm")
    names = get_args(field.annotation) if field else ()
    if len(names) != 1 or not issubclass(method.options, SharedOptions):
        raise BoflError(
            f"{method.options.__name__} names no method: derive it from SharedOptions, "
            "with a field such as  algorithm: Literal['mine']"
        )
    if names[0] in METHODS:
        raise BoflError(f"there is a method called {names[0]} already: choose another name")
    METHODS[names[0]] = method
    Config.model_fields["federation"].annotation = cast(Any, Union[tuple(known.options for known in METHODS.values())])  # noqa: UP007
    Config.model_rebuild(force=True)


def _kinds(section: str) -> list[type[BaseModel]]:
    annotation = Config.model_fields[section].annotation
    return [kind for kind in get_args(annotation) or (annotation,) if isinstance(kind, type)]


def _kind_of(kind: type[BaseModel], discriminator: str) -> str:
    return get_args(kind.model_fields[discriminator].annotation)[0]
