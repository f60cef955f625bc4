"""Macro-F1 over the rounds, method by method."""

import numpy as np

from bofl_jax.figures import curves
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.curves import CurveSeries
from bofl_jax.results import Study, StudyRound


def rounds(study: Study) -> Drawing | Unavailable:
    """Draw a panel for each protocol and a line for each arm, with the bands of the study."""
    if not study.rounds:
        return Unavailable("the study has no rounds.csv")
    protocols = list(dict.fromkeys(row.protocol for row in study.rounds))
    panels = {
        ("macro-F1", protocol if len(protocols) > 1 else ""): [
            _curve([row for row in study.rounds if (row.protocol, row.arm) == (protocol, arm)])
            for arm in dict.fromkeys(row.arm for row in study.rounds if row.protocol == protocol)
        ]
        for protocol in protocols
    }
    figure = curves.draw_panels(panels, "round", shape=(2.2, 0.75), bands=True)
    seeds = sorted({row.seeds for row in study.rows})
    people = sorted({row.people for row in study.rows})
    caption = (
        "Macro-F1 on the test by round. Bands: 95 % intervals over seeds as the study made them. "
        f"Seeds: {', '.join(map(str, seeds)) or 'not stated'}; people: {', '.join(map(str, people)) or 'not stated'}. "
        f"{study.name}, made by `{study.made_by}`.{curves.omission_note(panels)}"
    )
    return Drawing(figure, caption, [vars(row) for row in study.rounds])


def _curve(rows: list[StudyRound]) -> CurveSeries:
    rows = sorted(rows, key=lambda row: row.round)
    x, mean, low, high = (
        np.array([getattr(row, name) for row in rows], np.float64) for name in ("round", "macro_f1", "low", "high")
    )
    return CurveSeries(rows[0].title, x, mean, low, high)
