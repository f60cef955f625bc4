"""Loss and macro-F1 of the global model over the rounds, with bands over seeds."""

from collections.abc import Sequence

import numpy as np

from bofl_jax.figures import curves
from bofl_jax.figures.curves import Curve
from bofl_jax.figures.intervals import over_seeds
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.sweeps.axes import ALPHA
from bofl_jax.figures.sweeps.points import grouped, label_of, sample_sizes
from bofl_jax.figures.words import BY_SEED
from bofl_jax.results import Member, Sweep

ROWS = {"macro_f1": "macro-F1, global", "loss": "training loss (nats)"}


def rounds(sweep: Sweep) -> Drawing | Skip:
    """A line a point; with `partition.alpha` and another key in the grid, a panel an alpha."""
    members = [member for member in sweep.members if member.rounds is not None]
    columns = [ALPHA] if ALPHA in sweep.varied and len(sweep.varied) > 1 else []
    rest = [key for key in sweep.varied if key not in columns]
    panels: dict[tuple[str, str], list[Curve]] = {}
    for quantity, title in ROWS.items():
        for column, inside in sorted(grouped(members, columns).items()):
            lines = [_curve(some, quantity, label_of(rest, values)) for values, some in grouped(inside, rest).items()]
            lines = [line for line in lines if np.isfinite(line.mean).any()]
            if lines:
                panels[title, label_of(columns, column) if columns else ""] = lines
    if not panels:
        return Skip("the members' directories are not here, or hold no finite loss")
    figure = curves.draw_panels(panels, "round", bands=True, scores=[ROWS["macro_f1"]])
    caption = (
        f"Macro-F1 of the global model on the test, and training loss, by round. Bands: {BY_SEED}. "
        f"{sample_sizes(sweep)}{curves.left_out(panels)}"
    )
    return Drawing(figure, caption, curves.rows_of(panels, "round"))


def _curve(members: Sequence[Member], quantity: str, label: str) -> Curve:
    """Mean over seeds, round by round, of the rounds that every seed has."""
    known = [member.rounds for member in members if member.rounds is not None]
    count = min(len(rounds.number) for rounds in known)
    means = [over_seeds(values) for values in np.stack([getattr(rounds, quantity)[:count] for rounds in known], axis=1)]
    mean, low, high = (np.array([getattr(one, part) for one in means]) for part in ("mean", "low", "high"))
    return Curve(label, known[0].number[:count], mean, low, high)
