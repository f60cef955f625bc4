"""Results of the scripts in ``benchmarks/``: speed of simulators, costs of the ledger. No chain vouches for them.

``peers.json`` compares simulators under common protocols; ``*/PEER_PROTOCOL.json`` are searches of settings on other
devices; ``ledger.json`` and ``ledger_overlap.json`` are costs of the ledger. The scripts write them with
`bofl_jax.results.writing.write_json`.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bofl_jax.results.reading import load_json, read_file

PEERS_FILE, LEDGER_FILE, OVERLAP_FILE = "peers.json", "ledger.json", "ledger_overlap.json"
_FIX_PEERS = "make it again with python benchmarks/peers/run.py --json"
_FIX_LEDGER = "make it again with python benchmarks/{}.py --json"


@dataclass(frozen=True)
class Workload:
    """The training that every simulator carried out under a protocol."""

    protocol: str
    clients: int  # of the population
    cohort: int
    steps: int  # local steps of a round
    batch: int
    parameters: int


@dataclass(frozen=True)
class PeerSpeed:
    """Speed of one simulator under a protocol; NaN where a number was not measured."""

    peer: str
    protocol: str
    device: str
    samples_per_s: float  # training samples
    clients_per_s: float
    memory_mib: float  # peak of all its processes
    start_up_s: float
    rounds: int  # timed rounds; 0 if unknown
    cores: int  # 0 if unknown
    machine: str  # "" if unknown
    versions: dict[str, str]  # package -> version
    error: str = ""  # one line, if there are no numbers


@dataclass(frozen=True)
class ChainNetwork:
    """A blockchain network for which the time to confirmation was modelled."""

    name: str
    interval_s: float  # between blocks
    gas_limit: int  # of a block
    blocks_to_finality: int


@dataclass(frozen=True)
class LedgerCost:
    """Costs of a round in one mode of the ledger with one number of clients; times are medians over rounds."""

    mode: str
    clients: int
    rounds: int  # timed rounds
    gas: int
    gas_by_function: dict[str, int]  # function of the contract -> gas
    cpu_ms: float  # hashing of the round's tree excluded
    hash_ms: float
    included_s: dict[str, float]  # network -> time until the last step is in a block
    final_s: dict[str, float]  # network -> time until the round is final


@dataclass(frozen=True)
class LedgerOverlap:
    """Seconds of a round in pairs of runs, without and with the ledger."""

    mode: str
    clients: int
    steps: int  # local steps of a round
    batch: int
    rounds: int  # of each run; the times are medians over them
    off_s: tuple[float, ...]  # a time for each pair
    on_s: tuple[float, ...]  # a time for each pair


@dataclass(frozen=True)
class LedgerCosts:
    """``ledger.json`` and ``ledger_overlap.json``."""

    machine: str
    python: str
    million_additions_ms: float  # time of a million additions in a Python loop on the machine
    networks: tuple[ChainNetwork, ...]
    rows: tuple[LedgerCost, ...]
    overlap: LedgerOverlap | None


@dataclass(frozen=True)
class Benchmarks:
    """The results in a folder of benchmarks."""

    workloads: dict[str, Workload]  # protocol -> workload, of protocols that some simulator carried out
    speeds: tuple[PeerSpeed, ...]
    protocols: tuple[str, ...]
    ledger: LedgerCosts | None = None


def read_benchmarks(folder: Path) -> Benchmarks:
    """Read and check the results of ``benchmarks/peers/run.py``, ``benchmarks/ledger.py`` and its overlap.

    The part of a missing file is empty. Of a search of settings, ``*/PEER_PROTOCOL.json``, the fastest setting counts.

    Raises:
        BoflError: one line that names the damaged file and says how to fix it.
    """
    peers = _read_peers(folder) if (folder / PEERS_FILE).exists() else Benchmarks({}, (), ())
    return replace(peers, ledger=_read_ledger(folder) if (folder / LEDGER_FILE).exists() else None)


def _read_peers(folder: Path) -> Benchmarks:
    found = read_file(folder / PEERS_FILE, _peers, _FIX_PEERS)
    searches = [
        read_file(path, partial(_search, workload=workload), _FIX_PEERS)
        for path in sorted(folder.glob("*/*.json"))
        for workload in found.workloads.values()
        if path.stem.endswith(f"_{workload.protocol}")
    ]
    return Benchmarks(found.workloads, (*found.speeds, *searches), found.protocols)


def _peers(path: Path) -> Benchmarks:
    protocols = load_json(path)["protocols"]
    speeds = [
        _failed(peer, name, str(row["error"])) if "error" in row else _speed(peer, name, row)
        for name, rows in protocols.items()
        for peer, row in rows.items()
    ]
    if not speeds:
        raise ValueError("it holds no peer")
    workloads = {
        name: _workload(name, row["work"])
        for name, rows in protocols.items()
        for row in list(rows.values())[::-1]
        if "work" in row
    }
    return Benchmarks(workloads, tuple(speeds), tuple(protocols))


def _workload(name: str, row: dict[str, Any]) -> Workload:
    return Workload(name, *(_count(row[key]) for key in ("clients", "cohort", "steps", "batch", "parameters")))


def _speed(peer: str, name: str, row: dict[str, Any]) -> PeerSpeed:
    machine = row["machine"]
    return PeerSpeed(
        peer,
        name,
        device=str(machine["device"]),
        samples_per_s=_positive(row["samples_per_s"]),
        clients_per_s=_count(row["work"]["cohort"]) * _positive(row["rounds_per_s"]),
        memory_mib=_positive(row["memory_mib"]),
        start_up_s=_positive(row["start_up_s"]),
        rounds=_count(row["rounds"]),
        cores=_count(machine["cores"]),
        machine=str(machine["cpu"]),
        versions={package: str(version) for package, version in row["versions"].items()},
    )


def _failed(peer: str, name: str, error: str, device: str = "") -> PeerSpeed:
    unknown = math.nan
    return PeerSpeed(peer, name, device, unknown, unknown, unknown, unknown, 0, 0, "", {}, " ".join(error.split()))


def _search(path: Path, workload: Workload) -> PeerSpeed:
    """The fastest of the settings that were tried, with the samples of a client and round from the protocol."""
    tried = load_json(path)
    name, device = workload.protocol, _device(path.parent)
    peer = path.stem.removesuffix(f"_{name}")
    speeds = [_positive(one["samples_per_s"]) for one in tried if "error" not in one]
    if not speeds:
        return _failed(peer, name, str(tried[0]["error"]), device)
    fastest = max(speeds)
    clients, unknown = fastest / (workload.steps * workload.batch), math.nan
    return PeerSpeed(peer, name, device, fastest, clients, unknown, unknown, 0, 0, "", {})


def _device(folder: Path) -> str:
    """The device that the other results of a folder name, or the folder's name if none or several are named."""
    documents = [read_file(path, load_json, _FIX_PEERS) for path in sorted(folder.glob("*.json"))]
    machines = [document.get("machine") for document in documents if isinstance(document, dict)]
    named = {str(machine["device"]) for machine in machines if isinstance(machine, dict) and "device" in machine}
    return named.pop() if len(named) == 1 else folder.name


