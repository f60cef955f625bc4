"""What is run: three amounts of labelled minutes, patients that were never seen, eight methods."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
STEPS = (1, 5, 30, 150)
"""Steps of adaptation after training."""
FOLDS = 11


class Protocol(NamedTuple):
    """Who trains on what, and what is tested.

    Attributes:
        minutes: labelled minutes of each tested patient.
        overrides: of base.toml.
        unseen: whether the tested patients took no part in training; they then adapt on their labelled minutes.
    """

    minutes: int
    overrides: Mapping[str, Any]
    unseen: bool = False


def _seen(minutes: int, tested_from: int, rounds: int) -> Protocol:
    guard = float(tested_from - 60 * minutes)
    split = {"partition.train_minutes": float(minutes), "partition.guard_seconds": guard}
    return Protocol(minutes, {**split, "federation.rounds": rounds, "federation.local_steps": 8})


def _unseen(minutes: int) -> Protocol:
    guard = float(905 - 60 * minutes)
    split = {"partition.adapt_minutes": float(minutes), "partition.guard_seconds": guard}
    return Protocol(minutes, {**split, "federation.rounds": 50, "federation.local_steps": 10}, unseen=True)


PROTOCOLS = {
    "P1": _seen(1, 305, 150),
    "P5": _seen(5, 305, 150),
    "P15": _seen(15, 905, 50),
    "U1": _unseen(1),
    "U5": _unseen(5),
    "U15": _unseen(15),
}
TRAININGS = {"P1": ("P1",), "P5": ("P5",), "P15": ("P15",), "U": ("U1", "U5", "U15")}
"""Protocols that share a training: of patients that nobody trained on, only the labelled minutes differ."""


class Method(NamedTuple):
    """A federated method, and what adapts afterwards.

    Attributes:
        title: in tables.
        overrides: of base.toml.
        adapts: ``finetune``, ``own`` or ``none``, as in ``personalise.method``.
    """

    title: str
    overrides: Mapping[str, Any]
    adapts: str


OFF = {"ledger.mode": "off"}
METHODS = {
    "local": Method("Local only", {"federation.algorithm": "local"}, "none"),
    "fedavg": Method("FedAvg + FT", {}, "finetune"),
    "perfedavg": Method(
        "PerFedAvg + FT",
        {
            "federation.algorithm": "perfedavg",
            "federation.meta_gradient": "first_order",
            "personalise.method": "finetune",
        },
        "finetune",
    ),
    "ditto": Method("Ditto", {"federation.algorithm": "ditto", "federation.strength": 0.1}, "own"),
    "fedrep": Method("FedRep", {"federation.algorithm": "fedrep", "personalise.method": "own"}, "own"),
    "pfedme": Method(
        "pFedMe",
        {
            "federation.algorithm": "pfedme",
            "federation.strength": 15.0,
            "federation.personal_lr": 0.05,
            "federation.inner_steps": 3,
            "optimizer.lr": 0.05,
        },
        "own",
    ),
    "apfl": Method("APFL", {"federation.algorithm": "apfl", "federation.adaptive": True}, "own"),
}
"""``FedAvg`` itself is the row of ``fedavg`` with no step of adaptation."""
