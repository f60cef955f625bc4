"""Splits and schemes: nobody loses a sample, nobody sees the other side."""

import dataclasses

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.partition import SCHEMES, PartitionOptions, class_counts, label_divergence, pack, partition
from tests.conftest import make_samples

ADAPTER = TypeAdapter(PartitionOptions)


def options(**given):
    return ADAPTER.validate_python({"scheme": "patient", "train_minutes": 1.0, **given})


EXTRA = {"patient": {}, "iid": {"clients": 5}, "dirichlet": {"clients": 5, "alpha": 0.5, "min_size": 2}}
SPLITS = [{"train_minutes": 1.0}, {"test_subjects": ("s1", "s4")}, {"test_fraction": 0.34}]


def test_every_scheme_is_in_the_suite():
    assert set(EXTRA) == set(SCHEMES)


@pytest.mark.parametrize("split", SPLITS, ids=lambda s: next(iter(s)))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_sample_is_lost_or_doubled(samples, scheme, split):
    population = partition(samples, ADAPTER.validate_python({"scheme": scheme, **EXTRA[scheme], **split}), seed=3)
    train, test = population.train.flat()[0], population.test.flat()[0]
    assert sorted(np.concatenate([train, test])) == list(range(len(samples)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_seed_decides(samples, scheme):
    def rows(seed):
        return partition(samples, options(scheme=scheme, **EXTRA[scheme]), seed).train.sample.tolist()

    assert rows(0) == rows(0)
    assert scheme == "patient" or rows(0) != rows(1)


def test_a_chronological_split_leaves_the_future_out(samples):
    population = partition(samples, options(guard_seconds=10.0), seed=0)
    for client in range(population.clients):
        before, after = samples.time[population.train.of(client)], samples.time[population.test.of(client)]
        assert before.max() < 60
        assert after.min() >= 70
        assert set(samples.subject[population.train.of(client)]) == {client}


def test_a_subject_split_keeps_people_apart(samples):
    population = partition(samples, options(train_minutes=None, test_subjects=("s1", "s4")), seed=0)
    assert population.participants.tolist() == [0, 2, 3, 5]
    assert population.test.size.tolist() == [0, 40, 0, 0, 40, 0]


def test_held_out_subjects_may_adapt_on_their_first_minutes(samples):
    held_out = {"train_minutes": None, "test_subjects": ("s1", "s4"), "adapt_minutes": 0.5, "guard_seconds": 10.0}
    population = partition(samples, options(**held_out), seed=0)
    assert population.participants.tolist() == [0, 2, 3, 5]
    for client in (1, 4):
        labelled, after = (samples.time[rows.of(client)] for rows in (population.adapt, population.test))
        assert (labelled.max() < 30, after.min() >= 40, population.train.size[client]) == (True, True, 0)
        assert set(samples.subject[population.adapt.of(client)]) == {client}
    for client in population.participants:
        np.testing.assert_array_equal(population.adapt.of(client), population.train.of(client))


def test_without_such_minutes_clients_adapt_on_what_they_train_on(samples):
    for split in SPLITS:
        population = partition(samples, options(**{"train_minutes": None, **split}), seed=0)
        np.testing.assert_array_equal(population.adapt.size, population.train.size)
        np.testing.assert_array_equal(population.adapt.sample, population.train.sample)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train_minutes": 1.0, "adapt_minutes": 1.0}, "belongs to held-out subjects"),
        ({"train_minutes": None, "test_fraction": 0.5, "guard_seconds": 5.0}, "guard_seconds belongs to"),
    ],
)
def test_minutes_to_adapt_on_need_held_out_subjects(given, said):
    with pytest.raises(ValidationError, match=said):
        options(**given)


def test_minutes_to_adapt_on_must_leave_something_to_test(samples):
    with pytest.raises(BoflError, match="leaves no test sample of the held-out subjects"):
        partition(samples, options(train_minutes=None, test_subjects=("s1",), adapt_minutes=3.0), seed=0)


