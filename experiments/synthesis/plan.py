"""What is run: protocols, and in each of them arms that differ in how rare classes are balanced."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bofl_jax.data import DS2

HERE = Path(__file__).resolve().parent
DOSES = (0.02, 0.05, 0.1, 0.2, 0.5)
QUOTAS = ("uniform", "need-based", "validation-gated")
DOSE, QUOTA = 0.1, "need-based"
"""Of arms that vary something else."""


class Arm(NamedTuple):
    """One way to balance.

    Attributes:
        title: in tables.
        generator: whose samples; empty: none.
        quota: how the dose is dealt out.
        dose: most synthetic samples, as a share of a client's own.
        overrides: of base.toml.
    """

    title: str
    generator: str
    quota: str
    dose: float
    overrides: Mapping[str, Any]


def _seen(minutes: int) -> dict[str, Any]:
    return {"partition.train_minutes": float(minutes), "partition.guard_seconds": 305.0 - 60 * minutes}


UNSEEN = {
    "partition.test_subjects": DS2,
    "partition.adapt_minutes": 1.0,
    "partition.guard_seconds": 845.0,
    "federation.rounds": 50,
    "federation.local_steps": 10,
}
PROTOCOLS: dict[str, Mapping[str, Any]] = {"P1": _seen(1), "P5": _seen(5), "U1": UNSEEN}
"""P1, P5: the first 1 or 5 minutes of each patient train, what follows after 305 s is tested. U1: the patients of DS1
train on all that they have, those of DS2 adapt on 1 minute, and what follows after 905 s is tested."""

SOURCES: dict[str, Mapping[str, Any]] = {
    "oversample": {"generator": "oversample"},
    "smote": {"generator": "smote"},
    "pca-gaussian": {"generator": "pca-gaussian"},
    "simulator": {"generator": "simulator"},
    "gan": {"generator": "gan"},
    "diffusion": {"generator": "diffusion"},
    "timegan": {"generator": "timegan", "frame": 16},
    "timegan-pooled": {"generator": "timegan", "training": "pooled", "frame": 16, "shared": 0.0},
}
SHORT: dict[str, Mapping[str, Any]] = {
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
"""Neural generators, trained for as long as 2 cores allow; ``--full`` trains them as long as the package does."""
ORACLE = {
    "generator": "oversample",
    "training": "pooled",
    "jitter": 0.0,
    "warp": 0.0,
    "gates": {"copies": 1.0, "distance": 0.0, "membership": 1.0},
}
"""Real beats of all clients, as they are: no generator can be better. The gates on privacy are open for it."""


def _arm(name: str, quota: str, dose: float, full: bool) -> tuple[str, Arm]:
    source = ORACLE if name == "oracle" else {**SOURCES[name], **({} if full else SHORT.get(name, {}))}
    overrides = {"synthesis": {**source, "quota": quota, "dose": dose}}
    return f"{name}-{quota}-{dose:g}", Arm(f"{name}, {quota}, {dose:.0%}", name, quota, dose, overrides)


def arms(full: bool = False) -> dict[str, Arm]:
    """Every arm by its name, which is also that of its folder; ``full``: neural generators are trained in full."""
    names = [*SOURCES, "oracle"]
    return {
        "none": Arm("none", "", "", 0.0, {}),
        "weights": Arm("class weights", "", "", 0.0, {"federation.class_weights": "sqrt"}),
        **dict(_arm(name, quota, DOSE, full) for quota in QUOTAS for name in names),
        **dict(_arm(name, QUOTA, dose, full) for dose in DOSES for name in names if dose != DOSE),
    }


ARMS = arms()
CHOSEN = [name for name, arm in ARMS.items() if arm.generator not in SHORT]
"""What is run by default, in all ten seeds: every dose and quota of the cheap generators."""
NEURAL = [name for name, arm in ARMS.items() if arm.generator in SHORT]
"""Every dose and quota of neural generators, which take minutes to fit: a table of their own."""
BESIDE = [name for name in CHOSEN if ARMS[name].generator in ("", "pca-gaussian", "simulator", "oracle")]
"""What they must beat: in that table too."""
