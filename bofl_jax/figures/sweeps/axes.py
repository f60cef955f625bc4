"""What is drawn against which key of a grid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

ALPHA, MINUTES, DOSE, CLIENTS = "partition.alpha", "partition.train_minutes", "synthesis.dose", "partition.clients"

SCORES = {"macro_f1": "macro-F1", "per_class.S.recall": "recall of S"}
DOSE_SCORES = SCORES | {"per_class.S.precision": "precision of S"}
COSTS = {"ledger.cpu_ms_per_round": "CPU time (ms a round)", "ledger.gas_per_round": "gas per round"}
REFUSED = "refused"
"""Share of the updates that arrived and were refused: rejected / (accepted + rejected)."""


@dataclass(frozen=True)
class Against:
    """An axis of a figure.

    Attributes:
        fits: whether a grid's key belongs on this axis.
        label: of the axis, with its unit.
        scale: ``log``, ``linear``, or ``even``: the values at even distances.
        factor: what a value is multiplied by in the label of its tick.
        scores: metrics of a model -> titles.
        costs: numbers of the whole run -> titles; they are a figure of their own.
    """

    fits: Callable[[str], bool]
    label: str
    scale: Literal["linear", "log", "even"] = "linear"
    factor: float = 1.0
    scores: Mapping[str, str] = field(default_factory=lambda: SCORES)
    costs: Mapping[str, str] = field(default_factory=dict)


AXES: dict[str, Against] = {
    "alpha": Against(lambda key: key == ALPHA, "Dirichlet concentration α", "log"),
    "label_scarcity": Against(lambda key: key == MINUTES, "labelled minutes a person", "even"),
    "dose": Against(
        lambda key: key == DOSE, "synthetic samples (% of a client's own)", "even", factor=100.0, scores=DOSE_SCORES
    ),
    "adversaries": Against(
        lambda key: key in ("adversary.altered", "adversary.fraction"),
        "altered updates (%)",
        factor=100.0,
        costs={REFUSED: "share of updates refused"},
    ),
    "scaling": Against(lambda key: key == CLIENTS, "clients", "log", costs=COSTS),
    "privacy": Against(lambda key: key.startswith("privacy.") and key.endswith("epsilon"), "privacy budget ε", "log"),
}
"""Name of a figure -> its axis. Any other number goes on an axis of its own key."""


def is_other(key: str) -> bool:
    """Whether a key has no figure of its own."""
    return not any(axis.fits(key) for axis in AXES.values())
