"""Costs of a round on the ledger by mode and number of clients: gas, CPU time, confirmation, a longer round."""

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
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import format_count, format_count_range
from bofl_jax.results.benchmarks import Benchmarks, ChainNetwork, LedgerCost, LedgerCosts, LedgerOverlap

HASHING = "hashing"
UPDATES = "updates"
UPDATE_FUNCTIONS = ("publishDigests", "submitSignedUpdates", "submitUpdate")
"""Functions that submit updates to the contract; a mode uses one of them or none."""
COLUMNS = 3
SHOWN_CLIENTS = 1000
"""Number of clients for which gas is shown by function, or the nearest number that was measured."""

Styles = Mapping[str, style.SeriesStyle]


def ledger_cost(benchmarks: Benchmarks) -> Drawing | Unavailable:
    """Draw gas and CPU time by clients, gas by function, latency by network, and how much longer rounds take."""
    costs = benchmarks.ledger
    if costs is None:
        return Unavailable("no costs of the ledger were measured")
    labels = [*dict.fromkeys(row.mode for row in costs.rows), HASHING]
    styles = dict(zip(labels, style.series_styles(labels), strict=False))
    draws: list[Callable[[Axes], None]] = [partial(draw, costs.rows, styles) for draw in (_gas, _cpu, _functions)]
    draws += [partial(_latency, costs.rows, styles, network) for network in costs.networks]
    draws += [partial(_overlap, costs.overlap)] if costs.overlap else []
    figure, axes = _fill_grid(draws)
    _share_scale(axes[3 : 3 + len(costs.networks)])
    style.unique_legend(figure, axes)
    return Drawing(figure, _caption(costs), _cost_rows(costs))


def _fill_grid(draws: Sequence[Callable[[Axes], None]]) -> tuple[Figure, list[Axes]]:
    """Draw panels row by row; positions beyond the last one stay empty."""
    rows = math.ceil(len(draws) / COLUMNS)
    figure, grid = style.panel_grid(rows, COLUMNS, style.PAGE_WIDTH, 1.75 * rows + 0.2)
    axes = [axis for line in grid for axis in line]
    for axis in axes[len(draws) :]:
        axis.remove()
    for axis, draw in zip(axes, draws, strict=False):
        draw(axis)
    return figure, axes[: len(draws)]


def _gas(rows: Sequence[LedgerCost], styles: Styles, axis: Axes) -> None:
    _by_clients(axis, rows, styles, lambda row: row.gas)
    axis.set_ylabel("gas per round")


def _cpu(rows: Sequence[LedgerCost], styles: Styles, axis: Axes) -> None:
    _by_clients(axis, rows, styles, lambda row: row.cpu_ms)
    times: dict[int, list[float]] = {}
    for row in rows:
        times.setdefault(row.clients, []).append(row.hash_ms)
    _line(axis, {clients: median(values) for clients, values in times.items()}, styles[HASHING])
    axis.set_ylabel("CPU time\nper round (ms)")


def _latency(rows: Sequence[LedgerCost], styles: Styles, network: ChainNetwork, axis: Axes) -> None:
    _by_clients(axis, rows, styles, lambda row: row.included_s[network.name])
    axis.set_title(network.name)
    axis.set_ylabel("modelled time\ninto blocks (s)")


def _by_clients(axis: Axes, rows: Sequence[LedgerCost], styles: Styles, value: Callable[[LedgerCost], float]) -> None:
    for mode in dict.fromkeys(row.mode for row in rows):
        _line(axis, {row.clients: value(row) for row in rows if row.mode == mode}, styles[mode])
    axis.set_xlabel("clients")


def _line(axis: Axes, values: Mapping[int, float], series: style.SeriesStyle) -> None:
    """Draw a line on logarithmic scales, without times that were rounded to zero."""
    x = sorted(clients for clients, value in values.items() if value > 0)
    axis.plot(
        x, [values[at] for at in x], series.marker, linestyle=series.linestyle, color=series.color, label=series.label
    )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.minorticks_off()


def _share_scale(axes: Sequence[Axes]) -> None:
    """Put the latencies of all networks on one scale, with plain numbers at the ticks."""
    for one, other in pairwise(axes):
        other.sharey(one)
    for axis in axes:
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.minorticks_off()


def _functions(rows: Sequence[LedgerCost], styles: Styles, axis: Axes) -> None:
    """Draw a group for each function and a bar for each mode, in the order of the legend."""
    shown = _shown_rows(rows)
    gas = {row.mode: _by_step(row) for row in shown}
    names = list(dict.fromkeys(name for steps in sorted(gas.values(), key=len, reverse=True) for name in steps))
    width = 0.84 / len(gas)
    for index, (mode, steps) in enumerate(gas.items()):
        x = [names.index(name) + (index + 0.5) * width - 0.42 for name in steps]
        series = styles[mode]
        axis.bar(x, list(steps.values()), width, color=series.color, hatch=series.hatch, ec="white", linewidth=0.3)
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.set_ylim(bottom=_decade_below(min(min(steps.values()) for steps in gas.values())))
    axis.set_xticks(range(len(names)), names)
    axis.tick_params(axis="x", length=0, labelsize=6)
    axis.set_title(format_count(shown[0].clients, "client"))
    axis.set_xlabel("function")
    axis.set_ylabel("gas per round")


