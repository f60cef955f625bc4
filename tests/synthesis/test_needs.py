"""The samples that clients request."""

import numpy as np
import pytest

from bofl_jax.synthesis import PcaGaussianOptions
from bofl_jax.synthesis.needs import request_policy, sample_needs

COUNTS = np.array([[100, 4, 1], [0, 0, 0], [50, 50, 50], [10, 0, 90]])


def options(**changed):
    return PcaGaussianOptions(**changed)


def requested(**changed):
    return [tuple(need) for need in sample_needs(COUNTS, options(**changed))]


def test_uniform_divides_the_dose_equally():
    assert requested(quota="uniform", dose=0.2) == [(0, 1, 10), (0, 2, 10), (3, 1, 20)]


@pytest.mark.parametrize("quota", ["need-based", "validation-gated"])
def test_need_based_is_proportional_to_the_deficit_and_never_exceeds_it(quota):
    assert requested(quota=quota, dose=0.1) == [(0, 1, 4), (0, 2, 6), (3, 1, 10)]
    assert requested(quota=quota, dose=5) == [(0, 1, 7), (0, 2, 10), (3, 1, 10)]


def test_without_a_dose_there_is_no_request():
    assert requested(dose=0) == []
    assert requested(quota="uniform", dose=0.001) == []


def test_the_policy_follows_from_the_options():
    assert request_policy(options(rare_share=0.25, class_quota=7, max_batch=5, approval="auditor"))[:4] == (
        2500,
        7,
        7,
        5,
    )
    assert request_policy(options(approval="auditor")).manual
    assert not request_policy(options()).manual
