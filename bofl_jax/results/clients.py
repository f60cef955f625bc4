"""``clients.csv``: a row for each client. The SHA-256 of its bytes is in the results digest.

Columns, in this order: ``client``, ``subject``; ``n_ROLE`` and ``ROLE_CLASS`` (samples, roles ``train`` and ``test``),
the same with the role ``synthetic`` in runs with synthetic samples; ``label_divergence``; ``MODEL_accuracy`` and
``MODEL_macro_f1`` (models ``global`` and ``personalised``); ``contribution`` where it was estimated. A number that is
not defined is an empty field.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.results.reading import FIX_RUN, load_csv, number_column, read_file
from bofl_jax.results.writing import write_csv

CLIENTS_FILE = "clients.csv"
ROLES = ("train", "test", "synthetic")
REQUIRED = ("global_accuracy", "personalised_accuracy")
NUMBERS = (
    "n_train", "n_test", "n_synthetic", "label_divergence", "global_macro_f1", "personalised_macro_f1", "contribution",
)  # fmt: skip


@dataclass(frozen=True)
class Clients:
    """``clients.csv`` as columns of C clients; NaN where a field is empty."""

    name: tuple[str, ...]
    global_accuracy: np.ndarray  # float64[C]
    personalised_accuracy: np.ndarray  # float64[C]
    subject: tuple[str, ...]  # of each client; "3 subjects" for one that holds several
    counts: dict[str, dict[str, np.ndarray]]  # role -> class -> float64[C] samples
    numbers: dict[str, np.ndarray] = field(default_factory=dict)  # other column -> float64[C]


def write_clients(directory: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of all clients."""
    write_csv(directory / CLIENTS_FILE, rows)


def read_clients(directory: Path) -> Clients:
    """Read the clients of a run.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(directory / CLIENTS_FILE, _columns, FIX_RUN)


def _columns(path: Path) -> Clients:
    rows = load_csv(path)
    if not rows:
        raise ValueError("it holds no client")
    counts = {role: [name for name in rows[0] if name and name.startswith(f"{role}_")] for role in ROLES}
    return Clients(
        name=tuple(row["client"] for row in rows),
        global_accuracy=number_column(rows, "global_accuracy", required=True),
        personalised_accuracy=number_column(rows, "personalised_accuracy", required=True),
        subject=tuple(row.get("subject") or row["client"] for row in rows),
        counts={
            role: {name.removeprefix(f"{role}_"): number_column(rows, name) for name in names}
            for role, names in counts.items()
            if names
        },
        numbers={name: number_column(rows, name) for name in NUMBERS if name in rows[0]},
    )
