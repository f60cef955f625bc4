"""Quality gates: what a batch of synthetic samples must reach before anybody trains on it.

A generator is judged on a probe: many samples of the class that nobody trains on, drawn as the batch is. Real samples
are those that it was fitted to (seen) and those that were kept from it (unseen). With too few of either a score is NaN:
not judged, which is no failure.
"""

import math
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from bofl_jax.synthesis.options import GateOptions

NOT_JUDGED = 65_535
"""What stands on the ledger for a score that is NaN."""

LEAST = 5
"""Real samples of a class that a score needs on each side."""

CONFIDENT = 1.645
"""One-sided 95 %: how many standard errors an AUC must lie beyond its limit."""


class Reference(NamedTuple):
    """Real samples as vectors, D = T*L + F."""

    seen: np.ndarray  # float32[n, D], of the class, that the generator was fitted to
    unseen: np.ndarray  # float32[m, D], of the class, that it was not
    others_seen: np.ndarray  # float32[p, D], of the other classes
    others_unseen: np.ndarray  # float32[q, D]


class Scores(NamedTuple):
    """How good a generator's samples of one class are. The order is that of the scores on the ledger."""

    discriminative: float  # |accuracy - 1/2| of telling real from synthetic, by logistic regression
    utility: float  # AUROC of the class on unseen samples: trained on synthetic ones / trained on real ones
    diversity: float  # mean distance between synthetic samples / between real ones
    distance: float  # 5th percentile of the distance to seen real samples / to unseen ones, as many of each
    neighbours: float  # 5th percentile of the distance to the nearest seen sample / to the second nearest
    membership: float  # AUC of telling seen from unseen real samples by the distance to synthetic ones
    membership_error: float  # its standard error (Hanley & McNeil 1982)


class Verdict(NamedTuple):
    """What the gates say of one batch."""

    failed: tuple[str, ...]  # gates that it failed
    copies: float  # share of the batch that are exact copies of seen samples
    scores: Scores

    @property
    def basis_points(self) -> list[int]:
        """The scores for the ledger: of `Scores`, then the copies."""
        return [_basis_points(score) for score in (*self.scores, self.copies)]


def judge(probe: np.ndarray, reference: Reference, seed: int) -> Scores:
    """Score a generator's samples of one class.

    Args:
        probe: float32[n, D], synthetic samples that nobody trains on.
        reference: real ones.
        seed: of the draws of subsets of equal size.

    References:
        discriminative: Yoon, Jarrett, van der Schaar, Time-series generative adversarial networks, NeurIPS 2019.
        utility: Esteban, Hyland, Raetsch, Real-valued (medical) time series generation with recurrent conditional GANs,
        2017. distance, membership: Yale et al., Privacy preserving synthetic health data, ESANN 2019.
    """
    if not np.isfinite(probe).all():
        return Scores(*[math.nan] * len(Scores._fields))
    rng = np.random.default_rng(seed)
    seen, unseen = reference.seen, reference.unseen
    membership, error = _membership(probe, seen, unseen)
    return Scores(
        discriminative=_discriminative(probe, np.concatenate([seen, unseen]), rng),
        utility=_utility(probe, reference, rng),
        diversity=_spread(probe) / _spread(seen) if len(seen) >= LEAST else math.nan,
        distance=_distance(probe, seen, unseen, rng),
        neighbours=_neighbours(probe, seen),
        membership=membership,
        membership_error=error,
    )


def check(
    batch: np.ndarray, amount: int, scores: Scores, reference: Reference, options: GateOptions, shared: bool
) -> Verdict:
    """Whether a batch may be used.

    Args:
        batch: float32[n, D].
        amount: n, as approved.
        scores: of its generator and class.
        reference: real samples.
        options: limits.
        shared: whether samples leave the clients whose data the generator has seen; only then do the limits on
            privacy (distance, membership, copies) bind.
    """
    copies = _copies(batch, reference.seen)
    failed = _sanity(batch, amount, reference, options.margin) or [
        *_beyond("discriminative", scores.discriminative, most=options.discriminative),
        *_beyond("utility", scores.utility, least=options.utility),
        *_beyond("diversity", scores.diversity, least=options.diversity),
    ]
    if shared:
        certain = scores.membership - CONFIDENT * scores.membership_error
        failed += _beyond("distance", scores.distance, least=options.distance)
        failed += _beyond("membership", certain, most=options.membership)
        failed += _beyond("copies", copies, most=options.copies)
    return Verdict(tuple(failed), copies, scores)


