"""A user's own Python files: importing them registers algorithms, sources, generators, models and metrics."""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from bofl_jax.core.errors import BoflError

_imported: set[Path] = set()


def import_files(paths: Iterable[Path]) -> None:
    """Import Python files that call ``bofl_jax.register``. A file that was imported before is not imported again.

    Args:
        paths: the files, in order.

    Raises:
        BoflError: if a file does not exist, or raises an error when it is imported.
    """
    for path in paths:
        resolved = path.resolve()
        if resolved not in _imported:
            _import_file(path, resolved)
            _imported.add(resolved)


def _import_file(path: Path, resolved: Path) -> None:
    if not resolved.is_file() or resolved.suffix != ".py":
        raise BoflError(f"--import {path}: there is no such Python file: name one that ends in .py")
    name = f"bofl_extension_{resolved.stem}"
    spec = importlib.util.spec_from_file_location(name, resolved)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BoflError as error:
        raise BoflError(f"--import {path}: {error}") from error
    except Exception as error:
        raise BoflError(f"--import {path} fails with {type(error).__name__}: {error}: correct the file") from error
