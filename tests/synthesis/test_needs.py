"""What clients ask for."""

import numpy as np
import pytest

from bofl_jax.synthesis.needs import needs, policy
from bofl_jax.synthesis.options import PcaGaussianOptions

COUNTS = np.array([[100, 4, 1], [0, 0, 0], [50, 50, 50], [10, 0, 90]])


def options(**changed):
    return PcaGaussianOptions(generator="pca-gaussian", **changed)


def asked(**changed):
    return [tuple(need) for need in needs(COUNTS, options(**changed))]


def test_uniform_deals_the_dose_out_evenly():
    assert asked(quota="uniform", dose=0.2) == [(0, 1, 10), (0, 2, 10), (3, 1, 20)]


@pytest.mark.parametrize("quota", ["need-based", "validation-gated"])
def test_need_based_follows_the_deficit_and_never_exceeds_it(quota):
    assert asked(quota=quota, dose=0.1) == [(0, 1, 4), (0, 2, 6), (3, 1, 10)]
    assert asked(quota=quota, dose=5) == [(0, 1, 7), (0, 2, 10), (3, 1, 10)]


def test_no_dose_no_request():
    assert asked(dose=0) == []
    assert asked(quota="uniform", dose=0.001) == []


def test_the_contract_gets_the_policy():
    assert policy(options(rare_share=0.25, class_quota=7, max_batch=5, approval="auditor"))[:4] == (2500, 7, 7, 5)
    assert policy(options(approval="auditor")).manual
    assert not policy(options()).manual
