"""The cohort of a round: the invited clients, uninvited senders and duplicates, and how much work each one does."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.algorithms import FederatedOptions, TrainingOptions
from bofl_jax.attacks import AdversaryOptions
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.core.padding import pad_to
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.partition import ClientIndices

HOST_PURPOSES = (Purpose.COHORT, Purpose.STRAGGLER, Purpose.INTRUDER, Purpose.ALTERED)
"""What is drawn on the host in every round."""


class Cohort(NamedTuple):
    """The M updates of a round. Rows: invited clients by index, then uninvited senders, then duplicates.

    M is the same in every round; a row of weight 0 sends nothing.
    """

    client: np.ndarray  # int32[M]
    steps: np.ndarray  # int32[M], local steps; 0 for a straggler whose work is dropped
    weight: np.ndarray  # float32[M], training samples; 0 for a row that sends nothing
    rejection: np.ndarray  # int32[M], `RejectionReason` that is known before the update arrives, or NONE
    altered: np.ndarray  # bool[M], whether the channel alters the update

    @property
    def sends(self) -> np.ndarray:
        """Which rows send an update, bool[M]."""
        return self.weight > 0

    @property
    def invited(self) -> np.ndarray:
        """The invited clients that send an update, int32[<=M]."""
        invited: np.ndarray = self.client[self.sends & (self.rejection == RejectionReason.NONE)]
        return invited


def local_step_counts(options: TrainingOptions, size: np.ndarray) -> np.ndarray:
    """The local steps of a full round, int32[C].

    Args:
        options: steps or epochs, and the batch size.
        size: int32[C], training samples of each client.
    """
    if options.local_steps is not None:
        return np.full(len(size), options.local_steps, np.int32)
    return np.ceil(size * (options.local_epochs or 0) / options.batch_size).astype(np.int32)


def honest_cohort(clients: np.ndarray, steps: np.ndarray, weight: np.ndarray) -> Cohort:
    """A cohort without uninvited senders, duplicates and altered updates.

    Args:
        clients: int32[M].
        steps: int32[M], local steps.
        weight: float32[M], training samples.
    """
    none = np.zeros(len(clients), np.int32)
    return Cohort(clients.astype(np.int32), steps.astype(np.int32), weight.astype(np.float32), none, none > 0)


def pad(cohort: Cohort, size: int) -> Cohort:
    """The same cohort with rows added that send nothing.

    Args:
        cohort: of M rows.
        size: number of rows of the result.
    """
    return Cohort(*(pad_to(column, size) for column in cohort))


def draw_cohort(
    options: TrainingOptions,
    training: ClientIndices,
    root: jax.Array,
    round_number: int,
    eligibility: np.ndarray | None = None,
    adversary: AdversaryOptions | None = None,
) -> Cohort:
    """Draw the cohort of a round.

    A straggler does a number of steps drawn from 1 ... full - 1. With ``straggler_policy = "drop"`` its work is left
    out (Li et al., Federated optimization in heterogeneous networks, MLSys 2020, section 5.2).

    Args:
        options: cohort size, steps, stragglers.
        training: the training rows of every client.
        root: root of the run's keys.
        round_number: from 1.
        eligibility: uint8[C], `RejectionReason` of each client, NONE if it may contribute; all may when left out.
        adversary: uninvited senders, duplicates and altered updates; none when left out.
    """
    eligibility = np.zeros(len(training.size), np.uint8) if eligibility is None else eligibility
    generators = _generators(root, round_number)
    federated = options if isinstance(options, FederatedOptions) else None
    clients = _invite(federated, training, eligibility, generators[Purpose.COHORT])
    steps = local_step_counts(options, training.size[clients])
    weight = training.size[clients].astype(np.float32)
    if federated:
        _apply_stragglers(federated, generators[Purpose.STRAGGLER], steps, weight)
    ineligible = eligibility[clients] != RejectionReason.NONE
    steps[ineligible], weight[ineligible] = 0, 0
    invited = honest_cohort(clients, steps, weight)
    if adversary is None:
        return invited
    rng = generators[Purpose.INTRUDER]
    uninvited = _uninvited(options, training, eligibility, invited, rng, adversary.uninvited)
    cohort = _concatenate(invited, uninvited, _duplicates(invited, rng, adversary.duplicates))
    altered = _random_subset(cohort.sends, adversary.altered, generators[Purpose.ALTERED])
    return cohort._replace(altered=altered)


def _invite(
    options: FederatedOptions | None, training: ClientIndices, eligibility: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The clients of the cohort in order of their index; eligible ones come first where a cohort is drawn."""
    clients = np.flatnonzero(training.size)
    count = options.cohort if options and options.cohort else len(clients)
    if count >= len(clients):
        return clients
    drawn = rng.permutation(clients)
    first = np.argsort(eligibility[drawn] != RejectionReason.NONE, kind="stable")
    return np.sort(drawn[first[:count]])


def _apply_stragglers(
    options: FederatedOptions, rng: np.random.Generator, steps: np.ndarray, weight: np.ndarray
) -> None:
    """Let stragglers do part of their work, or none, by changing ``steps`` and ``weight`` in place."""
    count = round(options.stragglers * len(steps))
    if not count:
        return
    late = rng.permutation(len(steps))[:count]
    steps[late] = rng.integers(1, np.maximum(steps[late], 2))
    if options.straggler_policy == "drop":
        steps[late], weight[late] = 0, 0


def _uninvited(
    options: TrainingOptions,
    training: ClientIndices,
    eligibility: np.ndarray,
    invited: Cohort,
    rng: np.random.Generator,
    count: int,
) -> Cohort:
    """Clients that send an update without an invitation, because they are ineligible or not in the cohort."""
    others = np.setdiff1d(np.flatnonzero(training.size), invited.invited)
    clients = np.sort(rng.permutation(others)[:count])
    ineligible = eligibility[clients] != RejectionReason.NONE
    reason = np.where(ineligible, eligibility[clients], RejectionReason.NOT_IN_COHORT)
    rows = honest_cohort(clients, local_step_counts(options, training.size[clients]), training.size[clients])
    return pad(rows._replace(rejection=reason.astype(np.int32)), count)


def _duplicates(invited: Cohort, rng: np.random.Generator, count: int) -> Cohort:
    """Updates of invited clients that arrive a second time."""
    again = np.sort(rng.permutation(np.flatnonzero(invited.sends))[:count])
    rows = Cohort(*(column[again] for column in invited))
    return pad(rows._replace(rejection=np.full(len(again), RejectionReason.DUPLICATE, np.int32)), count)


def _concatenate(*parts: Cohort) -> Cohort:
    return Cohort(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _random_subset(candidates: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A rounded share of the rows that are true, bool[M]."""
    chosen = rng.permutation(np.flatnonzero(candidates))[: round(share * int(candidates.sum()))]
    return np.isin(np.arange(len(candidates)), chosen)


def _generators(root: jax.Array, round_number: int) -> dict[Purpose, np.random.Generator]:
    """The random generators of what the host draws in a round; their seeds come from the device in one call."""
    seeds = np.asarray(_generator_seeds(root, jnp.asarray(round_number)))
    return dict(zip(HOST_PURPOSES, map(np.random.default_rng, seeds), strict=True))


@jax.jit
def _generator_seeds(root: jax.Array, round_number: jax.Array) -> jax.Array:
    """The key data of every purpose, uint32[4, 2]."""
    return jnp.stack([jax.random.key_data(derive(root, purpose, round_number)) for purpose in HOST_PURPOSES])
