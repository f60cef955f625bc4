"""Four studies. Each is a list of rows, and a row is one model of an arm under a protocol."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.main.arms import ALPHAS, ARMS

HERE = Path(__file__).resolve().parent
STUDIES_FOLDER = HERE / "studies"


class Row(NamedTuple):
    """One row of a study.

    Attributes:
        protocol, arm, model: the model that is tested.
        name, title: name and title in the results.
        group: name of the protocol in the results; rows of several protocols may share one.
        x: position on the axis of a figure.
        factors: factors of the ablation.
        reference: name of the row in the same group, with the same x, that this row is compared with.
    """

    protocol: str
    arm: str
    model: str
    name: str
    title: str
    group: str
    x: Mapping[str, Any] = {}
    factors: Mapping[str, bool] = {}
    reference: str = ""


class Study(NamedTuple):
    """One study.

    Attributes:
        metrics: metrics of every row.
        rows: rows of the default study.
        full_rows: rows that ``--full`` adds.
        seeds: number of seeds by default.
        curves: rows whose scores by round are written; their protocols test by round.
        note: note on the protocols, for captions.
    """

    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    full_rows: tuple[Row, ...] = ()
    seeds: int = 10
    curves: tuple[Row, ...] = ()
    note: str = ""

    def selected_rows(self, full: bool) -> tuple[Row, ...]:
        """The rows of the default study, or of the full one."""
        return self.rows + self.full_rows if full else self.rows

    def trainings(self, full: bool) -> list[tuple[str, str]]:
        """Protocol and arm of each training; an arm that needs another arm's batches comes after it."""
        pairs = dict.fromkeys((row.protocol, row.arm) for row in (*self.selected_rows(full), *self.curves))
        return sorted(pairs, key=lambda pair: bool(ARMS[pair[1]].batches_of))


FULL_SEEDS = 10
COMPARED_METRIC = "macro_f1_nsv"
"""Metric of the differences and of their tests, fixed before the trainings."""
REFERENCE = "fedavg-ft"
METHODS: dict[str, tuple[str, str, str]] = {
    "centralised": ("Centralised", "centralised", "global"),
    "local": ("Local only", "local", "personalised"),
    "fedavg": ("FedAvg", "fedavg", "global"),
    REFERENCE: ("FedAvg + FT", "fedavg", "personalised"),
    "fedprox": ("FedProx", "fedprox", "global"),
    "fedprox-ft": ("FedProx + FT", "fedprox", "personalised"),
    "perfedavg-ft": ("PerFedAvg + FT", "perfedavg", "personalised"),
    "ditto": ("Ditto", "ditto", "personalised"),
    "fedrep": ("FedRep", "fedrep", "personalised"),
    "apfl": ("APFL", "apfl", "personalised"),
    "proposed": ("Proposed", "proposed", "personalised"),
}
"""Name of a row -> its title, arm and model. Proposed: FedAvg + FT with gated synthetic samples, on the ledger."""


def _row(name: str, protocol: str, group: str = "", x: Mapping[str, Any] | None = None) -> Row:
    title, arm, model = METHODS[name]
    reference = "" if name == REFERENCE else REFERENCE
    return Row(protocol, arm, model, name, title, group or protocol, x or {}, reference=reference)


def _cell(protocol: str, ledger: bool, personalisation: bool, synthesis: bool) -> Row:
    """A cell of the ablation. One training gives the cell with personalisation and the one without."""
    factors = {"ledger": ledger, "personalisation": personalisation, "synthesis": synthesis}
    arm = {(False, False): "fedavg", (True, False): "ledgered", (False, True): "ungoverned", (True, True): "proposed"}
    present = [name for name, is_on in factors.items() if is_on]
    without_last = present[:-1]
    return Row(
        protocol,
        arm[ledger, synthesis],
        "personalised" if personalisation else "global",
        "+".join(present) or "none",
        " + ".join(present) or "none of the three",
        protocol,
        factors=factors,
        reference="+".join(without_last) if ledger else "",
    )


