"""Options that every algorithm has: how long clients train, on how much, and what the loss sees."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options

Sampling = Literal["replacement", "shuffle"]
ClassWeights = Literal["none", "sqrt", "inverse"]


class TrainingOptions(Options):
    """Options of every algorithm.

    Attributes:
        shares_updates: whether clients send updates to a server.
        plain_steps: whether clients must take plain gradient steps, without momentum.
        fixed_steps: keys that fix the steps of a client's personal model independently of the round's steps.
        own_server: whether the algorithm has a server optimiser of its own; else ``optimizer.server`` names it.
        own_server_fields: keys of ``[optimizer]`` that its own server reads.
    """

    shares_updates: ClassVar[bool] = False
    plain_steps: ClassVar[bool] = False
    fixed_steps: ClassVar[tuple[str, ...]] = ()
    own_server: ClassVar[bool] = False
    own_server_fields: ClassVar[tuple[str, ...]] = ("server_lr",)
    uncompiled_fields = ("local_steps", "local_epochs", "class_weights", "cohort", "stragglers", "straggler_policy")
    exclusive_fields = (frozenset({"local_steps"}), frozenset({"local_epochs"}))

    rounds: int = Field(50, ge=1, description="R, number of rounds")
    local_steps: int | None = Field(None, ge=1, description="S, local steps of a round")
    local_epochs: float | None = Field(None, gt=0, description="or: passes over the client's own training samples")
    batch_size: int = Field(32, ge=1, description="B, samples of a batch")
    sampling: Sampling = Field("replacement", description="how a batch is drawn from the client's samples")
    class_weights: ClassWeights = Field("none", description="weights of the loss, from the class counts of all clients")
    augment_scale: float = Field(0.0, ge=0, lt=1, description="amplitude factor from U(1 - s, 1 + s)")
    augment_noise: float = Field(
        0.0, ge=0, description="standard deviation of noise added to each time sample, in units of x"
    )

    @property
    def name(self) -> str:
        """The value of ``federation.algorithm``."""
        return str(getattr(self, "algorithm", ""))

    @model_validator(mode="after")
    def _one_amount(self) -> "TrainingOptions":
        if (self.local_steps is None) == (self.local_epochs is None):
            raise ValueError("set exactly one of local_steps and local_epochs")
        return self

    def check_sections(self, config: Any) -> None:
        """Refuse optimisers and personalisation that the algorithm cannot work with."""
        optimizer, personalise = config.optimizer, config.personalise
        if self.own_server:
            for key in optimizer.changed_server_fields():
                if key not in self.own_server_fields:
                    raise ValueError(
                        f"federation.algorithm = '{self.name}' has a server of its own: leave optimizer.{key} out"
                    )
        if self.plain_steps and (optimizer.client != "sgd" or optimizer.momentum):
            raise ValueError(
                f"federation.algorithm = '{self.name}' takes plain gradient steps: "
                "set optimizer.client = 'sgd', and leave optimizer.momentum out"
            )
        if personalise.method == "own" and personalise.steps:
            for key in (key for key in self.fixed_steps if getattr(self, key) is not None):
                raise ValueError(
                    f"federation.{key} fixes the steps of a client's personal model, so personalise.steps would have "
                    "no effect: leave one of the two out"
                )


class FederatedOptions(TrainingOptions):
    """Options of algorithms in which clients send updates to a server."""

    shares_updates = True

    cohort: int | None = Field(None, ge=1, description="clients drawn for a round; all clients when left out")
    stragglers: float = Field(0.0, ge=0, lt=1, description="share of a cohort that does only part of its work")
    straggler_policy: Literal["keep", "drop"] = Field("keep", description="use the partial work, or leave it out")


class UnsharedOptions(TrainingOptions):
    """Options of the baselines without a server: no update is sent, so nothing is aggregated, attacked or recorded."""

    def check_sections(self, config: Any) -> None:
        """Refuse a ledger, an adversary and options of a server."""
        said = f"federation.algorithm = '{self.name}'"
        if config.ledger.mode != "off":
            raise ValueError(f"{said} shares no update: set ledger.mode = 'off'")
        if config.adversary != type(config.adversary)():
            raise ValueError(f"{said} shares no update: leave adversary.* out")
        for key in config.optimizer.changed_server_fields():
            raise ValueError(f"{said} has no server: leave optimizer.{key} out")
        super().check_sections(config)
