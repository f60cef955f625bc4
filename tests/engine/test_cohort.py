"""Cohorts and stragglers."""

import numpy as np
import pytest

from bofl_jax.algorithms import FedAvgOptions, LocalOptions, OptimizerOptions, learning_rates
from bofl_jax.core.keys import root_key
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.partition import pack

ROWS = pack([np.arange(size) for size in (10, 0, 30, 40, 25, 7, 12, 9)])
ROOT = root_key(0)


def options(**given):
    return FedAvgOptions(**{"local_steps": 6, **given})


def test_everyone_with_samples_takes_part():
    cohort = draw_cohort(options(), ROWS, ROOT, 1)
    assert cohort.client.tolist() == [0, 2, 3, 4, 5, 6, 7]
    assert cohort.steps.tolist() == [6] * 7
    assert cohort.weight.tolist() == [10, 30, 40, 25, 7, 12, 9]


def test_sampled_cohorts_are_sorted_fair_and_differ_by_round():
    drawn = [tuple(draw_cohort(options(cohort=3), ROWS, ROOT, number).client) for number in range(1, 701)]
    assert all(list(cohort) == sorted(set(cohort)) and len(cohort) == 3 and 1 not in cohort for cohort in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=8)
    assert np.abs(counts[[0, 2, 3, 4, 5, 6, 7]] / 700 - 3 / 7).max() < 0.07
    assert draw_cohort(options(cohort=3), ROWS, ROOT, 5).client.tolist() == list(drawn[4])
    assert draw_cohort(options(cohort=3), ROWS, root_key(1), 5).client.tolist() != list(drawn[4])


def test_epochs_become_steps_by_size():
    cohort = draw_cohort(FedAvgOptions(local_epochs=2, batch_size=8), ROWS, ROOT, 1)
    assert cohort.steps.tolist() == [3, 8, 10, 7, 2, 3, 3]


@pytest.mark.parametrize("policy", ["keep", "drop"])
def test_stragglers_do_part_of_the_work_or_are_left_out(policy):
    seen = set()
    for number in range(1, 200):
        cohort = draw_cohort(options(stragglers=0.3, straggler_policy=policy), ROWS, ROOT, number)
        late = cohort.steps < 6
        assert late.sum() == 2
        assert (cohort.weight[late] == 0).all() == (policy == "drop")
        seen |= set(cohort.steps[late].tolist())
    assert seen == ({1, 2, 3, 4, 5} if policy == "keep" else {0})


def test_local_training_has_no_cohort():
    assert len(draw_cohort(LocalOptions(algorithm="local", local_steps=2), ROWS, ROOT, 1).client) == 7


def test_learning_rates():
    def rates(schedule):
        return learning_rates(OptimizerOptions(lr=0.2, schedule=schedule), 10)

    np.testing.assert_allclose(rates("constant"), 0.2)
    np.testing.assert_allclose(rates("halving"), [0.2] * 5 + [0.1] * 3 + [0.05] * 2, rtol=1e-6)
    np.testing.assert_allclose(rates("cosine"), 0.1 * (1 + np.cos(np.pi * np.arange(10) / 10)), rtol=1e-6)
