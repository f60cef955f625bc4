"""Quality gates: each gate detects its fault, and good samples pass all."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bofl_jax.synthesis.gates import NOT_SCORED, QualityScores, ReferenceSamples, check_batch, score_samples
from bofl_jax.synthesis.options import GateOptions

WIDTH = 12
OPTIONS = GateOptions(discriminative=0.2)


def normal(n, seed, mean=0.0, spread=1.0):
    return (mean + spread * np.random.default_rng(seed).standard_normal((n, WIDTH))).astype(np.float32)


REFERENCE = ReferenceSamples(normal(80, 0), normal(60, 1), normal(200, 2, mean=1.0), normal(100, 3, mean=1.0))
GOOD = normal(200, 4)


def gate_result(synthetic, batch=None, shared=True, options=OPTIONS, reference=REFERENCE):
    batch = synthetic[:10] if batch is None else batch
    return check_batch(batch, 10, score_samples(synthetic, reference, seed=0), reference, options, shared)


def test_good_samples_pass_every_gate():
    found = gate_result(GOOD)
    assert found.failed == ()
    assert found.scores.utility == pytest.approx(1, abs=0.05)
    assert found.scores.diversity == pytest.approx(1, abs=0.1)
    assert found.scores.distance == pytest.approx(1, abs=0.1)
    assert found.scores.membership == pytest.approx(0.5, abs=0.1)
    assert found.copies == 0


@pytest.mark.parametrize(
    ("gate", "synthetic"),
    [
        ("discriminative", normal(200, 5, mean=0.5)),
        ("utility", normal(200, 5, mean=1.6)),
        ("diversity", normal(200, 5, spread=0.3)),
        ("distance", np.repeat(REFERENCE.train, 3, axis=0)[:200] + normal(200, 6, spread=0.1)),
        ("membership", np.repeat(REFERENCE.train, 3, axis=0)[:200] + normal(200, 6, spread=0.1)),
    ],
)
def test_a_gate_detects_its_fault(gate, synthetic):
    assert gate in gate_result(synthetic).failed


@pytest.mark.parametrize(
    ("gate", "batch"),
    [
        ("copies", np.concatenate([GOOD[:9], REFERENCE.train[:1]])),
        ("shape", GOOD[:9]),
        ("shape", GOOD[:10, :5]),
        ("finite", np.where(np.arange(WIDTH) == 3, np.nan, GOOD[:10])),
        ("range", np.where(np.arange(WIDTH) == 3, 20.0, GOOD[:10])),
    ],
)
def test_the_batch_is_checked_even_if_its_generator_is_good(gate, batch):
    assert gate_result(GOOD, batch).failed == (gate,)


def test_privacy_limits_apply_only_to_samples_that_leave_the_client():
    memorised = REFERENCE.train[np.arange(200) % 80]
    assert {"distance", "membership", "copies"} <= set(gate_result(memorised).failed)
    alone = gate_result(memorised, shared=False)
    assert not {"distance", "membership", "copies"} & set(alone.failed)
    assert alone.copies == 1


def test_with_too_few_real_samples_scores_are_nan_and_no_gate_fails():
    few = ReferenceSamples(REFERENCE.train[:3], REFERENCE.holdout[:1], REFERENCE.others_train, REFERENCE.others_holdout)
    found = gate_result(GOOD, reference=few)
    assert found.failed == ()
    assert all(math.isnan(score) for score in found.scores)
    assert found.basis_points == [NOT_SCORED] * len(QualityScores._fields) + [0]


def test_scores_on_the_ledger_are_basis_points():
    scores = QualityScores(0.125, 1.0, 7.5, math.nan, 0.5, 0.55, 0.01)
    found = check_batch(GOOD[:10], 10, scores, REFERENCE, OPTIONS, shared=True)
    assert found.basis_points == [1250, 10_000, NOT_SCORED - 1, NOT_SCORED, 5000, 5500, 100, 0]


def test_membership_is_the_auc_with_hanley_and_mcneils_error():
    synthetic = normal(50, 7)
    found = score_samples(synthetic, REFERENCE, seed=0)
    real = np.concatenate([REFERENCE.train, REFERENCE.holdout])
    near = np.linalg.norm(real[:, None] - synthetic[None], axis=2).min(axis=1)
    assert found.membership == pytest.approx(roc_auc_score(np.r_[np.ones(80), np.zeros(60)], -near))
    rng = np.random.default_rng(0)
    areas = [
        roc_auc_score(np.r_[np.ones(80), np.zeros(60)], rng.standard_normal(140) * 0.2 + near.mean())
        for _ in range(500)
    ]
    assert found.membership_error == pytest.approx(np.std(areas), rel=0.1)  # of scores without information


def test_samples_with_nan_have_no_scores():
    assert all(math.isnan(score) for score in score_samples(np.full_like(GOOD, np.nan), REFERENCE, seed=0))
