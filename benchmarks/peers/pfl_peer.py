"""Federated averaging with pfl-research (package ``pfl``): its PyTorch model, simulated backend and FedAvg.

    python -m torch.distributed.run --standalone --nproc-per-node 2 benchmarks/peers/pfl_peer.py --protocol 64x10x32

A setting has ``threads``, ``processes`` (ranks of torch.distributed, among which pfl divides a cohort), ``sgd``
("fused", "foreach" or "single", of torch.optim), ``compile`` (pfl's ``use_torch_compile``) and ``channels_last``.
"""

import functools
import os
import time
import types

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.aggregate.weighting import WeightByDatapoints
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.pytorch import PyTorchTensorDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.internal.ops.selector import get_framework_module
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch_networks import channels_first, count, loss_on, network
from work import Data, Outcome, Protocol, Setting, load, main, peer_parser

NEVER = 1 << 30


class Clock(TrainingProcessCallback):
    """Stores the time at the end of each round."""

    def __init__(self):
        self.ends: list[float] = []

    def on_train_begin(self, *, model) -> Metrics:
        """Store the time before the first round."""
        del model
        self.ends.append(time.time())
        return Metrics()

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration) -> tuple[bool, Metrics]:
        """Store the time after a round."""
        del aggregate_metrics, model, central_iteration
        self.ends.append(time.time())
        return False, Metrics()


def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loss of a local step, as pfl calls it.

    Args:
        model: the network.
        x: samples, channels first.
        y: int64[B], labels.
    """
    return nn.functional.cross_entropy(model(x), y)


def metrics(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Weighted]:
    """The metrics that pfl evaluates.

    Args:
        model: the network.
        x: samples, channels first.
        y: int64[B], labels.
    """
    return {"loss": Weighted(loss(model, x, y).item() * len(y), len(y))}


def to_tensor(x, channels_last: bool) -> Tensor:
    """Samples with the channels first; in memory too, unless ``channels_last``.

    Args:
        x: float32[N, ...], channels last.
        channels_last: whether the memory keeps this order.
    """
    tensor = torch.from_numpy(x)
    return tensor.movedim(-1, 1) if channels_last else channels_first(tensor)


def users(protocol: Protocol, data: Data, channels_last: bool) -> FederatedDataset:
    """Every client's samples as tensors; clients are drawn in turn without repetition.

    Args:
        protocol: the protocol.
        data: its data.
        channels_last: whether the memory keeps the channels last.
    """
    datasets = [
        PyTorchTensorDataset((to_tensor(x, channels_last), torch.from_numpy(y)), user_id=str(number))
        for number, (x, y) in enumerate(zip(data.x, data.y, strict=True))
    ]
    sampler = get_user_sampler("minimize_reuse", list(range(protocol.clients)))
    return FederatedDataset(datasets.__getitem__, sampler)


def optimizer_of(setting: Setting):
    """The constructor of the local optimiser."""
    kind = setting.get("sgd", "foreach")
    return functools.partial(torch.optim.SGD, fused=kind == "fused", foreach=kind == "foreach")


def simulate(protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging for so many rounds; every rank calls this.

    Raises:
        RuntimeError: if there are not as many ranks as the setting says.
    """
    del device
    ranks = get_framework_module().distributed.world_size
    if ranks != setting.get("processes", 1):
        raise RuntimeError(f"{ranks} ranks run, but the setting is {setting}: start it with torch.distributed.run")
    torch.set_num_threads(setting.get("threads", 1))
    data, channels_last = load(protocol), setting.get("channels_last", False)
    net = network(protocol, setting.get("patches", False))
    net.loss, net.metrics = types.MethodType(loss, net), types.MethodType(metrics, net)
    probe = to_tensor(data.probe_x, channels_last), torch.from_numpy(data.probe_y)
    model = PyTorchModel(
        net,
        local_optimizer_create=optimizer_of(setting),
        central_optimizer=torch.optim.SGD(net.parameters(), lr=1.0),
        use_torch_compile=setting.get("compile", False),
    )
    dataset = users(protocol, data, channels_last)
    clock, before = Clock(), loss_on(net, *probe)
    # If a round is whole passes over the samples, pfl gets a number of epochs; otherwise a number of steps.
    whole = protocol.steps * protocol.batch == protocol.epochs * protocol.samples
    FederatedAveraging().run(
        NNAlgorithmParams(
            central_num_iterations=rounds,
            evaluation_frequency=NEVER,
            train_cohort_size=protocol.cohort,
            val_cohort_size=0,
        ),
        SimulatedBackend(dataset, dataset, postprocessors=[WeightByDatapoints()]),
        model,
        NNTrainHyperParams(
            local_batch_size=protocol.batch,
            local_num_epochs=protocol.epochs if whole else None,
            local_num_steps=None if whole else protocol.steps,
            local_learning_rate=protocol.lr,
        ),
        callbacks=[clock],
    )
    return Outcome(clock.ends, count(net), (before, loss_on(net, *probe)), ("pfl", "torch", "numpy"))


def settings(protocol: Protocol, device: str) -> list[Setting]:
    """Settings that are tried, the most promising first; see `work`."""
    del device
    two = {"processes": 2, "threads": 1}
    tried = [two | {"sgd": "fused"}, two, two | {"sgd": "single"}, two | {"compile": True}, {"threads": 2}]
    if protocol.images:
        tried.append(two | {"channels_last": True})
    return tried


if __name__ == "__main__":
    os.environ["PFL_PYTORCH_DEVICE"] = "cpu"  # read when the model is made
    main("pfl-research", settings, simulate, peer_parser(__doc__).parse_args())
