"""Protocols, and arms that differ in how rare classes are balanced."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.common.protocols import seen_patients, unseen_patients

HERE = Path(__file__).resolve().parent
DOSES = (0.02, 0.05, 0.1, 0.2, 0.5)
QUOTAS = ("uniform", "need-based", "validation-gated")
DOSE, QUOTA = 0.1, "need-based"
"""Dose and quota of the arms in which something else varies."""


class Arm(NamedTuple):
    """One way to balance the classes.

    Attributes:
        title: title in tables.
        generator: name of the generator; empty without synthetic samples.
        quota: how the dose is divided among classes and clients.
        dose: most synthetic samples of a client, as a share of its own samples.
        overrides: overrides of base.toml.
    """

    title: str
    generator: str
    quota: str
    dose: float
    overrides: Mapping[str, Any]


PROTOCOLS: dict[str, Mapping[str, Any]] = {"P1": seen_patients(1), "P5": seen_patients(5), "U1": unseen_patients(1)}
"""Name -> overrides of base.toml.

- P1, P5: the first 1 or 5 minutes of each patient train; samples after 305 s are tested.
- U1: the patients of DS1 train on all their samples, those of DS2 adapt on 1 minute; samples after 905 s are tested.
"""

GENERATORS: dict[str, Mapping[str, Any]] = {
    "oversample": {"generator": "oversample"},
    "smote": {"generator": "smote"},
    "pca-gaussian": {"generator": "pca-gaussian"},
    "simulator": {"generator": "simulator"},
    "gan": {"generator": "gan"},
    "diffusion": {"generator": "diffusion"},
    "timegan": {"generator": "timegan", "frame": 16},
    "timegan-pooled": {"generator": "timegan", "training": "pooled", "frame": 16, "shared": 0.0},
}
SHORT_TRAINING: dict[str, Mapping[str, Any]] = {
    "gan": {"batch": 16, "lr": 0.001, "balance": 1.0, "rounds": 2000, "steps": 1, "average": 0.998},
    "diffusion": {
        "frame": 8,
        "width": 64,
        "batch": 8,
        "balance": 1.0,
        "rounds": 600,
        "steps": 2,
        "average": 0.995,
    },
    "timegan": {"batch": 8, "lr": 0.006, "balance": 1.0, "rounds": 1000, "steps": 1, "average": 0.99},
    "timegan-pooled": {"batch": 32, "lr": 0.003, "balance": 1.0, "rounds": 20, "steps": 200, "average": 0.99},
}
"""Neural generators, trained for as long as 2 cores allow; ``--full`` trains them for as long as the package does."""
ORACLE = {
    "generator": "oversample",
    "training": "pooled",
    "jitter": 0.0,
    "warp": 0.0,
    "gates": {"copies": 1.0, "distance": 0.0, "membership": 1.0},
}
"""Unchanged real beats of all clients, an upper bound for generators. Its privacy gates are open."""


def _arm(name: str, quota: str, dose: float, full: bool) -> tuple[str, Arm]:
    options = ORACLE if name == "oracle" else {**GENERATORS[name], **({} if full else SHORT_TRAINING.get(name, {}))}
    overrides = {"synthesis": {**options, "quota": quota, "dose": dose}}
    return f"{name}-{quota}-{dose:g}", Arm(f"{name}, {quota}, {dose:.0%}", name, quota, dose, overrides)


def arms(full: bool = False) -> dict[str, Arm]:
    """Every arm by its name, which is also part of the name of its run directories.

    Args:
        full: whether neural generators are trained for as long as the package does.
    """
    names = [*GENERATORS, "oracle"]
    return {
        "none": Arm("none", "", "", 0.0, {}),
        "weights": Arm("class weights", "", "", 0.0, {"federation.class_weights": "sqrt"}),
        **dict(_arm(name, quota, DOSE, full) for quota in QUOTAS for name in names),
        **dict(_arm(name, QUOTA, dose, full) for dose in DOSES for name in names if dose != DOSE),
    }


ARMS = arms()
DEFAULT_ARMS = [name for name, arm in ARMS.items() if arm.generator not in SHORT_TRAINING]
"""The arms that are run by default: every dose and quota of the generators that are fitted in seconds."""
NEURAL_ARMS = [name for name, arm in ARMS.items() if arm.generator in SHORT_TRAINING]
"""Every dose and quota of neural generators, which take minutes to fit. They have a table of their own."""
COMPARED_WITH_NEURAL = [
    name for name in DEFAULT_ARMS if ARMS[name].generator in ("", "pca-gaussian", "simulator", "oracle")
]
"""The arms that the table of neural generators shows too, for comparison."""
