"""What a client asks for: rare classes, and how its dose is dealt out to them."""

from typing import NamedTuple

import numpy as np

from bofl_jax.ledger.sample_requests import Policy
from bofl_jax.synthesis.options import SynthesisOptions


class Need(NamedTuple):
    """A request that a client is going to make."""

    client: int
    label: int
    amount: int


def policy(options: SynthesisOptions) -> Policy:
    """The contract's rules for these options."""
    return Policy(
        rare_threshold=round(options.rare_share * 10_000),
        round_quota=options.class_quota,
        total_quota=options.class_quota,
        max_batch=options.max_batch,
        manual=options.approval == "auditor",
    )


def needs(counts: np.ndarray, options: SynthesisOptions) -> list[Need]:
    """All clients' requests, client after client.

    A client with n samples may ask for ``dose * n``. ``uniform``: the same amount of each of its rare classes.
    ``need-based`` and ``validation-gated``: in proportion to what a class lacks to be no longer rare, and no more.

    Args:
        counts: int[C, K], training samples of every client and class.

    >>> from bofl_jax.synthesis.options import SmoteOptions
    >>> needs(np.array([[90, 8, 2]]), SmoteOptions(generator="smote", quota="uniform", dose=0.2))
    [Need(client=0, label=1, amount=10), Need(client=0, label=2, amount=10)]
    >>> needs(np.array([[90, 8, 2]]), SmoteOptions(generator="smote", quota="need-based", dose=0.2))
    [Need(client=0, label=1, amount=2), Need(client=0, label=2, amount=8)]
    """
    found = []
    for client, own in enumerate(np.asarray(counts)):
        total = own.sum()
        lacking = np.maximum(np.ceil(options.rare_share * total) - own, 0) * (own < options.rare_share * total)
        if not lacking.any():
            continue
        wanted = options.dose * total
        if options.quota == "uniform":
            amounts = np.where(lacking > 0, wanted / np.count_nonzero(lacking), 0)
        else:
            amounts = np.minimum(wanted * lacking / lacking.sum(), lacking)
        found += [Need(client, int(label), int(amount)) for label, amount in enumerate(np.rint(amounts)) if amount >= 1]
    return found
