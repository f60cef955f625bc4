"""The work of every peer, its data and its result. Needs NumPy only.

A peer is a script with two functions: ``settings(protocol, device)`` lists the settings that are tried, and
``simulate(protocol, setting, device, rounds)`` runs so many rounds of federated averaging and returns an `Outcome`.
`main` is the command line of all peers.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BEGAN = float(os.environ.get("PEERS_BEGAN", time.time()))
"""Time at which the process was started; without `run.py`, which passes it on, the time of this import."""

PROBE = 512
Setting = dict[str, Any]


class Protocol(NamedTuple):
    """One row of the table."""

    name: str
    clients: int  # C, in the population
    cohort: int  # clients of a round
    samples: int  # of each client
    steps: int  # local SGD steps of a client in a round
    batch: int
    shape: tuple[int, ...]  # of one sample: time, leads; or height, width, channels
    classes: int
    lr: float
    dropout: bool
    parameters: int  # of the network

    @property
    def samples_a_round(self) -> int:
        """Training samples of a round, over all its clients."""
        return self.cohort * self.steps * self.batch

    @property
    def epochs(self) -> int:
        """Passes over a client's samples in a round, rounded up."""
        return -(-self.steps * self.batch // self.samples)

    @property
    def images(self) -> bool:
        """Whether the samples are images; otherwise they are windows of a signal."""
        return len(self.shape) == 3


WINDOWS = {"samples": 64, "shape": (256, 1), "classes": 5, "lr": 0.05, "dropout": False, "parameters": 36901}
PROTOCOLS = {
    each.name: each
    for each in (
        Protocol("64x10x32", clients=64, cohort=64, steps=10, batch=32, **WINDOWS),
        Protocol("1000x1x16", clients=1000, cohort=1000, steps=1, batch=16, **WINDOWS),
        Protocol("cifar10", 1000, 50, 50, 5, 10, (32, 32, 3), 10, lr=0.05, dropout=True, parameters=1626442),
    )
}


class Data(NamedTuple):
    """All clients' samples, and samples that nobody trains on."""

    x: np.ndarray  # float32[C, n, *shape]
    y: np.ndarray  # int64[C, n]
    probe_x: np.ndarray  # float32[PROBE, *shape]
    probe_y: np.ndarray  # int64[PROBE]


class Outcome(NamedTuple):
    """The result of a peer's run."""

    ends: list[float]  # time.time() before the first round and at the end of each
    parameters: int
    loss: tuple[float, float]  # on the probe samples, before and after all rounds
    packages: tuple[str, ...]  # packages whose versions are reported
    device: str = "cpu"
    device_mib: float | None = None  # peak memory of the accelerator


def random_data(protocol: Protocol) -> Data:
    """Normal noise around a random pattern for each class, so that there is something to learn."""
    rng = np.random.default_rng(0)
    patterns = 0.3 * rng.standard_normal((protocol.classes, *protocol.shape), np.float32)

    def some(*count: int) -> tuple[np.ndarray, np.ndarray]:
        y = rng.integers(0, protocol.classes, count)
        x = rng.standard_normal((*count, *protocol.shape), np.float32)
        for noise, label in zip(x, y, strict=True):
            np.add(noise, patterns[label], out=noise)
        return x, y

    return Data(*some(protocol.clients, protocol.samples), *some(PROBE))


def load(protocol: Protocol) -> Data:
    """Map the data from files, so that processes share one copy; the first call writes the files."""
    sizes = "-".join(map(str, (protocol.clients, protocol.samples, *protocol.shape, protocol.classes)))
    folder = Path(os.environ.get("PEERS_DATA", Path(tempfile.gettempdir()) / "bofl-peers-data")) / sizes
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent))
        for name, array in random_data(protocol)._asdict().items():
            np.save(fresh / f"{name}.npy", array)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return Data(*(np.load(folder / f"{name}.npy", mmap_mode="c") for name in Data._fields))


def cohorts(protocol: Protocol) -> Iterator[np.ndarray]:
    """The clients of one round after another: all of them, or drawn without replacement."""
    rng = np.random.default_rng(1)
    while True:
        yield np.sort(rng.permutation(protocol.clients)[: protocol.cohort])


def batches(protocol: Protocol, rng: np.random.Generator, clients: int) -> np.ndarray:
    """int64[clients, steps, batch]: rows of each client's samples, in a new order in every pass.

    Args:
        protocol: the protocol.
        rng: random generator.
        clients: number of clients.
    """
    order = rng.random((clients, protocol.epochs, protocol.samples)).argsort(axis=-1).reshape(clients, -1)
    return order[:, : protocol.steps * protocol.batch].reshape(clients, protocol.steps, protocol.batch)


