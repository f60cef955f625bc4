"""What a round on the ledger costs by mode and number of clients: gas, CPU time, confirmation, a longer round."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from bofl_jax.figures import style
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.words import counted, spanned
from bofl_jax.results.benchmarks import Benchmarks, Cost, Costs, Network, Overlap

HASHING = "hashing"
UPDATES = "updates"
UPDATE = ("publishDigests", "submitSignedUpdates", "submitUpdate")
"""Functions that bring updates to the contract, of which a mode uses one or none."""
COLUMNS = 3
TYPICAL = 1000
"""Clients whose gas is shown by function, or the nearest number that was measured."""

Looks = Mapping[str, style.Look]


def ledger_cost(benchmarks: Benchmarks) -> Drawing | Skip:
    """A panel each: gas and CPU time by clients, gas by function, latency by network, how much longer a round takes."""
    costs = benchmarks.ledger
    if costs is None:
        return Skip("no costs of the ledger were measured")
    labels = [*dict.fromkeys(row.mode for row in costs.rows), HASHING]
    looks = dict(zip(labels, style.cycle(labels), strict=False))
    draws: list[Callable[[Axes], None]] = [partial(draw, costs.rows, looks) for draw in (_gas, _cpu, _functions)]
    draws += [partial(_latency, costs.rows, looks, network) for network in costs.networks]
    draws += [partial(_longer, costs.overlap)] if costs.overlap else []
    figure, axes = _filled(draws)
    _share_scale(axes[3 : 3 + len(costs.networks)])
    style.unique_legend(figure, axes)
    return Drawing(figure, _caption(costs), _numbers(costs))


def _filled(draws: Sequence[Callable[[Axes], None]]) -> tuple[Figure, list[Axes]]:
    """Panels row by row; places beyond the last one stay empty."""
    rows = math.ceil(len(draws) / COLUMNS)
    figure, grid = style.grid(rows, COLUMNS, style.PAGE, 1.75 * rows + 0.2)
    axes = [axis for line in grid for axis in line]
    for axis in axes[len(draws) :]:
        axis.remove()
    for axis, draw in zip(axes, draws, strict=False):
        draw(axis)
    return figure, axes[: len(draws)]


def _gas(rows: Sequence[Cost], looks: Looks, axis: Axes) -> None:
    _by_clients(axis, rows, looks, lambda row: row.gas)
    axis.set_ylabel("gas per round")


def _cpu(rows: Sequence[Cost], looks: Looks, axis: Axes) -> None:
    _by_clients(axis, rows, looks, lambda row: row.cpu_ms)
    times: dict[int, list[float]] = {}
    for row in rows:
        times.setdefault(row.clients, []).append(row.hash_ms)
    _line(axis, {clients: median(values) for clients, values in times.items()}, looks[HASHING])
    axis.set_ylabel("CPU time\nper round (ms)")


def _latency(rows: Sequence[Cost], looks: Looks, network: Network, axis: Axes) -> None:
    _by_clients(axis, rows, looks, lambda row: row.included[network.name])
    axis.set_title(network.name)
    axis.set_ylabel("modelled time\ninto blocks (s)")


def _by_clients(axis: Axes, rows: Sequence[Cost], looks: Looks, value: Callable[[Cost], float]) -> None:
    for mode in dict.fromkeys(row.mode for row in rows):
        _line(axis, {row.clients: value(row) for row in rows if row.mode == mode}, looks[mode])
    axis.set_xlabel("clients")


def _line(axis: Axes, values: Mapping[int, float], look: style.Look) -> None:
    """A line on logarithmic scales; a time that was rounded to zero has no place there."""
    x = sorted(clients for clients, value in values.items() if value > 0)
    axis.plot(x, [values[at] for at in x], look.marker, linestyle=look.dash, color=look.color, label=look.label)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.minorticks_off()


def _share_scale(axes: Sequence[Axes]) -> None:
    """Latencies of all networks on one scale, whose ticks are plain numbers."""
    for one, other in pairwise(axes):
        other.sharey(one)
    for axis in axes:
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.minorticks_off()


def _functions(rows: Sequence[Cost], looks: Looks, axis: Axes) -> None:
    """A group a function, a bar a mode, in the legend's order."""
    shown = _typical(rows)
    gas = {row.mode: _by_step(row) for row in shown}
    names = list(dict.fromkeys(name for steps in sorted(gas.values(), key=len, reverse=True) for name in steps))
    width = 0.84 / len(gas)
    for place, (mode, steps) in enumerate(gas.items()):
        x = [names.index(name) + (place + 0.5) * width - 0.42 for name in steps]
        look = looks[mode]
        axis.bar(x, list(steps.values()), width, color=look.color, hatch=look.hatch, ec="white", linewidth=0.3)
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.set_ylim(bottom=_decade_below(min(min(steps.values()) for steps in gas.values())))
    axis.set_xticks(range(len(names)), names)
    axis.tick_params(axis="x", length=0, labelsize=6)
    axis.set_title(counted(shown[0].clients, "client"))
    axis.set_xlabel("function")
    axis.set_ylabel("gas per round")


