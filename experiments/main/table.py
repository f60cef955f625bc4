"""Compute a study's results.json and rounds.csv, which `bofl figures` reads, from the counts of its trainings.

    python -m experiments.main.table --study methods --work runs/main [--pieces]
    python -m experiments.main.table --study methods                # from the committed pieces.npz, without training
    bofl figures experiments/main/studies/methods

Numbers are means over the seeds. Intervals are 95 % percentiles of a bootstrap over people (not beats; records 201 and
202 are one man) and seeds. p-values are of a permutation test over people, adjusted by Holm's method over all
comparisons of a study.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import bofl_jax as bofl
from bofl_jax.metrics import mean_over_seeds
from bofl_jax.results.writing import write_arrays, write_json
from experiments.common.command import argument_parser, run_command
from experiments.common.contrasts import adjust_by_holm, person_index, sum_by_person, tested_people
from experiments.main.archive import ArchiveSource, FolderSource, archived, padded, select_arrays
from experiments.main.plan import COMPARED_METRIC, STUDIES, STUDIES_FOLDER, Row, Study
from experiments.main.scores import RowCounts, difference, summarise

DIGITS = 6
Counts = Mapping[str, Any]
"""Name -> the arrays of all seeds of one training."""
StudyCounts = Mapping[tuple[str, str], Counts]
"""(protocol, arm) -> the counts of the training."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the counts, compute the results and write them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--study", choices=list(STUDIES), required=True)
    parser.add_argument("--work", type=Path, help="folder of the finished trainings [default: the study's pieces.npz]")
    parser.add_argument("--out", type=Path, help="the study's folder [default: studies/STUDY]")
    parser.add_argument("--full", action="store_true", help="the rows of a study that was run with --full")
    parser.add_argument("--pieces", action="store_true", help="write the counts to pieces.npz, which is committed")
    options = parser.parse_args(arguments)
    out = options.out or STUDIES_FOLDER / options.study
    out.mkdir(parents=True, exist_ok=True)
    study = STUDIES[options.study]
    source = FolderSource(options.work) if options.work else ArchiveSource(out / "pieces.npz")
    trainings = study.trainings(options.full)
    seeds = source.complete_seeds(trainings)
    if not seeds:
        command = f"python -m experiments.main.run --study {options.study}"
        raise bofl.BoflError(f"no seed is complete in {options.work or out}: run {command} first")
    counts = {training: select_arrays(study, training, source.stacked(training, seeds)) for training in trainings}
    if options.pieces:
        write_arrays(out / "pieces.npz", archived(counts, seeds))
    write_json(out / "results.json", results_of(options.study, study.selected_rows(options.full), counts, seeds))
    if study.curves:
        (out / "rounds.csv").write_text(rounds_text(study.curves, counts))
    print(f"{options.study}: {training_time(counts)}")


def training_time(counts: StudyCounts) -> str:
    """How long the trainings took, and where. The results leave it out: they are the same on other machines."""
    seconds = sum(np.sum(arrays["seconds"]) for arrays in counts.values())
    machines = {str(machine) for arrays in counts.values() for machine in arrays["machine"]}
    trainings = sum(len(arrays["seconds"]) for arrays in counts.values())
    return f"{trainings} trainings, {seconds:.0f} s on {' and '.join(sorted(machines))}"


def results_of(name: str, rows: Sequence[Row], counts: StudyCounts, seeds: list[int]) -> dict[str, Any]:
    """results.json: a head about the study, and a row for each model under a protocol.

    Args:
        name: name of the study.
        rows: its rows.
        counts: the counts of its trainings.
        seeds: the seeds of the counts.
    """
    study = STUDIES[name]
    row_counts = [row_counts_of(row, counts[row.protocol, row.arm]) for row in rows]
    table = [
        result_row(study, row, mine, counts[row.protocol, row.arm]) for row, mine in zip(rows, row_counts, strict=True)
    ]
    for index, reference in references(rows):
        compared = difference(COMPARED_METRIC, row_counts[index], row_counts[reference])
        table[index]["difference"] = {"from": rows[reference].title, "metric": COMPARED_METRIC, **compared}
    adjust_by_holm([row["difference"] for row in table if "difference" in row])
    head = {
        "name": name,
        "title": study.title,
        "made_by": f"python -m experiments.main.run --study {name}",
        "drawn": "people and seeds",
        "note": study.note,
        "seeds": seeds,
    }
    if any(row.factors for row in rows):
        head["without_ledger"] = same_without_ledger(rows, counts)
    return rounded({"study": head, "rows": table})


