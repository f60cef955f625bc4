"""Scheme ``iid``: all samples are shuffled and divided evenly, so that clients are alike."""

from typing import Literal

import numpy as np
from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.partition.registry import SCHEMES, Assignment, Scheme, numbered_clients
from bofl_jax.partition.split import SplitIndices, SplitOptions


class IidOptions(SplitOptions):
    """``iid``: all samples are shuffled and divided evenly."""

    scheme: Literal["iid"]
    clients: int = Field(20, ge=1, description="C, number of clients")


def _assign(samples: Samples, parts: SplitIndices, options: IidOptions, rng: np.random.Generator) -> Assignment:
    """Shuffle each part and divide it evenly; the sizes of two clients differ by one at most."""
    del samples
    train, test, _ = parts
    if len(train) < options.clients:
        raise BoflError(
            f"partition.clients = {options.clients}, but there are only {len(train)} training samples: lower it"
        )
    divided = [np.array_split(rng.permutation(part), options.clients) for part in (train, test)]
    return Assignment(numbered_clients(options.clients), *divided)


SCHEMES.register(Scheme(IidOptions, _assign))
