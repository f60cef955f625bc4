"""Scheme ``dirichlet``: label skew; each client's share of a class is drawn from a symmetric Dirichlet distribution."""

from typing import Literal

import numpy as np
from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.core.types import Samples
from bofl_jax.partition.registry import SCHEMES, Assignment, Scheme, numbered_clients
from bofl_jax.partition.split import SplitIndices, SplitOptions

MAX_ATTEMPTS = 1000


class DirichletOptions(SplitOptions):
    """``dirichlet``: each class is divided in proportions drawn from a symmetric Dirichlet(alpha)."""

    scheme: Literal["dirichlet"]
    clients: int = Field(20, ge=1, description="C, number of clients")
    alpha: float = Field(0.5, gt=0, description="concentration; small means unlike clients")
    min_size: int = Field(10, ge=1, description="fewest training samples of a client")


def _assign(samples: Samples, parts: SplitIndices, options: DirichletOptions, rng: np.random.Generator) -> Assignment:
    """Divide each class in proportions p ~ Dirichlet(alpha, ..., alpha), the same for the training and test parts.

    The proportions are drawn again until every client has ``min_size`` training samples.

    Li, Diao, Chen, He: Federated learning on non-IID data silos: an experimental study. ICDE 2022.

    Raises:
        BoflError: if ``min_size`` is not reached in 1000 draws.
    """
    for _ in range(MAX_ATTEMPTS):
        shares = rng.dirichlet(np.full(options.clients, options.alpha), size=len(samples.classes))
        train = divide_classes(samples.y, parts.train, shares, rng)
        if min(map(len, train)) >= options.min_size:
            test = divide_classes(samples.y, parts.test, shares, rng)
            return Assignment(numbered_clients(options.clients), train, test)
    raise BoflError(
        f"no draw of {MAX_ATTEMPTS} gave each of {options.clients} clients {options.min_size} of the "
        f"{len(parts.train)} training samples at alpha = {options.alpha:g}: lower partition.min_size or "
        "partition.clients, or raise partition.alpha"
    )


def divide_classes(y: np.ndarray, part: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Shuffle each class and cut it at the clients' cumulative shares; every sample goes to exactly one client.

    Args:
        y: int32[N], labels of the pool.
        part: int64[n], indices into the pool.
        shares: float64[K, C], each client's share of each class; rows sum to 1.
        rng: shuffles.

    Returns:
        C arrays of indices.
    """
    pieces = []
    for label, share in enumerate(shares):
        members = rng.permutation(part[y[part] == label])
        cuts = np.floor(np.cumsum(share)[:-1] * len(members) + 0.5).astype(int)
        pieces.append(np.split(members, cuts))
    return [np.concatenate(client) for client in zip(*pieces, strict=True)]


SCHEMES.register(Scheme(DirichletOptions, _assign))
