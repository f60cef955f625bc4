"""Typed reading of benchmarks: other simulators (``peers.json`` and searches of settings), costs of the ledger."""

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bofl_jax.results.reading import load_json, read_file

PEERS, LEDGER, OVERLAP = "peers.json", "ledger.json", "ledger_overlap.json"
_MEND = "make it again with python benchmarks/peers/run.py --json"
_LEDGER_MEND = "make it again with python benchmarks/{}.py --json"


@dataclass(frozen=True)
class Work:
    """What every peer did under a protocol."""

    protocol: str
    clients: int  # of the population
    cohort: int
    steps: int  # local steps of a round
    batch: int
    parameters: int


@dataclass(frozen=True)
class Speed:
    """How fast one peer was under a protocol; NaN where a number was not measured."""

    peer: str
    protocol: str
    device: str
    samples: float  # a second
    clients: float  # a second
    memory: float  # MiB, the peak of all its processes
    start_up: float  # s
    rounds: int  # timed ones; 0 where the file does not say
    cores: int  # 0 where the file does not say
    machine: str  # "" where the file does not say
    versions: dict[str, str]
    error: str = ""  # why there are no numbers


@dataclass(frozen=True)
class Network:
    """A network for which confirmation was modelled."""

    name: str
    interval: float  # s between blocks
    gas_limit: int  # of a block
    blocks_to_finality: int


@dataclass(frozen=True)
class Cost:
    """What a round costs in one mode of the ledger with one number of clients; times are medians over rounds."""

    mode: str
    clients: int
    rounds: int  # timed ones
    gas: int
    gas_of: dict[str, int]  # by function of the contract
    cpu_ms: float  # hashing of the round's tree excluded
    hash_ms: float
    included: dict[str, float]  # s until the last step is in a block, by network
    final: dict[str, float]  # s until the round is final, by network


@dataclass(frozen=True)
class Overlap:
    """Seconds of a round in pairs of runs, without and with the ledger."""

    mode: str
    clients: int
    steps: int  # local steps of a round
    batch: int
    rounds: int  # of each run, whose median counts
    off: tuple[float, ...]  # s, [pairs]
    on: tuple[float, ...]  # s, [pairs]


@dataclass(frozen=True)
class Costs:
    """Everything that the figure of the ledger's costs is made from."""

    machine: str
    python: str
    additions_ms: float  # of a million in a Python loop there
    networks: tuple[Network, ...]
    rows: tuple[Cost, ...]
    overlap: Overlap | None


@dataclass(frozen=True)
class Benchmarks:
    """Everything that figures and tables of a folder of benchmarks are made from."""

    works: dict[str, Work]  # by protocol, only those that some peer did
    speeds: tuple[Speed, ...]
    protocols: tuple[str, ...]
    ledger: Costs | None = None


def read_benchmarks(folder: Path) -> Benchmarks:
    """Read and check the results of ``benchmarks/peers/run.py``, ``benchmarks/ledger.py`` and its overlap.

    A file that is not there leaves its part empty. The folder's own folders may hold searches of settings on other
    devices, ``PEER_PROTOCOL.json``: of each the fastest setting counts.

    Raises:
        BoflError: one line that names the file that is damaged, and the mend.
    """
    compared = _compared(folder) if (folder / PEERS).exists() else Benchmarks({}, (), ())
    return replace(compared, ledger=_costs(folder) if (folder / LEDGER).exists() else None)


def _compared(folder: Path) -> Benchmarks:
    found = read_file(folder / PEERS, _peers, _MEND)
    searches = [
        read_file(path, partial(_search, work=work), _MEND)
        for path in sorted(folder.glob("*/*.json"))
        for work in found.works.values()
        if path.stem.endswith(f"_{work.protocol}")
    ]
    return Benchmarks(found.works, (*found.speeds, *searches), found.protocols)


def _peers(path: Path) -> Benchmarks:
    protocols = load_json(path)["protocols"]
    speeds = [
        _failed(peer, name, str(row["error"])) if "error" in row else _speed(peer, name, row)
        for name, rows in protocols.items()
        for peer, row in rows.items()
    ]
    if not speeds:
        raise ValueError("it holds no peer")
    works = {
        name: _work(name, row["work"])
        for name, rows in protocols.items()
        for row in list(rows.values())[::-1]
        if "work" in row
    }
    return Benchmarks(works, tuple(speeds), tuple(protocols))


def _work(name: str, row: dict[str, Any]) -> Work:
    return Work(name, *(_count(row[key]) for key in ("clients", "cohort", "steps", "batch", "parameters")))


