"""The GAN on vital signs: trained on synthetic, tested on real patients, against trained on real ones (TSTR / TRTR).

    python -m experiments.published.vitals_gan --json experiments/published/results/vitals_gan.json

The stays of the Challenge 2012 (set-a) are split into halves, stratified by outcome. A stay is the last values of ten
variables; its class is death in hospital. The generators are fitted to one half and sample as many stays of each class.
A logistic regression is trained on these and tested on the other half. ``half`` is the same regression trained on
halves of the real training stays: it shows the effect of fewer stays. ``pca-gaussian`` is a generator that needs no
training.

The settings of the GAN were chosen among four, on halves of the training halves of splits 0 and 1 (``--tune 1``). A
stay that trains in one split may test in another, so the choice was not blind to all test stays.

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
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bofl_jax.synthesis import ClientSamples, GanOptions, Generator, SampleShape, gan, pca_gaussian
from experiments.published.command import (
    data_folder,
    emit_result,
    result_parser,
    run_on_two_devices,
    summarise_scores,
)
from experiments.published.pooled_training import fit_pooled, own_options


class Variable(NamedTuple):
    """A column of the table: the last value of the first of these parameters that was measured."""

    parameters: tuple[str, ...]
    low: float  # values are clipped to [low, high]
    high: float
    skewed: bool = False  # log(1 + value) is stored


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


def read_stays(root: Path) -> Table:
    """Read all stays of set-a."""
    rows = np.loadtxt(root / "Outcomes-a.txt", delimiter=",", skiprows=1, usecols=(0, 5), dtype=np.int64)
    x = np.stack([read_stay(root / "set-a" / f"{number}.txt") for number in rows[:, 0]])
    return Table(x, rows[:, 1].astype(np.int32))


def read_stay(path: Path) -> np.ndarray:
    """float32[10]: the last values of a stay."""
    last = {}
    for line in path.read_text().splitlines()[1:]:
        _, name, value = line.split(",")
        if float(value) != -1:
            last[name] = float(value)
    return np.array([value_of(variable, last) for variable in VARIABLES.values()], np.float32)


def value_of(variable: Variable, last: dict[str, float]) -> float:
    """The value of a column; NaN if none of its parameters was measured.

    Args:
        variable: the column.
        last: parameter -> its last value.
    """
    found = next((last[name] for name in variable.parameters if name in last), np.nan)
    found = np.clip(found, variable.low, variable.high)
    return float(np.log1p(found) if variable.skewed else found)


def split_halves(table: Table, seed: int) -> tuple[Table, Table]:
    """Two halves with the same share of deaths; missing values are filled with the medians of the first half.

    Args:
        table: the stays.
        seed: seed of the split.
    """
    first, second = train_test_split(np.arange(len(table.y)), test_size=0.5, random_state=seed, stratify=table.y)
    median = np.nanmedian(table.x[first], axis=0)
    filled = np.where(np.isnan(table.x), median, table.x)
    return Table(filled[first], table.y[first]), Table(filled[second], table.y[second])


def auroc(train: Table, test: Table) -> float:
    """AUROC of a logistic regression.

    Args:
        train: stays for training.
        test: stays for the test.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train.x, train.y)
    return float(roc_auc_score(test.y, model.predict_proba(test.x)[:, 1]))


def fit_and_sample(generator: Generator, train: Table, seed: int) -> Table:
    """Fit a generator to real stays, and sample as many synthetic stays of each class.

    Args:
        generator: the generator.
        train: the real stays.
        seed: seed of training and sampling.
    """
    samples = ClientSamples(
        jnp.asarray(train.x[:, None]),
        jnp.zeros((len(train.y), 0)),
        jnp.asarray(train.y),
        jnp.int32(len(train.y)),
    )
    key = jax.random.key(seed)
    fitted, _ = fit_pooled(generator, samples, key)
    counts = np.bincount(train.y, minlength=2)
    drawn = [
        generator.sample(fitted, jax.random.fold_in(key, 100 + label), jnp.int32(label), int(count)).x[:, 0]
        for label, count in enumerate(counts)
    ]
    limits = train.x.min(axis=0), train.x.max(axis=0)
    x = np.clip(np.concatenate(jax.device_get(drawn)), *limits)
    return Table(x, np.repeat(np.arange(2, dtype=np.int32), counts))


def closeness(synthetic: Table, train: Table) -> dict[str, float]:
    """Largest differences of class means (in real standard deviations), of relative spreads and of correlations.

    Args:
        synthetic: synthetic stays.
        train: real stays.
    """
    gaps = {"mean": 0.0, "sd": 0.0, "correlation": 0.0}
    for label in (0, 1):
        real, drawn = train.x[train.y == label], synthetic.x[synthetic.y == label]
        found = {
            "mean": (drawn.mean(axis=0) - real.mean(axis=0)) / real.std(axis=0),
            "sd": drawn.std(axis=0) / real.std(axis=0) - 1,
            "correlation": np.corrcoef(drawn.T) - np.corrcoef(real.T),
        }
        gaps = {name: max(gap, float(np.abs(found[name]).max())) for name, gap in gaps.items()}
    return gaps


def compare(train: Table, test: Table, generators: dict[str, Generator], seeds: int) -> dict[str, Any]:
    """AUROC on the test half, for every training set.

    Args:
        train: real training stays.
        test: real test stays.
        generators: name -> generator.
        seeds: number of seeds.
    """
    real = auroc(train, test)
    parts = [auroc(split_halves(train, seed)[0], test) for seed in range(seeds)]
    result: dict[str, Any] = {"real": real, "half": summarise_scores(parts)}
    for name, generator in generators.items():
        samples = [fit_and_sample(generator, train, seed) for seed in range(seeds)]
        scores = summarise_scores([auroc(table, test) for table in samples])
        result[name] = scores | {"ratio": scores["mean"] / real, "closeness": closeness(samples[0], train)}
    return result


def main() -> None:
    """Compare on several splits."""
    arguments = result_parser(__doc__, seeds=5, splits=3, tune=0).parse_args()
    began = time.perf_counter()
    table = read_stays(data_folder("challenge2012", "Outcomes-a.txt and set-a of PhysioNet's Challenge 2012"))
    shape = SampleShape(window=1, leads=len(VARIABLES), features=0, classes=("survived", "died"), fs=1.0)
    settings = GanOptions(rounds=25, steps=200)  # pooled data: nothing is averaged between rounds
    generators = {"gan": gan(shape, settings), "pca-gaussian": pca_gaussian(shape, len(VARIABLES))}
    splits = []
    for split in range(arguments.splits):
        train, test = split_halves(table, split)
        if arguments.tune:
            train, test = split_halves(train, split)
        splits.append(compare(train, test, generators, arguments.seeds))
    means = {name: float(np.mean([row[name]["ratio"] for row in splits])) for name in generators}
    facts = {
        "stays": len(table.y),
        "deaths": int(table.y.sum()),
        "missing": dict(zip(VARIABLES, missing(table), strict=True)),
    }
    emit_result(facts | {"settings": own_options(settings), "ratio": means, "splits": splits}, arguments.json, began)


def missing(table: Table) -> list[float]:
    """Share of stays without a value, for each column."""
    return np.isnan(table.x).mean(axis=0).round(4).tolist()


if __name__ == "__main__":
    run_on_two_devices(main)
