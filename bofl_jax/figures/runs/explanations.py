"""Beats that are coloured by the attribution of each sample to the predicted class."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.results import Explanations, RunResults

MAX_BEATS = 6
"""Number of beats in the figure; the CSV file holds all."""

_COLORS = LinearSegmentedColormap.from_list("attribution", ["#0072B2", "#c8c8c8", "#D55E00"])


def explanations(run: RunResults) -> Drawing | Unavailable:
    """Draw up to six beats in rows of three; the first lead of each."""
    found = run.explanations
    if found is None or not len(found.x):
        return Unavailable("the run holds no explanations")
    caption = (
        "Beats of the test, coloured by attribution to the predicted class: orange samples speak for it, blue ones "
        "against it, grey ones do not matter; the scale is each beat's own largest value. The first of "
        f"{found.x.shape[2]} leads, amplitude as the network sees it. Above each: client, true class, predicted class "
        f"and its probability. {min(MAX_BEATS, len(found.x))} of {len(found.x)} explained beats, which are examples "
        "and no "
        "sample."
    )
    return Drawing(_draw(found), caption, _rows(found))


def _draw(found: Explanations) -> Figure:
    count = min(MAX_BEATS, len(found.x))
    columns = min(3, count)
    rows = -(-count // columns)
    figure, axes = style.panel_grid(rows, columns, style.PAGE_WIDTH, 1.55 * rows + 0.5, sharex=True, sharey=True)
    flat = [axis for row in axes for axis in row]
    for beat, axis in enumerate(flat[:count]):
        _draw_beat(axis, found, beat)
    for axis in flat[count:]:
        axis.set_axis_off()
    for place in range(columns):
        axes[(count - 1 - place) // columns][place].set_xlabel("time (ms)")
        axes[(count - 1 - place) // columns][place].tick_params(labelbottom=True)
    for row in axes:
        row[0].set_ylabel("amplitude")
    scale = figure.colorbar(flat[0].collections[0], ax=flat, pad=0.01, aspect=30)
    scale.set_label("attribution, relative")
    scale.outline.set_visible(False)
    return figure


def _draw_beat(axis: Axes, found: Explanations, beat: int) -> None:
    wave, share = found.x[beat, :, 0], _relative(found.attribution[beat, :, 0])
    time = np.arange(len(wave)) / found.sample_rate * 1e3
    points = np.stack([time, wave], axis=1)
    pieces = np.stack([points[:-1], points[1:]], axis=1)  # [T - 1, 2, 2]
    line = LineCollection(list(pieces), cmap=_COLORS, norm=Normalize(-1, 1), linewidths=1.4, capstyle="round")
    line.set_array((share[:-1] + share[1:]) / 2)
    axis.add_collection(line)
    axis.autoscale_view()
    true, predicted = found.classes[found.label[beat]], found.classes[found.predicted[beat]]
    chance = found.probability[beat, found.predicted[beat]]
    axis.set_title(f"{found.client[beat]}: {true}, predicted {predicted} ({chance:.2f})", fontsize=7)


def _relative(attribution: np.ndarray) -> np.ndarray:
    largest = np.abs(attribution).max()
    return attribution / largest if largest > 0 else attribution


def _rows(found: Explanations) -> list[dict[str, Any]]:
    return [
        {
            "beat": beat,
            "client": found.client[beat],
            "class": found.classes[found.label[beat]],
            "predicted": found.classes[found.predicted[beat]],
            "lead": lead,
            "time (ms)": sample / found.sample_rate * 1e3,
            "amplitude": float(found.x[beat, sample, lead]),
            "attribution": float(found.attribution[beat, sample, lead]),
        }
        for beat in range(len(found.x))
        for lead in range(found.x.shape[2])
        for sample in range(found.x.shape[1])
    ]
