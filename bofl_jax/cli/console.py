"""Output of the command line: progress, tables, one line for a round or a member of a sweep."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from bofl_jax.ledger.audit.provenance import Row
    from bofl_jax.results.requests import RequestTotals
    from bofl_jax.results.rounds import RoundRecord
    from bofl_jax.results.summary import SummaryRecord
    from bofl_jax.runs import RunStart
    from bofl_jax.sweep import MemberResult

out = Console()


class RoundProgress:
    """Progress of a run's rounds: a bar on a terminal, plain lines elsewhere.

    As a context manager, it returns the function to call with the record of each round.

    Args:
        rounds: number of rounds of the run.
    """

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.every = max(1, rounds // 10)
        self.bar: Progress | None = None

    def __enter__(self) -> "Callable[[RoundRecord], None]":
        if not out.is_terminal:
            return self._print_line
        columns = (TextColumn("round"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, TextColumn("{task.fields[text]}"), console=out)
        self.bar.start()
        self.task = self.bar.add_task("", total=self.rounds, text="loading data, compiling ...")
        return self._move_bar

    def __exit__(self, *error: object) -> None:
        if self.bar:
            self.bar.stop()

    def _move_bar(self, record: "RoundRecord") -> None:
        assert self.bar
        self.bar.update(self.task, completed=record["round"], text=describe_round(record))

    def _print_line(self, record: "RoundRecord") -> None:
        if record["round"] % self.every == 0 or record["round"] == self.rounds:
            print(f"round {record['round']}/{self.rounds}  {describe_round(record)}", flush=True)


def describe_start(start: "RunStart") -> str:
    """One line on a run whose data are loaded and whose programs are about to be compiled."""
    rounds = f"continuing after round {start.completed_rounds} of {start.rounds}"
    parts = (
        _count(start.clients, "client"),
        _count(start.samples, "sample"),
        rounds if start.completed_rounds else _count(start.rounds, "round"),
    )
    return f"{', '.join(parts)}; compiling once for {_count(start.devices, f'{start.backend} device')} ..."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def describe_round(record: "RoundRecord") -> str:
    """One line on a completed round."""
    speed = record["examples"] / record["seconds"]
    text = f"loss {record['loss']:.4f}  {speed:,.0f} samples/s  ledger {record['ledger']['cpu_ms']:.1f} ms"
    if "metrics" in record:
        text += f"  accuracy {record['metrics']['accuracy']:.3f}  macro-F1 {record['metrics']['macro_f1']:.3f}"
    return text


def describe_member(result: "MemberResult") -> str:
    """One line on a member of a sweep that has ended."""
    if result.error:
        return f"{result.member.name}  failed: {result.error}"
    return f"{result.member.name}  " + (f"{result.seconds:.1f} s" if result.seconds else "was complete")


def summary_tables(summary: "SummaryRecord") -> list[Table]:
    """The tables that a run prints at its end: overall metrics and fairness, metrics by class, and costs."""
    from bofl_jax.metrics import METRICS, Place

    models = {name: measured for name, measured in summary["test"].items() if measured}
    overall = Table("test", *models, title="Overall")
    for metric in METRICS.select(place=Place.CONSOLE, per_class=False):
        overall.add_row(metric.title, *(_number(measured.get(metric.key)) for measured in models.values()))
    for name in ("mean", "sd", "worst_10_percent", "jain"):
        row = [_number(summary["fairness"][model][name]) for model in models]
        overall.add_row(f"client accuracy, {name.replace('_', ' ')}", *row)
    row = [_number(summary["fairness"][model]["unseen_class_recall"]) for model in models]
    overall.add_row("recall of classes unseen by the client", *row)
    of_class = METRICS.select(place=Place.CONSOLE, per_class=True)
    titles = (metric.title for metric in of_class)
    classes = Table("class", "samples", *titles, title=f"Per class ({' / '.join(models)})")
    for name in next(iter(models.values()))["per_class"]:
        rows = [measured["per_class"][name] for measured in models.values()]
        cells = [" / ".join(_number(row.get(metric.key)) for row in rows) for metric in of_class]
        classes.add_row(name, str(rows[0]["support"]), *cells)
    ledger, timing = summary["ledger"], summary["timing"]
    costs = Table("ledger", "rounds", "gas/round", "bytes", "CPU ms/round", "accepted", "rejected", title="Cost")
    costs.add_row(
        ledger["mode"],
        str(ledger["rounds"]),
        f"{ledger['gas_per_round']:,.0f}",
        f"{ledger['bytes_total']:,}",
        f"{ledger['cpu_ms_per_round']:.1f}",
        str(ledger["accepted"]),
        str(ledger["rejected"]),
    )
    costs.caption = (
        f"training {timing['rounds_s']:.1f} s, compiling {timing['compile_s']:.1f} s, "
        f"{timing['samples_per_s']:,.0f} samples/s"
    )
    return [overall, classes, *_synthesis_table(summary["synthesis"]), costs]


def _synthesis_table(totals: "RequestTotals | None") -> list[Table]:
    if totals is None:
        return []
    titles = ("requests", "rejected", "no sample used", "requested samples", "used samples")
    table = Table(*titles, title="Synthetic samples")
    counts = (totals["requests"], totals["rejected"], totals["unused"], totals["asked"], totals["used"])
    table.add_row(*(f"{count:,}" for count in counts))
    return [table]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def provenance_table(rows: "Sequence[Row]") -> Table:
    """A table of the rows of an audit report; long digests are shortened, files have them in full."""
    names = [name for name in (rows[0] if rows else {"nothing": ""}) if name != "clients"]
    table = Table(*(name.replace("_", " ") for name in names), box=None)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    return table


def _cell(value: Any) -> str:
    from bofl_jax.runs.audit_report import shorten_digests

    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    return f"{value:,}" if isinstance(value, int) else shorten_digests(str(value))
