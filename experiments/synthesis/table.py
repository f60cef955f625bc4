"""Turn the complete runs of run.py into pieces.npz, and that into results.json and three tables.

    python experiments/synthesis/table.py --work runs/synthesis           # after run.py
    python experiments/synthesis/table.py --work runs/synthesis --add     # some arms or protocols anew, the others kept
    python experiments/synthesis/table.py                                 # from the committed pieces.npz
    python experiments/synthesis/table.py --neural [--work runs/neural]   # in the folder neural; after run.py --neural

What neural generators must beat is read from pieces.npz, whatever the flag: protocols and seeds must be the same.

Every number is the mean over the seeds. Intervals are 95 % percentiles of a bootstrap over people (not beats, and
records 201 and 202 are one man); differences from no balancing are paired by person and seed, and their p-values, of a
permutation test over people, are adjusted by Holm's method over the arms of a protocol and model.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pieces
from pieces import MODELS, OUTCOMES, SCORES, Pieces
from plan import ARMS, BESIDE, DOSE, HERE, PROTOCOLS, QUOTA, SOURCES

from bofl_jax.metrics import macro_f1, precision, recall
from bofl_jax.metrics.statistics import clustered_bootstrap, holm, of_matrices, over_people, paired_permutation

REFERENCE = "none"
CURVES = ("auprc", "recall_at_spec95")
CHEAP = {
    "name": "synthesis",
    "title": "Governed synthetic balancing",
    "made_by": "python experiments/synthesis/run.py",
}
NEURAL = {
    "name": "synthesis-neural",
    "title": "Governed synthetic balancing, neural generators",
    "made_by": "python experiments/synthesis/run.py --neural",
}


def main() -> None:
    """Read, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder of the run directories, to make pieces.npz anew")
    parser.add_argument("--add", action="store_true", help="keep the arms of pieces.npz that the folder has no runs of")
    parser.add_argument("--neural", action="store_true", help="of run.py --neural, beside what they must beat")
    parser.add_argument("--out", type=Path, help="where pieces.npz is and the tables go [default: here]")
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    arguments = parser.parse_args()
    out = arguments.out or (HERE / "neural" if arguments.neural else HERE)
    if arguments.work:
        keep(arguments.work, out / "pieces.npz", arguments.protocols, arguments.add)
    given = pieces.load(out / "pieces.npz")
    if arguments.neural:
        shared = {protocol for protocol, _ in given.draws}
        given = pieces.joined(given, pieces.part(pieces.load(HERE / "pieces.npz"), shared, BESIDE))
    protocols = list(dict.fromkeys(protocol for protocol, _, _ in given.of))
    rows = [row for protocol in protocols for row in measure(given, protocol)]
    study = {"drawn": "people"} | (NEURAL if arguments.neural else CHEAP)
    results = {"study": study, "rows": rows, "generators": generators(given)}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    tables = (render(protocol, [row for row in rows if row["protocol"] == protocol]) for protocol in protocols)
    (out / "table.md").write_text("\n\n".join(tables) + "\n")
    (out / "privacy.md").write_text(privacy(given) + "\n")
    (out / "contrasts.md").write_text(contrasts(given) + "\n")


def keep(work: Path, path: Path, protocols: list[str], add: bool) -> None:
    """Write the pieces of complete runs, with ``add`` beside those of other arms that are there."""
    found = pieces.collect(work, protocols)
    pieces.save(pieces.joined(found, pieces.load(path)) if add and path.exists() else found, path)


def measure(given: Pieces, protocol: str) -> list[dict[str, Any]]:
    """A row for every arm and model of a protocol."""
    arms = given.arms(protocol)
    seeds = pieces.common_seeds(given.of, protocol)
    matrices = {
        (arm, model): by_person(given, [given.of[protocol, arm, seed].confusion[place] for seed in seeds])
        for arm in arms
        for place, model in enumerate(MODELS)
    }
    rows = [row(given, protocol, arm, model, seeds, matrices) for model in MODELS for arm in arms]
    for model in MODELS:
        compared = [one for one in rows if one["model"] == model and "difference" in one]
        for one, p in zip(compared, holm([one["difference"]["p"] for one in compared]), strict=True):
            one["difference"]["p_holm"] = float(p)
    return rows


def by_person(given: Pieces, confusions: list[np.ndarray]) -> np.ndarray:
    """int[S, P, K, K] of int[C, K, K] of every seed; people who are tested."""
    belongs = np.equal.outer(np.arange(given.people.max() + 1), given.people).astype(int)
    every = np.einsum("pc,scij->spij", belongs, np.stack(confusions))
    return every[:, every.sum(axis=(0, 2, 3)) > 0]


