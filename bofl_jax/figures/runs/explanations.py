"""Beats whose wave is coloured by what each sample adds to the predicted class."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from bofl_jax.figures import style
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.results import Explanations, Run

MOST = 6
"""Beats in the figure; all stand in the CSV file."""

_COLORS = LinearSegmentedColormap.from_list("attribution", ["#0072B2", "#c8c8c8", "#D55E00"])


def explanations(run: Run) -> Drawing | Skip:
    """Up to six beats in rows of three; the first lead of each."""
    given = run.explanations
    if given is None or not len(given.x):
        return Skip("the run holds no explanations")
    caption = (
        "Beats of the test, coloured by attribution to the predicted class: orange samples speak for it, blue ones "
        "against it, grey ones do not matter; the scale is each beat's own largest value. The first of "
        f"{given.x.shape[2]} leads, amplitude as the network sees it. Above each: client, true class, predicted class "
        f"and its probability. {min(MOST, len(given.x))} of {len(given.x)} explained beats, which are examples and no "
        "sample."
    )
    return Drawing(_draw(given), caption, _rows(given))


def _draw(given: Explanations) -> Figure:
    count = min(MOST, len(given.x))
    columns = min(3, count)
    rows = -(-count // columns)
    figure, axes = style.grid(rows, columns, style.PAGE, 1.55 * rows + 0.5, sharex=True, sharey=True)
    flat = [axis for row in axes for axis in row]
    for beat, axis in enumerate(flat[:count]):
        _beat(axis, given, beat)
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


def _beat(axis: Axes, given: Explanations, beat: int) -> None:
    wave, share = given.x[beat, :, 0], _relative(given.attribution[beat, :, 0])
    time = np.arange(len(wave)) / given.sample_rate * 1e3
    points = np.stack([time, wave], axis=1)
    pieces = np.stack([points[:-1], points[1:]], axis=1)  # [T - 1, 2, 2]
    line = LineCollection(list(pieces), cmap=_COLORS, norm=Normalize(-1, 1), linewidths=1.4, capstyle="round")
    line.set_array((share[:-1] + share[1:]) / 2)
    axis.add_collection(line)
    axis.autoscale_view()
    true, predicted = given.classes[given.label[beat]], given.classes[given.predicted[beat]]
    chance = given.probability[beat, given.predicted[beat]]
    axis.set_title(f"{given.client[beat]}: {true}, predicted {predicted} ({chance:.2f})", fontsize=7)


def _relative(attribution: np.ndarray) -> np.ndarray:
    largest = np.abs(attribution).max()
    return attribution / largest if largest > 0 else attribution


def _rows(given: Explanations) -> list[dict[str, Any]]:
    return [
        {
            "beat": beat,
            "client": given.client[beat],
            "class": given.classes[given.label[beat]],
            "predicted": given.classes[given.predicted[beat]],
            "lead": lead,
            "time (ms)": sample / given.sample_rate * 1e3,
            "amplitude": float(given.x[beat, sample, lead]),
            "attribution": float(given.attribution[beat, sample, lead]),
        }
        for beat in range(len(given.x))
        for lead in range(given.x.shape[2])
        for sample in range(given.x.shape[1])
    ]
