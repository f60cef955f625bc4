"""Turns a validation error of pydantic into one line that says which key is wrong and how to correct it."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from bofl_jax.config.schema import DISCRIMINATORS, Config, kind_name, section_kinds


def explain(error: ValidationError) -> str:
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
    """The message for an unknown key: the alternative that it belongs to, or the nearest known key."""
    section, _, name = key.partition(".")
    kinds = section_kinds(section) if section in DISCRIMINATORS and len(location) > 2 else []
    owners = [kind_name(k, DISCRIMINATORS[section]) for k in kinds if name.partition(".")[0] in k.model_fields]
    if owners:
        tag, whose = f"{section}.{DISCRIMINATORS[section]}", " or ".join(map(repr, owners))
        return f"{key} belongs to {tag} = {whose}, not to '{location[1]}': leave it out, or set {tag}"
    return f"unknown key {key}: {_nearest(key)}"


def _tags(section: str) -> list[str]:
    tag = DISCRIMINATORS.get(section)
    return sorted(kind_name(kind, tag) for kind in section_kinds(section)) if tag else []


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
        kinds = [k for k in section_kinds(section) if issubclass(k, BaseModel)] if _is_section(field.annotation) else []
        keys += [f"{section}.{name}" for kind in kinds for name in kind.model_fields] or [section]
    return list(dict.fromkeys(keys))


def _is_section(annotation: Any) -> bool:
    kinds = get_args(annotation) or (annotation,)
    return all(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)
