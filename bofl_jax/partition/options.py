"""Options of the partition: one class a scheme, told apart by ``scheme``; the split is common to all."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options


class SplitOptions(Options):
    """Which samples train and which test; exactly one of the first three is set.

    A split is chronological within each subject (``train_minutes``) or keeps subjects apart (the other two).
    """

    train_minutes: float | None = Field(None, gt=0, description="labelled minutes at the start of each recording")
    test_subjects: tuple[str, ...] | None = Field(None, description="subjects that only test")
    test_fraction: float | None = Field(None, gt=0, lt=1, description="share of the people that only test, drawn")
    guard_seconds: float = Field(0.0, ge=0, description="pause between the two parts of a chronological split")

    @model_validator(mode="after")
    def _one_split(self) -> "SplitOptions":
        given = [
            name for name in ("train_minutes", "test_subjects", "test_fraction") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                "set exactly one of train_minutes, test_subjects and test_fraction "
                f"({' and '.join(given) + ' are set' if given else 'none is set'})"
            )
        if self.guard_seconds and self.train_minutes is None and getattr(self, "adapt_minutes", None) is None:
            raise ValueError("guard_seconds belongs to a chronological split: set train_minutes, or leave it out")
        return self


class PatientOptions(SplitOptions):
    """``patient``: every subject is a client."""

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


class IidOptions(SplitOptions):
    """``iid``: all samples shuffled and dealt out evenly."""

    scheme: Literal["iid"]
    clients: int = Field(20, ge=1, description="C, number of clients")


class DirichletOptions(SplitOptions):
    """``dirichlet``: each class is dealt out in proportions drawn from a symmetric Dirichlet(alpha)."""

    scheme: Literal["dirichlet"]
    clients: int = Field(20, ge=1, description="C, number of clients")
    alpha: float = Field(0.5, gt=0, description="concentration; small means unlike clients")
    min_size: int = Field(10, ge=1, description="fewest training samples of a client")


PartitionOptions = Annotated[PatientOptions | IidOptions | DirichletOptions, Field(discriminator="scheme")]
