"""Protocols: which recordings train and which are tested, as overrides of a configuration."""

from collections.abc import Sequence
from typing import Any

from bofl_jax.data import DS2

TEN_SEEDS = tuple(range(10))
TEST_START_S = 305.0
"""Patients who train are tested on what follows after this many seconds of their recording."""
UNSEEN_TEST_START_S = 905.0
"""The same for patients on whom nobody trained."""


def seen_patients(minutes: float, test_start_s: float = TEST_START_S) -> dict[str, Any]:
    """The first minutes of each patient are training samples; later samples of the same patient are tested.

    Args:
        minutes: labelled minutes of each patient.
        test_start_s: seconds from the start of a recording from which samples are tested.
    """
    return {"partition.train_minutes": float(minutes), "partition.guard_seconds": float(test_start_s - 60 * minutes)}


def unseen_patients(minutes: float, subjects: Sequence[str] = DS2) -> dict[str, Any]:
    """Patients on whom nobody trained adapt on their first minutes; the others train on all their samples.

    Args:
        minutes: labelled minutes of each tested patient.
        subjects: records of the tested patients.
    """
    return {
        "partition.test_subjects": tuple(subjects),
        "partition.adapt_minutes": float(minutes),
        "partition.guard_seconds": float(UNSEEN_TEST_START_S - 60 * minutes),
        "federation.rounds": 50,
        "federation.local_steps": 10,
    }
