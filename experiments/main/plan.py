"""What is run: four studies, each a list of rows, which are the models of an arm under a protocol."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from arms import ALPHAS, ARMS

HERE = Path(__file__).resolve().parent
STUDIES_FOLDER = HERE / "studies"


class Row(NamedTuple):
    """One row of a study.

    Attributes:
        protocol, arm, model: whose test it is.
        name, title: in the results.
        under: the protocol's name in the results.
        x: its place on an axis.
        factors: of the ablation.
        against: name of the row under the same protocol and x that it is compared with.
    """

    protocol: str
    arm: str
    model: str
    name: str
    title: str
    under: str
    x: Mapping[str, Any] = {}
    factors: Mapping[str, bool] = {}
    against: str = ""


class Study(NamedTuple):
    """One study.

    Attributes:
        metrics: of every row.
        rows: by default.
        more: rows that ``--full`` adds.
        seeds: how many by default.
        curves: rows whose scores by round are written; those of a protocol that is followed.
        note: on the protocols, for captions.
    """

    title: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    more: tuple[Row, ...] = ()
    seeds: int = 10
    curves: tuple[Row, ...] = ()
    note: str = ""

    def chosen(self, full: bool) -> tuple[Row, ...]:
        """The rows that are run."""
        return self.rows + self.more if full else self.rows

    def pieces(self, full: bool) -> list[tuple[str, str]]:
        """Protocols and arms to be run, an arm that needs another's batches after it."""
        found = dict.fromkeys((row.protocol, row.arm) for row in (*self.chosen(full), *self.curves))
        return sorted(found, key=lambda pair: bool(ARMS[pair[1]].batches_of))


FULL_SEEDS = 10
COMPARED = "macro_f1_nsv"
"""Fixed beforehand (clinical.md, section 7): what differences and their tests are of."""
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
"""Name of a row -> its title, arm and model. Proposed: FedAvg + FT + gated synthetic samples, on the ledger."""


def _row(name: str, protocol: str, under: str = "", x: Mapping[str, Any] | None = None) -> Row:
    title, arm, model = METHODS[name]
    against = "" if name == REFERENCE else REFERENCE
    return Row(protocol, arm, model, name, title, under or protocol, x or {}, against=against)


def _cell(protocol: str, ledger: bool, personalisation: bool, synthesis: bool) -> Row:
    """A cell of the ablation; one training gives the cells with personalisation and without."""
    factors = {"ledger": ledger, "personalisation": personalisation, "synthesis": synthesis}
    arm = {(False, False): "fedavg", (True, False): "ledgered", (False, True): "ungoverned", (True, True): "proposed"}
    parts = [name for name, there in factors.items() if there]
    without = [name for name in parts if name != parts[-1]]
    return Row(
        protocol,
        arm[ledger, synthesis],
        "personalised" if personalisation else "global",
        "+".join(parts) or "none",
        " + ".join(parts) or "none of the three",
        protocol,
        factors=factors,
        against="+".join(without) if ledger and without else "",
    )


_RATES = ("accuracy", "macro_f1", "macro_f1_nsv", "recall_S", "precision_S", "recall_V", "precision_V")
_ALL = (*_RATES, "recall_at_spec95_S", "recall_at_spec95_V", "worst_10_percent", "jain", "ece")
_SCARCE = ("local", REFERENCE, "perfedavg-ft", "ditto", "proposed")
_DEALT = ("local", "fedavg", REFERENCE, "fedprox", "perfedavg-ft", "ditto")
_TABLE = ("centralised", "local", "fedavg", REFERENCE, "fedprox-ft", "perfedavg-ft", "ditto", "fedrep", "proposed")
_CURVES = ("centralised", "local", "fedavg", REFERENCE, "fedprox-ft", "perfedavg-ft", "proposed")
_DEALT_BY = {**{f"D{alpha:g}": alpha for alpha in ALPHAS}, "P5": "natural"}
_MINUTES = {"P0.5": 0.5, "P1": 1, "P2": 2, "P5": 5, "P15": 15}


def _dealt(names: tuple[str, ...]) -> tuple[Row, ...]:
    pairs = itertools.product(_DEALT_BY.items(), names)
    return tuple(_row(name, protocol, "dealt", {"alpha": alpha}) for (protocol, alpha), name in pairs)


def _scarce(names: tuple[str, ...]) -> tuple[Row, ...]:
    pairs = itertools.product(_MINUTES.items(), names)
    return tuple(_row(name, protocol, "labelled", {"minutes": m}) for (protocol, m), name in pairs)


def _unlabelled(name: str, against: str, title: str, arm: str) -> Row:
    """With no labelled minute there is nothing to adapt on: a patient gets the shared model of those who trained."""
    return Row("U1", arm, "global", name, f"{title}, 0 minutes", "labelled", {"minutes": 0}, against=against)


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
        _dealt(_DEALT),
        _dealt(("fedrep", "apfl")),
        seeds=5,
        note="The samples that train and those that are tested are the same throughout.",
    ),
    "label_scarcity": Study(
        "Labelled minutes of a patient",
        (*_RATES, "recall_at_spec95_S", "worst_10_percent"),
        (
            _unlabelled("fedavg-others", "", "FedAvg", "fedavg"),
            _unlabelled("proposed-others", "fedavg-others", "Proposed", "proposed"),
            *_scarce(_SCARCE),
        ),
        _scarce(("fedrep", "apfl")),
        seeds=5,
        note=(
            "Tests differ at the ends: at 0 minutes the people of DS2, on whom nobody trained, from 905 s on; at 15 "
            "minutes all people from 905 s on; in between all people from 305 s on."
        ),
    ),
}
