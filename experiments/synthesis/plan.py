"""What is run: protocols, and in each of them arms that differ in how rare classes are balanced."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
DOSES = (0.02, 0.05, 0.1, 0.2, 0.5)
QUOTAS = ("uniform", "need-based", "validation-gated")
DOSE, QUOTA = 0.1, "need-based"
"""Of arms that vary something else."""


class Arm(NamedTuple):
    """One way to balance.

    Attributes:
        title: in tables.
        overrides: of base.toml.
    """

    title: str
    overrides: Mapping[str, Any]


def _seen(minutes: int) -> dict[str, Any]:
    return {"partition.train_minutes": float(minutes), "partition.guard_seconds": 305.0 - 60 * minutes}


PROTOCOLS: dict[str, Mapping[str, Any]] = {"P1": _seen(1), "P5": _seen(5)}
"""The first 1 or 5 minutes of each patient train, what follows after 305 s is tested."""

SOURCES: dict[str, Mapping[str, Any]] = {
    "oversample": {"generator": "oversample"},
    "smote": {"generator": "smote"},
    "pca-gaussian": {"generator": "pca-gaussian"},
    "simulator": {"generator": "simulator"},
    "gan": {"generator": "gan"},
    "diffusion": {"generator": "diffusion"},
}
ORACLE = {
    "generator": "oversample",
    "training": "pooled",
    "jitter": 0.0,
    "warp": 0.0,
    "gates": {"copies": 1.0, "distance": 0.0, "membership": 1.0},
}
"""Real beats of all clients, as they are: no generator can be better. The gates on privacy are open for it."""


def _arm(title: str, source: Mapping[str, Any], quota: str, dose: float) -> Arm:
    return Arm(title, {"synthesis": {**source, "quota": quota, "dose": dose}})


def arms() -> dict[str, Arm]:
    """Every arm by its name, which is also that of its folder."""
    found = {"none": Arm("none", {}), "weights": Arm("class weights", {"federation.class_weights": "sqrt"})}
    for name, source in {**SOURCES, "oracle": ORACLE}.items():
        for quota in QUOTAS:
            found[f"{name}-{quota}-{DOSE:g}"] = _arm(f"{name}, {quota}", source, quota, DOSE)
        for dose in DOSES:
            found[f"{name}-{QUOTA}-{dose:g}"] = _arm(f"{name}, {QUOTA}, dose {dose:g}", source, QUOTA, dose)
    return found


ARMS = arms()
