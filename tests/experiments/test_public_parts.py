"""Experiments and benchmarks use public parts of the package only."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import bofl_jax

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("experiments", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
PUBLIC_MODULES = {
    "bofl_jax.figures.style",
    "bofl_jax.ledger.chain.py_evm.proof_of_authority",
    "bofl_jax.ledger.storage.block_log",
    "bofl_jax.ledger.storage.genesis_file",
    "bofl_jax.ledger.storage.layout",
    "bofl_jax.models.layers",
    "bofl_jax.partition.split",
    "bofl_jax.results.predictions",
    "bofl_jax.results.requests",
    "bofl_jax.results.sweep",
    "bofl_jax.results.writing",
    "bofl_jax.synthesis.ecg.mechanistic",
    "bofl_jax.synthesis.gates",
}
"""Modules inside rooms that are public in themselves, as all modules of core are. A name that a room exports must be
imported from the room."""
NAMED_TUPLE = {"_asdict", "_fields", "_replace"}


def exported(module: str) -> set[str]:
    """The public names of the package or of one of its rooms."""
    names = set(importlib.import_module(module).__all__)
    if module == "bofl_jax":
        names |= {path.parent.name for path in Path(bofl_jax.__file__).parent.glob("*/__init__.py")}
    return names


def is_public(module: str, name: str) -> bool:
    """Whether a name may be imported from a module of the package."""
    if name.startswith("_"):
        return False
    if module.startswith("bofl_jax.core."):
        return True
    room = ".".join(module.split(".")[:2])
    return (name in exported(room)) == (module == room) and module in {room, *PUBLIC_MODULES}


def private_imports(tree: ast.Module) -> Iterator[str]:
    """Imports of names that are not public."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bofl_jax":
            yield from (f"{node.module}.{a.name}" for a in node.names if not is_public(node.module, a.name))
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("bofl_jax."))


def rooms(tree: ast.Module) -> dict[str, str]:
    """Names in a file that are bound to the package or to a room of it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name == "bofl_jax"}
        elif isinstance(node, ast.ImportFrom) and node.module == "bofl_jax":
            names = [alias for alias in node.names if alias.name not in bofl_jax.__all__]
            found |= {alias.asname or alias.name: f"bofl_jax.{alias.name}" for alias in names}
    return found


def is_super(node: ast.expr) -> bool:
    """Whether an expression is ``super()``."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"


def private_attributes(tree: ast.Module) -> Iterator[str]:
    """Attributes of a room that it does not export, and attributes of objects that begin with an underscore."""
    known = rooms(tree)
    others = {
        alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if node.attr.startswith("__") or node.attr in NAMED_TUPLE:
            continue
        if owner in known:
            if node.attr not in exported(known[owner]):
                yield f"{known[owner]}.{node.attr}"
        elif node.attr.startswith("_") and owner not in {"self", "cls", *others} and not is_super(node.value):
            yield f"{owner or '...'}.{node.attr}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_uses_public_parts_only(path):
    tree = ast.parse(path.read_text())
    assert [*private_imports(tree), *private_attributes(tree)] == []


def test_every_public_module_is_used():
    modules = {
        node.module
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert set(PUBLIC_MODULES) <= modules


@pytest.mark.parametrize(
    "text",
    [
        "from bofl_jax.engine import _hidden",
        "from bofl_jax.engine.round import compile_round",
        "from bofl_jax.metrics import no_such_name",
        "from bofl_jax.engine.train import train",
        "import bofl_jax.engine.round",
        "import bofl_jax as bofl\nbofl.no_such_name",
        "from bofl_jax import metrics\nmetrics.statistics",
        "runner._programs",
    ],
)
def test_private_parts_are_found(text):
    tree = ast.parse(text)
    assert [*private_imports(tree), *private_attributes(tree)]
