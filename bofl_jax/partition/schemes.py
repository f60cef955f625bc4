"""The partition schemes: patient, iid, dirichlet."""

from collections.abc import Callable

import jax
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive, root_key
from bofl_jax.core.types import Samples
from bofl_jax.partition.base import Population, pack
from bofl_jax.partition.options import DirichletOptions, IidOptions, PartitionOptions, PatientOptions
from bofl_jax.partition.split import split

Deal = tuple[tuple[str, ...], list[np.ndarray], list[np.ndarray]]  # names, training and test rows of each client

MAX_ATTEMPTS = 1000


def patient(samples: Samples, train: np.ndarray, test: np.ndarray, options: PatientOptions, rng: object) -> Deal:
    """Every subject is a client."""
    del options, rng
    return samples.subjects, _by_subject(samples, train), _by_subject(samples, test)


def _by_subject(samples: Samples, part: np.ndarray) -> list[np.ndarray]:
    return [part[samples.subject[part] == subject] for subject in range(len(samples.subjects))]


def iid(samples: Samples, train: np.ndarray, test: np.ndarray, options: IidOptions, rng: np.random.Generator) -> Deal:
    """Shuffle each part and deal it out evenly (sizes differ by one at most)."""
    del samples
    if len(train) < options.clients:
        raise BoflError(f"partition.clients = {options.clients}, but there are only {len(train)} training samples")
    dealt = [np.array_split(rng.permutation(part), options.clients) for part in (train, test)]
    return _numbered(options.clients), dealt[0], dealt[1]


def dirichlet(
    samples: Samples, train: np.ndarray, test: np.ndarray, options: DirichletOptions, rng: np.random.Generator
) -> Deal:
    """Deal out each class in proportions p ~ Dirichlet(alpha, ..., alpha), the same for the training and test parts.

    Drawn again until every client has ``min_size`` training samples (Li et al., Federated learning on non-IID data
    silos, ICDE 2022).

    Raises:
        BoflError: if no draw of 1000 reaches ``min_size``.
    """
    for _ in range(MAX_ATTEMPTS):
        shares = rng.dirichlet(np.full(options.clients, options.alpha), size=len(samples.classes))
        training = _deal_classes(samples.y, train, shares, rng)
        if min(map(len, training)) >= options.min_size:
            return _numbered(options.clients), training, _deal_classes(samples.y, test, shares, rng)
    raise BoflError(
        f"no draw of {MAX_ATTEMPTS} gave each of {options.clients} clients {options.min_size} of the {len(train)} "
        f"training samples at alpha = {options.alpha:g}: lower partition.min_size or partition.clients, "
        "or raise partition.alpha"
    )


def _deal_classes(y: np.ndarray, part: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut each class (shuffled) at its cumulative shares[K, C]; every sample goes to exactly one client."""
    pieces = []
    for label, share in enumerate(shares):
        members = rng.permutation(part[y[part] == label])
        cuts = np.floor(np.cumsum(share)[:-1] * len(members) + 0.5).astype(int)
        pieces.append(np.split(members, cuts))
    return [np.concatenate(of_client) for of_client in zip(*pieces, strict=True)]


def _numbered(clients: int) -> tuple[str, ...]:
    return tuple(f"client-{number:0{len(str(clients - 1))}d}" for number in range(clients))


SCHEMES: dict[str, Callable[..., Deal]] = {"patient": patient, "iid": iid, "dirichlet": dirichlet}


def partition(samples: Samples, options: PartitionOptions, seed: int) -> Population:
    """Split the pool and deal it out to clients.

    Args:
        samples: the pool of N samples.
        options: scheme and split.
        seed: the run's root seed.

    Raises:
        BoflError: if a part or a client would be empty.
    """
    key = derive(root_key(seed), Purpose.PARTITION)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    parts = split(samples, options, rng)
    names, training, testing = SCHEMES[options.scheme](samples, parts.train, parts.test, options, rng)
    held_out_allowed = options.train_minutes is None and options.scheme == "patient"
    for name, row in zip(names, training, strict=True):
        if not len(row) and not held_out_allowed:
            raise BoflError(
                f"client {name} has no training sample: lengthen partition.train_minutes or leave that subject out"
            )
    adapting = training
    if len(parts.adapt):
        labelled = _by_subject(samples, parts.adapt)
        adapting = [own if len(own) else held_out for own, held_out in zip(training, labelled, strict=True)]
    return Population(names, pack(training), pack(testing), pack(adapting))