def _read_ledger(folder: Path) -> LedgerCosts:
    costs = read_file(folder / LEDGER_FILE, _ledger, _FIX_LEDGER.format("ledger"))
    if not (folder / OVERLAP_FILE).exists():
        return costs
    return replace(costs, overlap=read_file(folder / OVERLAP_FILE, _overlap, _FIX_LEDGER.format("ledger_overlap")))


def _ledger(path: Path) -> LedgerCosts:
    document = load_json(path)
    networks = tuple(_network(name, row) for name, row in document["networks"].items())
    rows = tuple(_cost(row, networks) for row in document["rows"])
    if not rows:
        raise ValueError("it holds no row")
    if len({(row.mode, row.clients) for row in rows}) < len(rows):
        raise ValueError("it holds two rows of one mode and number of clients")
    machine, additions = document["machine"], _positive(document["reference"]["million_additions_ms"])
    return LedgerCosts(str(machine["cpu"]), str(machine["python"]), additions, networks, rows, None)


def _network(name: str, row: dict[str, Any]) -> ChainNetwork:
    return ChainNetwork(name, _positive(row["interval_s"]), _count(row["gas_limit"]), _count(row["blocks_to_finality"]))


def _cost(row: dict[str, Any], networks: tuple[ChainNetwork, ...]) -> LedgerCost:
    latency = {network.name: row["latency_s"][network.name] for network in networks}
    if sum(row["gas_of"].values()) != row["gas"]:
        raise ValueError("the gas of functions does not add up to the gas of the round")
    return LedgerCost(
        str(row["mode"]),
        clients=_count(row["clients"]),
        rounds=_count(row["rounds"]),
        gas=_count(row["gas"]),
        gas_by_function={str(function): _count(gas) for function, gas in row["gas_of"].items()},
        cpu_ms=_positive(row["cpu_ms"]),
        hash_ms=_positive(row["hash_ms"], or_zero=True),
        included_s={name: _positive(times["included_s"]) for name, times in latency.items()},
        final_s={name: _positive(times["final_s"]) for name, times in latency.items()},
    )


def _overlap(path: Path) -> LedgerOverlap:
    document = load_json(path)
    clients, steps, batch = (_count(document["work"][key]) for key in ("clients", "steps", "batch"))
    off, on = (tuple(_positive(pair[key]) for pair in document["pairs"]) for key in ("off_s", "on_s"))
    if not off:
        raise ValueError("it holds no pair")
    return LedgerOverlap(str(document["mode"]), clients, steps, batch, _count(document["rounds"]), off, on)


def _positive(value: Any, or_zero: bool = False) -> float:
    number = float(value)
    if not (0 < number < math.inf or (or_zero and number == 0)):
        raise ValueError(f"{value} is not a positive number")
    return number


def _count(value: Any) -> int:
    if int(value) < 1:
        raise ValueError(f"{value} is not a count")
    return int(value)