def _by_step(row: Cost) -> dict[str, int]:
    """Gas by function, those that bring updates together; a name of two words stands on two lines."""
    found: Counter[str] = Counter()
    for name, gas in row.gas_of.items():
        found[UPDATES if name in UPDATE else re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name)] += gas
    return found


def _decade_below(value: float) -> float:
    """The power of ten under a bar, so far below that even the lowest bar is seen.

    >>> _decade_below(57_634), _decade_below(11_000)
    (10000, 1000)
    """
    return 10 ** math.floor(math.log10(value / 1.5))


def _typical(rows: Sequence[Cost]) -> list[Cost]:
    """The rows of the number of clients nearest to `TYPICAL` by ratio, of those measured in most modes."""
    modes = Counter(row.clients for row in rows)
    usual = [clients for clients, count in sorted(modes.items()) if count == max(modes.values())]
    nearest = min(usual, key=lambda clients: abs(math.log(clients / TYPICAL)))
    return [row for row in rows if row.clients == nearest]


def _longer(overlap: Overlap, axis: Axes) -> None:
    """Pairs of runs and their median; noise may make one shorter with the ledger than without."""
    longer = _percent(overlap)
    axis.plot(range(1, len(longer) + 1), longer, "o", color="black", clip_on=False)
    axis.axhline(median(longer), color="black", linewidth=0.8, linestyle="--")
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_title(f"{counted(overlap.clients, 'client')}, {overlap.mode}")
    axis.set_xlabel("pair of runs")
    axis.set_ylabel("round longer\nwith the ledger (%)")
    style.count_axis(axis, len(longer))
    axis.margins(x=0.15)


def _percent(overlap: Overlap) -> list[float]:
    return [100 * (on / off - 1) for off, on in zip(overlap.off, overlap.on, strict=True)]


def _caption(costs: Costs) -> str:
    parts = [
        "What a round on the ledger costs by mode and number of clients, all of which take part, with made-up updates. "
        "Gas is exact",
        _times(costs),
        f"Functions: bars in the legend's order; {UPDATES}: {_updates(costs.rows)}",
        *([_model(costs.networks)] if costs.networks else []),
        *([_pairs(costs.overlap)] if costs.overlap else []),
    ]
    return ". ".join(parts) + "."


def _times(costs: Costs) -> str:
    rounds = spanned([row.rounds for row in costs.rows], "round")
    return (
        "CPU time is that of the ledger's thread, hashing of the round's tree (the median over modes) apart: medians "
        f"of {rounds} after the first, without intervals, on one core ({costs.machine}, Python {costs.python}) where a "
        f"million additions in a Python loop take {costs.additions_ms:g} ms"
    )


def _updates(rows: Sequence[Cost]) -> str:
    """Which function brings the updates, by mode."""
    found = {row.mode: [name for name in row.gas_of if name in UPDATE] for row in rows}
    return ", ".join(f"{mode} by {' and '.join(names)}" if names else f"{mode} none" for mode, names in found.items())


def _model(networks: Sequence[Network]) -> str:
    own = "; ".join(
        f"{one.name}: a block every {one.interval:g} s of at most {one.gas_limit:,} gas, "
        f"final {(one.blocks_to_finality - 1) * one.interval:g} s after the last block"
        for one in networks
    )
    return (
        "Time into blocks is modelled, not measured: an idle network without propagation or competition for blocks; "
        "opening, updates, commit and finalising wait for one another; each fills as many blocks as its gas needs, the "
        f"first half an interval away; {own}"
    )


def _pairs(overlap: Overlap) -> str:
    work = f"{counted(overlap.steps, 'local step')} of {counted(overlap.batch, 'sample')}"
    pairs = counted(len(overlap.off), "pair")
    return (
        "Longer with the ledger, which works while the device trains: whole runs in pairs, without and with it, "
        f"{counted(overlap.clients, 'client')}, {work}, mode {overlap.mode}, the median of "
        f"{counted(overlap.rounds, 'round')} of each; dashed: the median of {pairs}, {median(_percent(overlap)):.1f} %"
    )


def _numbers(costs: Costs) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"mode": row.mode, "clients": row.clients, "rounds": row.rounds, "gas": row.gas}
        | {f"gas of {name}": gas for name, gas in row.gas_of.items()}
        | {"CPU (ms)": row.cpu_ms, "hashing (CPU ms)": row.hash_ms}
        | {f"into blocks (s), {name}": time for name, time in row.included.items()}
        | {f"final (s), {name}": time for name, time in row.final.items()}
        for row in costs.rows
    ]
    one = costs.overlap
    if one is None:
        return rows
    head = {"mode": one.mode, "clients": one.clients, "rounds": one.rounds}
    return rows + [
        head | {"pair": pair, "round without ledger (s)": off, "round with ledger (s)": on, "longer (%)": longer}
        for pair, (off, on, longer) in enumerate(zip(one.off, one.on, _percent(one), strict=True), 1)
    ]
