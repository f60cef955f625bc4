"""Speed of this package and of other simulators for the same work."""

import math
from dataclasses import replace
from typing import Any

from bofl_jax.figures.artifacts import Artifact, Table, Unavailable
from bofl_jax.figures.captions import format_count, format_count_range
from bofl_jax.results.benchmarks import Benchmarks, PeerSpeed, Workload

THIS_PACKAGE = "ours"
COLUMNS = ("samples/s", "clients/s", "ours / system", "memory (MiB)", "start-up (s)")

SpeedTable = dict[tuple[str, str], PeerSpeed]
"""System and device -> speed under one protocol."""


def throughput(benchmarks: Benchmarks) -> dict[str, Artifact] | Unavailable:
    """Tabulate each protocol, a row for each system and device: on each device this package first, then the fastest."""
    if all(speed.error for speed in benchmarks.speeds):
        return Unavailable("no other simulator was measured")
    speeds = _on_a_device(benchmarks)
    devices = list(dict.fromkeys(speed.device for speed in speeds))
    return {
        name: _table(name, benchmarks.workloads.get(name), _ordered(speeds, devices, name))
        for name in benchmarks.protocols
    }


def _on_a_device(benchmarks: Benchmarks) -> list[PeerSpeed]:
    """All speeds; a failed one of `peers.json`, which names no device, gets the device of the others there."""
    usual = next(speed.device for speed in benchmarks.speeds if speed.device)
    return [speed if speed.device else replace(speed, device=usual) for speed in benchmarks.speeds]


def _ordered(speeds: list[PeerSpeed], devices: list[str], protocol: str) -> list[PeerSpeed]:
    """The speeds of a protocol by device in their order; a failed one is the last."""
    found = [speed for speed in speeds if speed.protocol == protocol]
    return sorted(
        found, key=lambda s: (devices.index(s.device), s.peer != THIS_PACKAGE, 0.0 if s.error else -s.samples_per_s)
    )


def _table(protocol: str, work: Workload | None, speeds: list[PeerSpeed]) -> Table:
    found = {(speed.peer, speed.device): speed for speed in speeds}
    several = len({speed.device for speed in speeds}) > 1
    body = [(f"{one.peer} ({one.device})" if several else one.peer, *_cells(one, found)) for one in found.values()]
    rows = [_row(one, found) for one in found.values()]
    return Table(_caption(protocol, work, speeds), ("system", *COLUMNS), body, rows)


def _cells(speed: PeerSpeed, found: SpeedTable) -> tuple[str, ...]:
    if speed.error:
        return ("failed", *("" for _ in COLUMNS[1:]))
    ratio, memory, start_up = (
        _format_fixed(_ratio(speed, found), 2),
        _format_rate(speed.memory_mib),
        _format_fixed(speed.start_up_s, 1),
    )
    return _format_rate(speed.samples_per_s), _format_rate(speed.clients_per_s), ratio, memory, start_up


def _ratio(speed: PeerSpeed, found: SpeedTable) -> float:
    """Speed of this package over that of a system on the same device; NaN for itself, or without a number."""
    ours = found.get((THIS_PACKAGE, speed.device))
    return ours.samples_per_s / speed.samples_per_s if ours and speed.peer != THIS_PACKAGE else math.nan


def _format_rate(value: float) -> str:
    """A rate as the table prints it.

    >>> _format_rate(209181.3), _format_rate(96.9), _format_rate(9.69), _format_rate(float("nan"))
    ('209,181', '97', '9.7', '')
    """
    return "" if math.isnan(value) else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _format_fixed(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def _row(speed: PeerSpeed, found: SpeedTable) -> dict[str, Any]:
    numbers = (speed.samples_per_s, speed.clients_per_s, _ratio(speed, found), speed.memory_mib, speed.start_up_s)
    head = {"system": speed.peer, "device": speed.device, "protocol": speed.protocol}
    return head | dict(zip(COLUMNS, numbers, strict=True)) | {"rounds": speed.rounds or None, "error": speed.error}


def _caption(protocol: str, work: Workload | None, speeds: list[PeerSpeed]) -> str:
    measured = [speed for speed in speeds if speed.rounds]
    parts = [
        f"Federated averaging in this package and in other simulators, protocol {protocol}: the same network, random "
        "data of the same sizes, each system in the fastest of the settings that were tried",
        *([_work(work)] if work else []),
        "Clients/s: cohort times rounds/s. Ours / system: samples/s of this package over the system's, on the same "
        "device. Memory: the peak of all processes of a system. Start-up: from the start of the process to the end of "
        "the first round",
        *([_machines(measured)] if measured else []),
        *(f"{device}: the fastest setting of a search, without memory and start-up" for device in _searched(speeds)),
        *(f"Failed: {speed.peer} ({speed.error})" for speed in speeds if speed.error),
        *([f"Versions: {_versions(measured)}"] if measured else []),
    ]
    return ". ".join(parts) + "."


def _work(work: Workload) -> str:
    who = f"{work.cohort:,} of {format_count(work.clients, 'client')} a round"
    what = f"{format_count(work.steps, 'local step')} of {format_count(work.batch, 'sample')}"
    return f"Work: {who}, {what}, {format_count(work.parameters, 'parameter')}"


def _machines(speeds: list[PeerSpeed]) -> str:
    found = dict.fromkeys((speed.device, speed.machine, speed.cores) for speed in speeds)
    where = "; ".join(f"{device}, {format_count(cores, 'core')} ({machine})" for device, machine, cores in found)
    rounds = format_count_range([speed.rounds for speed in speeds], "round")
    return f"{where}: medians of {rounds} after the first, without intervals"


def _searched(speeds: list[PeerSpeed]) -> list[str]:
    return list(dict.fromkeys(speed.device for speed in speeds if not speed.rounds and not speed.error))


def _versions(speeds: list[PeerSpeed]) -> str:
    """Every package once, by system."""
    found = {speed.peer: [f"{package} {version}" for package, version in speed.versions.items()] for speed in speeds}
    common = set.intersection(*map(set, found.values()))
    remaining = {peer: [text for text in texts if text not in common] for peer, texts in found.items()}
    by_peer = "; ".join(f"{peer} {', '.join(texts)}" for peer, texts in remaining.items() if texts)
    return "; ".join(filter(None, (by_peer, f"all {', '.join(sorted(common))}" if common else "")))
