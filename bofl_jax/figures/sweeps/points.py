"""The points of a grid, each with all its seeds, and their table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bofl_jax.figures.artifacts import Table
from bofl_jax.figures.captions import SEED_INTERVALS, format_count, format_count_range, format_interval, format_number
from bofl_jax.figures.sweeps.axes import score_columns
from bofl_jax.metrics import METRICS, Place, SeedMean, mean_over_seeds
from bofl_jax.results import SweepMember, SweepResults
from bofl_jax.results.predictions import MODELS

WORST = "worst 10 % of clients"


def group_members(members: Sequence[SweepMember], keys: Sequence[str]) -> dict[tuple[Any, ...], list[SweepMember]]:
    """Members grouped by their values of some keys, in the order of the grid.

    Args:
        members: of the sweep.
        keys: of the grid.
    """
    found: dict[tuple[Any, ...], list[SweepMember]] = {}
    for member in members:
        found.setdefault(tuple(member.point[key] for key in keys), []).append(member)
    return found


def seed_mean(members: Sequence[SweepMember], name: str) -> SeedMean:
    """Mean over seeds of a number of the members' summaries.

    Args:
        members: with the same point.
        name: dotted name of the number.
    """
    return mean_over_seeds([member.numbers.get(name, np.nan) for member in members])


def short_name(key: str) -> str:
    """The last part of a dotted key, in words.

    >>> short_name("partition.train_minutes")
    'train minutes'
    """
    return key.rpartition(".")[2].replace("_", " ")


def point_label(keys: Sequence[str], values: Sequence[Any]) -> str:
    """The label of a line in a figure.

    Args:
        keys: of the grid.
        values: of these keys.

    >>> point_label(["federation.algorithm", "partition.alpha"], ["ditto", 0.1]), point_label([], [])
    ('ditto, alpha 0.1', 'mean over seeds')
    """
    parts = [
        value if isinstance(value, str) else f"{short_name(key)} {value:g}"
        for key, value in zip(keys, values, strict=True)
    ]
    return ", ".join(parts) or "mean over seeds"


def sweep_sizes(sweep: SweepResults, keys: Sequence[str] = ()) -> str:
    """The numbers of seeds and runs, for a caption, and how many are missing.

    Args:
        sweep: the results.
        keys: of the grid that make a point; all but the seed if they are left out.
    """
    counts = [len(members) for members in group_members(sweep.members, keys or sweep.varied).values()]
    text = f"{format_count_range(counts, 'seed')} a point, {format_count(len(sweep.members), 'run')}"
    if min(counts) == 1:
        text += "; a point of one seed has no interval"
    if sweep.incomplete:
        text += f"; {format_count(sweep.incomplete, 'run')} failed or missing, and left out"
    return text + "."


def points(sweep: SweepResults) -> Table:
    """Tabulate means over seeds, a row for each point and model."""
    rows = [
        row
        for values, members in group_members(sweep.members, sweep.varied).items()
        for model in MODELS
        if (row := _row(dict(zip(sweep.varied, values, strict=True)), members, model))
    ]
    keys = list(sweep.varied)
    columns = score_columns(METRICS.select(place=Place.SWEEP_TABLE))
    titles = [title for title in (*columns.values(), WORST) if any(np.isfinite(row[title]) for row in rows)]
    header = (*(short_name(key) for key in keys), "model", "seeds", *titles)
    body = [
        (*(_plain(row[key]) for key in keys), row["model"], str(row["seeds"]), *(_cell(row, name) for name in titles))
        for row in rows
    ]
    caption = (
        f"Every point of the grid, on the test. Mean ± sd over seeds; in brackets: {SEED_INTERVALS}. "
        f"{sweep_sizes(sweep)} People and samples differ from run to run and stand in each run's own data table."
    )
    return Table(caption, header, body, rows)


def _row(point: dict[str, Any], members: Sequence[SweepMember], model: str) -> dict[str, Any]:
    """The numbers of one point and model; none if the model does not exist."""
    columns = score_columns(METRICS.select(place=Place.SWEEP_TABLE))
    found = {title: seed_mean(members, f"test.{model}.{name}") for name, title in columns.items()}
    found[WORST] = seed_mean(members, f"fairness.{model}.worst_10_percent")
    if not any(np.isfinite(mean.mean) for mean in found.values()):
        return {}
    row = {**point, "model": model, "seeds": len(members)}
    for title, mean in found.items():
        row |= {title: mean.mean, f"{title} sd": mean.sd, f"{title} low": mean.low, f"{title} high": mean.high}
    return row


def _cell(row: dict[str, Any], title: str) -> str:
    mean, sd = format_number(row[title]), format_number(row[f"{title} sd"])
    return f"{mean} ± {sd} {format_interval(row[f'{title} low'], row[f'{title} high'])}" if sd else mean


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"
