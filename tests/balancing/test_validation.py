"""The validation gate: the same draws with and without a batch, on samples that the compared models have not seen."""

from dataclasses import replace

import numpy as np
import pytest

import bofl_jax
from bofl_jax.balancing.sample_service import Batch
from bofl_jax.balancing.validation import _trials, improving_batches, is_significant_gain
from bofl_jax.engine.problem import build_problem
from bofl_jax.parallel.clients import resolve
from bofl_jax.partition import pack
from bofl_jax.synthesis.base import Drawn
from bofl_jax.synthesis.needs import Need

CONFIG = {
    "data": {"source": "simulator", "patients": 4, "beats": 200, "ectopy": 3.0, "paced": 0.0},
    "partition": {"scheme": "patient", "train_minutes": 2.0},
    "model": {"name": "linear"},
    "federation": {"algorithm": "fedavg", "rounds": 1, "local_steps": 2},
    "optimizer": {"lr": 0.1},
    "synthesis": {"generator": "pca-gaussian", "validation_steps": 40},
}


@pytest.fixture(scope="module")
def setting():
    config = bofl_jax.load_config(CONFIG)
    return build_problem(config, resolve(config.engine))


def batch(setting, client, label, amount, x=None):
    """A batch of real beats of the class from all clients' test parts, the client's own first; or another signal."""
    tests = [setting.population.test.of(other) for other in sorted(range(4), key=lambda other: other != client)]
    test = np.concatenate(tests)
    own = np.resize(test[setting.samples.y[test] == label], amount)
    signal = setting.samples.x[own] if x is None else np.full_like(setting.samples.x[own], x)
    return Batch(0, Need(client, label, len(own)), "", b"", Drawn(signal, setting.samples.features[own]), None)


def most_ectopic(setting):
    counts = setting.recorded_counts(setting.population.train)
    return int(counts[:, 2].argmax())


def test_folds_share_out_the_samples_and_a_model_never_sees_what_it_is_asked(setting):
    client = most_ectopic(setting)
    trials = _trials(setting, 5, {7: batch(setting, client, 2, 6), 9: batch(setting, client, 1, 3)})
    own = set(setting.population.train.of(client))
    for request in (0, 7, 9):
        asked = [set(trial.ask) for trial in trials if trial.request == request]
        assert len(asked) == 5
        assert set.union(*asked) == own
        assert sum(map(len, asked)) == len(own)
    for trial in trials:
        assert not set(trial.ask) & set(trial.train)
        synthetic = [row for row in trial.train if row >= len(setting.samples)]
        assert len(synthetic) == {0: 0, 7: 6, 9: 3}[trial.request]
    rows = {trial.request: max(trial.train) for trial in trials}
    assert rows[7] == len(setting.samples) + 5
    assert rows[9] == len(setting.samples) + 8


def test_real_beats_of_a_class_with_few_are_wanted_and_mislabelled_noise_is_not(setting):
    client = most_ectopic(setting)
    train = setting.population.train.of(client)
    few = train[setting.samples.y[train] == 2][3:]
    rows = [np.setdiff1d(setting.population.train.of(c), few) for c in range(4)]
    scarce = replace(setting, population=replace(setting.population, train=pack(rows)))
    good, bad = batch(setting, client, 2, 30), batch(setting, client, 2, 30)
    quiet = scarce.samples.x[rows[client][:1]].repeat(30, axis=0)
    normal = scarce.samples.features[rows[client][:1]].repeat(30, axis=0)
    bad = bad._replace(need=Need(client, 2, 30), drawn=Drawn(quiet, normal))
    options = setting.config.synthesis.model_copy(update={"validation_confidence": 0.0})
    assert improving_batches(scarce, options, {1: good, 2: bad}) == {1}


def test_the_same_batches_get_the_same_answer_however_they_are_asked(setting):
    client = most_ectopic(setting)
    one, other = batch(setting, client, 2, 8), batch(setting, client, 1, 4, x=3.0)
    options = setting.config.synthesis
    together = improving_batches(setting, options, {1: one, 2: other})
    assert together & {1} == improving_batches(setting, options, {1: one})
    assert improving_batches(setting, options, {}) == set()


def test_a_class_of_one_sample_says_nothing():
    assert not is_significant_gain(np.array([5.0]), np.array([1]), 0.0)
    assert is_significant_gain(np.array([0.1, 0.2, -9.0]), np.array([0, 0, 1]), 1.0)


def test_gains_must_exceed_their_standard_error():
    rng = np.random.default_rng(0)
    kept = sum(is_significant_gain(rng.standard_normal(40), np.repeat([0, 1], 20), 1.645) for _ in range(2000))
    assert kept / 2000 == pytest.approx(0.05, abs=0.02)  # chance alone
