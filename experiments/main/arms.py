"""Protocols and arms: who trains on what, and how."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bofl_jax.data import DS2

EVERY = 10
"""Rounds between two tests of a training that is followed."""


class Protocol(NamedTuple):
    """Who trains on what, and what is tested.

    Attributes:
        overrides: of base.toml.
        alpha: of the Dirichlet distribution by which `dealing` deals the same samples out; None: a patient is a client.
        unseen: whether the tested patients took no part in training.
        followed: whether models are tested every `EVERY` rounds.
    """

    overrides: Mapping[str, Any]
    alpha: float | None = None
    unseen: bool = False
    followed: bool = False


def _seen(minutes: float, tested_from: float = 305.0) -> dict[str, Any]:
    return {"partition.train_minutes": minutes, "partition.guard_seconds": tested_from - 60 * minutes}


UNSEEN = {
    "partition.test_subjects": DS2,
    "partition.adapt_minutes": 1.0,
    "partition.guard_seconds": 845.0,
    "federation.rounds": 50,
    "federation.local_steps": 10,
}
ALPHAS = (0.05, 0.1, 0.3, 1.0, 10.0, 1000.0)
PROTOCOLS: dict[str, Protocol] = {
    "P0.5": Protocol(_seen(0.5)),
    "P1": Protocol(_seen(1.0), followed=True),
    "P2": Protocol(_seen(2.0)),
    "P5": Protocol(_seen(5.0), followed=True),
    "P15": Protocol(_seen(15.0, 905.0)),
    "U1": Protocol(UNSEEN, unseen=True),
    **{f"D{alpha:g}": Protocol(_seen(5.0), alpha) for alpha in ALPHAS},
}
"""P1: the first minute of each patient trains, what follows after 305 s is tested (P15: after 905 s). U1: the patients
of DS1 train on all that they have, those of DS2 adapt on 1 minute, and what follows after 905 s is tested. D0.1: the
samples of P5, dealt out by Dirichlet(0.1)."""


class Arm(NamedTuple):
    """A way to train, which ends in a model that all share, in models of the clients' own, or in both.

    Attributes:
        overrides: of base.toml.
        unseen: more of them, where the tested patients took no part in training.
        governed: whether it is a run with a chain of its own.
        batches_of: the arm whose approved synthetic batches are added to the training samples, without a ledger.
    """

    overrides: Mapping[str, Any]
    unseen: Mapping[str, Any] = {}
    governed: bool = False
    batches_of: str = ""


def _own(algorithm: str, **options: Any) -> Arm:
    """A method that keeps models of the clients' own; patients that it has not met adapt for as long as with FT."""
    named = {f"federation.{name}": value for name, value in {"algorithm": algorithm, **options}.items()}
    return Arm({**named, "personalise.method": "own"}, {"personalise.steps": 30})


FT = {"personalise.method": "finetune", "personalise.steps": 30, "personalise.lr": 0.03}
LEDGER = {"ledger.mode": "merkle"}
GATED = {"synthesis": {"generator": "pca-gaussian", "quota": "validation-gated", "dose": 0.1}}
CENTRALISED = {
    "federation.algorithm": "centralised",
    "federation.local_steps": 16,
    "federation.batch_size": 128,
    "optimizer.client": "adamw",
    "optimizer.lr": 0.002,
    "optimizer.schedule": "cosine",
    "optimizer.weight_decay": 0.001,
}
"""2 400 steps of the reference's central training (clinical.md, section 1.4)."""
ARMS: dict[str, Arm] = {
    "centralised": Arm(CENTRALISED, {"federation.local_steps": 48}),
    "local": Arm({"federation.algorithm": "local"}),
    "fedavg": Arm(FT),
    "fedprox": Arm({"federation.algorithm": "fedprox", "federation.mu": 0.1, **FT}),
    "perfedavg": Arm({"federation.algorithm": "perfedavg", "federation.meta_gradient": "first_order", **FT}),
    "ditto": _own("ditto", strength=0.1),
    "fedrep": _own("fedrep"),
    "apfl": _own("apfl", adaptive=True),
    "ledgered": Arm({**FT, **LEDGER}, governed=True),
    "proposed": Arm({**FT, **LEDGER, **GATED}, governed=True),
    "ungoverned": Arm(FT, batches_of="proposed"),
}
"""``ungoverned`` trains on the very samples that ``proposed`` was granted, without a ledger."""
