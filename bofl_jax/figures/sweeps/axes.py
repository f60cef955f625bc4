"""Axes of the figures of a sweep: the scores and costs that are drawn against a key of the grid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bofl_jax.metrics import METRICS, Metric

ALPHA, MINUTES, DOSE, CLIENTS = "partition.alpha", "partition.train_minutes", "synthesis.dose", "partition.clients"

CLASS = "S"
"""Class whose metrics figures of a sweep show: rare, and hard to recognise."""


def score_columns(metrics: Iterable[Metric]) -> dict[str, str]:
    """Dotted name within a model's part of ``test`` in ``summary.json`` -> title.

    >>> score_columns([METRICS["accuracy"], METRICS["recall"]])
    {'accuracy': 'accuracy', 'per_class.S.recall': 'recall of S'}
    """
    return {
        f"per_class.{CLASS}.{metric.key}" if metric.per_class else metric.key: metric.title
        + f" of {CLASS}" * metric.per_class
        for metric in metrics
    }


SCORES = score_columns((METRICS["macro_f1"], METRICS["recall"]))
DOSE_SCORES = SCORES | score_columns((METRICS["precision"],))
COSTS = {"ledger.cpu_ms_per_round": "CPU time (ms a round)", "ledger.gas_per_round": "gas per round"}
REJECTED_SHARE = "refused"
"""Share of rejected updates, rejected / (accepted + rejected), as a column of its own."""


class KeyPredicate(Protocol):
    """A condition on a key of the grid."""

    def __call__(self, key: str, /) -> bool:
        """Whether the key fulfils the condition."""
        ...


@dataclass(frozen=True)
class SweepAxis:
    """An axis of a figure.

    Attributes:
        accepts: whether a key of the grid is drawn on this axis.
        label: of the axis, with its unit.
        scale: ``log``, ``linear``, or ``even``: the values at even distances.
        factor: factor of a value in the label of its tick.
        scores: metrics of a model -> titles.
        costs: numbers of the whole run -> titles; they are drawn in a figure of their own.
    """

    accepts: KeyPredicate
    label: str
    scale: Literal["linear", "log", "even"] = "linear"
    factor: float = 1.0
    scores: Mapping[str, str] = field(default_factory=lambda: SCORES)
    costs: Mapping[str, str] = field(default_factory=dict)


AXES: dict[str, SweepAxis] = {
    "alpha": SweepAxis(lambda key: key == ALPHA, "Dirichlet concentration α", "log"),
    "label_scarcity": SweepAxis(lambda key: key == MINUTES, "labelled minutes a person", "even"),
    "dose": SweepAxis(
        lambda key: key == DOSE, "synthetic samples (% of a client's own)", "even", factor=100.0, scores=DOSE_SCORES
    ),
    "adversaries": SweepAxis(
        lambda key: key in ("adversary.altered", "adversary.fraction"),
        "altered updates (%)",
        factor=100.0,
        costs={REJECTED_SHARE: "share of updates refused"},
    ),
    "scaling": SweepAxis(lambda key: key == CLIENTS, "clients", "log", costs=COSTS),
    "privacy": SweepAxis(lambda key: key.startswith("privacy.") and key.endswith("epsilon"), "privacy budget ε", "log"),
}
"""Name of a figure -> its axis. Other numbers are drawn on an axis with the name of their key."""


def has_no_figure(key: str) -> bool:
    """Whether a key has no figure of its own."""
    return not any(axis.accepts(key) for axis in AXES.values())