def _speed(peer: str, name: str, row: dict[str, Any]) -> Speed:
    machine = row["machine"]
    return Speed(
        peer,
        name,
        device=str(machine["device"]),
        samples=_positive(row["samples_per_s"]),
        clients=_count(row["work"]["cohort"]) * _positive(row["rounds_per_s"]),
        memory=_positive(row["memory_mib"]),
        start_up=_positive(row["start_up_s"]),
        rounds=_count(row["rounds"]),
        cores=_count(machine["cores"]),
        machine=str(machine["cpu"]),
        versions={package: str(version) for package, version in row["versions"].items()},
    )


def _failed(peer: str, name: str, error: str, device: str = "") -> Speed:
    nothing = math.nan
    return Speed(peer, name, device, nothing, nothing, nothing, nothing, 0, 0, "", {}, " ".join(error.split()))


def _search(path: Path, work: Work) -> Speed:
    """The fastest of the settings that were tried; a client's samples of a round are those of the protocol."""
    tried = load_json(path)
    name, device = work.protocol, _device(path.parent)
    peer = path.stem.removesuffix(f"_{name}")
    speeds = [_positive(one["samples_per_s"]) for one in tried if "error" not in one]
    if not speeds:
        return _failed(peer, name, str(tried[0]["error"]), device)
    fastest = max(speeds)
    a_second, nothing = fastest / (work.steps * work.batch), math.nan
    return Speed(peer, name, device, fastest, a_second, nothing, nothing, 0, 0, "", {})


def _device(folder: Path) -> str:
    """What the other results of a folder were measured on; the folder's name where none says so."""
    documents = [read_file(path, load_json, _MEND) for path in sorted(folder.glob("*.json"))]
    machines = [document.get("machine") for document in documents if isinstance(document, dict)]
    named = {str(machine["device"]) for machine in machines if isinstance(machine, dict) and "device" in machine}
    return named.pop() if len(named) == 1 else folder.name


def _costs(folder: Path) -> Costs:
    found = read_file(folder / LEDGER, _ledger, _LEDGER_MEND.format("ledger"))
    if not (folder / OVERLAP).exists():
        return found
    return replace(found, overlap=read_file(folder / OVERLAP, _overlap, _LEDGER_MEND.format("ledger_overlap")))


def _ledger(path: Path) -> Costs:
    document = load_json(path)
    networks = tuple(_network(name, row) for name, row in document["networks"].items())
    rows = tuple(_cost(row, networks) for row in document["rows"])
    if not rows:
        raise ValueError("it holds no row")
    if len({(row.mode, row.clients) for row in rows}) < len(rows):
        raise ValueError("it holds two rows of one mode and number of clients")
    machine, additions = document["machine"], _positive(document["reference"]["million_additions_ms"])
    return Costs(str(machine["cpu"]), str(machine["python"]), additions, networks, rows, None)


def _network(name: str, row: dict[str, Any]) -> Network:
    return Network(name, _positive(row["interval_s"]), _count(row["gas_limit"]), _count(row["blocks_to_finality"]))


def _cost(row: dict[str, Any], networks: tuple[Network, ...]) -> Cost:
    latency = {network.name: row["latency_s"][network.name] for network in networks}
    if sum(row["gas_of"].values()) != row["gas"]:
        raise ValueError("the gas of functions does not add up to the gas of the round")
    return Cost(
        str(row["mode"]),
        clients=_count(row["clients"]),
        rounds=_count(row["rounds"]),
        gas=_count(row["gas"]),
        gas_of={str(function): _count(gas) for function, gas in row["gas_of"].items()},
        cpu_ms=_positive(row["cpu_ms"]),
        hash_ms=_positive(row["hash_ms"], or_zero=True),
        included={name: _positive(times["included_s"]) for name, times in latency.items()},
        final={name: _positive(times["final_s"]) for name, times in latency.items()},
    )


def _overlap(path: Path) -> Overlap:
    document = load_json(path)
    clients, steps, batch = (_count(document["work"][key]) for key in ("clients", "steps", "batch"))
    off, on = (tuple(_positive(pair[key]) for pair in document["pairs"]) for key in ("off_s", "on_s"))
    if not off:
        raise ValueError("it holds no pair")
    return Overlap(str(document["mode"]), clients, steps, batch, _count(document["rounds"]), off, on)


def _positive(value: Any, or_zero: bool = False) -> float:
    number = float(value)
    if not (0 < number < math.inf or (or_zero and number == 0)):
        raise ValueError(f"{value} is no positive number")
    return number


def _count(value: Any) -> int:
    if int(value) < 1:
        raise ValueError(f"{value} is no count")
    return int(value)
