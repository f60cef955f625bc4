"""The GAN on vital signs: trained on synthetic, tested on real patients, against trained on real ones (TSTR / TRTR).

    python experiments/published/vitals_gan.py --json experiments/published/results/vitals_gan.json

Stays of the Challenge 2012 (set-a) are split in halves, by outcome. A stay is the last values of ten variables; its
class is death in hospital. The generators are fitted to one half and draw as many stays of each class as it has; a
logistic regression is trained on them and tested on the other half. ``half`` is the same regression trained on halves
of the real training stays: what it costs to have fewer of them. ``pca-gaussian`` is the cheap rival.

Settings were chosen among four on halves of the training halves of splits 0 and 1, as ``--tune 1`` makes them. A stay
that trains in one split may test in another, so the choice was not blind to all test stays.

Silva, Moody, Scott, Celi, Mark: Predicting in-hospital mortality of ICU patients: the PhysioNet/Computing in Cardiology
Challenge 2012. Computing in Cardiology, 2012.
Esteban, Hyland, Raetsch: Real-valued (medical) time series generation with recurrent conditional GANs. 2017.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from common import data_folder, emit, parse
from pooled import fitted
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bofl_jax.synthesis.base import Examples, Generator, Shape
from bofl_jax.synthesis.generators.gan import GanSettings, gan
from bofl_jax.synthesis.generators.gaussian import pca_gaussian


class Variable(NamedTuple):
    """A column of the table: the last value of these parameters, the first that there is."""

    parameters: tuple[str, ...]
    least: float
    most: float
    skewed: bool = False  # log(1 + value) is what is kept


VARIABLES = {
    "Age": Variable(("Age",), 15, 90),
    "HR": Variable(("HR",), 20, 220),
    "SysABP": Variable(("SysABP", "NISysABP"), 40, 260),
    "DiasABP": Variable(("DiasABP", "NIDiasABP"), 10, 150),
    "MAP": Variable(("MAP", "NIMAP"), 20, 200),
    "Temp": Variable(("Temp",), 32, 42),
    "GCS": Variable(("GCS",), 3, 15),
    "Urine": Variable(("Urine",), 0, 2000, skewed=True),
    "BUN": Variable(("BUN",), 1, 250, skewed=True),
    "Creatinine": Variable(("Creatinine",), 0.1, 25, skewed=True),
}


class Table(NamedTuple):
    """Stays as rows."""

    x: np.ndarray  # float32[N, 10], NaN where nothing was measured
    y: np.ndarray  # int32[N], 1: died in hospital


def read(root: Path) -> Table:
    """All stays of set-a."""
    rows = np.loadtxt(root / "Outcomes-a.txt", delimiter=",", skiprows=1, usecols=(0, 5), dtype=np.int64)
    x = np.stack([stay(root / "set-a" / f"{number}.txt") for number in rows[:, 0]])
    return Table(x, rows[:, 1].astype(np.int32))


def stay(path: Path) -> np.ndarray:
    """float32[10]: the last values of a stay."""
    last = {}
    for line in path.read_text().splitlines()[1:]:
        _, name, value = line.split(",")
        if float(value) != -1:
            last[name] = float(value)
    return np.array([value_of(variable, last) for variable in VARIABLES.values()], np.float32)


def value_of(variable: Variable, last: dict[str, float]) -> float:
    """A column's value; NaN if nothing was measured."""
    found = next((last[name] for name in variable.parameters if name in last), np.nan)
    found = np.clip(found, variable.least, variable.most)
    return float(np.log1p(found) if variable.skewed else found)


def halves(table: Table, seed: int) -> tuple[Table, Table]:
    """Two halves with the same share of deaths; what is missing is filled with the medians of the first."""
    one, other = train_test_split(np.arange(len(table.y)), test_size=0.5, random_state=seed, stratify=table.y)
    middle = np.nanmedian(table.x[one], axis=0)
    filled = np.where(np.isnan(table.x), middle, table.x)
    return Table(filled[one], table.y[one]), Table(filled[other], table.y[other])