def row_counts_of(row: Row, counts: Counts) -> RowCounts:
    """The counts of a row's model, by person; people without test samples are left out.

    Args:
        row: the row.
        counts: counts of its training.
    """
    person = person_index(counts["names"][0])
    tested = tested_people(sum_by_person(counts[f"{row.model}_confusion"], person))

    def by_tested_person(name: str) -> np.ndarray | None:
        array = counts.get(f"{row.model}_{name}")
        return None if array is None else sum_by_person(array, person)[:, tested]

    hits = counts.get(f"{row.model}_hits")
    return RowCounts(
        by_tested_person("confusion"),
        by_tested_person("points"),
        by_tested_person("gaps"),
        hits,
        padded(counts["sizes"]),
        counts["clients"],
        None if hits is None else np.searchsorted(np.flatnonzero(tested), person),
    )


def result_row(study: Study, row: Row, row_counts: RowCounts, counts: Counts) -> dict[str, Any]:
    """One row of results.json.

    Args:
        study: the study.
        row: the row.
        row_counts: counts of its model, by person.
        counts: counts of its training.
    """
    return {
        "protocol": row.group,
        "arm": row.name,
        "title": row.title,
        "model": row.model,
        "x": dict(row.x),
        "factors": dict(row.factors),
        "seeds": row_counts.confusion.shape[0],
        "people": row_counts.confusion.shape[1],
        "synthetic_samples": float(np.mean(counts["synthetic"])),
        "metrics": {name: summarise(name, row_counts) for name in study.metrics},
    }


def references(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """The index of each row that is compared, and the index of its reference."""
    places = {(row.group, str(row.x), row.name): index for index, row in enumerate(rows)}
    for index, row in enumerate(rows):
        if row.reference:
            yield index, places[row.group, str(row.x), row.reference]


def same_without_ledger(rows: Sequence[Row], counts: StudyCounts) -> dict[str, int]:
    """In how many tests a governed run has, bit by bit, the probabilities of the training without a ledger.

    Args:
        rows: rows of the ablation.
        counts: counts of its trainings.
    """
    compared = same = 0
    for row in rows:
        twins = [
            one for one in rows if one.protocol == row.protocol and one.factors == {**row.factors, "ledger": False}
        ]
        for twin in twins if row.factors["ledger"] else []:
            with_ledger, without = (counts[one.protocol, one.arm][f"{one.model}_digest"] for one in (row, twin))
            compared += len(with_ledger)
            same += int((with_ledger == without).all(axis=1).sum())
    return {"tests_compared": compared, "equal_to_the_bit": same}


def rounds_text(curves: Sequence[Row], counts: StudyCounts) -> str:
    """rounds.csv: macro-F1 by round, with 95 % intervals over seeds.

    Args:
        curves: rows whose curves are written.
        counts: counts of the trainings.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("protocol", "arm", "title", "round", "macro_f1", "low", "high"))
    for row in curves:
        writer.writerows(curve_lines(row, counts[row.protocol, row.arm]))
    return text.getvalue()


def curve_lines(row: Row, counts: Counts) -> Iterator[tuple[Any, ...]]:
    """The lines of one curve in rounds.csv; one seed has no interval.

    Args:
        row: the row.
        counts: counts of its training.
    """
    scores = counts[f"{row.model}_by_round"]
    for number, by_seed in zip(counts[f"{row.model}_rounds"][0], np.transpose(scores), strict=True):
        mean = mean_over_seeds(by_seed)
        ends = ["" if np.isnan(end) else round(end, DIGITS) for end in (mean.low, mean.high)]
        yield (row.protocol, row.name, row.title, int(number), round(mean.mean, DIGITS), *ends)


def rounded(value: Any) -> Any:
    """Round floats to `DIGITS` digits, so that sums of another machine give the same text; None where not finite."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return round(value, DIGITS) if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    run_command(main)
