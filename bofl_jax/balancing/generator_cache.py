"""A cache of fitted generators: runs that differ in quota, dose or gates fit a generator once and all draw from it.

A neural generator takes minutes to fit. It is stored under a digest of everything that it depends on: the samples,
their assignment to clients, its options, the run's key, how clients run, and the code of the package.
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

from bofl_jax.balancing.fit import FitInputs, FittedGenerators
from bofl_jax.core.errors import BoflError
from bofl_jax.core.serialization import canonical_bytes
from bofl_jax.results.writing import write_arrays
from bofl_jax.synthesis.base import Generator
from bofl_jax.synthesis.options import SynthesisOptions, TrainingMode

_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


class GeneratorCache:
    """A folder of fitted generators.

    Args:
        folder: the folder; it is created when the first generator is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_or_fit(
        self, key: str, generator: Generator, training: TrainingMode, fit: Callable[[], FittedGenerators]
    ) -> FittedGenerators:
        """Return the generator stored under a key; fit and store it if its file is missing or damaged.

        Args:
            key: from `cache_key`.
            generator: the generator that ``fit`` fits.
            training: how it is fitted.
            fit: fits it.

        Raises:
            BoflError: if the folder cannot be written.
        """
        path = self.folder / f"{generator.name}-{key[:32]}.npz"
        stored = _read(path, generator, training)
        if stored is not None:
            return stored
        fitted = fit()
        leaves = jax.tree.leaves(fitted.fitted)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            arrays = {str(place): leaf for place, leaf in enumerate(leaves)}
            write_arrays(path, {"train_counts": fitted.train_counts} | arrays)
        except OSError as error:
            raise BoflError(f"{self.folder} cannot be written ({error.strerror}): name another folder") from error
        return fitted


def _read(path: Path, generator: Generator, training: TrainingMode) -> FittedGenerators | None:
    state = jax.eval_shape(generator.init, jax.random.key(0))
    leaves, structure = jax.tree.flatten(jax.eval_shape(generator.finalize, state))
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            fitted = [arrays[str(place)] for place in range(len(leaves))]
            train_counts = arrays["train_counts"]
    except _DAMAGE:
        return None
    return FittedGenerators(generator, training, jax.tree.unflatten(structure, fitted), train_counts)


def cache_key(options: SynthesisOptions, inputs: FitInputs) -> str:
    """The digest, in hexadecimal, of all that a fitted generator depends on.

    Args:
        options: of the generator. Those that only decide who may draw, and how much, do not count.
        inputs: data, and how clients run.
    """
    common = SynthesisOptions.model_fields.keys() - {"training"}
    arrays = {"pool": inputs.pool, "rows": inputs.rows, "root": jax.random.key_data(inputs.root)}
    layout, data = canonical_bytes(arrays)
    dependencies: dict[str, Any] = {
        "options": options.model_dump(exclude=set(common)),
        "plan": inputs.plan,
        "classes": inputs.classes,
        "arrays": layout,
        "data": hashlib.sha256(data).hexdigest(),
        "backend": jax.default_backend(),
        "code": _code_digest(),
    }
    return hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()


@functools.cache
def _code_digest() -> str:
    """A digest of this package's source and of JAX's version: when either changes, generators are fitted again."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(importlib.metadata.version("jax").encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
