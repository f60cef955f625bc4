"""Flower's client app, in a module of its own: Ray's actors import it once and keep model and data."""

import functools
import json
from typing import Any, NamedTuple

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor, nn
from torch_networks import channels_first, network
from work import PROTOCOLS, Data, Protocol, batches, load, with_fewer_clients

app = ClientApp()


class ActorState(NamedTuple):
    """Objects that an actor keeps between clients."""

    protocol: Protocol
    model: nn.Module
    data: Data
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator


@functools.cache
def actor_state(name: str, shrink: int, setting: str) -> ActorState:
    """The state of this actor, made at the first call.

    Args:
        name: name of the protocol.
        shrink: factor by which the number of clients is divided.
        setting: the setting as JSON.
    """
    options: dict[str, Any] = json.loads(setting)
    torch.set_num_threads(options.get("threads", 1))
    protocol = with_fewer_clients(PROTOCOLS[name], shrink)
    model = network(protocol)
    kind = options.get("sgd", "foreach")
    optimizer = torch.optim.SGD(model.parameters(), protocol.lr, fused=kind == "fused", foreach=kind == "foreach")
    return ActorState(protocol, model, load(protocol), optimizer, np.random.default_rng())


def pack(model: nn.Module, flat: bool) -> ArrayRecord:
    """The parameters as Flower sends them: one array for each layer, or one array with all.

    Args:
        model: the network.
        flat: whether all parameters are one array.
    """
    if flat:
        return ArrayRecord([nn.utils.parameters_to_vector(model.parameters()).detach().numpy()])
    return ArrayRecord(model.state_dict())


def unpack(arrays: ArrayRecord, model: nn.Module, flat: bool) -> None:
    """Load received parameters into the network.

    Args:
        arrays: the received parameters.
        model: the network.
        flat: whether all parameters are one array.
    """
    if flat:
        vector = torch.from_numpy(arrays.to_numpy_ndarrays()[0].copy())
        nn.utils.vector_to_parameters(vector, model.parameters())
    else:
        model.load_state_dict(arrays.to_torch_state_dict())


def fit(state: ActorState, client: int) -> float:
    """Do a client's local steps; returns the mean loss of its batches.

    Args:
        state: state of the actor.
        client: index of the client.
    """
    x: Tensor = channels_first(torch.from_numpy(state.data.x[client]))
    y = torch.from_numpy(state.data.y[client])
    total = torch.zeros(())
    for rows in torch.from_numpy(batches(state.protocol, state.rng, 1)[0]):
        state.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(state.model(x[rows]), y[rows])
        loss.backward()
        state.optimizer.step()
        total += loss.detach()
    return total.item() / state.protocol.steps


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train one client in a round.

    Args:
        message: parameters and configuration from the server.
        context: describes the client.
    """
    config = message.content["config"]
    flat = json.loads(config["setting"]).get("flat", False)
    state = actor_state(config["protocol"], config["shrink"], config["setting"])
    unpack(message.content["arrays"], state.model, flat)
    loss = fit(state, context.node_config["partition-id"])
    metrics = MetricRecord({"loss": loss, "num-examples": state.protocol.samples})
    return Message(RecordDict({"arrays": pack(state.model, flat), "metrics": metrics}), reply_to=message)
