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

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.metrics import MatrixMetric, macro_f1, paired_permutation, precision, recall
from bofl_jax.results.writing import write_json
from experiments.common.command import argument_parser, run_command
from experiments.common.contrasts import (
    adjust_by_holm,
    metric_by_seed,
    people_interval,
    sd_over_seeds,
    sum_by_person,
    tested_people,
)
from experiments.common.tables import markdown_table, with_interval
from experiments.synthesis.plan import (
    ARMS,
    COMPARED_WITH_NEURAL,
    DOSE,
    GENERATORS,
    HERE,
    PROTOCOLS,
    QUOTA,
)
from experiments.synthesis.results import MODELS, OUTCOMES, SCORES, StudyResults, collect, load, merge, save, select

REFERENCE = "none"
CURVES = ("auprc", "recall_at_spec95")
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


def measure(study: StudyResults, protocol: str) -> list[dict[str, Any]]:
    """A row for each arm and model of a protocol.

    Args:
        study: counts of all runs.
        protocol: name of the protocol.
    """
    arms, seeds = study.arms(protocol), study.seeds(protocol)
    confusions = {
        (arm, model): by_person(study, [study.runs[protocol, arm, seed].confusion[index] for seed in seeds])
        for arm in arms
        for index, model in enumerate(MODELS)
    }
    rows = []
    for model in MODELS:
        of_model = {arm: confusions[arm, model] for arm in arms}
        added = [result_row(study, protocol, arm, model, of_model) for arm in arms]
        adjust_by_holm([row["difference"] for row in added if "difference" in row])
        rows += added
    return rows


def by_person(study: StudyResults, confusions: Sequence[np.ndarray]) -> np.ndarray:
    """int[S, P, K, K] of int[C, K, K] of each seed; people without test samples are left out.

    Args:
        study: counts of all runs, for the people of the clients.
        confusions: confusion matrices of each seed.
    """
    everyone = sum_by_person(np.stack(confusions), study.people)
    return everyone[:, tested_people(everyone)]


