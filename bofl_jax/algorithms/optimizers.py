"""Optimisers of the clients and of the server, and the learning rate of each round."""

from typing import Literal

import numpy as np
import optax
from pydantic import Field, model_validator

from bofl_jax import aggregate
from bofl_jax.core.options import Options

SERVER_FIELDS = {
    "server_momentum": ("momentum",),
    "server_beta1": ("adagrad", "adam", "yogi"),
    "server_beta2": ("adam", "yogi"),
    "server_tau": ("adagrad", "adam", "yogi"),
}
"""Key -> the server optimisers that read it."""


class OptimizerOptions(Options):
    """The clients' optimiser and the server's."""

    traced_fields = ("server_lr", "server_momentum", "server_beta1", "server_beta2", "server_tau")
    uncompiled_fields = ("lr", "schedule")

    client: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.1, gt=0, description="learning rate of the first round")
    schedule: Literal["constant", "halving", "cosine"] = Field(
        "constant", description="halving: halved after 50 % and again after 80 % of the rounds; cosine: to 0"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of sgd")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay of adamw")
    server: Literal["sgd", "momentum", "adagrad", "adam", "yogi"] = Field(
        "sgd", description="server optimiser: FedAvg, FedAvgM, FedAdagrad, FedAdam, FedYogi"
    )
    server_lr: float = Field(1.0, gt=0, description="learning rate of the server; for sgd a factor on the mean update")
    server_momentum: float | None = Field(None, ge=0, lt=1, description="of momentum; 0.9 when left out")
    server_beta1: float | None = Field(
        None, ge=0, lt=1, description="decay of the first moment; 0.9 when left out, 0 for adagrad"
    )
    server_beta2: float | None = Field(None, ge=0, lt=1, description="decay of the second moment; 0.99 when left out")
    server_tau: float | None = Field(None, gt=0, description="floor of the second moment's root; 0.001 when left out")

    @model_validator(mode="after")
    def _fields_belong(self) -> "OptimizerOptions":
        for name, servers in SERVER_FIELDS.items():
            if getattr(self, name) is not None and self.server not in servers:
                raise ValueError(f"{name} belongs to server = {' or '.join(map(repr, servers))}: leave it out")
        if self.momentum and self.client != "sgd":
            raise ValueError("momentum belongs to client = 'sgd': leave it out")
        if self.weight_decay and self.client != "adamw":
            raise ValueError("weight_decay belongs to client = 'adamw': leave it out")
        return self

    def changed_server_fields(self) -> list[str]:
        """The server's keys whose values differ from the defaults, in alphabetical order."""
        fields = type(self).model_fields
        return sorted(
            name for name in fields if name.startswith("server") and getattr(self, name) != fields[name].default
        )


def build_optimizer(options: OptimizerOptions) -> optax.GradientTransformation:
    """The clients' optimiser, for a learning rate of 1."""
    if options.client == "adamw":
        return optax.adamw(1.0, weight_decay=options.weight_decay)
    return optax.sgd(1.0, momentum=options.momentum or None)


def build_server_optimizer(options: OptimizerOptions) -> aggregate.ServerOptimizer:
    """The server optimiser that ``optimizer.server`` names."""
    lr, beta2 = options.server_lr, _or(options.server_beta2, 0.99)
    beta1, tau = _or(options.server_beta1, 0.9), _or(options.server_tau, 1e-3)
    match options.server:
        case "sgd":
            return aggregate.sgd(lr)
        case "momentum":
            return aggregate.momentum(lr, _or(options.server_momentum, 0.9))
        case "adagrad":
            return aggregate.adagrad(lr, _or(options.server_beta1, 0.0), tau)
        case "adam":
            return aggregate.adam(lr, beta1, beta2, tau)
        case "yogi":
            return aggregate.yogi(lr, beta1, beta2, tau)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def learning_rates(options: OptimizerOptions, rounds: int) -> np.ndarray:
    """The learning rate of each round, float32[R].

    Args:
        options: first rate and schedule.
        rounds: R.

    >>> learning_rates(OptimizerOptions(lr=0.5, schedule="halving"), 10).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]
    """
    done = np.arange(rounds) / rounds
    factor = {
        "constant": np.ones(rounds),
        "halving": np.where(done < 0.5, 1.0, np.where(done < 0.8, 0.5, 0.25)),
        "cosine": (1 + np.cos(np.pi * done)) / 2,
    }[options.schedule]
    return (options.lr * factor).astype(np.float32)
