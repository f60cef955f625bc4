"""Turn the finished pieces of run.py into a study's results.json and rounds.csv, which `bofl figures` reads.

    python experiments/main/table.py --study methods --work runs/main [--pieces]
    python experiments/main/table.py --study methods                # from the committed pieces.npz, without training
    bofl figures experiments/main/studies/methods

Numbers are means over the seeds; intervals are 95 % percentiles of a bootstrap over people (not beats, and records 201
and 202 are one man) and seeds; p-values are of a permutation test over people, by Holm's method over all of a study's.
"""

import argparse
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from packing import Packed, as_one, needed, packed
from pieces import Folder, write
from plan import COMPARED, STUDIES, STUDIES_FOLDER, Row, Study
from scores import Evidence, difference, measured

from bofl_jax import metrics
from bofl_jax.core.errors import in_one_line
from bofl_jax.data import person_of
from bofl_jax.figures.intervals import over_seeds

DIGITS = 6


def main(arguments: list[str] | None = None) -> None:
    """Read, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", choices=list(STUDIES), required=True)
    parser.add_argument("--work", type=Path, help="folder of the pieces [default: the study's pieces.npz]")
    parser.add_argument("--out", type=Path, help="the study's folder [default: studies/STUDY]")
    parser.add_argument("--full", action="store_true", help="the rows of run.py --full")
    parser.add_argument("--pieces", action="store_true", help="pack the pieces into pieces.npz, which is committed")
    options = parser.parse_args(arguments)
    out = options.out or STUDIES_FOLDER / options.study
    out.mkdir(parents=True, exist_ok=True)
    study = STUDIES[options.study]
    source = Folder(options.work) if options.work else Packed(out / "pieces.npz")
    pairs = study.pieces(options.full)
    seeds = source.seeds(pairs)
    if not seeds:
        raise SystemExit(f"no seed is complete in {options.work or out}: run run.py --study {options.study} first")
    pieces = {pair: needed(study, pair, source.stacked(*pair, seeds)) for pair in pairs}
    if options.pieces:
        write(out / "pieces.npz", packed(pieces, seeds))
    results = results_of(options.study, study.chosen(options.full), pieces, seeds)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    if study.curves:
        (out / "rounds.csv").write_text(rounds_text(study.curves, pieces))
    print(f"{options.study}: {effort(pieces)}")


def effort(pieces: dict[tuple[str, str], Any]) -> str:
    """How long it took, and where: not in the results, which are the same wherever the bits are."""
    seconds = sum(np.sum(piece["seconds"]) for piece in pieces.values())
    machines = {str(machine) for piece in pieces.values() for machine in piece["machine"]}
    trainings = sum(len(piece["seconds"]) for piece in pieces.values())
    return f"{trainings} trainings, {seconds:.0f} s on {' and '.join(sorted(machines))}"


def results_of(name: str, rows: Sequence[Row], pieces: dict[tuple[str, str], Any], seeds: list[int]) -> dict[str, Any]:
    """results.json: what was run, and a row for each model under a protocol."""
    study = STUDIES[name]
    evidence = [evidence_of(row, pieces[row.protocol, row.arm]) for row in rows]
    table = [entry(study, row, mine, pieces[row.protocol, row.arm]) for row, mine in zip(rows, evidence, strict=True)]
    for index, reference in references(rows):
        compared = difference(COMPARED, evidence[index], evidence[reference])
        table[index]["difference"] = {"from": rows[reference].title, "metric": COMPARED, **compared}
    tested = [one["difference"] for one in table if "difference" in one]
    for one, p in zip(tested, metrics.holm([one["p"] for one in tested]), strict=True):
        one["p_holm"] = float(p)
    head = {
        "name": name,
        "title": study.title,
        "made_by": f"python experiments/main/run.py --study {name}",
        "drawn": "people and seeds",
        "note": study.note,
        "seeds": seeds,
    }
    if any(row.factors for row in rows):
        head["without_ledger"] = same_without_ledger(rows, pieces)
    return rounded({"study": head, "rows": table})


def evidence_of(row: Row, piece: dict[str, Any]) -> Evidence:
    """The tested people of a row, the records of one man added up."""
    names = [str(name) for name in piece["names"][0]]
    people, person = np.unique([person_of(name) for name in names], return_inverse=True)
    belongs = np.equal.outer(np.arange(len(people)), person).astype(int)

    def added(name: str) -> Any:
        array = piece.get(f"{row.model}_{name}")
        return None if array is None else np.einsum("pc,sc...->sp...", belongs[tested], array)

    tested = np.einsum("pc,sckl->p", belongs, piece[f"{row.model}_confusion"]) > 0
    hits, whose = None, None
    if f"{row.model}_hits" in piece:
        hits, whose = piece[f"{row.model}_hits"], np.searchsorted(np.flatnonzero(tested), person)
    return Evidence(
        added("confusion"), added("points"), added("gaps"), hits, as_one(piece["sizes"]), piece["clients"], whose
    )


def entry(study: Study, row: Row, mine: Evidence, piece: dict[str, Any]) -> dict[str, Any]:
    """One row of results.json."""
    return {
        "protocol": row.under,
        "arm": row.name,
        "title": row.title,
        "model": row.model,
        "x": dict(row.x),
        "factors": dict(row.factors),
        "seeds": mine.confusion.shape[0],
        "people": mine.confusion.shape[1],
        "synthetic_samples": float(np.mean(piece["synthetic"])),
        "metrics": {name: measured(name, mine) for name in study.metrics},
    }


def references(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Every row that is compared with another, and that other."""
    places = {(row.under, str(row.x), row.name): index for index, row in enumerate(rows)}
    for index, row in enumerate(rows):
        if row.against:
            yield index, places[row.under, str(row.x), row.against]


def same_without_ledger(rows: Sequence[Row], pieces: dict[tuple[str, str], Any]) -> dict[str, int]:
    """How many tests of governed runs have, bit by bit, the probabilities of their twins without a ledger."""
    compared = same = 0
    for row in rows:
        twins = [
            one for one in rows if one.protocol == row.protocol and one.factors == {**row.factors, "ledger": False}
        ]
        for twin in twins if row.factors["ledger"] else []:
            mine, its = (pieces[one.protocol, one.arm][f"{one.model}_digest"] for one in (row, twin))
            compared += len(mine)
            same += int((mine == its).all(axis=1).sum())
    return {"tests_compared": compared, "equal_to_the_bit": same}


def rounds_text(curves: Sequence[Row], pieces: dict[tuple[str, str], Any]) -> str:
    """rounds.csv: macro-F1 by round, with 95 % intervals over seeds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("protocol", "arm", "title", "round", "macro_f1", "low", "high"))
    for row in curves:
        writer.writerows(curve(row, pieces[row.protocol, row.arm]))
    return text.getvalue()


def curve(row: Row, piece: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """One line of the figure; one seed has no interval."""
    scores = piece[f"{row.model}_by_round"]
    for number, of_seeds in zip(piece[f"{row.model}_rounds"][0], np.transpose(scores), strict=True):
        mean = over_seeds(of_seeds)
        ends = ["" if np.isnan(end) else round(end, DIGITS) for end in (mean.low, mean.high)]
        yield (row.protocol, row.name, row.title, int(number), round(mean.mean, DIGITS), *ends)


def rounded(value: Any) -> Any:
    """Floats to `DIGITS` digits, so that another machine's sums write the same; None where undefined."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    if isinstance(value, float):
        return round(value, DIGITS) if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    with in_one_line():
        main()
