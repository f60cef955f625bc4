"""Write the tables of the README from results.json alone.

python -m experiments.mitbih.table                        # table.md from the committed results.json
python -m experiments.mitbih.table RESULTS.json           # the table beside another file of results
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.common.command import argument_parser, run_command
from experiments.common.tables import markdown_row, markdown_table
from experiments.mitbih.plan import HERE

WIDE_GAP = 0.03

Columns = Iterable[tuple[str, tuple[str, ...]]]
"""Title and keys of a number in a row of results.json, for each column."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the results, write the table."""
    parser = argument_parser(__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=HERE / "results.json")
    write_table(parser.parse_args(arguments).results)


def write_table(results: Path) -> None:
    """Write the table of a results file beside it: ``results.json`` gives ``table.md``."""
    table = results.with_name(results.stem.replace("results", "table") + ".md")
    table.write_text(render(json.loads(results.read_text())))


def render(results: dict[str, Any]) -> str:
    """table.md: federated and centralised rows beside the reference, then intervals and the ledger."""
    rows = results["rows"]
    federated = {key: row for key, row in rows.items() if not key.startswith("centralised")}
    central = {key: row for key, row in rows.items() if key.startswith("centralised")}
    seeds = ", ".join(str(seed) for seed in results["seeds"])
    parts = [
        f"Mean over seeds {seeds}: **ours / reference**; a gap over {_number(WIDE_GAP, 2)} is in bold.",
        _beside_reference(
            federated, (*_overall(), *_per_class("SVF"), *_clients()), "Five labelled minutes a patient (P5)"
        ),
        _beside_reference(central, (*_overall(), *_per_class("NSVF")), "Unseen patients (DS1 -> DS2)"),
        _intervals(rows),
        _ledger(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _overall() -> Columns:
    return ("Acc", ("accuracy",)), ("mF1", ("macro_f1",)), ("mF1 NSV", ("macro_f1_nsv",))


def _per_class(classes: str) -> Columns:
    names = (("Se", "recall"), ("+P", "precision"))
    return [(f"{short} {c}", (field, c)) for short, field in names for c in classes]


def _clients() -> Columns:
    return ("sd", ("client_sd",)), ("w4", ("worst_4",)), ("uS", ("unseen_s",))


def _beside_reference(rows: dict[str, Any], columns: Columns, title: str) -> str:
    if not rows:
        return ""
    columns = tuple(columns)
    body = [
        [row["title"], *(_pair(_at(row["mean"], path), _at(row["reference"], path)) for _, path in columns)]
        for row in rows.values()
    ]
    return _table([title, *(name for name, _ in columns)], body)


def _pair(ours: float | None, reference: float | None) -> str:
    if ours is None or reference is None:
        return _number(ours)
    text = f"{_number(ours)} / {_number(reference)}"
    return f"**{text}**" if abs(ours - reference) > WIDE_GAP else text


def _intervals(rows: dict[str, Any]) -> str:
    """Spread over seeds and people, and what the reference does not report."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "mF1, mean ± sd over seeds": lambda row: _spread(row, "macro_f1"),
        "95 % over people": lambda row: "-".join(_number(end) for end in row["interval"]["macro_f1"]),
        "without the record that moves it most": _influence,
        "mF1 NSV": lambda row: _spread(row, "macro_f1_nsv"),
        "balanced Acc": lambda row: _spread(row, "balanced_accuracy"),
        "worst 10 %": lambda row: _spread(row, "worst_10_percent"),
        "ECE": lambda row: _spread(row, "ece"),
    }
    body = [[row["title"], *(cell(row) for cell in columns.values())] for row in rows.values()]
    return _table(["Ours alone", *columns], body)


def _spread(row: dict[str, Any], name: str) -> str:
    return f"{_number(row['mean'][name])} ± {_number(row['sd'][name])}"


def _influence(row: dict[str, Any]) -> str:
    return f"{_number(row['most_influential']['macro_f1_without'])} ({row['most_influential']['record']})"


def _ledger(results: dict[str, Any]) -> str:
    body = [
        [
            f"{training}, seed {seed}",
            f"{run['ledger']['gas_per_round']:,.0f}",
            f"{run['ledger']['cpu_ms_per_round']:.1f}",
            f"`{run['ledger']['head_hash'][:18]}…`",
            f"holds, {run['audit']['blocks']} blocks" if run["audit"]["holds"] else run["audit"]["reason"],
            {True: "bit-equal", False: "DIFFERS", None: "-"}[run["same_without_ledger"]],
        ]
        for training, by_seed in results["trainings"].items()
        for seed, run in by_seed.items()
        if run["ledger"]["mode"] != "off"
    ]
    head = ["Ledger", "gas a round", "CPU ms a round", "head hash", "audit", "results with ledger off"]
    return _table(head, body) if body else ""


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    rule = markdown_row(["---", *["---:"] * (len(head) - 1)])
    return "\n".join(markdown_table(head, rule, body))


def _at(values: dict[str, Any], path: tuple[str, ...]) -> float | None:
    for name in path:
        values = values.get(name) if values else None
    return values


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}".replace("0.", ".", 1)


if __name__ == "__main__":
    run_command(main)
