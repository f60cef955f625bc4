"""Who takes part in a round, who only tries to, and how much each one does."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.algorithms.options import FederationOptions, SharedOptions, TrainingOptions
from bofl_jax.attacks import AdversaryOptions
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.core.padding import pad_to
from bofl_jax.ledger import RejectionReason
from bofl_jax.partition import ClientIndices

HOST_PURPOSES = (Purpose.COHORT, Purpose.STRAGGLER, Purpose.INTRUDER, Purpose.ALTERED)


class Cohort(NamedTuple):
    """The M updates of a round: of the invited clients in the order of their index, then of those who lie.

    M is the same in every round; a row whose weight is 0 sends nothing.
    """

    client: np.ndarray  # int32[M]
    steps: np.ndarray  # int32[M], local steps; 0 when dropped
    weight: np.ndarray  # float32[M], training samples; 0 when nothing is sent
    rejection: np.ndarray  # int32[M], `Refusal`, as far as it is known before the update arrives
    altered: np.ndarray  # bool[M], whether the channel alters it

    @property
    def sends(self) -> np.ndarray:
        """bool[M]: which rows send an update."""
        return self.weight > 0

    @property
    def invited(self) -> np.ndarray:
        """int32[<=M]: the invited clients."""
        return self.client[self.sends & (self.rejection == RejectionReason.NONE)]


def local_step_counts(options: TrainingOptions, size: np.ndarray) -> np.ndarray:
    """int32[C]: a full round's local steps of clients with ``size`` int32[C] samples."""
    if options.local_steps is not None:
        return np.full(len(size), options.local_steps, np.int32)
    return np.ceil(size * (options.local_epochs or 0) / options.batch_size).astype(np.int32)


def honest_cohort(clients: np.ndarray, steps: np.ndarray, weight: np.ndarray) -> Cohort:
    """A cohort in which nobody lies."""
    nobody = np.zeros(len(clients), np.int32)
    return Cohort(clients.astype(np.int32), steps.astype(np.int32), weight.astype(np.float32), nobody, nobody > 0)


def pad(rows: Cohort, size: int) -> Cohort:
    """The same with rows added that send nothing, so that M = ``size``."""
    return Cohort(*(pad_to(column, size) for column in rows))


def draw_cohort(
    options: FederationOptions,
    training: ClientIndices,
    root: jax.Array,
    round_number: int,
    eligibility: np.ndarray | None = None,
    adversary: AdversaryOptions | None = None,
) -> Cohort:
    """Draw a round.

    Stragglers do a number of steps drawn from 1 ... full - 1; with ``straggler_policy = "drop"`` their work is left
    out (Li et al., MLSys 2020, section 5.2).

    Args:
        options: cohort size, steps, stragglers.
        training: every client's training rows.
        root: the run's root key.
        round_number: from 1.
        standing: uint8[C], why a client may not contribute (`Refusal`); nobody is kept out when left out.
        adversary: who lies; nobody when left out.
    """
    eligibility = np.zeros(len(training.size), np.uint8) if eligibility is None else eligibility
    chance = _generators(root, round_number)
    clients = np.flatnonzero(training.size)
    shared = options if isinstance(options, SharedOptions) else None
    count = shared.cohort if shared and shared.cohort else len(clients)
    if count < len(clients):
        drawn = chance[Purpose.COHORT].permutation(clients)
        first = np.argsort(eligibility[drawn] != RejectionReason.NONE, kind="stable")
        clients = np.sort(drawn[first[:count]])
    steps = local_step_counts(options, training.size[clients])
    weight = training.size[clients].astype(np.float32)
    if shared:
        _apply_stragglers(shared, chance[Purpose.STRAGGLER], steps, weight)
    out = eligibility[clients] != RejectionReason.NONE
    steps[out], weight[out] = 0, 0
    invited = honest_cohort(clients, steps, weight)
    if adversary is None:
        return invited
    rng = chance[Purpose.INTRUDER]
    uninvited = _uninvited(options, training, eligibility, invited, rng, adversary.uninvited)
    rows = _join(invited, uninvited, _duplicates(invited, rng, adversary.duplicates))
    altered = _random_subset(rows.sends, adversary.altered, chance[Purpose.ALTERED])
    return rows._replace(altered=altered)


def _apply_stragglers(options: SharedOptions, rng: np.random.Generator, steps: np.ndarray, weight: np.ndarray) -> None:
    """Let the stragglers do part of their work, or none."""
    slow = round(options.stragglers * len(steps))
    if not slow:
        return
    late = rng.permutation(len(steps))[:slow]
    steps[late] = rng.integers(1, np.maximum(steps[late], 2))
    if options.straggler_policy == "drop":
        steps[late], weight[late] = 0, 0


def _uninvited(
    options: FederationOptions,
    training: ClientIndices,
    eligibility: np.ndarray,
    invited: Cohort,
    rng: np.random.Generator,
    count: int,
) -> Cohort:
    """Clients that send though nobody asked them to: without standing, or not drawn."""
    others = np.setdiff1d(np.flatnonzero(training.size), invited.invited)
    clients = np.sort(rng.permutation(others)[:count])
    reason = np.where(eligibility[clients] != RejectionReason.NONE, eligibility[clients], RejectionReason.NOT_IN_COHORT)
    rows = honest_cohort(clients, local_step_counts(options, training.size[clients]), training.size[clients])
    return pad(rows._replace(rejection=reason.astype(np.int32)), count)


def _duplicates(invited: Cohort, rng: np.random.Generator, count: int) -> Cohort:
    """Updates of invited clients that arrive once more."""
    again = np.sort(rng.permutation(np.flatnonzero(invited.sends))[:count])
    rows = Cohort(*(column[again] for column in invited))
    return pad(rows._replace(rejection=np.full(len(again), RejectionReason.DUPLICATE, np.int32)), count)


def _join(*parts: Cohort) -> Cohort:
    return Cohort(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _random_subset(among: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """bool[M]: this share, rounded, of the rows that are true."""
    chosen = rng.permutation(np.flatnonzero(among))[: round(share * int(among.sum()))]
    return np.isin(np.arange(len(among)), chosen)


def _generators(root: jax.Array, round_number: int) -> dict[Purpose, np.random.Generator]:
    """What is drawn from on the host in a round; the keys come from the device in one call."""
    return dict(zip(HOST_PURPOSES, map(np.random.default_rng, np.asarray(_words(root, round_number))), strict=True))


@jax.jit
def _words(root: jax.Array, round_number: jax.Array) -> jax.Array:
    """uint32[4, 2]: the keys of what is drawn on the host."""
    return jnp.stack([jax.random.key_data(derive(root, purpose, round_number)) for purpose in HOST_PURPOSES])
