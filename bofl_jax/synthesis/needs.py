"""The samples that clients need: their rare classes, and how their dose is divided among these."""

from typing import NamedTuple

import numpy as np

from bofl_jax.ledger.sample_requests import Policy
from bofl_jax.synthesis.options import SynthesisOptions


class SampleNeed(NamedTuple):
    """A request that a client is going to make."""

    client: int
    label: int
    amount: int


def request_policy(options: SynthesisOptions) -> Policy:
    """The contract's rules that follow from the options."""
    return Policy(
        rare_threshold=round(options.rare_share * 10_000),
        round_quota=options.class_quota,
        total_quota=options.class_quota,
        max_batch=options.max_batch,
        manual=options.approval == "auditor",
    )


def sample_needs(counts: np.ndarray, options: SynthesisOptions) -> list[SampleNeed]:
    """List the requests of all clients, in the order of clients.

    A client with n samples may request ``dose * n`` samples. With the quota ``uniform`` it requests the same amount for
    each of its rare classes. With ``need-based`` and ``validation-gated``, amounts are proportional to the deficit of
    each class, which is what it lacks to be no longer rare, and never exceed it.

    Args:
        counts: int[C, K], training samples of every client and class.
        options: dose, quota and the share below which a class is rare.

    >>> from bofl_jax.synthesis import SmoteOptions
    >>> [tuple(need) for need in sample_needs(np.array([[90, 8, 2]]), SmoteOptions(quota="uniform", dose=0.2))]
    [(0, 1, 10), (0, 2, 10)]
    >>> [tuple(need) for need in sample_needs(np.array([[90, 8, 2]]), SmoteOptions(quota="need-based", dose=0.2))]
    [(0, 1, 2), (0, 2, 8)]
    """
    needs = []
    for client, own in enumerate(np.asarray(counts)):
        total = own.sum()
        deficit = np.maximum(np.ceil(options.rare_share * total) - own, 0) * (own < options.rare_share * total)
        if not deficit.any():
            continue
        allowed = options.dose * total
        if options.quota == "uniform":
            amounts = np.where(deficit > 0, allowed / np.count_nonzero(deficit), 0)
        else:
            amounts = np.minimum(allowed * deficit / deficit.sum(), deficit)
        rounded = enumerate(np.rint(amounts))
        needs += [SampleNeed(client, int(label), int(amount)) for label, amount in rounded if amount >= 1]
    return needs
