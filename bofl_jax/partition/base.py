"""Clients as rows of indices into one shared pool of samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError


class ClientIndices(NamedTuple):
    """The sample indices of every client, padded to one length. Padding is 0 and is never read."""

    sample: np.ndarray  # int32[C, Nmax]
    size: np.ndarray  # int32[C]

    def of(self, client: int) -> np.ndarray:
        """int32[size[client]]: the sample indices of one client."""
        return self.sample[client, : self.size[client]]

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """All sample indices, client after client, and the client of each: two int32 arrays of length sum(size)."""
        real = np.arange(self.sample.shape[1]) < self.size[:, None]
        client, _ = np.nonzero(real)
        return self.sample[real], client.astype(np.int32)


class Tiles(NamedTuple):
    """The sample indices of all clients in I tiles of W samples; the last tile of a client is padded."""

    sample: np.ndarray  # int32[I, W]
    client: np.ndarray  # int32[I]
    size: np.ndarray  # int32[I], samples that are not padding


def tile(rows: ClientIndices, width: int) -> Tiles:
    """Cut each client's sample indices into tiles of one width.

    Args:
        rows: the sample indices of C clients.
        width: W.

    >>> tile(pack([np.array([4, 2, 9]), np.array([7])]), 2).sample.tolist()
    [[4, 2], [9, 0], [7, 0]]
    """
    tiles = -(-rows.size // width)
    client = np.repeat(np.arange(len(rows.size), dtype=np.int32), tiles)
    number = np.arange(len(client)) - np.repeat(np.cumsum(tiles) - tiles, tiles)
    size = np.minimum(rows.size[client] - number * width, width).astype(np.int32)
    column = number[:, None] * width + np.arange(width)
    real = np.arange(width) < size[:, None]
    last = rows.sample.shape[1] - 1
    return Tiles(np.where(real, rows.sample[client[:, None], np.minimum(column, last)], 0), client, size)


def pack(rows: Sequence[np.ndarray]) -> ClientIndices:
    """Pad one array of sample indices a client to a common length.

    >>> pack([np.array([4, 2]), np.array([7])]).sample.tolist()
    [[4, 2], [7, 0]]
    """
    size = np.array([len(row) for row in rows], np.int32)
    sample = np.zeros((len(rows), max(1, int(size.max(initial=0)))), np.int32)
    for target, row in zip(sample, rows, strict=True):
        target[: len(row)] = row
    return ClientIndices(sample, size)


@dataclass(frozen=True)
class Population:
    """C clients and their samples.

    A client without training samples is a held-out patient, who takes no part in training.

    Attributes:
        names: names of the clients.
        train: training samples.
        test: test samples.
        adapt: support set, on which a client's personal model adapts: the training samples, or the first labelled
            minutes of a held-out patient.

    Raises:
        BoflError: if no client has a training sample, or none has a test sample.
    """

    names: tuple[str, ...]
    train: ClientIndices
    test: ClientIndices
    adapt: ClientIndices

    def __post_init__(self) -> None:
        """Check that there is something to train on and to test, and that the two are disjoint."""
        if not self.train.size.any():
            raise BoflError("no client has a training sample: lengthen partition.train_minutes or check the split")
        if not self.test.size.any():
            raise BoflError("no client has a test sample: shorten partition.train_minutes or check the split")
        _assert_disjoint(self.train, self.test)
        _assert_disjoint(self.adapt, self.test)

    @property
    def clients(self) -> int:
        """C."""
        return len(self.names)

    @property
    def participants(self) -> np.ndarray:
        """Indices of the clients with training samples, int64[<=C]."""
        return np.flatnonzero(self.train.size)


def _assert_disjoint(train: ClientIndices, test: ClientIndices) -> None:
    used = np.concatenate([train.flat()[0], test.flat()[0]])
    if len(np.unique(used)) != len(used):
        raise AssertionError("a sample belongs to two clients, or to both the training and the test part")
