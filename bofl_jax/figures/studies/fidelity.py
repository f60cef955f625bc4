"""Comparison of synthetic and real beats: overlaid by class, and projected on principal components of real beats."""

from typing import Any

import numpy as np

from bofl_jax.figures import style
from bofl_jax.figures.artifacts import Artifact, Drawing, Unavailable
from bofl_jax.figures.captions import format_count
from bofl_jax.results import Fidelity, Study

MAX_OVERLAID = 20
"""Number of beats of a class that are overlaid."""

MAX_PROJECTED = 200
"""Number of beats of a class that are projected."""


def fidelity(study: Study) -> dict[str, Artifact] | Unavailable:
    """Draw the figures ``beats`` and ``projection``."""
    data = study.fidelity
    if data is None or not len(data.real):
        return Unavailable("the study has no fidelity.npz")
    return {"beats": _beats(study, data), "projection": _projection(study, data)}


def _beats(study: Study, data: Fidelity) -> Drawing:
    present = [index for index in range(len(data.classes)) if (data.real_label == index).any()]
    sets = data.sets
    figure, axes = style.panel_grid(
        len(present), len(sets), style.PAGE_WIDTH, 1.05 * len(present) + 0.5, sharex=True, sharey="row"
    )
    time = np.arange(data.real.shape[1]) / data.sample_rate * 1e3
    for row, index in zip(axes, present, strict=True):
        for axis, (name, (x, label)) in zip(row, sets.items(), strict=True):
            beats = x[label == index]
            axis.plot(time, _evenly_chosen(beats, MAX_OVERLAID).T, color=_color(name), linewidth=0.4, alpha=0.35)
            if len(beats):
                axis.plot(time, beats.mean(axis=0), color="black", linewidth=1.0)
            else:
                axis.text(0.5, 0.5, "none", transform=axis.transAxes, ha="center", color=style.GREY, fontsize=7)
            if index == present[0]:
                axis.set_title(name)
            if index == present[-1]:
                axis.set_xlabel("time (ms)")
        row[0].set_ylabel(f"{data.classes[index]}\namplitude")
    figure.align_ylabels([row[0] for row in axes])
    caption = (
        f"Beats by class, real ones and those of each generator: up to {MAX_OVERLAID} of each, evenly spread over the "
        "set, "
        f"and in black the mean of all. {_sizes(data)} {_source(study)} Single beats, so there are no intervals."
    )
    return Drawing(figure, caption, _beat_rows(data, time))


def _projection(study: Study, data: Fidelity) -> Drawing:
    from sklearn.decomposition import PCA

    components = PCA(2, svd_solver="full").fit(data.real.astype(np.float64))
    figure, (axes,) = style.panel_grid(1, len(data.sets), style.PAGE_WIDTH, 2.4, sharex=True, sharey=True)
    rows: list[dict[str, Any]] = []
    for axis, (name, (x, label)) in zip(axes, data.sets.items(), strict=True):
        for index, series in enumerate(style.series_styles(data.classes)):
            beats = _evenly_chosen(x[label == index], MAX_PROJECTED)
            at = components.transform(beats.astype(np.float64)) if len(beats) else np.zeros((0, 2))
            axis.plot(*at.T, series.marker, color=series.color, markersize=2, mew=0, alpha=0.6, label=series.label)
            rows += [{"set": name, "class": series.label, "first": first, "second": second} for first, second in at]
        axis.set_title(name)
        axis.set_xlabel("first component")
    axes[0].set_ylabel("second component")
    style.legend(figure, *axes[0].get_legend_handles_labels(), markerscale=2)
    shares = " and ".join(f"{100 * share:.0f} %" for share in components.explained_variance_ratio_)
    caption = (
        f"Beats on the first two principal components of the real ones ({shares} of their variance), up to "
        f"{MAX_PROJECTED} of a "
        f"class, evenly spread over the set. {_sizes(data)} {_source(study)} Single beats, so there are no intervals."
    )
    return Drawing(figure, caption, rows)


def _evenly_chosen(beats: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the beats, evenly spread."""
    return beats[np.unique(np.linspace(0, len(beats) - 1, count).round().astype(int))] if len(beats) else beats


def _color(name: str) -> str:
    return style.MODELS["global"].color if name == "real" else style.MODELS["personalised"].color


def _sizes(data: Fidelity) -> str:
    counts = [f"{name} {format_count(len(x), 'beat')}" for name, (x, _) in data.sets.items()]
    return f"Sets: {', '.join(counts)}."


def _source(study: Study) -> str:
    return f"{study.name}, made by `{study.made_by}`."


def _beat_rows(data: Fidelity, time: np.ndarray) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, (x, label) in data.sets.items():
        for index in np.unique(label):
            beats = x[label == index]
            named = [("mean", beats.mean(axis=0)), *enumerate(_evenly_chosen(beats, MAX_OVERLAID))]
            for beat, wave in named:
                head = {"set": name, "class": data.classes[index], "beat": beat}
                rows.append(head | {f"amplitude at {t:.1f} ms": float(a) for t, a in zip(time, wave, strict=True)})
    return rows
