"""Packed rows of sample indices, and populations that would share a sample."""

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.partition import Population, pack, tile


def rows(*clients):
    return pack([np.array(client, int) for client in clients])


def test_rows_of_unequal_length_are_padded():
    packed = rows([3, 1], [], [5])
    assert packed.sample.tolist() == [[3, 1], [0, 0], [5, 0]]
    assert [packed.of(client).tolist() for client in range(3)] == [[3, 1], [], [5]]
    assert [part.tolist() for part in packed.flat()] == [[3, 1, 5], [0, 0, 2]]


def test_tiles_hold_every_sample_once_in_order():
    packed = rows([4, 2, 9], [], [7])
    tiles = tile(packed, 2)
    assert (tiles.client.tolist(), tiles.size.tolist()) == ([0, 0, 2], [2, 1, 1])
    found = np.concatenate([sample[:size] for sample, size in zip(tiles.sample, tiles.size, strict=True)])
    assert found.tolist() == packed.flat()[0].tolist()


@pytest.mark.parametrize(
    ("train", "test", "adapt"),
    [
        (rows([0, 1], [2]), rows([3], [2]), rows([0, 1], [])),
        (rows([0, 1], [1]), rows([3], [4]), rows([0], [])),
        (rows([0, 1], []), rows([2], [3]), rows([0, 1], [3])),
    ],
    ids=["training and test", "two clients", "support and test"],
)
def test_a_population_that_shares_a_sample_is_refused(train, test, adapt):
    with pytest.raises(AssertionError, match="a sample belongs to two clients, or to both"):
        Population(("a", "b"), train, test, adapt)


@pytest.mark.parametrize(("part", "message"), [("train", "no client has a training"), ("test", "no client has a test")])
def test_a_population_without_training_or_test_samples_is_refused(part, message):
    parts = {"train": rows([0]), "test": rows([1]), "adapt": rows([0])} | {part: rows([])}
    with pytest.raises(BoflError, match=message):
        Population(("a",), **parts)


def test_clients_without_training_samples_do_not_participate():
    population = Population(("a", "b", "c"), rows([0], [], [1]), rows([2], [3], []), rows([0], [4], [1]))
    assert population.clients == 3
    assert population.participants.tolist() == [0, 2]
