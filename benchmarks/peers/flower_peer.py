"""Federated averaging with Flower's simulation engine on Ray, and its FedAvg.

    python benchmarks/peers/flower_peer.py --protocol 64x10x32 --setting '{"cpus": 1, "threads": 1}'

A setting has ``cpus`` (cores of each Ray actor: with 1 there are as many actors as cores), ``threads`` of PyTorch in
each actor, ``sgd`` ("fused" or "foreach", of torch.optim) and ``flat`` (all parameters are sent as one array, not as
one for each layer). Actors keep network, optimiser and mapped data between clients.
"""

import json
import time

import flower_client
import torch
from flower_client import pack, unpack
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from torch_networks import channels_first, count, loss_on, network
from work import PROTOCOLS, Outcome, Protocol, Setting, cores, load, main, peer_parser


class Clock:
    """Stores the time and the parameters before the first round and after each; Flower calls it."""

    def __init__(self):
        self.ends: list[float] = []
        self.arrays: ArrayRecord | None = None

    def __call__(self, server_round: int, arrays: ArrayRecord) -> None:
        """Flower calls this to evaluate the global model."""
        del server_round
        self.ends.append(time.time())
        self.arrays = arrays


def simulate(protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging; see `work`."""
    del device
    data, model, clock, flat = load(protocol), network(protocol), Clock(), setting.get("flat", False)
    probe = channels_first(torch.from_numpy(data.probe_x)), torch.from_numpy(data.probe_y)
    before = loss_on(model, *probe)
    shrink = PROTOCOLS[protocol.name].clients // protocol.clients
    config = ConfigRecord({"protocol": protocol.name, "shrink": shrink, "setting": json.dumps(setting)})
    server = ServerApp()

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        del context
        strategy = FedAvg(
            fraction_train=protocol.cohort / protocol.clients,
            fraction_evaluate=0.0,
            min_train_nodes=protocol.cohort,
            min_available_nodes=protocol.clients,
        )
        strategy.start(grid, pack(model, flat), rounds, train_config=config, evaluate_fn=clock)

    run_simulation(
        server,
        flower_client.app,
        protocol.clients,
        backend_config={
            "client_resources": {"num_cpus": setting["cpus"], "num_gpus": 0.0},
            "init_args": {"num_cpus": cores(), "include_dashboard": False, "log_to_driver": False},
        },
    )
    if clock.arrays is None or len(clock.ends) != rounds + 1:
        raise RuntimeError(f"Flower ended after {len(clock.ends) - 1} of {rounds} rounds")
    unpack(clock.arrays, model, flat)
    loss = (before, loss_on(model, *probe))
    return Outcome(clock.ends, count(model), loss, ("flwr", "ray", "torch", "numpy"))


def settings(protocol: Protocol, device: str) -> list[Setting]:
    """Settings that are tried, the most promising first; see `work`."""
    del protocol, device
    one_core = {"cpus": 1, "threads": 1, "sgd": "fused"}
    return [
        one_core | {"flat": True},
        one_core,
        one_core | {"cpus": 0.5, "flat": True},
        {"cpus": 2, "threads": 2, "flat": True},
    ]


if __name__ == "__main__":
    main("flower", settings, simulate, peer_parser(__doc__).parse_args())