def _beyond(name: str, score: float, least: float = -math.inf, most: float = math.inf) -> list[str]:
    return [name] if score < least or score > most else []  # NaN is neither


def _sanity(batch: np.ndarray, amount: int, reference: Reference, margin: float) -> list[str]:
    """Shape, numbers, range: between the extremes of all real samples of a column, with a margin."""
    real = np.concatenate(reference)
    if batch.shape != (amount, real.shape[1]):
        return ["shape"]
    if not np.isfinite(batch).all():
        return ["finite"]
    low, high = real.min(), real.max()
    slack = margin * (high - low)
    return ["range"] if batch.min() < low - slack or batch.max() > high + slack else []


def _classifier() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))


def _discriminative(probe: np.ndarray, real: np.ndarray, rng: np.random.Generator) -> float:
    count = min(len(probe), len(real))
    if count < 2 * LEAST:
        return math.nan
    x = np.concatenate([_some(probe, count, rng), _some(real, count, rng)])
    y = np.repeat([0, 1], count)
    folds = StratifiedKFold(LEAST, shuffle=True, random_state=0)
    return abs(float(np.mean(cross_val_predict(_classifier(), x, y, cv=folds) == y)) - 0.5)


def _utility(probe: np.ndarray, reference: Reference, rng: np.random.Generator) -> float:
    """Both training sets have as many samples of the class."""
    seen, unseen, others, others_unseen = reference
    if min(map(len, (seen, unseen))) < LEAST or min(map(len, (others, others_unseen))) < LEAST:
        return math.nan
    count = min(len(probe), len(seen))
    others = _some(others, min(len(others), 1000), rng)
    test = np.concatenate([unseen, others_unseen])
    truth = np.repeat([1, 0], [len(unseen), len(others_unseen)])

    def auroc(of_class: np.ndarray) -> float:
        y = np.repeat([1, 0], [count, len(others)])
        fitted = _classifier().fit(np.concatenate([_some(of_class, count, rng), others]), y)
        return float(roc_auc_score(truth, fitted.decision_function(test)))

    return auroc(probe) / auroc(seen)


def _spread(vectors: np.ndarray) -> float:
    """Root mean squared distance between two of the samples: sqrt(2 * sum of the variances)."""
    return math.sqrt(2 * float(vectors.var(axis=0, ddof=1).sum()))


def _distance(probe: np.ndarray, seen: np.ndarray, unseen: np.ndarray, rng: np.random.Generator) -> float:
    count = min(len(seen), len(unseen))
    if count < LEAST:
        return math.nan
    near = [np.percentile(_nearest(_some(real, count, rng), probe), 5) for real in (seen, unseen)]
    return float(near[0] / near[1]) if near[1] > 0 else math.nan


def _neighbours(probe: np.ndarray, seen: np.ndarray) -> float:
    if len(seen) < LEAST:
        return math.nan
    near, _ = NearestNeighbors(n_neighbors=2).fit(seen).kneighbors(probe)
    return float(np.percentile(near[:, 0] / np.maximum(near[:, 1], np.finfo(np.float32).tiny), 5))


def _membership(probe: np.ndarray, seen: np.ndarray, unseen: np.ndarray) -> tuple[float, float]:
    members, strangers = len(seen), len(unseen)
    if min(members, strangers) < LEAST:
        return math.nan, math.nan
    near = _nearest(probe, np.concatenate([seen, unseen]))
    auc = float(roc_auc_score(np.repeat([1, 0], [members, strangers]), -near))
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (members - 1) * (one - auc**2) + (strangers - 1) * (two - auc**2)
    return auc, math.sqrt(max(spread, 0.0) / (members * strangers))


def _nearest(among: np.ndarray, of: np.ndarray) -> np.ndarray:
    """float[n]: how far each of these vectors is from the nearest one among those."""
    near, _ = NearestNeighbors(n_neighbors=1).fit(among).kneighbors(of)
    return near[:, 0]


def _copies(batch: np.ndarray, seen: np.ndarray) -> float:
    known = {row.tobytes() for row in np.ascontiguousarray(seen, np.float32)}
    return float(np.mean([row.tobytes() in known for row in np.ascontiguousarray(batch, np.float32)]))


def _some(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return vectors[rng.permutation(len(vectors))[:count]]


def _basis_points(score: float) -> int:
    return NOT_JUDGED if math.isnan(score) else min(round(score * 10_000), NOT_JUDGED - 1)
