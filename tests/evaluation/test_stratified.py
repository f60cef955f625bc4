"""A few samples for many: even over classes, within a class over clients, and each at most once."""

import numpy as np
import pytest

from bofl_jax.evaluation.stratified import stratified_sample

LABEL = np.repeat([0, 1, 2], [500, 40, 3])
CLIENT = np.arange(len(LABEL)) % 8


@pytest.mark.parametrize("count", [1, 7, 60, 400, 10_000])
def test_classes_get_the_same_number_as_far_as_there_are_samples(count):
    found = stratified_sample(np.random.default_rng(0), LABEL, CLIENT, count)
    assert len(set(found)) == len(found) == min(count, len(LABEL))
    size, left, there = np.zeros(3, int), len(found), np.bincount(LABEL)
    while left:  # one each in turn
        for kind in np.flatnonzero(size < there)[:left]:
            size[kind] += 1
            left -= 1
    np.testing.assert_array_equal(np.bincount(LABEL[found], minlength=3), size)


def test_clients_of_a_class_get_the_same_number():
    found = stratified_sample(
        np.random.default_rng(1), LABEL, CLIENT, 67
    )  # 3 of class 2, 32 of the others: 4 of each client
    for kind in (0, 1):
        assert np.bincount(CLIENT[found[LABEL[found] == kind]], minlength=8).tolist() == [4] * 8


def test_a_few_begin_with_one_of_each_class_and_differ_by_the_generator():
    found = [stratified_sample(np.random.default_rng(seed), LABEL, CLIENT, 9) for seed in (0, 0, 1)]
    assert LABEL[found[0]].tolist() == [0, 1, 2] * 3
    np.testing.assert_array_equal(found[0], found[1])
    assert set(found[0]) != set(found[2])
