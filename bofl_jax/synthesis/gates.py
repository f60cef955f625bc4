"""Quality gates: the limits that a batch of synthetic samples must meet before it is used for training.

A generator is scored for each class on extra samples that are drawn as the batch is and not used for training. Real
samples are those that the generator was fitted to (train) and those that were withheld from it (holdout). With too few
samples of either, a score is NaN. A NaN counts as not computed, not as a failure.
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

NOT_SCORED = 65_535
"""Value on the ledger of a score that is NaN."""

MIN_SAMPLES = 5
"""Real samples of a class that a score needs on each side."""

CONFIDENCE_Z = 1.645
"""Standard errors by which an AUC must exceed its limit: a one-sided confidence of 95 %."""


class ReferenceSamples(NamedTuple):
    """Real samples as vectors, D = T*L + F."""

    train: np.ndarray  # float32[n, D], of the class; the generator was fitted to them
    holdout: np.ndarray  # float32[m, D], of the class; withheld from the generator
    others_train: np.ndarray  # float32[p, D], of the other classes
    others_holdout: np.ndarray  # float32[q, D], of the other classes


class QualityScores(NamedTuple):
    """Scores of a generator for one class, in the order of the ledger."""

    discriminative: float  # |accuracy - 1/2| of a logistic regression that tells real from synthetic samples
    utility: float  # AUROC of the class on held-out samples: trained on synthetic samples / trained on real ones
    diversity: float  # mean distance between synthetic samples / between real ones
    distance: float  # 5th percentile of the distance to train samples / to as many holdout samples
    neighbours: float  # 5th percentile of the distance to the nearest train sample / to the second nearest
    membership: float  # AUC of telling train from holdout samples by their distance to synthetic ones
    membership_error: float  # standard error of the AUC (Hanley & McNeil 1982)


class GateResult(NamedTuple):
    """Result of the gates for one batch."""

    failed: tuple[str, ...]  # names of the gates that it failed
    copies: float  # share of the batch that are exact copies of train samples
    scores: QualityScores

    @property
    def basis_points(self) -> list[int]:
        """The values for the ledger: those of `QualityScores`, then the copies."""
        return [_basis_points(score) for score in (*self.scores, self.copies)]


def score_samples(synthetic: np.ndarray, reference: ReferenceSamples, seed: int) -> QualityScores:
    """Score a generator's samples of one class.

    Args:
        synthetic: float32[n, D], synthetic samples that are not used for training.
        reference: real samples.
        seed: of the draws of subsets of equal size.

    References:
        discriminative: Yoon, Jarrett, van der Schaar, Time-series generative adversarial networks, NeurIPS 2019.
        utility: Esteban, Hyland, Raetsch, Real-valued (medical) time series generation with recurrent conditional GANs,
        2017. distance, membership: Yale et al., Privacy preserving synthetic health data, ESANN 2019.
    """
    if not np.isfinite(synthetic).all():
        return QualityScores(*[math.nan] * len(QualityScores._fields))
    rng = np.random.default_rng(seed)
    train, holdout = reference.train, reference.holdout
    membership, error = _membership(synthetic, train, holdout)
    return QualityScores(
        discriminative=_discriminative(synthetic, np.concatenate([train, holdout]), rng),
        utility=_utility(synthetic, reference, rng),
        diversity=_rms_distance(synthetic) / _rms_distance(train) if len(train) >= MIN_SAMPLES else math.nan,
        distance=_distance(synthetic, train, holdout, rng),
        neighbours=_neighbours(synthetic, train),
        membership=membership,
        membership_error=error,
    )


def check_batch(
    batch: np.ndarray,
    amount: int,
    scores: QualityScores,
    reference: ReferenceSamples,
    options: GateOptions,
    shared: bool,
) -> GateResult:
    """Decide whether a batch may be used.

    Args:
        batch: float32[n, D].
        amount: n, as approved.
        scores: of its generator and class.
        reference: real samples.
        options: limits.
        shared: whether samples leave the clients to whose data the generator was fitted. The limits on privacy
            (distance, membership, copies) apply only then.
    """
    copies = _copies(batch, reference.train)
    failed = _sanity(batch, amount, reference, options.margin) or [
        *_beyond("discriminative", scores.discriminative, most=options.discriminative),
        *_beyond("utility", scores.utility, least=options.utility),
        *_beyond("diversity", scores.diversity, least=options.diversity),
    ]
    if shared:
        lower_bound = scores.membership - CONFIDENCE_Z * scores.membership_error
        failed += _beyond("distance", scores.distance, least=options.distance)
        failed += _beyond("membership", lower_bound, most=options.membership)
        failed += _beyond("copies", copies, most=options.copies)
    return GateResult(tuple(failed), copies, scores)


def _beyond(name: str, score: float, least: float = -math.inf, most: float = math.inf) -> list[str]:
    return [name] if score < least or score > most else []  # NaN is neither


def _sanity(batch: np.ndarray, amount: int, reference: ReferenceSamples, margin: float) -> list[str]:
    """Check the shape, that all values are finite, and that they are in the range of real values with a margin."""
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


def _discriminative(synthetic: np.ndarray, real: np.ndarray, rng: np.random.Generator) -> float:
    count = min(len(synthetic), len(real))
    if count < 2 * MIN_SAMPLES:
        return math.nan
    x = np.concatenate([_subset(synthetic, count, rng), _subset(real, count, rng)])
    y = np.repeat([0, 1], count)
    folds = StratifiedKFold(MIN_SAMPLES, shuffle=True, random_state=0)
    return abs(float(np.mean(cross_val_predict(_classifier(), x, y, cv=folds) == y)) - 0.5)


def _utility(synthetic: np.ndarray, reference: ReferenceSamples, rng: np.random.Generator) -> float:
    """Both training sets have equally many samples of the class."""
    train, holdout, others, others_holdout = reference
    if min(map(len, reference)) < MIN_SAMPLES:
        return math.nan
    count = min(len(synthetic), len(train))
    others = _subset(others, min(len(others), 1000), rng)
    test = np.concatenate([holdout, others_holdout])
    truth = np.repeat([1, 0], [len(holdout), len(others_holdout)])

    def auroc(of_class: np.ndarray) -> float:
        y = np.repeat([1, 0], [count, len(others)])
        fitted = _classifier().fit(np.concatenate([_subset(of_class, count, rng), others]), y)
        return float(roc_auc_score(truth, fitted.decision_function(test)))

    return auroc(synthetic) / auroc(train)


def _rms_distance(vectors: np.ndarray) -> float:
    """Root mean squared distance between two of the samples: sqrt(2 * sum of the variances)."""
    return math.sqrt(2 * float(vectors.var(axis=0, ddof=1).sum()))


def _distance(synthetic: np.ndarray, train: np.ndarray, holdout: np.ndarray, rng: np.random.Generator) -> float:
    count = min(len(train), len(holdout))
    if count < MIN_SAMPLES:
        return math.nan
    near = [np.percentile(_nearest_distance(_subset(real, count, rng), synthetic), 5) for real in (train, holdout)]
    return float(near[0] / near[1]) if near[1] > 0 else math.nan


def _neighbours(synthetic: np.ndarray, train: np.ndarray) -> float:
    if len(train) < MIN_SAMPLES:
        return math.nan
    near, _ = NearestNeighbors(n_neighbors=2).fit(train).kneighbors(synthetic)
    return float(np.percentile(near[:, 0] / np.maximum(near[:, 1], np.finfo(np.float32).tiny), 5))


def _membership(synthetic: np.ndarray, train: np.ndarray, holdout: np.ndarray) -> tuple[float, float]:
    """The AUC and its standard error."""
    members, others = len(train), len(holdout)
    if min(members, others) < MIN_SAMPLES:
        return math.nan, math.nan
    near = _nearest_distance(synthetic, np.concatenate([train, holdout]))
    auc = float(roc_auc_score(np.repeat([1, 0], [members, others]), -near))
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (members - 1) * (q1 - auc**2) + (others - 1) * (q2 - auc**2)
    return auc, math.sqrt(max(variance, 0.0) / (members * others))


def _nearest_distance(candidates: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """float[n]: the distance of each vector to the nearest candidate."""
    near: np.ndarray = NearestNeighbors(n_neighbors=1).fit(candidates).kneighbors(vectors)[0]
    return near[:, 0]


def _copies(batch: np.ndarray, train: np.ndarray) -> float:
    known = {row.tobytes() for row in np.ascontiguousarray(train, np.float32)}
    return float(np.mean([row.tobytes() in known for row in np.ascontiguousarray(batch, np.float32)]))


def _subset(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    return vectors[rng.permutation(len(vectors))[:count]]


def _basis_points(score: float) -> int:
    return NOT_SCORED if math.isnan(score) else min(round(score * 10_000), NOT_SCORED - 1)
