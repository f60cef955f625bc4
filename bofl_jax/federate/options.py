"""Options of the conductor: training, optimiser, personalisation, evaluation, engine."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bofl_jax.core.options import Options
from bofl_jax.local.batches import Sampling
from bofl_jax.local.loss import ClassWeights
from bofl_jax.local.perfedavg import MetaGradient

Execution = Literal["auto", "vmap", "map", "shard", "loop"]


class TrainingOptions(Options):
    """What every algorithm needs: how long, how much, and what the loss sees."""

    rounds: int = Field(50, ge=1, description="R")
    local_steps: int | None = Field(None, ge=1, description="S, local steps of a round")
    local_epochs: float | None = Field(None, gt=0, description="or: passes over a client's own training samples")
    batch_size: int = Field(32, ge=1, description="B")
    sampling: Sampling = Field("replacement", description="how a batch is drawn from the client's samples")
    class_weights: ClassWeights = Field("none", description="weights of the loss from the pooled class counts")
    augment_scale: float = Field(0.0, ge=0, lt=1, description="amplitude factor from U(1 - s, 1 + s)")
    augment_noise: float = Field(0.0, ge=0, description="sd of noise added to each time sample, in units of x")

    @model_validator(mode="after")
    def _one_amount(self) -> "TrainingOptions":
        if (self.local_steps is None) == (self.local_epochs is None):
            raise ValueError("set exactly one of local_steps and local_epochs")
        return self


class SharedOptions(TrainingOptions):
    """What algorithms with a server add."""

    cohort: int | None = Field(None, ge=1, description="clients drawn for a round; all when left out")
    stragglers: float = Field(0.0, ge=0, lt=1, description="share of a cohort that does only part of its work")
    straggler_policy: Literal["keep", "drop"] = Field("keep", description="use the partial work, or leave it out")


class FedAvgOptions(SharedOptions):
    """FedAvg."""

    algorithm: Literal["fedavg"] = "fedavg"


class FedProxOptions(SharedOptions):
    """FedProx."""

    algorithm: Literal["fedprox"]
    mu: float = Field(0.1, ge=0, description="weight of the proximal term")


class PerFedAvgOptions(SharedOptions):
    """Per-FedAvg."""

    algorithm: Literal["perfedavg"]
    inner_lr: float = Field(0.05, gt=0, description="alpha, rate of the adaptation step")
    meta_gradient: MetaGradient = Field("exact", description="route of the meta-gradient")
    batch_size: int = Field(32, ge=2, description="B, split in two halves")


class LocalOptions(TrainingOptions):
    """Every client alone; nothing is shared."""

    algorithm: Literal["local"]


class CentralisedOptions(TrainingOptions):
    """All training samples in one place; nothing is federated."""

    algorithm: Literal["centralised"]


FederationOptions = Annotated[
    FedAvgOptions | FedProxOptions | PerFedAvgOptions | LocalOptions | CentralisedOptions,
    Field(discriminator="algorithm"),
]


class OptimizerOptions(Options):
    """The clients' optimiser and the server's rate."""

    client: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0, description="learning rate at the first round")
    schedule: Literal["constant", "halving", "cosine"] = Field(
        "constant", description="halving: halved after 50 % and again after 80 % of the rounds; cosine: to 0"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0, description="decoupled, of adamw")
    server_lr: float = Field(1.0, gt=0, description="factor on the mean update")

    @model_validator(mode="after")
    def _belongs(self) -> "OptimizerOptions":
        if self.momentum and self.client != "sgd":
            raise ValueError("momentum belongs to client = 'sgd': leave it out")
        if self.weight_decay and self.client != "adamw":
            raise ValueError("weight_decay belongs to client = 'adamw': leave it out")
        return self


class NoPersonaliseOptions(Options):
    """No personalisation."""

    method: Literal["none"] = "none"


class FineTuneOptions(Options):
    """Every client goes on from the shared model with plain local steps on its own training samples."""

    method: Literal["finetune"]
    steps: int = Field(30, ge=1, description="local steps")
    lr: float = Field(0.03, gt=0, description="learning rate")


PersonaliseOptions = Annotated[NoPersonaliseOptions | FineTuneOptions, Field(discriminator="method")]


class EvaluateOptions(Options):
    """When the shared model is tested during training; the last round always is."""

    every: int = Field(10, ge=0, description="test every n-th round; 0: only the last")


class EngineOptions(Options):
    """How clients run. The resolved values are written to the run: another width rounds differently."""

    execution: Execution = "auto"
    width: int = Field(0, ge=0, description="clients vmapped at a time within map and shard; 0 picks")
    devices: int = Field(0, ge=0, description="devices of execution = 'shard'; 0 takes all that fit")
    blocks: int = Field(8, ge=1, le=1024, description="fixed blocks of clients whose sums are added in order")
    checkpoint_every: int = Field(10, ge=1, description="rounds between checkpoints")
