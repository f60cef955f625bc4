"""How fast this package and other simulators do the same work."""

import math
from dataclasses import replace
from typing import Any

from bofl_jax.figures.products import Product, Skip, Table
from bofl_jax.figures.words import counted, spanned
from bofl_jax.results.benchmarks import Benchmarks, Speed, Work

OURS = "ours"
COLUMNS = ("samples/s", "clients/s", "ours / system", "memory (MiB)", "start-up (s)")

Found = dict[tuple[str, str], Speed]
"""System and device -> how fast under one protocol."""


def throughput(benchmarks: Benchmarks) -> dict[str, Product] | Skip:
    """A table a protocol: a row a system and device, this package first on each, then the fastest."""
    if all(speed.error for speed in benchmarks.speeds):
        return Skip("no other simulator was measured")
    speeds = _on_a_device(benchmarks)
    devices = list(dict.fromkeys(speed.device for speed in speeds))
    return {
        name: _table(name, benchmarks.works.get(name), _ordered(speeds, devices, name)) for name in benchmarks.protocols
    }


def _on_a_device(benchmarks: Benchmarks) -> list[Speed]:
    """All speeds; one that failed in `peers.json`, which then names no device, goes with that file's others."""
    usual = next(speed.device for speed in benchmarks.speeds if speed.device)
    return [speed if speed.device else replace(speed, device=usual) for speed in benchmarks.speeds]


def _ordered(speeds: list[Speed], devices: list[str], protocol: str) -> list[Speed]:
    """Those of a protocol, device after device as they come; one that failed is the last."""
    own = [speed for speed in speeds if speed.protocol == protocol]
    return sorted(own, key=lambda s: (devices.index(s.device), s.peer != OURS, 0.0 if s.error else -s.samples))


def _table(protocol: str, work: Work | None, speeds: list[Speed]) -> Table:
    found = {(speed.peer, speed.device): speed for speed in speeds}
    several = len({speed.device for speed in speeds}) > 1
    body = [(f"{one.peer} ({one.device})" if several else one.peer, *_cells(one, found)) for one in found.values()]
    rows = [_row(one, found) for one in found.values()]
    return Table(_caption(protocol, work, speeds), ("system", *COLUMNS), body, rows)


def _cells(speed: Speed, found: Found) -> tuple[str, ...]:
    if speed.error:
        return ("failed", *("" for _ in COLUMNS[1:]))
    ratio, memory, start_up = _fixed(_ratio(speed, found), 2), _whole(speed.memory), _fixed(speed.start_up, 1)
    return _whole(speed.samples), _whole(speed.clients), ratio, memory, start_up


def _ratio(speed: Speed, found: Found) -> float:
    """How many times as fast as a system this package is on the same device; NaN for itself, or without a number."""
    ours = found.get((OURS, speed.device))
    return ours.samples / speed.samples if ours and speed.peer != OURS else math.nan


def _whole(value: float) -> str:
    """A number as the table prints it.

    >>> _whole(209181.3), _whole(96.9), _whole(9.69), _whole(float("nan"))
    ('209,181', '97', '9.7', '')
    """
    return "" if math.isnan(value) else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _fixed(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def _row(speed: Speed, found: Found) -> dict[str, Any]:
    numbers = (speed.samples, speed.clients, _ratio(speed, found), speed.memory, speed.start_up)
    head = {"system": speed.peer, "device": speed.device, "protocol": speed.protocol}
    return head | dict(zip(COLUMNS, numbers, strict=True)) | {"rounds": speed.rounds or None, "error": speed.error}


def _caption(protocol: str, work: Work | None, speeds: list[Speed]) -> str:
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


def _work(work: Work) -> str:
    who = f"{work.cohort:,} of {counted(work.clients, 'client')} a round"
    what = f"{counted(work.steps, 'local step')} of {counted(work.batch, 'sample')}"
    return f"Work: {who}, {what}, {counted(work.parameters, 'parameter')}"


def _machines(speeds: list[Speed]) -> str:
    found = dict.fromkeys((speed.device, speed.machine, speed.cores) for speed in speeds)
    where = "; ".join(f"{device}, {counted(cores, 'core')} ({machine})" for device, machine, cores in found)
    rounds = spanned([speed.rounds for speed in speeds], "round")
    return f"{where}: medians of {rounds} after the first, without intervals"


def _searched(speeds: list[Speed]) -> list[str]:
    return list(dict.fromkeys(speed.device for speed in speeds if not speed.rounds and not speed.error))


def _versions(speeds: list[Speed]) -> str:
    """Every package once, by system."""
    found = {speed.peer: [f"{package} {version}" for package, version in speed.versions.items()] for speed in speeds}
    common = set.intersection(*map(set, found.values()))
    own = {peer: [text for text in texts if text not in common] for peer, texts in found.items()}
    by_peer = "; ".join(f"{peer} {', '.join(texts)}" for peer, texts in own.items() if texts)
    return "; ".join(filter(None, (by_peer, f"all {', '.join(sorted(common))}" if common else "")))
