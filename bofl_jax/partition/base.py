"""Samples -> clients: rows of indices into the one shared sample pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bofl_jax.core.errors import BoflError


class ClientIndices(NamedTuple):
    """Ragged rows of sample indices, packed. Padding is 0 and never read."""

    sample: np.ndarray  # int32[C, Nmax]
    size: np.ndarray  # int32[C]

    def of(self, client: int) -> np.ndarray:
        """int32[size[client]]: the samples of one client."""
        return self.sample[client, : self.size[client]]

    def flat(self) -> tuple[np.ndarray, np.ndarray]:
        """All samples, client after client, and the client of each: two int32 arrays of length sum(size)."""
        inside = np.arange(self.sample.shape[1]) < self.size[:, None]
        client, _ = np.nonzero(inside)
        return self.sample[inside], client.astype(np.int32)


class Tiles(NamedTuple):
    """Ragged rows cut into pieces of W samples, client after client; the end of a client's last piece is padding."""

    sample: np.ndarray  # int32[I, W]
    client: np.ndarray  # int32[I]
    size: np.ndarray  # int32[I], samples that are real


def tile(rows: ClientIndices, width: int) -> Tiles:
    """Cut each client's samples into pieces of W = ``width``.

    >>> tile(pack([np.array([4, 2, 9]), np.array([7])]), 2).sample.tolist()
    [[4, 2], [9, 0], [7, 0]]
    """
    pieces = -(-rows.size // width)
    client = np.repeat(np.arange(len(rows.size), dtype=np.int32), pieces)
    number = np.arange(len(client)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    size = np.minimum(rows.size[client] - number * width, width).astype(np.int32)
    place = number[:, None] * width + np.arange(width)
    inside = np.arange(width) < size[:, None]
    last = rows.sample.shape[1] - 1
    return Tiles(np.where(inside, rows.sample[client[:, None], np.minimum(place, last)], 0), client, size)


def pack(rows: Sequence[np.ndarray]) -> ClientIndices:
    """Pack one array of sample indices per client.

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

    A client without training samples is a held-out patient: it takes no part in training.

    Attributes:
        names: of the clients.
        train: what a client trains on.
        test: what it is tested on.
        adapt: what its own model may adapt on: its training samples, or a held-out patient's first labelled minutes.
    """

    names: tuple[str, ...]
    train: ClientIndices
    test: ClientIndices
    adapt: ClientIndices

    def __post_init__(self) -> None:
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
        """int64[<=C]: the clients that can train."""
        return np.flatnonzero(self.train.size)


def _assert_disjoint(train: ClientIndices, test: ClientIndices) -> None:
    used = np.concatenate([train.flat()[0], test.flat()[0]])
    if len(np.unique(used)) != len(used):
        raise AssertionError("a sample stands in two clients, or in both the training and the test part")