def _by_step(row: LedgerCost) -> dict[str, int]:
    """Gas by function, those that submit updates in one sum; a name of two words is on two lines."""
    found: Counter[str] = Counter()
    for name, gas in row.gas_by_function.items():
        found[UPDATES if name in UPDATE_FUNCTIONS else re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name)] += gas
    return found


def _decade_below(value: float) -> float:
    """A power of ten below the lowest bar, low enough that the bar is visible.

    >>> _decade_below(57_634), _decade_below(11_000)
    (10000.0, 1000.0)
    """
    return float(10 ** math.floor(math.log10(value / 1.5)))


def _shown_rows(rows: Sequence[LedgerCost]) -> list[LedgerCost]:
    """Rows of the number of clients nearest to `SHOWN_CLIENTS` by ratio, among those measured in most modes."""
    modes = Counter(row.clients for row in rows)
    usual = [clients for clients, count in sorted(modes.items()) if count == max(modes.values())]
    nearest = min(usual, key=lambda clients: abs(math.log(clients / SHOWN_CLIENTS)))
    return [row for row in rows if row.clients == nearest]


def _overlap(overlap: LedgerOverlap, axis: Axes) -> None:
    """Draw pairs of runs and their median; by noise, a run may be shorter with the ledger than without."""
    longer = _percent_longer(overlap)
    axis.plot(range(1, len(longer) + 1), longer, "o", color="black", clip_on=False)
    axis.axhline(median(longer), color="black", linewidth=0.8, linestyle="--")
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_title(f"{format_count(overlap.clients, 'client')}, {overlap.mode}")
    axis.set_xlabel("pair of runs")
    axis.set_ylabel("round longer\nwith the ledger (%)")
    style.count_axis(axis, len(longer))
    axis.margins(x=0.15)


def _percent_longer(overlap: LedgerOverlap) -> list[float]:
    return [100 * (on / off - 1) for off, on in zip(overlap.off_s, overlap.on_s, strict=True)]


def _caption(costs: LedgerCosts) -> str:
    parts = [
        "What a round on the ledger costs by mode and number of clients, all of which take part, with made-up updates. "
        "Gas is exact",
        _time_note(costs),
        f"Functions: bars in the legend's order; {UPDATES}: {_update_note(costs.rows)}",
        *([_network_note(costs.networks)] if costs.networks else []),
        *([_overlap_note(costs.overlap)] if costs.overlap else []),
    ]
    return ". ".join(parts) + "."


def _time_note(costs: LedgerCosts) -> str:
    rounds = format_count_range([row.rounds for row in costs.rows], "round")
    return (
        "CPU time is that of the ledger's thread, hashing of the round's tree (the median over modes) apart: medians "
        f"of {rounds} after the first, without intervals, on one core ({costs.machine}, Python {costs.python}) where a "
        f"million additions in a Python loop take {costs.million_additions_ms:g} ms"
    )


def _update_note(rows: Sequence[LedgerCost]) -> str:
    """The function that submits the updates, by mode."""
    found = {row.mode: [name for name in row.gas_by_function if name in UPDATE_FUNCTIONS] for row in rows}
    return ", ".join(f"{mode} by {' and '.join(names)}" if names else f"{mode} none" for mode, names in found.items())


def _network_note(networks: Sequence[ChainNetwork]) -> str:
    parameters = "; ".join(
        f"{one.name}: a block every {one.interval_s:g} s of at most {one.gas_limit:,} gas, "
        f"final {(one.blocks_to_finality - 1) * one.interval_s:g} s after the last block"
        for one in networks
    )
    return (
        "Time into blocks is modelled, not measured: an idle network without propagation or competition for blocks; "
        "opening, updates, commit and finalising wait for one another; each fills as many blocks as its gas needs, the "
        f"first half an interval away; {parameters}"
    )


def _overlap_note(overlap: LedgerOverlap) -> str:
    work = f"{format_count(overlap.steps, 'local step')} of {format_count(overlap.batch, 'sample')}"
    pairs = format_count(len(overlap.off_s), "pair")
    return (
        "Longer with the ledger, which works while the device trains: whole runs in pairs, without and with it, "
        f"{format_count(overlap.clients, 'client')}, {work}, mode {overlap.mode}, the median of "
        f"{format_count(overlap.rounds, 'round')} of each; dashed: the median of {pairs}, "
        f"{median(_percent_longer(overlap)):.1f} %"
    )


def _cost_rows(costs: LedgerCosts) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"mode": row.mode, "clients": row.clients, "rounds": row.rounds, "gas": row.gas}
        | {f"gas of {name}": gas for name, gas in row.gas_by_function.items()}
        | {"CPU (ms)": row.cpu_ms, "hashing (CPU ms)": row.hash_ms}
        | {f"into blocks (s), {name}": time for name, time in row.included_s.items()}
        | {f"final (s), {name}": time for name, time in row.final_s.items()}
        for row in costs.rows
    ]
    one = costs.overlap
    if one is None:
        return rows
    head = {"mode": one.mode, "clients": one.clients, "rounds": one.rounds}
    return rows + [
        head | {"pair": pair, "round without ledger (s)": off, "round with ledger (s)": on, "longer (%)": longer}
        for pair, (off, on, longer) in enumerate(zip(one.off_s, one.on_s, _percent_longer(one), strict=True), 1)
    ]
