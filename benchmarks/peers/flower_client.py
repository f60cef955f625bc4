"""Flower's client app. It has a module of its own so that Ray's actors import it once and keep model and data."""

import functools
import json
from typing import Any, NamedTuple

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn
from torch_networks import channels_first, network
from work import PROTOCOLS, Data, Protocol, batches, load, shrunk

app = ClientApp()


class Held(NamedTuple):
    """What an actor keeps between clients."""

    protocol: Protocol
    model: nn.Module
    data: Data
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator


@functools.cache
def held(name: str, shrink: int, setting: str) -> Held:
    """Set up once in each actor."""
    said: dict[str, Any] = json.loads(setting)
    torch.set_num_threads(said.get("threads", 1))
    protocol = shrunk(PROTOCOLS[name], shrink)
    model = network(protocol)
    kind = said.get("sgd", "foreach")
    optimizer = torch.optim.SGD(model.parameters(), protocol.lr, fused=kind == "fused", foreach=kind == "foreach")
    return Held(protocol, model, load(protocol), optimizer, np.random.default_rng())


def packed(model: nn.Module, flat: bool) -> ArrayRecord:
    """The parameters as Flower sends them: one array for each, or all in one."""
    if flat:
        return ArrayRecord([nn.utils.parameters_to_vector(model.parameters()).detach().numpy()])
    return ArrayRecord(model.state_dict())


def unpack(arrays: ArrayRecord, model: nn.Module, flat: bool) -> None:
    """Put what was sent into the network."""
    if flat:
        vector = torch.from_numpy(arrays.to_numpy_ndarrays()[0].copy())
        nn.utils.vector_to_parameters(vector, model.parameters())
    else:
        model.load_state_dict(arrays.to_torch_state_dict())


def fit(kept: Held, client: int) -> float:
    """A client's local steps; the mean loss of its batches."""
    x: Tensor = channels_first(torch.from_numpy(kept.data.x[client]))
    y = torch.from_numpy(kept.data.y[client])
    total = torch.zeros(())
    for rows in torch.from_numpy(batches(kept.protocol, kept.rng, 1)[0]):
        kept.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(kept.model(x[rows]), y[rows])
        loss.backward()
        kept.optimizer.step()
        total += loss.detach()
    return total.item() / kept.protocol.steps


@app.train()
def train(message: Message, context: Context) -> Message:
    """One client's part of a round."""
    config = message.content["config"]
    flat = json.loads(config["setting"]).get("flat", False)
    kept = held(config["protocol"], config["shrink"], config["setting"])
    unpack(message.content["arrays"], kept.model, flat)
    loss = fit(kept, context.node_config["partition-id"])
    metrics = MetricRecord({"loss": loss, "num-examples": kept.protocol.samples})
    return Message(RecordDict({"arrays": packed(kept.model, flat), "metrics": metrics}), reply_to=message)
