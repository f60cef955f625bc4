"""Groups of people for a run in the written format."""

import json
from pathlib import Path

import numpy as np

from bofl_jax.evaluation.group_fairness import groups_from_predictions


def add_groups(folder: Path) -> None:
    """Add them to a run's summary: even subjects are F, odd ones M, but the last two are in neither."""
    with np.load(folder / "predictions.npz") as file:
        arrays = {name: file[name] for name in file.files}
    subject = arrays["subject"]
    group = np.where(subject >= subject.max() - 1, -1, subject % 2).astype(np.int32)
    found = groups_from_predictions(arrays | {"group": group, "group_names": np.array(("F", "M"))}, "sex")
    summary = json.loads((folder / "summary.json").read_text())
    for model, groups in found.items():
        summary["fairness"][model] |= groups
    (folder / "summary.json").write_text(json.dumps(summary))
