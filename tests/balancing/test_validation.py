"""The validation gate: models with and without a batch are compared on samples that neither was trained on."""

from dataclasses import replace

import numpy as np
import pytest

import bofl_jax
from bofl_jax.balancing.sample_service import SyntheticBatch
from bofl_jax.balancing.validation import _cross_validation_fits, improving_batches, is_significant_gain
from bofl_jax.engine.problem import build_problem
from bofl_jax.parallel.clients import resolve_plan
from bofl_jax.partition import pack
from bofl_jax.synthesis.base import SyntheticSamples
from bofl_jax.synthesis.needs import SampleNeed

CONFIG = {
    "data": {"source": "simulator", "patients": 4, "beats": 200, "ectopy": 3.0, "paced": 0.0},
    "partition": {"scheme": "patient", "train_minutes": 2.0},
    "model": {"name": "linear"},
    "federation": {"algorithm": "fedavg", "rounds": 1, "local_steps": 2},
    "optimizer": {"lr": 0.1},
    "synthesis": {"generator": "pca-gaussian", "validation_steps": 40},
}


@pytest.fixture(scope="module")
def problem():
    config = bofl_jax.load_config(CONFIG)
    return build_problem(config, resolve_plan(config.engine))


def batch(problem, client, label, amount, x=None):
    """A batch of real beats of the class from all clients' test parts, the client's own first; or another signal."""
    tests = [problem.population.test.of(other) for other in sorted(range(4), key=lambda other: other != client)]
    test = np.concatenate(tests)
    own = np.resize(test[problem.samples.y[test] == label], amount)
    signal = problem.samples.x[own] if x is None else np.full_like(problem.samples.x[own], x)
    return SyntheticBatch(
        0, SampleNeed(client, label, len(own)), "", b"", SyntheticSamples(signal, problem.samples.features[own]), None
    )


def most_ectopic(problem):
    counts = problem.recorded_counts(problem.population.train)
    return int(counts[:, 2].argmax())


def test_folds_partition_the_samples_and_no_model_is_validated_on_its_training_samples(problem):
    client = most_ectopic(problem)
    fits = _cross_validation_fits(problem, 5, {7: batch(problem, client, 2, 6), 9: batch(problem, client, 1, 3)})
    own = set(problem.population.train.of(client))
    for request in (0, 7, 9):
        validated = [set(fit.validation) for fit in fits if fit.request == request]
        assert len(validated) == 5
        assert set.union(*validated) == own
        assert sum(map(len, validated)) == len(own)
    for fit in fits:
        assert not set(fit.validation) & set(fit.train)
        synthetic = [row for row in fit.train if row >= len(problem.samples)]
        assert len(synthetic) == {0: 0, 7: 6, 9: 3}[fit.request]
    rows = {fit.request: max(fit.train) for fit in fits}
    assert rows[7] == len(problem.samples) + 5
    assert rows[9] == len(problem.samples) + 8


def test_real_beats_of_a_rare_class_are_usable_and_mislabelled_normal_beats_are_not(problem):
    client = most_ectopic(problem)
    train = problem.population.train.of(client)
    few = train[problem.samples.y[train] == 2][3:]
    rows = [np.setdiff1d(problem.population.train.of(c), few) for c in range(4)]
    scarce = replace(problem, population=replace(problem.population, train=pack(rows)))
    good, bad = batch(problem, client, 2, 30), batch(problem, client, 2, 30)
    quiet = scarce.samples.x[rows[client][:1]].repeat(30, axis=0)
    normal = scarce.samples.features[rows[client][:1]].repeat(30, axis=0)
    bad = bad._replace(need=SampleNeed(client, 2, 30), samples=SyntheticSamples(quiet, normal))
    options = problem.config.synthesis.model_copy(update={"validation_confidence": 0.0})
    assert improving_batches(scarce, options, {1: good, 2: bad}) == {1}


def test_the_result_for_a_batch_does_not_depend_on_other_batches(problem):
    client = most_ectopic(problem)
    one, other = batch(problem, client, 2, 8), batch(problem, client, 1, 4, x=3.0)
    options = problem.config.synthesis
    together = improving_batches(problem, options, {1: one, 2: other})
    assert together & {1} == improving_batches(problem, options, {1: one})
    assert improving_batches(problem, options, {}) == set()


def test_a_class_with_one_sample_is_left_out():
    assert not is_significant_gain(np.array([5.0]), np.array([1]), 0.0)
    assert is_significant_gain(np.array([0.1, 0.2, -9.0]), np.array([0, 0, 1]), 1.0)


def test_gains_must_exceed_their_standard_error():
    rng = np.random.default_rng(0)
    kept = sum(is_significant_gain(rng.standard_normal(40), np.repeat([0, 1], 20), 1.645) for _ in range(2000))
    assert kept / 2000 == pytest.approx(0.05, abs=0.02)  # chance alone