_RATES = ("accuracy", "macro_f1", "macro_f1_nsv", "recall_S", "precision_S", "recall_V", "precision_V")
_ALL = (*_RATES, "recall_at_spec95_S", "recall_at_spec95_V", "worst_10_percent", "jain", "ece")
_SCARCE = ("local", REFERENCE, "perfedavg-ft", "ditto", "proposed")
_HETEROGENEITY = ("local", "fedavg", REFERENCE, "fedprox", "perfedavg-ft", "ditto")
_TABLE = ("centralised", "local", "fedavg", REFERENCE, "fedprox-ft", "perfedavg-ft", "ditto", "fedrep", "proposed")
_CURVES = ("centralised", "local", "fedavg", REFERENCE, "fedprox-ft", "perfedavg-ft", "proposed")
_ALPHA_BY_PROTOCOL = {**{f"D{alpha:g}": alpha for alpha in ALPHAS}, "P5": "natural"}
_MINUTES = {"P0.5": 0.5, "P1": 1, "P2": 2, "P5": 5, "P15": 15}


def _by_alpha(names: tuple[str, ...]) -> tuple[Row, ...]:
    pairs = itertools.product(_ALPHA_BY_PROTOCOL.items(), names)
    return tuple(_row(name, protocol, "dealt", {"alpha": alpha}) for (protocol, alpha), name in pairs)


def _by_minutes(names: tuple[str, ...]) -> tuple[Row, ...]:
    pairs = itertools.product(_MINUTES.items(), names)
    return tuple(_row(name, protocol, "labelled", {"minutes": m}) for (protocol, m), name in pairs)


def _unlabelled(name: str, reference: str, title: str, arm: str) -> Row:
    """Without a labelled minute a patient cannot adapt, and gets the global model of the patients who trained."""
    return Row("U1", arm, "global", name, f"{title}, 0 minutes", "labelled", {"minutes": 0}, reference=reference)


_SEEN = "P1, P5: the first 1 or 5 minutes of all people train, what follows after 305 s is tested."
STUDIES: dict[str, Study] = {
    "ablation": Study(
        "Ledger, personalisation, synthetic samples: every combination",
        _ALL,
        tuple(
            _cell(protocol, *cell) for protocol in ("P1", "P5") for cell in itertools.product((False, True), repeat=3)
        ),
        note=_SEEN,
    ),
    "methods": Study(
        "Methods on patients who train and on patients whom nobody trained on",
        _ALL,
        tuple(_row(name, protocol) for protocol in ("P1", "P5", "U1") for name in _TABLE),
        tuple(_row("apfl", protocol) for protocol in ("P1", "P5", "U1")),
        curves=tuple(
            _row(name, protocol)._replace(**({"arm": "ungoverned"} if name == "proposed" else {}))
            for protocol in ("P1", "P5")
            for name in _CURVES
        ),
        note=f"{_SEEN} U1: people of DS2, on whom nobody trained, adapt on 1 minute; tested from 905 s on.",
    ),
    "alpha": Study(
        "Heterogeneity of the clients: Dirichlet splits and the natural one",
        ("accuracy", "macro_f1", "macro_f1_nsv", "recall_S", "recall_at_spec95_S", "clients"),
        _by_alpha(_HETEROGENEITY),
        _by_alpha(("fedrep", "apfl")),
        seeds=5,
        note="The samples that train and those that are tested are the same throughout.",
    ),
    "label_scarcity": Study(
        "Labelled minutes of a patient",
        (*_RATES, "recall_at_spec95_S", "worst_10_percent"),
        (
            _unlabelled("fedavg-others", "", "FedAvg", "fedavg"),
            _unlabelled("proposed-others", "fedavg-others", "Proposed", "proposed"),
            *_by_minutes(_SCARCE),
        ),
        _by_minutes(("fedrep", "apfl")),
        seeds=5,
        note=(
            "Tests differ at the ends: at 0 minutes the people of DS2, on whom nobody trained, from 905 s on; at 15 "
            "minutes all people from 905 s on; in between all people from 305 s on."
        ),
    ),
}