def result_row(
    study: StudyResults, protocol: str, arm: str, model: str, confusions: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The row of an arm's model in results.json.

    Args:
        study: counts of all runs.
        protocol: name of the protocol.
        arm: name of the arm.
        model: ``global`` or ``personalised``.
        confusions: int[S, P, K, K] of the model in each arm.
    """
    matrices, plan, seeds = confusions[arm], ARMS[arm], study.seeds(protocol)
    outcome = np.mean([study.runs[protocol, arm, seed].outcome for seed in seeds], axis=0)
    row = {
        "protocol": protocol,
        "arm": arm,
        "title": plan.title,
        "model": model,
        "x": {"dose": plan.dose} if plan.quota in ("", QUOTA) else {},
        "generator": plan.generator,
        "quota": plan.quota,
        "dose": plan.dose,
        "seeds": len(seeds),
        "people": matrices.shape[1],
        "outcome": dict(zip(OUTCOMES, outcome, strict=True)),
        "metrics": {
            "macro_f1": mean_and_interval(macro_f1, matrices),
            **{f"recall_{c}": mean_and_interval(class_recall(k), matrices) for k, c in enumerate(study.classes)},
            **{f"precision_{c}": mean_and_interval(class_precision(k), matrices) for k, c in enumerate(study.classes)},
            **curve_metrics(study, protocol, arm, model),
        },
    }
    reference = confusions.get(REFERENCE)
    if arm != REFERENCE and reference is not None:
        gap = mean_and_interval(macro_f1, matrices, reference)
        p = paired_permutation(macro_f1, matrices, reference)
        row["difference"] = {"from": REFERENCE, "metric": "macro_f1", **gap, "p": p}
        row["gains"] = {"from": REFERENCE, "metrics": auprc_gains(study, protocol, (arm, REFERENCE), model)}
    return row


@functools.cache
def class_recall(label: int) -> MatrixMetric:
    """The recall of one class; the same function each time, so that it is compiled once."""
    return lambda matrix: recall(matrix)[label]


@functools.cache
def class_precision(label: int) -> MatrixMetric:
    """The precision of one class; the same function each time, so that it is compiled once."""
    return lambda matrix: precision(matrix)[label]


def mean_and_interval(
    metric: MatrixMetric, confusions: np.ndarray, reference: np.ndarray | None = None
) -> dict[str, Any]:
    """Mean of a metric over the seeds, its standard deviation, and the interval over people.

    Args:
        metric: metric of one confusion matrix.
        confusions: int[S, P, K, K].
        reference: int[S, P, K, K] of an arm whose metric is subtracted.
    """
    by_seed = metric_by_seed(metric, confusions)
    if reference is not None:
        by_seed = by_seed - metric_by_seed(metric, reference)
    found = people_interval(metric, confusions, reference)
    return {"mean": found.estimate, "sd": sd_over_seeds(by_seed), "interval": [found.low, found.high]}


def curve_metrics(study: StudyResults, protocol: str, arm: str, model: str) -> dict[str, Any]:
    """AUPRC and recall at a specificity, of the rare classes.

    Args:
        study: counts of all runs.
        protocol: name of the protocol.
        arm: name of the arm.
        model: ``global`` or ``personalised``.
    """
    index = MODELS.index(model)
    by_seed = np.stack([study.runs[protocol, arm, seed].curves[index] for seed in study.seeds(protocol)])
    draws = study.draws[protocol, arm][index]  # [K - 1, 2, DRAWS]
    return {
        f"{name}_{study.classes[k + 1]}": {
            "mean": float(by_seed[:, k, i].mean()),
            "sd": sd_over_seeds(by_seed[:, k, i]),
            "interval": np.nanquantile(draws[k, i], [0.025, 0.975]).tolist(),
        }
        for k in range(draws.shape[0])
        for i, name in enumerate(CURVES)
    }


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


def macro_f1_gap(study: StudyResults, protocol: str, pair: tuple[str, str]) -> dict[str, Any]:
    """The macro-F1 of the first arm's personal models less the second's.

    Args:
        study: counts of all runs.
        protocol: protocol of both arms.
        pair: the arms.
    """
    index, seeds = MODELS.index("personalised"), study.seeds(protocol)
    first, second = (
        by_person(study, [study.runs[protocol, arm, seed].confusion[index] for seed in seeds]) for arm in pair
    )
    return mean_and_interval(macro_f1, first, second)


def auprc_gains(study: StudyResults, protocol: str, pair: tuple[str, str], model: str) -> dict[str, dict[str, Any]]:
    """The AUPRC of each rare class in the first arm less that in the second.

    Args:
        study: counts of all runs.
        protocol: protocol of both arms.
        pair: the arms.
        model: ``global`` or ``personalised``.
    """
    names = [f"auprc_{label}" for label in study.classes[1:]]
    return {name: curve_gap(study, protocol, pair, model, name) for name in names}


def curve_gap(study: StudyResults, protocol: str, pair: tuple[str, str], model: str, metric: str) -> dict[str, Any]:
    """A curve metric of the first arm's models less the second's, in the draws of people that all arms share.

    Args:
        study: counts of all runs; in the first draw each person is drawn once.
        protocol: protocol of both arms.
        pair: the arms.
        model: ``global`` or ``personalised``.
        metric: one of CURVES and a rare class: ``auprc_S``.
    """
    curve, _, label = metric.rpartition("_")
    index = MODELS.index(model), study.classes.index(label) - 1, CURVES.index(curve)
    first, second = (study.draws[protocol, arm][index] for arm in pair)
    return {"mean": float((first - second)[0]), "interval": np.nanquantile(first - second, [0.025, 0.975]).tolist()}


def generator_scores(study: StudyResults) -> list[dict[str, Any]]:
    """Quality scores of each generator and class, in the arms of the default dose and quota.

    Means over the seeds; None where no batch could be scored.
    """
    return [
        entry
        for protocol, arm in study.draws
        if (ARMS[arm].quota, ARMS[arm].dose) == (QUOTA, DOSE)
        for entry in _arm_scores(study, protocol, arm)
    ]


def _arm_scores(study: StudyResults, protocol: str, arm: str) -> Iterator[dict[str, Any]]:
    runs = [counts.scores for name, counts in study.runs.items() if name[:2] == (protocol, arm)]
    for k, label in enumerate(study.classes[1:], start=1):
        scores = finite_mean(np.stack(runs)[:, k]).tolist()
        known = {key: one if np.isfinite(one) else None for key, one in zip(SCORES, scores, strict=True)}
        head = {"protocol": protocol, "generator": ARMS[arm].generator, "class": label, "seeds": len(runs)}
        yield head | {"scores": known}


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


def finite_mean(values: np.ndarray) -> np.ndarray:
    """float[8]: means over the runs [R, 8] whose score is finite; NaN where there is none."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(finite, values, 0).sum(axis=0) / finite.sum(axis=0)


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
