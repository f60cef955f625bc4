"""The results digest: 32 bytes on the chain that stand for everything that a run measured but its clock times."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bofl_jax.core.serialization import canonical_bytes
from bofl_jax.results.clients import CLIENTS_FILE
from bofl_jax.results.predictions import read_prediction_arrays
from bofl_jax.results.reading import FIX_RUN, read_file
from bofl_jax.results.rounds import read_round_records, verified_values


def results_digest(directory: Path, measured: Mapping[str, Any]) -> bytes:
    """Compute the results digest of a run.

    SHA-256 of a JSON text (sorted keys, no spaces) of the summary's ``test`` and ``fairness``, the lines of
    ``rounds.jsonl`` without times, and the SHA-256 of ``clients.csv`` and of the arrays of ``predictions.npz``.

    Args:
        directory: the run directory.
        measured: the summary, or its ``test`` and ``fairness`` alone.

    Returns:
        The 32 bytes.

    Raises:
        BoflError: if a file is missing or damaged.
    """
    layout, data = canonical_bytes(read_prediction_arrays(directory))
    content = {
        "test": measured["test"],
        "fairness": measured["fairness"],
        "rounds": [verified_values(record) for record in read_round_records(directory)],
        "clients": hashlib.sha256(read_file(directory / CLIENTS_FILE, Path.read_bytes, FIX_RUN)).hexdigest(),
        "predictions": hashlib.sha256(layout.encode() + data).hexdigest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()
