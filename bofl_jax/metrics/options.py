"""Options of evaluation: when the shared model is tested, and what else is evaluated."""

from typing import Any, Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options

ContributionMethod = Literal["none", "leave-one-out", "gtg"]


GroupAttribute = Literal["none", "sex", "age"]


class EvaluateOptions(Options):
    """When the shared model is tested during training (always after the last round), and what else is evaluated."""

    uncompiled_fields = ("every", "explain", "contribution_every", "groups")
    every: int = Field(10, ge=0, description="test every n-th round; 0: only the last")
    explain: int = Field(0, ge=0, le=1000, description="test samples that are explained by integrated gradients")
    contribution: ContributionMethod = Field("none", description="how client contributions to a round are estimated")
    contribution_every: int = Field(
        1, ge=1, description="estimate contributions in every n-th round; an estimate evaluates many models"
    )
    groups: GroupAttribute = Field("none", description="groups of people whose recalls are compared")

    @model_validator(mode="after")
    def _check_contribution_every(self) -> "EvaluateOptions":
        if self.contribution == "none" and self.contribution_every != 1:
            raise ValueError("contribution_every belongs to contribution = 'leave-one-out' or 'gtg': leave it out")
        return self

    def check_sections(self, config: Any) -> None:
        """Reject client contributions where the clients' updates are not averaged into one classifier."""
        if self.contribution == "none":
            return
        federation, server = config.federation, config.optimizer.server
        if not federation.shares_updates:
            raise ValueError(
                f"federation.algorithm = '{federation.name}' shares no update that could be valued: "
                "set evaluate.contribution = 'none'"
            )
        if federation.own_server or server != "sgd":
            whose = f"federation.algorithm = '{federation.name}'" if federation.own_server else f"'{server}'"
            raise ValueError(
                f"evaluate.contribution values weighted means of updates, and the server of {whose} does more than "
                "that: set it to 'none', or choose federation.algorithm = 'fedavg' and optimizer.server = 'sgd'"
            )
        if self.contribution_every > federation.rounds:
            raise ValueError(
                f"evaluate.contribution_every = {self.contribution_every} values none of {federation.rounds} rounds: "
                "lower it"
            )
