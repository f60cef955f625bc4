"""Protocols and arms: which samples train and are tested, and how a model is trained."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.common.protocols import UNSEEN_TEST_START_S, seen_patients, unseen_patients

TEST_INTERVAL = 10
"""Rounds between two tests of a training whose scores by round are recorded."""


class Protocol(NamedTuple):
    """Which samples train, and which are tested.

    Attributes:
        overrides: overrides of base.toml.
        alpha: concentration of the Dirichlet distribution that assigns the same samples to clients; with None a patient
            is a client.
        unseen: whether the tested patients took no part in training.
        by_round: whether models are tested every `TEST_INTERVAL` rounds.
    """

    overrides: Mapping[str, Any]
    alpha: float | None = None
    unseen: bool = False
    by_round: bool = False


ALPHAS = (0.05, 0.1, 0.3, 1.0, 10.0, 1000.0)
PROTOCOLS: dict[str, Protocol] = {
    "P0.5": Protocol(seen_patients(0.5)),
    "P1": Protocol(seen_patients(1), by_round=True),
    "P2": Protocol(seen_patients(2)),
    "P5": Protocol(seen_patients(5), by_round=True),
    "P15": Protocol(seen_patients(15, UNSEEN_TEST_START_S)),
    "U1": Protocol(unseen_patients(1), unseen=True),
    **{f"D{alpha:g}": Protocol(seen_patients(5), alpha) for alpha in ALPHAS},
}
"""Name -> protocol.

- P1: the first minute of each patient trains; samples after 305 s are tested (P15: after 905 s).
- U1: the patients of DS1 train on all their samples, those of DS2 adapt on 1 minute; samples after 905 s are tested.
- D0.1: the samples of P5, assigned to clients by Dirichlet(0.1).
"""


class Arm(NamedTuple):
    """One way to train. It ends in a global model, in personal models, or in both.

    Attributes:
        overrides: overrides of base.toml.
        unseen: further overrides where the tested patients took no part in training.
        governed: whether each training is a run with a ledger of its own.
        batches_of: the arm whose approved synthetic batches are added to the training samples, without a ledger.
    """

    overrides: Mapping[str, Any]
    unseen: Mapping[str, Any] = {}
    governed: bool = False
    batches_of: str = ""


def _personal(algorithm: str, **options: Any) -> Arm:
    """An algorithm with personal models; unseen patients adapt for as many steps as with fine-tuning."""
    federation = {f"federation.{name}": value for name, value in {"algorithm": algorithm, **options}.items()}
    return Arm({**federation, "personalise.method": "own"}, {"personalise.steps": 30})


FINE_TUNING = {"personalise.method": "finetune", "personalise.steps": 30, "personalise.lr": 0.03}
LEDGER = {"ledger.mode": "merkle"}
GATED_SAMPLES = {"synthesis": {"generator": "pca-gaussian", "quota": "validation-gated", "dose": 0.1}}
CENTRALISED = {
    "federation.algorithm": "centralised",
    "federation.local_steps": 16,
    "federation.batch_size": 128,
    "optimizer.client": "adamw",
    "optimizer.lr": 0.002,
    "optimizer.schedule": "cosine",
    "optimizer.weight_decay": 0.001,
}
"""Central training: 2 400 steps of AdamW on the pooled samples."""
ARMS: dict[str, Arm] = {
    "centralised": Arm(CENTRALISED, {"federation.local_steps": 48}),
    "local": Arm({"federation.algorithm": "local"}),
    "fedavg": Arm(FINE_TUNING),
    "fedprox": Arm({"federation.algorithm": "fedprox", "federation.mu": 0.1, **FINE_TUNING}),
    "perfedavg": Arm({"federation.algorithm": "perfedavg", "federation.meta_gradient": "first_order", **FINE_TUNING}),
    "ditto": _personal("ditto", strength=0.1),
    "fedrep": _personal("fedrep"),
    "apfl": _personal("apfl", adaptive=True),
    "ledgered": Arm({**FINE_TUNING, **LEDGER}, governed=True),
    "proposed": Arm({**FINE_TUNING, **LEDGER, **GATED_SAMPLES}, governed=True),
    "ungoverned": Arm(FINE_TUNING, batches_of="proposed"),
}
"""Name -> arm. ``ungoverned`` trains without a ledger on the samples that ``proposed`` was granted."""
