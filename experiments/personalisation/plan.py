"""Protocols and methods: three amounts of labelled minutes, seen and unseen patients, seven trainings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.common.protocols import TEST_START_S, UNSEEN_TEST_START_S, seen_patients, unseen_patients

HERE = Path(__file__).resolve().parent
STEPS = (1, 5, 30, 150)
"""Steps of adaptation after training."""
FOLDS = 11


class Protocol(NamedTuple):
    """Which samples train, and which are tested.

    Attributes:
        minutes: labelled minutes of each tested patient.
        overrides: overrides of base.toml.
        unseen: whether the tested patients took no part in training; they then adapt on their labelled minutes.
    """

    minutes: int
    overrides: Mapping[str, Any]
    unseen: bool = False


def _seen(minutes: int, test_start_s: float, rounds: int) -> Protocol:
    split = seen_patients(minutes, test_start_s)
    return Protocol(minutes, {**split, "federation.rounds": rounds, "federation.local_steps": 8})


def _unseen(minutes: int) -> Protocol:
    return Protocol(minutes, unseen_patients(minutes), unseen=True)


PROTOCOLS = {
    "P1": _seen(1, TEST_START_S, 150),
    "P5": _seen(5, TEST_START_S, 150),
    "P15": _seen(15, UNSEEN_TEST_START_S, 50),
    "U1": _unseen(1),
    "U5": _unseen(5),
    "U15": _unseen(15),
}
"""The tested patients of U1, U5 and U15 are those of a fold, not those of DS2."""
TRAININGS = {"P1": ("P1",), "P5": ("P5",), "P15": ("P15",), "U": ("U1", "U5", "U15")}
"""Protocols that share a training: those of unseen patients differ in the labelled minutes only."""


class Method(NamedTuple):
    """A federated method, and how clients adapt after training.

    Attributes:
        title: title in tables.
        overrides: overrides of base.toml.
        adapts: ``finetune``, ``own`` or ``none``, as in ``personalise.method``.
    """

    title: str
    overrides: Mapping[str, Any]
    adapts: str


WITHOUT_LEDGER = {"ledger.mode": "off"}
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
"""``FedAvg`` without adaptation is the row of ``fedavg`` with no step."""


def folds(protocol: str) -> range:
    """The folds of a protocol: one for patients who train, `FOLDS` for unseen patients."""
    return range(FOLDS if PROTOCOLS[protocol].unseen else 1)
