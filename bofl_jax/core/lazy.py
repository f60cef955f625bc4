"""Packages whose names are imported at their first use (PEP 562)."""

import importlib
import sys
from collections.abc import Mapping
from typing import Any, Protocol


class ModuleGetattr(Protocol):
    """Call signature of a module's ``__getattr__``."""

    def __call__(self, name: str, /) -> Any:
        """Return the attribute, or raise AttributeError."""
        ...


def lazy_names(package: str, modules: Mapping[str, str]) -> ModuleGetattr:
    """The ``__getattr__`` of a package whose names are imported at their first use.

    Args:
        package: ``__name__`` of the package.
        modules: name -> the module that defines it.
    """

    def import_name(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return import_name
