"""Options of evaluation: when the shared model is tested and what else is measured."""

from typing import Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options

Contribution = Literal["none", "leave-one-out", "gtg"]


Groups = Literal["none", "sex", "age"]


class EvaluateOptions(Options):
    """When the shared model is tested during training; the last round always is. And what else is measured of a run."""

    uncompiled_fields = ("every", "explain", "contribution_every", "groups")
    every: int = Field(10, ge=0, description="test every n-th round; 0: only the last")
    explain: int = Field(0, ge=0, le=1000, description="test samples that are explained by integrated gradients")
    contribution: Contribution = Field("none", description="how what each client was worth to a round is estimated")
    contribution_every: int = Field(1, ge=1, description="value every n-th round; it takes many models of the clients")
    groups: Groups = Field("none", description="groups of people whose recalls are compared")

    @model_validator(mode="after")
    def _values_some_round(self) -> "EvaluateOptions":
        if self.contribution == "none" and self.contribution_every != 1:
            raise ValueError("contribution_every belongs to contribution = 'leave-one-out' or 'gtg': leave it out")
        return self