def row(
    given: Pieces, protocol: str, arm: str, model: str, seeds: list[int], matrices: dict[tuple[str, str], np.ndarray]
) -> dict[str, Any]:
    """What the results say of an arm's model."""
    mine = matrices[arm, model]
    found = {
        "protocol": protocol,
        "arm": arm,
        "title": ARMS[arm].title,
        "model": model,
        "x": {"dose": ARMS[arm].dose} if ARMS[arm].quota in ("", QUOTA) else {},
        "generator": ARMS[arm].generator,
        "quota": ARMS[arm].quota,
        "dose": ARMS[arm].dose,
        "seeds": len(seeds),
        "people": mine.shape[1],
        "outcome": dict(
            zip(OUTCOMES, np.mean([given.of[protocol, arm, s].outcome for s in seeds], axis=0), strict=True)
        ),
        "metrics": {
            "macro_f1": interval_of(macro_f1, mine),
            **{f"recall_{c}": interval_of(of_class(recall, k), mine) for k, c in enumerate(given.classes)},
            **{f"precision_{c}": interval_of(of_class(precision, k), mine) for k, c in enumerate(given.classes)},
            **curve_metrics(given, protocol, arm, model, seeds),
        },
    }
    other = matrices.get((REFERENCE, model))
    if arm != REFERENCE and other is not None:
        gap = interval_of(macro_f1, mine, other)
        p = paired_permutation(macro_f1, mine, other)
        found["difference"] = {"from": REFERENCE, "metric": "macro_f1", **gap, "p": p}
        found["gains"] = {"from": REFERENCE, "metrics": gains(given, protocol, (arm, REFERENCE), model)}
    return found


_KEPT: dict[tuple[Callable, int], Callable] = {}


def of_class(metric: Callable, label: int) -> Callable:
    """One class's part of a metric of a confusion matrix; the same function each time, so that it compiles once."""
    return _KEPT.setdefault((metric, label), lambda matrix: metric(matrix)[label])


def interval_of(metric: Callable, mine: np.ndarray, other: np.ndarray | None = None) -> dict[str, Any]:
    """Mean over the seeds, its spread, and the interval over people."""
    seeds, people = mine.shape[:2]
    by_seed = of_matrices(metric, mine.sum(axis=1))
    if other is not None:
        by_seed = by_seed - of_matrices(metric, other.sum(axis=1))
    found = clustered_bootstrap(over_people(metric, mine, other), people, seeds, draw_seeds=False)
    spread = float(by_seed.std(ddof=1)) if seeds > 1 else None
    return {"mean": found.estimate, "sd": spread, "interval": [found.low, found.high]}


def curve_metrics(given: Pieces, protocol: str, arm: str, model: str, seeds: list[int]) -> dict[str, Any]:
    """AUPRC and recall at a specificity, of the rare classes."""
    place = MODELS.index(model)
    each = np.stack([given.of[protocol, arm, seed].curves[place] for seed in seeds])  # [S, K - 1, 2]
    draws = given.draws[protocol, arm][place]  # [K - 1, 2, DRAWS]
    return {
        f"{name}_{given.classes[k + 1]}": {
            "mean": float(each[:, k, i].mean()),
            "sd": float(each[:, k, i].std(ddof=1)) if len(seeds) > 1 else None,
            "interval": np.nanquantile(draws[k, i], [0.025, 0.975]).tolist(),
        }
        for k in range(draws.shape[0])
        for i, name in enumerate(CURVES)
    }


def render(protocol: str, rows: list[dict[str, Any]]) -> str:
    """One protocol as Markdown."""
    rare = [name.rpartition("_")[2] for name in rows[0]["metrics"] if name.startswith("auprc_")]
    lines = [
        f"### {protocol} ({rows[0]['seeds']} seeds, {rows[0]['people']} people)",
        "",
        f"| arm | samples used | model | macro-F1 [95 %] | difference from none [95 %] | p (Holm) | "
        f"AUPRC {' / '.join(rare)} | recall at specificity .95 {' / '.join(rare)} |",
        "|---|---:|---|---|---|---:|---|---|",
    ]
    for one in rows:
        gap = one.get("difference")
        compared = f"{spanned(gap, '+')} | {gap['p_holm']:.3f}" if gap else "reference | "
        of_rare = (" / ".join(f"{one['metrics'][f'{name}_{c}']['mean']:.2f}" for c in rare) for name in CURVES)
        lines.append(
            f"| {one['title']} | {one['outcome']['used']:.0f} | {one['model']} | {spanned(one['metrics']['macro_f1'])} "
            f"| {compared} | {' | '.join(of_rare)} |"
        )
    return "\n".join(lines)


