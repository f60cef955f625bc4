"""Compute pieces.npz from complete runs, and results.json and three tables from pieces.npz.

    python -m experiments.synthesis.table --work runs/synthesis           # from the runs of experiments.synthesis.run
    python -m experiments.synthesis.table --work runs/synthesis --add     # renew some arms, keep the others
    python -m experiments.synthesis.table                                 # from the committed pieces.npz
    python -m experiments.synthesis.table --neural [--work runs/neural]   # neural generators, in the folder neural

The arms that neural generators are compared with are read from pieces.npz of this folder; protocols and seeds must be
the same.

Every number is the mean over the seeds. Intervals are 95 % percentiles of a bootstrap over people (not beats; records
201 and 202 are one man). Differences from no balancing are paired by person and seed. Their p-values are of a
permutation test over people, adjusted by Holm's method over the arms of a protocol and model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bofl_jax.results.writing import write_json
from experiments.common.command import argument_parser, run_command
from experiments.common.tables import markdown_table, with_interval
from experiments.synthesis.measure import CURVES, REFERENCE, curve_gap, generator_scores, macro_f1_gap, measure
from experiments.synthesis.plan import (
    ARMS,
    COMPARED_WITH_NEURAL,
    DOSE,
    GENERATORS,
    HERE,
    PROTOCOLS,
    QUOTA,
)
from experiments.synthesis.results import StudyResults, collect, load, merge, save, select

HEAD = {
    "drawn": "people",
    "name": "synthesis",
    "title": "Governed synthetic balancing",
    "made_by": "python -m experiments.synthesis.run",
}
NEURAL_HEAD = {
    "drawn": "people",
    "name": "synthesis-neural",
    "title": "Governed synthetic balancing, neural generators",
    "made_by": "python -m experiments.synthesis.run --neural",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the runs or their counts, compute the results and write them."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, help="folder of the run directories, to renew pieces.npz")
    parser.add_argument("--add", action="store_true", help="keep the arms of pieces.npz that the folder has no runs of")
    parser.add_argument(
        "--neural", action="store_true", help="neural generators, beside the arms they are compared with"
    )
    parser.add_argument("--out", type=Path, help="folder of pieces.npz and of the tables [default: that of the script]")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    options = parser.parse_args(arguments)
    out = options.out or (HERE / "neural" if options.neural else HERE)
    if options.work:
        renew_counts(options.work, out / "pieces.npz", options.protocols, options.add)
    study = load(out / "pieces.npz")
    if options.neural:
        shared = {protocol for protocol, _ in study.draws}
        study = merge(study, select(load(HERE / "pieces.npz"), shared, COMPARED_WITH_NEURAL))
    write_tables(study, out, NEURAL_HEAD if options.neural else HEAD)


def renew_counts(work: Path, path: Path, protocols: Sequence[str], add: bool) -> None:
    """Write the counts of complete runs.

    Args:
        work: folder of the run directories.
        path: the file of the counts.
        protocols: names of the protocols.
        add: whether to keep the other arms of the file.
    """
    found = collect(work, protocols)
    save(merge(found, load(path)) if add and path.exists() else found, path)


def write_tables(study: StudyResults, out: Path, head: dict[str, str]) -> None:
    """Write results.json, table.md, privacy.md and contrasts.md.

    Args:
        study: counts of all runs.
        out: folder of the files.
        head: name, title and command of the study.
    """
    rows = {protocol: measure(study, protocol) for protocol in study.protocols()}
    all_rows = [row for of_protocol in rows.values() for row in of_protocol]
    write_json(out / "results.json", {"study": head, "rows": all_rows, "generators": generator_scores(study)})
    (out / "table.md").write_text("\n\n".join(map(render, rows, rows.values())) + "\n")
    (out / "privacy.md").write_text(privacy_table(study) + "\n")
    (out / "contrasts.md").write_text(contrasts_table(study) + "\n")


def render(protocol: str, rows: Sequence[dict[str, Any]]) -> str:
    """The table of one protocol as Markdown.

    Args:
        protocol: name of the protocol.
        rows: its rows of results.json.
    """
    rare = [name.rpartition("_")[2] for name in rows[0]["metrics"] if name.startswith("auprc_")]
    head = (
        "arm",
        "samples used",
        "model",
        "macro-F1 [95 %]",
        "difference from none [95 %]",
        "p (Holm)",
        f"AUPRC {' / '.join(rare)}",
        f"recall at specificity .95 {' / '.join(rare)}",
    )
    table = markdown_table(head, "|---|---:|---|---|---|---:|---|---|", (cells(row, rare) for row in rows))
    return "\n".join([f"### {protocol} ({rows[0]['seeds']} seeds, {rows[0]['people']} people)", "", *table])


def cells(row: dict[str, Any], rare: Sequence[str]) -> list[str]:
    """The cells of one row of table.md.

    Args:
        row: row of results.json.
        rare: names of the rare classes.
    """
    gap = row.get("difference")
    return [
        row["title"],
        f"{row['outcome']['used']:.0f}",
        row["model"],
        shown(row["metrics"]["macro_f1"]),
        *([shown(gap, "+"), f"{gap['p_holm']:.3f}"] if gap else ["reference", ""]),
        *(" / ".join(f"{row['metrics'][f'{name}_{c}']['mean']:.2f}" for c in rare) for name in CURVES),
    ]


def shown(value: dict[str, Any], sign: str = "") -> str:
    """A mean and its interval, as tables show them.

    Args:
        value: mean and interval.
        sign: ``+`` prints the sign of positive numbers too.
    """
    return with_interval(value["mean"], value["interval"], sign)


def contrasts_table(study: StudyResults) -> str:
    """Pairs of arms that the experiment asks about, paired by people and seeds, with personal models."""
    pairs = [
        pair
        for name in (*GENERATORS, "oracle")
        for gated in [f"{name}-validation-gated-{DOSE:g}"]
        for pair in ((gated, REFERENCE), (gated, f"{name}-uniform-{DOSE:g}"), (f"{name}-{QUOTA}-{DOSE:g}", REFERENCE))
    ]
    body = [
        contrast_cells(study, protocol, pair)
        for protocol in study.protocols()
        for pair in pairs
        if set(pair) <= set(study.arms(protocol))
    ]
    head = (
        "protocol",
        "arm",
        "less",
        "macro-F1 [95 %]",
        "AUPRC of S [95 %]",
        "recall of S at specificity .95 [95 %]",
    )
    return "\n".join(markdown_table(head, "|---|---|---|---|---|---|", body))


def contrast_cells(study: StudyResults, protocol: str, pair: tuple[str, str]) -> list[str]:
    """The cells of one row of contrasts.md.

    Args:
        study: counts of all runs.
        protocol: protocol of both arms.
        pair: the arm, and the arm that is subtracted.
    """
    gaps = [macro_f1_gap(study, protocol, pair)]
    gaps += [curve_gap(study, protocol, pair, "personalised", f"{curve}_S") for curve in CURVES]
    return [protocol, *(ARMS[arm].title for arm in pair), *(shown(gap, "+") for gap in gaps)]


def privacy_table(study: StudyResults) -> str:
    """The quality scores of each generator as Markdown."""
    columns = {
        "utility": "utility ratio",
        "diversity": "diversity ratio",
        "distance": "distance ratio, 5th percentile",
        "neighbours": "nearest-neighbour distance ratio, 5th percentile",
        "membership": "membership AUC ± error",
        "copies": "exact copies",
    }
    body = [
        [entry["protocol"], entry["generator"], entry["class"], *(score_cell(entry["scores"], key) for key in columns)]
        for entry in generator_scores(study)
    ]
    head = ("protocol", "generator", "class", *columns.values())
    return "\n".join(markdown_table(head, f"|---|---|---|{'---:|' * len(columns)}", body))


def score_cell(scores: dict[str, float | None], key: str) -> str:
    """A score as tables show it.

    Args:
        scores: name -> score, or None where it could not be computed.
        key: name of the score.
    """
    score = scores[key]
    if score is None:
        return "not judged"
    error = scores["membership_error"] if key == "membership" else None
    return f"{score:.2f}" + ("" if error is None else f" ± {error:.2f}")


if __name__ == "__main__":
    run_command(main)
