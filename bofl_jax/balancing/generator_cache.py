"""Fitted generators that are kept: runs that differ in quota, dose or gates fit one once, and each draws from it.

A neural generator takes minutes to fit and is the same for all of them. It is kept under the digest of everything that
it follows from: samples, how they are dealt out, its options, the run's key, how clients run, and the package's code.
"""

import functools
import hashlib
import importlib.metadata
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bofl_jax import algorithms
from bofl_jax.balancing.fit import FittedGenerators
from bofl_jax.core.errors import BoflError
from bofl_jax.core.serialization import canonical_bytes
from bofl_jax.parallel.clients import ExecutionPlan
from bofl_jax.partition import ClientIndices
from bofl_jax.results.writing import write_arrays
from bofl_jax.synthesis import Generator, SynthesisOptions
from bofl_jax.synthesis.base import Training

_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


class GeneratorCache:
    """A folder of fitted generators.

    Args:
        folder: made when the first one is put there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fitted(
        self, name: str, generator: Generator, training: Training, fit: Callable[[], FittedGenerators]
    ) -> FittedGenerators:
        """The generator of that name; what is missing, or damaged, is fitted and kept.

        Args:
            name: from `name_of`.
            generator: what ``fit`` fits.
            training: how.
            fit: makes it.

        Raises:
            BoflError: if the folder cannot be written.
        """
        path = self.folder / f"{generator.name}-{name[:32]}.npz"
        known = _read(path, generator, training)
        if known is not None:
            return known
        made = fit()
        leaves = jax.tree.leaves(made.fitted)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_arrays(path, {"seen": made.seen} | {str(place): leaf for place, leaf in enumerate(leaves)})
        except OSError as error:
            raise BoflError(f"{self.folder} cannot be written ({error.strerror}): name another folder") from error
        return made


def _read(path: Path, generator: Generator, training: Training) -> FittedGenerators | None:
    state = jax.eval_shape(generator.start, jax.random.key(0))
    leaves, structure = jax.tree.flatten(jax.eval_shape(generator.finish, state))
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            fitted = [arrays[str(place)] for place in range(len(leaves))]
            seen = arrays["seen"]
    except _DAMAGE:
        return None
    return FittedGenerators(generator, training, jax.tree.unflatten(structure, fitted), seen)


def cache_key(
    options: SynthesisOptions,
    plan: ExecutionPlan,
    pool: algorithms.Batch,
    rows: ClientIndices,
    classes: int,
    root: jax.Array,
) -> str:
    """The digest, in hexadecimal, of all that a fitted generator follows from.

    Args:
        options: of the generator; what only says who may draw, and how much, does not count.
        plan: how clients run.
        pool: all samples.
        rows: those that every client may show it.
        classes: K.
        root: the run's root key.
    """
    common = SynthesisOptions.model_fields.keys() - {"training"}
    layout, data = canonical_bytes({"pool": pool, "rows": rows, "root": jax.random.key_data(root)})
    told: dict[str, Any] = {
        "options": options.model_dump(exclude=set(common)),
        "plan": plan,
        "classes": classes,
        "arrays": layout,
        "data": hashlib.sha256(data).hexdigest(),
        "backend": jax.default_backend(),
        "code": _code(),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@functools.cache
def _code() -> str:
    """A digest of this package's source, and of JAX's version: where either changes, generators are fitted again."""
    package = Path(__file__).parents[1]
    whole = hashlib.sha256(importlib.metadata.version("jax").encode())
    for path in sorted(package.rglob("*.py")):
        whole.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()
