"""Scheme ``patient``: every subject is a client."""

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from bofl_jax.core.types import Samples
from bofl_jax.partition.registry import SCHEMES, Assignment, Scheme, by_subject
from bofl_jax.partition.split import SplitIndices, SplitOptions


class PatientOptions(SplitOptions):
    """``patient``: every subject is a client."""

    exclusive_fields = (
        frozenset({"train_minutes", "guard_seconds"}),
        frozenset({"test_subjects", "adapt_minutes"}),
        frozenset({"test_fraction", "adapt_minutes"}),
    )

    scheme: Literal["patient"] = "patient"
    adapt_minutes: float | None = Field(
        None, gt=0, description="labelled minutes of each held-out subject that its own model may adapt on; untested"
    )

    @model_validator(mode="after")
    def _held_out(self) -> "PatientOptions":
        if self.adapt_minutes is not None and self.train_minutes is not None:
            raise ValueError(
                "adapt_minutes belongs to held-out subjects: set test_subjects or test_fraction, or leave it out"
            )
        return self


def _assign(samples: Samples, parts: SplitIndices, options: PatientOptions, rng: np.random.Generator) -> Assignment:
    del options, rng
    return Assignment(samples.subjects, by_subject(samples, parts.train), by_subject(samples, parts.test))


SCHEMES.register(Scheme(PatientOptions, _assign, clients_are_subjects=True))
