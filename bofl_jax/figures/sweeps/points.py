"""The points of a grid, each with all its seeds, and the table of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bofl_jax.figures.intervals import Mean, over_seeds
from bofl_jax.figures.products import Table
from bofl_jax.figures.words import BY_SEED, counted, ranged, rounded, spanned
from bofl_jax.results import Member, Sweep

MODELS = ("global", "personalised")
METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "per_class.S.recall": "recall of S",
    "per_class.S.precision": "precision of S",
    "ece": "ECE",
}
WORST = "worst 10 % of clients"


def grouped(members: Sequence[Member], keys: Sequence[str]) -> dict[tuple[Any, ...], list[Member]]:
    """Members by their values of some keys, in the order of the grid."""
    found: dict[tuple[Any, ...], list[Member]] = {}
    for member in members:
        found.setdefault(tuple(member.point[key] for key in keys), []).append(member)
    return found


def number(members: Sequence[Member], name: str) -> Mean:
    """Mean over seeds of a number of the members' summaries."""
    return over_seeds([member.numbers.get(name, np.nan) for member in members])


def short(key: str) -> str:
    """The last part of a dotted key, in words.

    >>> short("partition.train_minutes")
    'train minutes'
    """
    return key.rpartition(".")[2].replace("_", " ")


def label_of(keys: Sequence[str], values: Sequence[Any]) -> str:
    """What a line of a figure is called.

    >>> label_of(["federation.algorithm", "partition.alpha"], ["ditto", 0.1]), label_of([], [])
    ('ditto, alpha 0.1', 'mean over seeds')
    """
    parts = [
        value if isinstance(value, str) else f"{short(key)} {value:g}" for key, value in zip(keys, values, strict=True)
    ]
    return ", ".join(parts) or "mean over seeds"


def sample_sizes(sweep: Sweep, keys: Sequence[str] = ()) -> str:
    """How many seeds a point has, for a caption, and what is missing."""
    counts = [len(members) for members in grouped(sweep.members, keys or sweep.varied).values()]
    text = f"{spanned(counts, 'seed')} a point, {counted(len(sweep.members), 'run')}"
    if min(counts) == 1:
        text += "; a point of one seed has no interval"
    if sweep.incomplete:
        text += f"; {counted(sweep.incomplete, 'run')} failed or missing, and left out"
    return text + "."


def points(sweep: Sweep) -> Table:
    """A row a point and model: means over seeds."""
    rows = [
        row
        for values, members in grouped(sweep.members, sweep.varied).items()
        for model in MODELS
        if (row := _row(dict(zip(sweep.varied, values, strict=True)), members, model))
    ]
    keys = list(sweep.varied)
    titles = [title for title in (*METRICS.values(), WORST) if any(np.isfinite(row[title]) for row in rows)]
    header = (*(short(key) for key in keys), "model", "seeds", *titles)
    body = [
        (*(_plain(row[key]) for key in keys), row["model"], str(row["seeds"]), *(_cell(row, name) for name in titles))
        for row in rows
    ]
    caption = (
        f"Every point of the grid, on the test. Mean ± sd over seeds; in brackets: {BY_SEED}. {sample_sizes(sweep)} "
        "People and samples differ from run to run and stand in each run's own data table."
    )
    return Table(caption, header, body, rows)


def _row(point: dict[str, Any], members: Sequence[Member], model: str) -> dict[str, Any]:
    """Numbers of one point and model; nothing where the model does not exist."""
    found = {title: number(members, f"test.{model}.{name}") for name, title in METRICS.items()}
    found[WORST] = number(members, f"fairness.{model}.worst_10_percent")
    if not any(np.isfinite(mean.mean) for mean in found.values()):
        return {}
    row = {**point, "model": model, "seeds": len(members)}
    for title, mean in found.items():
        row |= {title: mean.mean, f"{title} sd": mean.sd, f"{title} low": mean.low, f"{title} high": mean.high}
    return row


def _cell(row: dict[str, Any], title: str) -> str:
    mean, sd = rounded(row[title]), rounded(row[f"{title} sd"])
    return f"{mean} ± {sd} {ranged(row[f'{title} low'], row[f'{title} high'])}" if sd else mean


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
