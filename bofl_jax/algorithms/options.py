"""Options of the conductor: training, optimiser, personalisation, evaluation, engine."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bofl_jax.algorithms.loss import ClassWeights
from bofl_jax.algorithms.perfedavg import MetaGradient
from bofl_jax.algorithms.sampling import Sampling
from bofl_jax.core.options import Options


class TrainingOptions(Options):
    """What every algorithm needs: how long, how much, and what the loss sees.

    Attributes:
        plain_steps: whether clients must take plain gradient steps, without moments.
        fixed_steps: keys that say how many steps a client's own model does, whatever the round's are.
    """

    plain_steps: ClassVar[bool] = False
    fixed_steps: ClassVar[tuple[str, ...]] = ()
    uncompiled_fields = ("local_steps", "local_epochs", "class_weights", "cohort", "stragglers", "straggler_policy")

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

    traced_fields = ("mu",)
    algorithm: Literal["fedprox"]
    mu: float = Field(0.1, ge=0, description="weight of the proximal term")


class PerFedAvgOptions(SharedOptions):
    """Per-FedAvg."""

    traced_fields = ("inner_lr",)
    algorithm: Literal["perfedavg"]
    inner_lr: float = Field(0.05, gt=0, description="alpha, rate of the adaptation step")
    meta_gradient: MetaGradient = Field("exact", description="route of the meta-gradient")
    batch_size: int = Field(32, ge=2, description="B, split in two halves")


class FedNovaOptions(SharedOptions):
    """FedNova."""

    plain_steps = True
    algorithm: Literal["fednova"]


class ScaffoldOptions(SharedOptions):
    """SCAFFOLD."""

    plain_steps = True
    algorithm: Literal["scaffold"]


class DittoOptions(SharedOptions):
    """Ditto."""

    fixed_steps = ("personal_steps",)
    traced_fields = ("strength", "personal_lr")
    algorithm: Literal["ditto"]
    strength: float = Field(0.1, ge=0, description="lambda, pull of the own model towards the shared one")
    personal_lr: float | None = Field(None, gt=0, description="rate of the own model; the round's when left out")
    personal_steps: int | None = Field(None, ge=1, description="its steps in a round; as many when left out")


class PFedMeOptions(SharedOptions):
    """pFedMe; its beta is ``optimizer.server_lr``."""

    plain_steps = True
    traced_fields = ("strength", "personal_lr", "decay")
    algorithm: Literal["pfedme"]
    strength: float = Field(15.0, gt=0, description="lambda, pull of the own model towards the local one")
    personal_lr: float = Field(0.05, gt=0, description="rate of the own model")
    inner_steps: int = Field(5, ge=1, description="K, steps of the own model on a batch")
    decay: float = Field(0.0, ge=0, description="weight decay of the own model")


class ApflOptions(SharedOptions):
    """APFL."""

    traced_fields = ("mixing",)
    algorithm: Literal["apfl"]
    mixing: float = Field(0.5, ge=0, le=1, description="share of the own part in a client's model, at first")
    adaptive: bool = Field(False, description="whether each client learns its share")


class FedRepOptions(SharedOptions):
    """FedRep."""

    fixed_steps = ("head_steps",)
    algorithm: Literal["fedrep"]
    own_layers: tuple[str, ...] = Field((), description="layers that stay with the client; the last when left out")
    head_steps: int | None = Field(None, ge=1, description="steps of these layers; as many as of the others")


class FedPerOptions(SharedOptions):
    """FedPer."""

    algorithm: Literal["fedper"]
    own_layers: tuple[str, ...] = Field((), description="layers that stay with the client; the last when left out")


class FedBnOptions(SharedOptions):
    """FedBN: the normalisation layers stay with the client."""

    algorithm: Literal["fedbn"]


class BflnOptions(SharedOptions):
    """BFLN's clusters of clients with similar prototypes."""

    algorithm: Literal["bfln"]
    clusters: int = Field(4, ge=1, description="G, groups of clients with a model each")
    prototype_steps: int = Field(4, ge=1, description="batches of which a client's prototypes are the mean")


class LocalOptions(TrainingOptions):
    """Every client alone; nothing is shared."""

    algorithm: Literal["local"]


class CentralisedOptions(TrainingOptions):
    """All training samples in one place; nothing is federated."""

    algorithm: Literal["centralised"]


FederationOptions = Annotated[
    FedAvgOptions
    | FedProxOptions
    | FedNovaOptions
    | ScaffoldOptions
    | PerFedAvgOptions
    | DittoOptions
    | PFedMeOptions
    | ApflOptions
    | FedRepOptions
    | FedPerOptions
    | FedBnOptions
    | BflnOptions
    | LocalOptions
    | CentralisedOptions,
    Field(discriminator="algorithm"),
]


SERVER_KEYS = {
    "server_momentum": ("momentum",),
    "server_beta1": ("adagrad", "adam", "yogi"),
    "server_beta2": ("adam", "yogi"),
    "server_tau": ("adagrad", "adam", "yogi"),
}


class OptimizerOptions(Options):
    """The clients' optimiser and the server's."""

    traced_fields = ("server_lr", "server_momentum", "server_beta1", "server_beta2", "server_tau")
    uncompiled_fields = ("lr", "schedule")

    client: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0, description="learning rate at the first round")
    schedule: Literal["constant", "halving", "cosine"] = Field(
        "constant", description="halving: halved after 50 % and again after 80 % of the rounds; cosine: to 0"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0, description="decoupled, of adamw")
    server: Literal["sgd", "momentum", "adagrad", "adam", "yogi"] = Field(
        "sgd", description="what follows the mean update: FedAvg, FedAvgM, FedAdagrad, FedAdam, FedYogi"
    )
    server_lr: float = Field(1.0, gt=0, description="the server's rate; a factor on the mean update for sgd")
    server_momentum: float | None = Field(None, ge=0, lt=1, description="of momentum; 0.9 when left out")
    server_beta1: float | None = Field(None, ge=0, lt=1, description="of the first moment; 0.9, 0 for adagrad")
    server_beta2: float | None = Field(None, ge=0, lt=1, description="of the second moment; 0.99")
    server_tau: float | None = Field(None, gt=0, description="floor of its root; 0.001")

    @model_validator(mode="after")
    def _belongs(self) -> "OptimizerOptions":
        for name, servers in SERVER_KEYS.items():
            if getattr(self, name) is not None and self.server not in servers:
                raise ValueError(f"{name} belongs to server = {' or '.join(map(repr, servers))}: leave it out")
        if self.momentum and self.client != "sgd":
            raise ValueError("momentum belongs to client = 'sgd': leave it out")
        if self.weight_decay and self.client != "adamw":
            raise ValueError("weight_decay belongs to client = 'adamw': leave it out")
        return self
