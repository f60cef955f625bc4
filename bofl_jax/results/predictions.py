"""``predictions.npz``: the probabilities of all test samples, client after client.

The layout and the bytes of all arrays are in the results digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bofl_jax.results.reading import FIX_RUN, check_labels, load_arrays, read_file
from bofl_jax.results.records import ArrayType, check_arrays
from bofl_jax.results.writing import write_arrays

PREDICTIONS_FILE = "predictions.npz"
MODELS = ("global", "personalised")

PREDICTION_ARRAYS = {
    "classes": ArrayType("str", "K"),
    "label": ArrayType("int32", "N"),  # index of the true class
    "client": ArrayType("int32", "N"),  # index into client_names
    "subject": ArrayType("int32", "N"),  # index into subject_names and person_names
    "sample": ArrayType("int32", "N", required=False),  # index into the data source's samples
    "time": ArrayType("float64", "N", required=False),  # s from the start of the subject's recording
    "global_probability": ArrayType("float32", "NK", required=False),  # absent without a global model
    "personalised_probability": ArrayType("float32", "NK", required=False),  # absent without personal models
    "client_names": ArrayType("str", "C", required=False),
    "subject_names": ArrayType("str", "S", required=False),
    "person_names": ArrayType("str", "S"),  # the same for all subjects that are recordings of one person
    "group": ArrayType("int32", "N", required=False),  # index into group_names, -1: in no group
    "group_names": ArrayType("str", "G", required=False),
}
"""Test samples N, classes K, clients C, subjects S, groups of people G."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """``predictions.npz`` of N test samples and K classes; probabilities are absent for a model that does not exist."""

    label: np.ndarray  # int32[N]
    person: np.ndarray  # int64[N], the same for all recordings of one person
    classes: tuple[str, ...]
    global_probability: np.ndarray | None  # float32[N, K]
    personalised_probability: np.ndarray | None  # float32[N, K]
    client: np.ndarray  # int32[N]
    time: np.ndarray  # float64[N], seconds from the start of the subject's recording; NaN where none were written
    client_names: tuple[str, ...] = ()

    @property
    def models(self) -> dict[str, np.ndarray]:
        """float32[N, K] by model, of the models that exist."""
        found = {model: getattr(self, f"{model}_probability") for model in MODELS}
        return {model: probability for model, probability in found.items() if probability is not None}

    def part(self, chosen: np.ndarray) -> "Predictions":
        """The predictions of some samples, bool[N]."""
        rows = {name: getattr(self, name)[chosen] for name in ("label", "person", "client", "time")}
        return replace(self, **rows, **{f"{model}_probability": p[chosen] for model, p in self.models.items()})


def write_predictions(directory: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the test predictions of a run.

    Args:
        directory: the run directory.
        arrays: of the types of `PREDICTION_ARRAYS`.

    Raises:
        ValueError: if an array has another type.
    """
    check_arrays(arrays, PREDICTION_ARRAYS)
    write_arrays(directory / PREDICTIONS_FILE, arrays)


def read_prediction_arrays(directory: Path) -> dict[str, np.ndarray]:
    """Read all arrays of the file.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(directory / PREDICTIONS_FILE, lambda path: load_arrays(path, PREDICTION_ARRAYS), FIX_RUN)


def read_predictions(directory: Path) -> Predictions:
    """Read the test predictions of a run.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(directory / PREDICTIONS_FILE, _predictions, FIX_RUN)


def _predictions(path: Path) -> Predictions:
    arrays = load_arrays(path, PREDICTION_ARRAYS)
    label, classes = arrays["label"], tuple(map(str, arrays["classes"]))
    check_labels(label, classes)
    return Predictions(
        label=label,
        person=np.unique(arrays["person_names"], return_inverse=True)[1][arrays["subject"]],
        classes=classes,
        global_probability=arrays.get("global_probability"),
        personalised_probability=arrays.get("personalised_probability"),
        client=arrays["client"],
        time=arrays.get("time", np.full(label.shape, np.nan)),  # earlier versions wrote none
        client_names=tuple(map(str, arrays.get("client_names", ()))),
    )
