"""The registry of partition schemes, and the function that partitions a pool of samples by any of them.

A scheme is one file: the class of its options, the function that assigns samples to clients, and one `Scheme` that is
registered in `SCHEMES`.
"""

from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.registry import Registry
from bofl_jax.core.types import Samples
from bofl_jax.partition.base import Population, pack
from bofl_jax.partition.split import SplitIndices, SplitOptions, split


class Assignment(NamedTuple):
    """C clients and the indices of their samples."""

    names: tuple[str, ...]
    train: list[np.ndarray]  # C arrays, int64[n]
    test: list[np.ndarray]  # C arrays, int64[n]


class AssignSamples(Protocol):
    """Call signature of ``Scheme.assign``."""

    def __call__(self, samples: Samples, parts: SplitIndices, options: Any, rng: np.random.Generator, /) -> Assignment:
        """Assign the samples of a split to clients.

        Args:
            samples: the pool of N samples.
            parts: the indices of training and test samples.
            options: an instance of the scheme's options.
            rng: the run's generator for partitions.

        Raises:
            BoflError: if the options cannot be satisfied.
        """
        ...


class Scheme(NamedTuple):
    """A partition scheme.

    Attributes:
        options: the class of its options; the literal ``scheme`` is its name.
        assign: assigns samples to clients.
        clients_are_subjects: whether client c is subject c. A held-out subject is then a client without training
            samples, which may adapt its personal model on a support set.
    """

    options: type[SplitOptions]
    assign: AssignSamples
    clients_are_subjects: bool = False


SCHEMES: Registry[Scheme] = Registry("partition", "scheme", Scheme, SplitOptions)
"""The schemes by the value of ``partition.scheme``."""


def partition(samples: Samples, options: SplitOptions, seed: int) -> Population:
    """Split the pool and assign its samples to clients.

    Args:
        samples: the pool of N samples.
        options: the section ``[partition]``.
        seed: the run's root seed.

    Raises:
        BoflError: if a part or a client would be empty.
    """
    key = derive(root_key(seed), Purpose.PARTITION)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    scheme = SCHEMES[options.name]
    parts = split(samples, options, rng)
    names, train, test = scheme.assign(samples, parts, options, rng)
    held_out_allowed = options.train_minutes is None and scheme.clients_are_subjects
    for name, indices in zip(names, train, strict=True):
        if not len(indices) and not held_out_allowed:
            raise BoflError(
                f"client {name} has no training sample: lengthen partition.train_minutes or leave that subject out"
            )
    adapt = train
    if len(parts.support):
        support = by_subject(samples, parts.support)
        adapt = [own if len(own) else held_out for own, held_out in zip(train, support, strict=True)]
    return Population(names, pack(train), pack(test), pack(adapt))


def by_subject(samples: Samples, part: np.ndarray) -> list[np.ndarray]:
    """Divide sample indices by subject.

    Args:
        samples: the pool, with S subjects.
        part: int64[n], indices into the pool.

    Returns:
        S arrays of indices.
    """
    return [part[samples.subject[part] == subject] for subject in range(len(samples.subjects))]


def numbered_clients(clients: int) -> tuple[str, ...]:
    """Names of C clients that are not subjects.

    >>> numbered_clients(11)[9:]
    ('client-09', 'client-10')
    """
    return tuple(f"client-{number:0{len(str(clients - 1))}d}" for number in range(clients))