def auroc(train: Table, test: Table) -> float:
    """Of a logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train.x, train.y)
    return float(roc_auc_score(test.y, model.predict_proba(test.x)[:, 1]))


def synthetic(generator: Generator, train: Table, seed: int) -> Table:
    """As many stays of each class as there are real ones, by a generator that is fitted to these."""
    examples = Examples(
        jnp.asarray(train.x[:, None]),
        jnp.zeros((len(train.y), 0)),
        jnp.asarray(train.y),
        jnp.int32(len(train.y)),
    )
    key = jax.random.key(seed)
    artist, _ = fitted(generator, examples, key)
    counts = np.bincount(train.y, minlength=2)
    drawn = [
        generator.sample(artist, jax.random.fold_in(key, 100 + label), jnp.int32(label), int(count)).x[:, 0]
        for label, count in enumerate(counts)
    ]
    limits = train.x.min(axis=0), train.x.max(axis=0)
    x = np.clip(np.concatenate(jax.device_get(drawn)), *limits)
    return Table(x, np.repeat(np.arange(2, dtype=np.int32), counts))


def closeness(made: Table, train: Table) -> dict[str, float]:
    """Worst differences of a column's class means and spreads, in real standard deviations, and of correlations."""
    gaps = {"mean": 0.0, "sd": 0.0, "correlation": 0.0}
    for label in (0, 1):
        real, drawn = train.x[train.y == label], made.x[made.y == label]
        found = {
            "mean": (drawn.mean(axis=0) - real.mean(axis=0)) / real.std(axis=0),
            "sd": drawn.std(axis=0) / real.std(axis=0) - 1,
            "correlation": np.corrcoef(drawn.T) - np.corrcoef(real.T),
        }
        gaps = {name: max(gap, float(np.abs(found[name]).max())) for name, gap in gaps.items()}
    return gaps


def compare(train: Table, test: Table, generators: dict[str, Generator], seeds: int) -> dict[str, Any]:
    """AUROC on the test half of every training set."""
    real = auroc(train, test)
    parts = [auroc(halves(train, seed)[0], test) for seed in range(seeds)]
    result: dict[str, Any] = {"real": real, "half": summary(parts)}
    for name, generator in generators.items():
        made = [synthetic(generator, train, seed) for seed in range(seeds)]
        scores = summary([auroc(table, test) for table in made])
        result[name] = scores | {"ratio": scores["mean"] / real, "closeness": closeness(made[0], train)}
    return result


def summary(scores: list[float]) -> dict[str, Any]:
    """Mean, standard deviation and all."""
    return {"mean": float(np.mean(scores)), "sd": float(np.std(scores)), "each": [round(score, 4) for score in scores]}


def main() -> None:
    """Compare on several splits."""
    arguments = parse(__doc__, seeds=5, splits=3, tune=0)
    began = time.perf_counter()
    table = read(data_folder("challenge2012", "Outcomes-a.txt and set-a of PhysioNet's Challenge 2012"))
    shape = Shape(window=1, leads=len(VARIABLES), features=0, classes=2, fs=1.0)
    settings = GanSettings(rounds=25, steps=200)  # of pooled data: nothing is averaged between rounds
    generators = {"gan": gan(shape, settings), "pca-gaussian": pca_gaussian(shape, len(VARIABLES))}
    splits = []
    for split in range(arguments.splits):
        train, test = halves(table, split)
        if arguments.tune:
            train, test = halves(train, split)
        splits.append(compare(train, test, generators, arguments.seeds))
    means = {name: float(np.mean([row[name]["ratio"] for row in splits])) for name in generators}
    facts = {
        "stays": len(table.y),
        "deaths": int(table.y.sum()),
        "missing": dict(zip(VARIABLES, missing(table), strict=True)),
    }
    emit(facts | {"settings": settings._asdict(), "ratio": means, "splits": splits}, arguments.json, began)


def missing(table: Table) -> list[float]:
    """Share of stays without a value, of each column."""
    return np.isnan(table.x).mean(axis=0).round(4).tolist()


if __name__ == "__main__":
    main()
