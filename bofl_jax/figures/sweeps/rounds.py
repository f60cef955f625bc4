"""Loss and macro-F1 of the global model over the rounds, with bands over seeds."""

from collections.abc import Sequence

import numpy as np

from bofl_jax.figures import curves
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import SEED_INTERVALS
from bofl_jax.figures.curves import CurveSeries
from bofl_jax.figures.sweeps.axes import ALPHA
from bofl_jax.figures.sweeps.points import group_members, point_label, sweep_sizes
from bofl_jax.metrics import mean_over_seeds
from bofl_jax.results import SweepMember, SweepResults

ROWS = {"macro_f1": "macro-F1, global", "loss": "training loss (nats)"}


def rounds(sweep: SweepResults) -> Drawing | Unavailable:
    """Draw a line for each point; with `partition.alpha` and another key in the grid, a panel for each alpha."""
    members = [member for member in sweep.members if member.rounds is not None]
    columns = [ALPHA] if ALPHA in sweep.varied and len(sweep.varied) > 1 else []
    rest = [key for key in sweep.varied if key not in columns]
    panels: dict[tuple[str, str], list[CurveSeries]] = {}
    for quantity, title in ROWS.items():
        for column, inside in sorted(group_members(members, columns).items()):
            lines = [
                _curve(some, quantity, point_label(rest, values))
                for values, some in group_members(inside, rest).items()
            ]
            lines = [line for line in lines if np.isfinite(line.mean).any()]
            if lines:
                panels[title, point_label(columns, column) if columns else ""] = lines
    if not panels:
        return Unavailable("the members' directories are not here, or hold no finite loss")
    figure = curves.draw_panels(panels, "round", bands=True, scores=[ROWS["macro_f1"]])
    caption = (
        f"Macro-F1 of the global model on the test, and training loss, by round. Bands: {SEED_INTERVALS}. "
        f"{sweep_sizes(sweep)}{curves.omission_note(panels)}"
    )
    return Drawing(figure, caption, curves.panel_rows(panels, "round"))


def _curve(members: Sequence[SweepMember], quantity: str, label: str) -> CurveSeries:
    """Mean over seeds, for each round that all seeds have."""
    known = [member.rounds for member in members if member.rounds is not None]
    count = min(len(rounds.number) for rounds in known)
    means = [
        mean_over_seeds(values) for values in np.stack([getattr(rounds, quantity)[:count] for rounds in known], axis=1)
    ]
    mean, low, high = (np.array([getattr(one, part) for one in means]) for part in ("mean", "low", "high"))
    return CurveSeries(label, known[0].number[:count], mean, low, high)
