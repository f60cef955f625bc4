"""Federated averaging with FLSim: its synchronous trainer, clients and server.

    python -m torch.distributed.run --standalone --nproc-per-node 2 benchmarks/peers/flsim_peer.py --protocol cifar10

A setting has ``threads`` and ``processes`` (ranks of torch.distributed, each with a share of the clients). FLSim was
written for Python 3.10: see `hashable_dataclasses`.
"""

import contextlib
import dataclasses
import functools
import logging
import math
import os
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from omegaconf import OmegaConf
from torch import Tensor, distributed, nn
from torch_networks import channels_first, count, loss_on, network
from work import Data, Outcome, Protocol, Setting, load, main, peer_parser


@contextlib.contextmanager
def hashable_dataclasses() -> Iterator[None]:
    """Give FLSim's dataclasses a hash, so that they may be defaults of fields, as up to Python 3.10."""
    original = dataclasses.dataclass

    def dataclass(cls: type | None = None, **options: Any) -> Any:
        if cls is None:
            return functools.partial(dataclass, **options)
        return original(cls, **options | ({"unsafe_hash": True} if cls.__module__.startswith("flsim.") else {}))

    with mock.patch.object(dataclasses, "dataclass", dataclass):
        yield


with hashable_dataclasses():
    from flsim.clients.base_client import ClientConfig
    from flsim.data.data_provider import FLDataProviderFromList
    from flsim.interfaces.batch_metrics import IFLBatchMetrics
    from flsim.interfaces.model import IFLModel
    from flsim.optimizers.local_optimizers import LocalOptimizerSGDConfig
    from flsim.servers.sync_servers import FedAvgOptimizerConfig, SyncServerConfig
    from flsim.trainers.sync_trainer import SyncTrainer, SyncTrainerConfig


class Metrics(IFLBatchMetrics):
    """Metrics of one batch as FLSim needs them."""

    def __init__(self, loss: Tensor, batch: tuple[Tensor, Tensor], logits: Tensor):
        self._loss, self._batch, self._logits = loss, batch, logits

    loss = property(lambda self: self._loss)
    num_examples = property(lambda self: len(self._batch[1]))
    predictions = property(lambda self: self._logits.detach().argmax(1))
    targets = property(lambda self: self._batch[1])
    model_inputs = property(lambda self: self._batch[0])


class Model(IFLModel):
    """The protocol's network as an FLSim model; a batch is a pair of tensors."""

    def __init__(self, module: nn.Module):
        self.module = module

    def fl_forward(self, batch: tuple[Tensor, Tensor]) -> Metrics:
        """The loss of a batch."""
        logits = self.module(batch[0])
        return Metrics(nn.functional.cross_entropy(logits, batch[1]), batch, logits)

    def fl_create_training_batch(self, batch: tuple[Tensor, Tensor], **_: Any) -> tuple[Tensor, Tensor]:
        """Return the batch unchanged."""
        return batch

    def fl_get_module(self) -> nn.Module:
        """The network."""
        return self.module

    def fl_cuda(self) -> None:
        """Do nothing: the network stays on the CPU."""

    def get_eval_metrics(self, batch: tuple[Tensor, Tensor]) -> Metrics:
        """The loss of a batch, without a gradient."""
        with torch.no_grad():
            return self.fl_forward(batch)

    def get_num_examples(self, batch: tuple[Tensor, Tensor]) -> int:
        """B."""
        return len(batch[1])


class Trainer(SyncTrainer):
    """FLSim's trainer, which stores the time at the end of each round."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.ends = [time.time()]

    def _train_one_round(self, *args: Any, **kwargs: Any) -> None:
        super()._train_one_round(*args, **kwargs)
        self.ends.append(time.time())


def users(protocol: Protocol, data: Data, model: Model, rank: int, ranks: int) -> FLDataProviderFromList:
    """The batches of the clients of one rank in an epoch.

    Args:
        protocol: the protocol.
        data: its data.
        model: the model.
        rank: index of the rank.
        ranks: number of ranks.
    """
    samples = protocol.steps * protocol.batch // protocol.epochs
    clients = [
        list(
            zip(
                channels_first(torch.from_numpy(x[:samples])).split(protocol.batch),
                y.split(protocol.batch),
                strict=True,
            )
        )
        for x, y in zip(data.x[rank::ranks], torch.from_numpy(data.y[rank::ranks, :samples]), strict=True)
    ]
    return FLDataProviderFromList(clients, [], [], model)


def configuration(protocol: Protocol, rounds: int) -> SyncTrainerConfig:
    """The trainer's configuration: nothing is evaluated or reported between rounds.

    Args:
        protocol: the protocol.
        rounds: number of rounds.
    """
    epochs = rounds / math.ceil(protocol.clients / protocol.cohort)
    return SyncTrainerConfig(
        epochs=epochs,
        do_eval=False,
        eval_epoch_frequency=epochs,
        report_train_metrics=False,
        users_per_round=protocol.cohort,
        client=ClientConfig(epochs=protocol.epochs, optimizer=LocalOptimizerSGDConfig(lr=protocol.lr)),
        server=SyncServerConfig(server_optimizer=FedAvgOptimizerConfig()),
    )


def simulate(protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging for so many rounds; every rank calls this.

    Raises:
        RuntimeError: if there are not as many ranks as the setting says.
    """
    del device
    torch.set_num_threads(setting.get("threads", 1))
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if ranks != setting.get("processes", 1):
        raise RuntimeError(f"{ranks} ranks run, but the setting is {setting}: start it with torch.distributed.run")
    if ranks > 1:
        distributed.init_process_group("gloo")
    data, model = load(protocol), Model(network(protocol))
    probe = channels_first(torch.from_numpy(data.probe_x)), torch.from_numpy(data.probe_y)
    before = loss_on(model.module, *probe)
    Trainer.logger.setLevel(logging.WARNING)
    trainer = Trainer(model=model, cuda_enabled=False, **OmegaConf.structured(configuration(protocol, rounds)))
    trainer.train(users(protocol, data, model, rank, ranks), None, protocol.clients, ranks, rank)
    after = loss_on(trainer.global_model().fl_get_module(), *probe)
    return Outcome(trainer.ends, count(model.module), (before, after), ("flsim", "torch", "hydra-core", "numpy"))


def settings(protocol: Protocol, device: str) -> list[Setting]:
    """Settings that are tried, the most promising first; see `work`."""
    del protocol, device
    return [{"processes": 2, "threads": 1}, {"threads": 1}, {"threads": 2}]


if __name__ == "__main__":
    main("flsim", settings, simulate, peer_parser(__doc__).parse_args())
