"""The configuration of a run: read, override, check, resolve, write."""

import copy
import difflib
import hashlib
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Union, cast, get_args

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from bofl_jax.adversary import AdversaryOptions
from bofl_jax.core.errors import BoflError
from bofl_jax.core.options import Options
from bofl_jax.data import DataOptions, describing
from bofl_jax.federate.methods import METHODS, Method
from bofl_jax.federate.options import (
    EngineOptions,
    EvaluateOptions,
    FederationOptions,
    NoPersonaliseOptions,
    OptimizerOptions,
    OwnOptions,
    PersonaliseOptions,
    SharedOptions,
)
from bofl_jax.ledger import LedgerOptions
from bofl_jax.models import Cnn1dOptions, ModelOptions
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


def presets() -> list[str]:
    """Names of the configurations that come with the package."""
    names = (entry.name for entry in _shipped().iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _shipped() -> Traversable:
    """The folder of the presets; imported as a package it would take the place of the function ``bofl_jax.presets``."""
    return resources.files("bofl_jax") / "presets"


def load_config(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration and override single keys.

    Args:
        source: a preset's name, a TOML file, or the nested table itself.
        overrides: dotted key -> value, for example ``{"federation.rounds": 50}``.

    Raises:
        BoflError: for an unknown preset, key or value, in one line that says how to mend it.

    >>> load_config("quickstart", {"federation.rounds": 3}).federation.rounds
    3
    >>> load_config("quickstart", {"federation.round": 3})
    Traceback (most recent call last):
    ...
    bofl_jax.core.errors.BoflError: unknown key federation.round: did you mean federation.rounds?
    """
    table = copy.deepcopy(dict(source)) if isinstance(source, Mapping) else _read(source)
    for key, value in (overrides or {}).items():
        _override(table, key, value, set(overrides or {}))
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        raise BoflError(_explain(error)) from None


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse one ``KEY=VALUE`` of the command line; the value is TOML, or a bare string.

    >>> parse_assignment("federation.rounds=50"), parse_assignment("data.source=npz")
    (('federation.rounds', 50), ('data.source', 'npz'))
    """
    key, sign, value = text.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z0-9_.]+", key):
        raise BoflError(f"--set {text}: write it as KEY=VALUE, for example federation.rounds=50")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key, value
    return key, parsed["value"] if len(parsed) == 1 else value


def _read(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if str(source) in presets():
        text = (_shipped() / f"{source}.toml").read_text()
    elif path.is_file():
        text = _text(path)
    else:
        near = difflib.get_close_matches(str(source), presets(), 1)
        hint = f"did you mean {near[0]}?" if near else f"presets are {', '.join(presets())}; or name a TOML file"
        raise BoflError(f"there is no preset and no file called {source}: {hint}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BoflError(f"{source} is not valid TOML: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BoflError(f"{path} cannot be read ({error}): name a TOML file") from None


def _override(table: dict[str, Any], key: str, value: Any, given: set[str]) -> None:
    """Set one dotted key, and drop what it replaces.

    A section that changes its kind drops the keys that the new kind does not have; a key that rules others out drops
    those. What is overridden as well stays, to be refused if it does not fit.
    """
    *path, last = key.split(".")
    section = table
    for part in path:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise BoflError(f"unknown key {key}: {part} is a value, not a section")
    section[last] = value
    if len(path) == 1 and DISCRIMINATORS.get(path[0]) == last:
        kind = next((k for k in _kinds(path[0]) if _kind_of(k, last) == value), None)
        replaced = {name for name in section if kind and name not in kind.model_fields}
    elif len(path) == 1 and value is not None:
        groups = EXCLUSIVE.get(path[0], ())
        own = [group for group in groups if last in group]
        replaced = set().union(*groups).difference(*own) if own else set()
    else:
        return
    for name in replaced & section.keys():
        if f"{path[0]}.{name}" not in given:
            del section[name]


def _kinds(section: str) -> list[type[BaseModel]]:
    annotation = Config.model_fields[section].annotation
    return [kind for kind in get_args(annotation) or (annotation,) if isinstance(kind, type)]


def _kind_of(kind: type[BaseModel], discriminator: str) -> str:
    return get_args(kind.model_fields[discriminator].annotation)[0]


def _explain(error: ValidationError) -> str:
    """The first problem of a configuration, in one line."""
    problem = error.errors()[0]
    key, kind, section = _key(problem), problem["type"], str(problem["loc"][0]) if problem["loc"] else ""
    tag = f"{section}.{DISCRIMINATORS.get(section)}"
    if kind == "extra_forbidden":
        return _not_a_key(key, problem["loc"])
    if kind == "union_tag_not_found" or (kind == "missing" and key in DISCRIMINATORS):
        return f"{tag} is missing: set it to one of {', '.join(_tags(section))}"
    if kind == "missing":
        return f"{key} is missing: set it in the configuration or with --set {key}=..."
    if kind == "union_tag_invalid":
        return f"{tag} = {problem['ctx']['tag']!r} is unknown: choose one of {', '.join(_tags(section))}"
    if kind == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{key}: {message}" if key else message
    reasons = dict.fromkeys(_reason(p) for p in error.errors() if _key(p) == key)
    return f"{key} = {problem['input']!r} is not possible: {', or '.join(reasons)}"


def _key(problem: Any) -> str:
    """The dotted key of a problem, without the alternatives of a union that pydantic went through."""
    location = [str(part) for part in problem["loc"]]
    if len(location) > 1 and location[1] in _tags(location[0]):
        del location[1]
    return ".".join(part for part in location if "[" not in part)


def _reason(problem: Any) -> str:
    match problem["type"]:
        case "tuple_type":
            return "write a list, for example [1, 2] or ['a', 'b']"
        case "path_type":
            return "write a path as text"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "it is a section, set the keys within it"
        case "string_pattern_mismatch":
            return "it may hold letters, digits and . _ - only"
    message = problem["msg"]
    return f"{message[0].lower()}{message[1:]}".replace("input should", "it should")


def _not_a_key(key: str, location: tuple[int | str, ...]) -> str:
    """What to say of a key that nobody reads: whose it is, or which known one is nearest."""
    section, _, name = key.partition(".")
    kinds = _kinds(section) if section in DISCRIMINATORS and len(location) > 2 else []
    owners = [_kind_of(k, DISCRIMINATORS[section]) for k in kinds if name.partition(".")[0] in k.model_fields]
    if owners:
        tag, whose = f"{section}.{DISCRIMINATORS[section]}", " or ".join(map(repr, owners))
        return f"{key} belongs to {tag} = {whose}, not to '{location[1]}': leave it out, or set {tag}"
    return f"unknown key {key}: {_nearest(key)}"


def _tags(section: str) -> list[str]:
    tag = DISCRIMINATORS.get(section)
    return sorted(_kind_of(kind, tag) for kind in _kinds(section)) if tag else []


def _nearest(key: str) -> str:
    section, dot, _ = key.partition(".")
    known = known_keys() if dot else list(Config.model_fields)
    near = difflib.get_close_matches(key, known, 1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    inside = [name for name in known if name.startswith(f"{section}.")] or sorted(Config.model_fields)
    return f"known are {', '.join(inside)}"


def known_keys() -> list[str]:
    """Every dotted key of every kind of every section."""
    keys = []
    for section, field in Config.model_fields.items():
        kinds = [k for k in _kinds(section) if issubclass(k, BaseModel)] if _is_section(field.annotation) else []
        keys += [f"{section}.{name}" for kind in kinds for name in kind.model_fields] or [section]
    return list(dict.fromkeys(keys))


def _is_section(annotation: Any) -> bool:
    kinds = get_args(annotation) or (annotation,)
    return all(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)