def round_seconds(outcome: Outcome) -> list[float]:
    """Seconds of each round after the first, which compiles and warms up."""
    return np.diff(outcome.ends)[1:].tolist()


def to_result(peer: str, protocol: Protocol, setting: Setting, outcome: Outcome) -> dict[str, Any]:
    """The result of a run as it is printed.

    Args:
        peer: name of the peer.
        protocol: the protocol.
        setting: the setting.
        outcome: outcome of the run.

    Raises:
        ValueError: if another network was trained, or it learned nothing.
    """
    before, after = outcome.loss
    if outcome.parameters != protocol.parameters:
        raise ValueError(f"{peer} trains {outcome.parameters} parameters, the protocol's network has others")
    if not after < before:
        raise ValueError(f"{peer} learns nothing: the loss goes from {before} to {after}")
    seconds = round_seconds(outcome)
    median = statistics.median(seconds)
    return {
        "peer": peer,
        "protocol": protocol.name,
        "work": protocol._asdict(),
        "setting": setting,
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": cores(), "device": outcome.device},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in outcome.packages},
        "parameters": outcome.parameters,
        "loss": {"before": round(before, 4), "after": round(after, 4)},
        "rounds": len(seconds),
        "round_s": [round(one, 5) for one in seconds],
        "round_s_median": round(median, 5),
        "samples_per_s": round(protocol.samples_a_round / median, 1),
        "rounds_per_s": round(1 / median, 4),
        "start_up_s": round(outcome.ends[1] - BEGAN, 2),
        "device_mib": outcome.device_mib,
    }


def version(package: str) -> str:
    """The installed version of a package; this repository's package may run from the working tree."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "working tree"


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


Settings = Callable[[Protocol, str], list[Setting]]
Simulate = Callable[[Protocol, Setting, str, int], Outcome]


def tune(protocol: Protocol, device: str, rounds: int, settings: Settings, simulate: Simulate) -> list[dict[str, Any]]:
    """Try every setting in this process.

    Args:
        protocol: the protocol.
        device: cpu, cuda or auto.
        rounds: number of rounds.
        settings: lists the settings.
        simulate: runs one setting.

    Returns:
        The settings with their speeds, the fastest first; settings that failed come last, with their errors.
    """
    tried = []
    for setting in settings(protocol, device):
        try:
            speed = protocol.samples_a_round / statistics.median(
                round_seconds(simulate(protocol, setting, device, rounds))
            )
            tried.append({"setting": setting, "samples_per_s": round(speed, 1)})
        except Exception as error:  # a library may raise anything for a setting that it does not support
            tried.append({"setting": setting, "error": f"{type(error).__name__}: {error}"[:300]})
        print(json.dumps(tried[-1]), file=sys.stderr, flush=True)
    return sorted(tried, key=lambda one: -one.get("samples_per_s", 0))


def main(peer: str, settings: Settings, simulate: Simulate, arguments: argparse.Namespace) -> None:
    """Run one peer, and print one JSON document.

    Args:
        peer: name of the peer.
        settings: lists the settings.
        simulate: runs one setting.
        arguments: the command line.
    """
    protocol = with_fewer_clients(PROTOCOLS[arguments.protocol], arguments.shrink)
    if arguments.list:
        result: Any = settings(protocol, arguments.device)
    elif arguments.tune:
        result = tune(protocol, arguments.device, arguments.rounds + 1, settings, simulate)
    else:
        setting = json.loads(arguments.setting) if arguments.setting else settings(protocol, arguments.device)[0]
        outcome = simulate(protocol, setting, arguments.device, arguments.rounds + 1)
        result = to_result(peer, protocol, setting, outcome)
    if os.environ.get("RANK", "0") != "0":
        return
    text = json.dumps(result, indent=1)
    print(text, flush=True)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n")


def with_fewer_clients(protocol: Protocol, factor: int) -> Protocol:
    """Divide the number of clients by a factor, in the population and in a round.

    Args:
        protocol: the protocol.
        factor: the factor.
    """
    return protocol._replace(clients=protocol.clients // factor, cohort=protocol.cohort // factor)


def peer_parser(description: str) -> argparse.ArgumentParser:
    """The parser of the command line of every peer."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--protocol", choices=PROTOCOLS, default="64x10x32")
    made.add_argument(
        "--rounds", type=int, default=10, help="timed rounds, after one that is not timed; the median is reported"
    )
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    made.add_argument("--setting", help="JSON; the first setting of --list when left out")
    made.add_argument("--list", action="store_true", help="print the settings that are tried")
    made.add_argument(
        "--tune", action="store_true", help="try all settings in this process and print the speed of each"
    )
    made.add_argument("--shrink", type=int, default=1, help="divide the number of clients by this, for a quick try")
    made.add_argument("--json", type=Path)
    return made
