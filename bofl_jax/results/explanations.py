"""``explanations.npz``: what each time sample of some test samples adds to their predicted class.

The file is there where ``evaluate.explain`` asks for it. The chain does not vouch for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bofl_jax.results.reading import FIX_RUN, check_labels, load_arrays, read_file
from bofl_jax.results.records import ArrayType, check_arrays
from bofl_jax.results.writing import write_arrays

EXPLANATIONS_FILE = "explanations.npz"

EXPLANATION_ARRAYS = {
    "classes": ArrayType("str", "K"),
    "x": ArrayType("float32", "ETL"),  # the samples as the model gets them
    "attribution": ArrayType("float32", "ETL"),  # in units of the predicted class's logit
    "features_attribution": ArrayType("float32", "EF", required=False),
    "completeness_error": ArrayType("float32", "E", required=False),
    "label": ArrayType("int32", "E"),  # index of the true class
    "predicted": ArrayType("int32", "E"),  # index of the predicted class
    "probability": ArrayType("float32", "EK"),
    "client": ArrayType("str", "E"),  # name
    "sample_rate": ArrayType("float64", ""),  # Hz
}
"""Explained samples E, time samples T, leads L, features F, classes K."""


@dataclass(frozen=True)
class Explanations:
    """``explanations.npz``: E explained samples."""

    x: np.ndarray  # float32[E, T, L]
    attribution: np.ndarray  # float32[E, T, L]
    label: np.ndarray  # int32[E]
    predicted: np.ndarray  # int32[E]
    probability: np.ndarray  # float32[E, K]
    client: tuple[str, ...]
    sample_rate: float  # Hz
    classes: tuple[str, ...]


def write_explanations(directory: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the explained samples of a run.

    Args:
        directory: the run directory.
        arrays: of the types of `EXPLANATION_ARRAYS`.

    Raises:
        ValueError: if an array has another type.
    """
    check_arrays(arrays, EXPLANATION_ARRAYS)
    write_arrays(directory / EXPLANATIONS_FILE, arrays)


def read_explanations(directory: Path) -> Explanations | None:
    """Read the explained samples of a run; None where there are none.

    Raises:
        BoflError: if the file is damaged.
    """
    path = directory / EXPLANATIONS_FILE
    return read_file(path, _explanations, FIX_RUN) if path.exists() else None


def _explanations(path: Path) -> Explanations:
    arrays = load_arrays(path, EXPLANATION_ARRAYS)
    classes = tuple(map(str, arrays["classes"]))
    for name in ("label", "predicted"):
        check_labels(arrays[name], classes)
    return Explanations(
        x=arrays["x"],
        attribution=arrays["attribution"],
        label=arrays["label"],
        predicted=arrays["predicted"],
        probability=arrays["probability"],
        client=tuple(map(str, arrays["client"])),
        sample_rate=float(arrays["sample_rate"]),
        classes=classes,
    )