def test_two_recordings_of_one_person_stay_together(samples):
    named = dataclasses.replace(samples, subjects=("100", "201", "103", "202", "105", "106"))
    for seed in range(8):
        population = partition(named, options(train_minutes=None, test_fraction=0.4), seed)
        assert (population.train.size[1] == 0) == (population.train.size[3] == 0)


def test_dirichlet_shares_follow_its_law():
    """Over many draws a client's share of a class has mean 1/C and variance (C-1) / (C^2 (C alpha + 1))."""
    samples = make_samples(subjects=4, each=250, classes=2)
    clients, alpha = 5, 0.7
    shares = []
    for seed in range(300):
        population = partition(samples, options(scheme="dirichlet", clients=clients, alpha=alpha, min_size=1), seed)
        counts = class_counts(population.train, samples.y, 2)
        shares.append(counts / counts.sum(axis=0))
    shares = np.array(shares).reshape(-1)
    variance = (clients - 1) / (clients**2 * (clients * alpha + 1))
    standard_error = np.sqrt(variance / 600)
    assert abs(shares.mean() - 1 / clients) < 1e-12
    assert abs(np.var(shares) / variance - 1) < 0.12
    per_client = shares.reshape(300, clients, 2).mean(axis=(0, 2))
    assert np.abs(per_client - 1 / clients).max() < 4 * standard_error


def test_dirichlet_test_part_has_the_proportions_of_the_training_part():
    samples = make_samples(subjects=4, each=1000, classes=3)
    population = partition(samples, options(scheme="dirichlet", clients=4, alpha=0.5), seed=1)
    train, test = (class_counts(rows, samples.y, 3) for rows in (population.train, population.test))
    np.testing.assert_allclose(train / train.sum(axis=0), test / test.sum(axis=0), atol=0.005)


def test_large_alpha_is_iid_and_small_alpha_is_not():
    samples = make_samples(subjects=4, each=500)

    def divergence(alpha):
        population = partition(samples, options(scheme="dirichlet", clients=8, alpha=alpha, min_size=1), seed=0)
        return label_divergence(class_counts(population.train, samples.y, 3)).mean()

    assert divergence(1000.0) < 0.01
    assert divergence(0.1) > 0.1


def test_divergence_by_hand():
    counts = np.array([[10, 0], [0, 10], [0, 0]])
    half = 0.5 * np.log2(1 / 0.75) + 0.5 * (0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25))
    np.testing.assert_allclose(label_divergence(counts), [half, half, np.nan])


def test_pack_is_ragged():
    rows = pack([np.array([3, 1]), np.array([], int), np.array([5])])
    assert [rows.of(client).tolist() for client in range(3)] == [[3, 1], [], [5]]
    assert [part.tolist() for part in rows.flat()] == [[3, 1, 5], [0, 0, 2]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"train_minutes": 5.0}, "leaves no test sample"),
        ({"train_minutes": None, "test_subjects": ("s1", "x9")}, "names x9"),
        ({"train_minutes": None, "test_subjects": tuple(f"s{i}" for i in range(6))}, "no training or no test"),
        ({"train_minutes": None, "test_fraction": 0.01}, "one side empty"),
        ({"scheme": "iid", "clients": 500}, "only 120 training samples"),
        ({"scheme": "dirichlet", "clients": 50, "min_size": 10}, "lower partition.min_size"),
    ],
)
def test_impossible_partitions_are_refused(samples, given, said):
    with pytest.raises(BoflError, match=said):
        partition(samples, options(**given), seed=0)


def test_a_client_without_samples_is_named(samples):
    late = dataclasses.replace(samples, time=samples.time + 100 * (samples.subject == 2))
    with pytest.raises(BoflError, match="client s2 has no training sample"):
        partition(late, options(), seed=0)


@pytest.mark.parametrize(
    "given", [{"train_minutes": None}, {"test_fraction": 0.5}, {"alpha": 0.5}, {"train_minutes": -1}]
)
def test_options_that_contradict_are_refused(given):
    with pytest.raises(ValidationError):
        options(**given)
