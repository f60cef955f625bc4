"""Result files with hostile names, and the data that a page holds."""

import csv
import json
from pathlib import Path

import numpy as np

SUBJECTS = (  # in the order of the clients, which is that of their letters
    '"><img src=x onerror="document.title = \'harm\'">',
    "${title} plain-10",
    "</script><h1>harm</h1>",
    "<script>document.title = 'harm'</script>",
    "José ünïcode \u2028 line",
    "O'Brien & <b>sons</b>",
)
CLASSES = ("<i>N</i>", "S&amp;", "V")
GATES = {"utility": 0.0, "distance": 0.0, "diversity": 0.0, "margin": 10.0, "membership": 1.0, "copies": 1.0}


def write_explanations(directory: Path, leads: int = 2, beats: int = 3) -> dict[str, np.ndarray]:
    """``explanations.npz`` as `bofl_jax.results.explanations` reads it; attributions are far below 1."""
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), beats).astype(np.float32)
    arrays = {
        "x": rng.normal(size=(beats, 32, leads)).astype(np.float32),
        "attribution": (1e-6 * rng.normal(size=(beats, 32, leads))).astype(np.float32),
        "label": np.arange(beats, dtype=np.int32) % 3,
        "predicted": probability.argmax(axis=1).astype(np.int32),
        "probability": probability,
        "client": np.array(SUBJECTS)[np.arange(beats) % len(SUBJECTS)],
        "sample_rate": np.array(64.0),
        "classes": np.array(CLASSES),
    }
    np.savez(directory / "explanations.npz", **arrays)
    return arrays


MEASURES = ("test.global.accuracy", "test.personalised.accuracy", "ledger.gas_per_round")


def write_sweep(folder: Path, seeds: int = 3) -> Path:
    """A sweep's table as `bofl_jax.results.sweep` reads it: the last member failed, alpha 10 sorts after alpha 2."""
    folder.mkdir(parents=True, exist_ok=True)
    head = ["member", "seed", "partition.alpha", "federation.algorithm", "status", "error"]
    rows = []
    for number, (alpha, algorithm) in enumerate((a, m) for a in ("2", "10") for m in ("fedavg", "<b>ditto</b>")):
        for seed in range(seeds):
            accuracy = 0.5 + 0.1 * number + 0.01 * seed
            rows.append([f"m{number}-{seed}", seed, alpha, algorithm, "done", "", accuracy, accuracy + 0.05, 175000])
    rows[-1][4:] = ["failed", "training diverged: <lower> optimizer.lr", "", "", ""]
    with (folder / "sweep.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*head, *MEASURES], *rows])
    return folder


def data_of(path: Path) -> dict:
    """The data that a page holds."""
    before, _, rest = path.read_text(encoding="ascii").partition('<script type="application/json" id="data">')
    assert before
    return json.loads(rest.partition("</script>")[0])