def spanned(value: dict[str, Any], sign: str = "") -> str:
    """A number and its interval."""
    low, high = value["interval"]
    return f"{value['mean']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def contrasts(given: Pieces) -> str:
    """Pairs of arms that the question is about, paired by people and seeds, of personalised models."""
    pairs = [
        pair
        for name in (*SOURCES, "oracle")
        for gated in [f"{name}-validation-gated-{DOSE:g}"]
        for pair in ((gated, REFERENCE), (gated, f"{name}-uniform-{DOSE:g}"), (f"{name}-{QUOTA}-{DOSE:g}", REFERENCE))
    ]
    lines = [
        "| protocol | arm | less | macro-F1 [95 %] | AUPRC of S [95 %] | recall of S at specificity .95 [95 %] |",
        "|---|---|---|---|---|---|",
    ]
    for protocol in dict.fromkeys(protocol for protocol, _, _ in given.of):
        seeds = pieces.common_seeds(given.of, protocol)
        for pair in pairs:
            if set(pair) <= set(given.arms(protocol)):
                cells = [spanned(macro_f1_gap(given, protocol, pair, seeds), "+")]
                of_s = (curve_gap(given, protocol, pair, "personalised", f"{curve}_S") for curve in CURVES)
                cells += [spanned(gap, "+") for gap in of_s]
                one, other = (ARMS[arm].title for arm in pair)
                lines.append(f"| {protocol} | {one} | {other} | {' | '.join(cells)} |")
    return "\n".join(lines)


def macro_f1_gap(given: Pieces, protocol: str, pair: tuple[str, str], seeds: list[int]) -> dict[str, Any]:
    """Of the first arm's personalised models from the second's."""
    mine, other = (by_person(given, [given.of[protocol, arm, seed].confusion[1] for seed in seeds]) for arm in pair)
    return interval_of(macro_f1, mine, other)


def gains(given: Pieces, protocol: str, pair: tuple[str, str], model: str) -> dict[str, dict[str, Any]]:
    """AUPRC of every rare class: the first arm's less the second's."""
    return {name: curve_gap(given, protocol, pair, model, name) for name in (f"auprc_{c}" for c in given.classes[1:])}


def curve_gap(given: Pieces, protocol: str, pair: tuple[str, str], model: str, metric: str) -> dict[str, Any]:
    """Of the first arm's models from the second's, over the draws of people that all arms share.

    Args:
        given: with the draws; the first of them is everyone once.
        protocol: of both arms.
        pair: the arms.
        model: one of MODELS.
        metric: one of CURVES and a rare class: ``auprc_S``.
    """
    curve, _, label = metric.rpartition("_")
    place = MODELS.index(model), given.classes.index(label) - 1, CURVES.index(curve)
    mine, other = (given.draws[protocol, arm][place] for arm in pair)
    return {"mean": float((mine - other)[0]), "interval": np.nanquantile(mine - other, [0.025, 0.975]).tolist()}


def generators(given: Pieces) -> list[dict[str, Any]]:
    """What the gates measured of every generator and class, in the arms of the default dose and quota.

    Means over the seeds; None where the gates could not judge.
    """
    found = []
    for protocol, arm in given.draws:
        if (ARMS[arm].quota, ARMS[arm].dose) == (QUOTA, DOSE):
            runs = [one.scores for (p, a, _), one in given.of.items() if (p, a) == (protocol, arm)]
            for k, name in enumerate(given.classes[1:], start=1):
                scores = mean_known(np.stack(runs)[:, k]).tolist()
                known = {key: one if np.isfinite(one) else None for key, one in zip(SCORES, scores, strict=True)}
                head = {"protocol": protocol, "generator": ARMS[arm].generator, "class": name, "seeds": len(runs)}
                found.append(head | {"scores": known})
    return found


def privacy(given: Pieces) -> str:
    """What `generators` found, as Markdown."""
    shown = {
        "utility": "utility ratio",
        "diversity": "diversity ratio",
        "distance": "distance ratio, 5th percentile",
        "neighbours": "nearest-neighbour distance ratio, 5th percentile",
        "membership": "membership AUC ± error",
        "copies": "exact copies",
    }
    lines = [
        f"| protocol | generator | class | {' | '.join(shown.values())} |",
        f"|---|---|---|{'---:|' * len(shown)}",
    ]
    for one in generators(given):
        cells = " | ".join(cell(one["scores"], key) for key in shown)
        lines.append(f"| {one['protocol']} | {one['generator']} | {one['class']} | {cells} |")
    return "\n".join(lines)


def mean_known(values: np.ndarray) -> np.ndarray:
    """float[8]: means over the runs [R, 8] that have a score; NaN where none has."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)


def cell(scores: dict[str, float | None], key: str) -> str:
    """A score as it is printed."""
    if scores[key] is None:
        return "not judged"
    error = scores["membership_error"] if key == "membership" else None
    return f"{scores[key]:.2f}" + ("" if error is None else f" ± {error:.2f}")


if __name__ == "__main__":
    main()
