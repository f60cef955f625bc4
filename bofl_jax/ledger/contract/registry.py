"""The client registry: how the contract's states map to rejection reasons, and which changes a run plans."""

from collections.abc import Iterator

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.options import LedgerOptions, RegistryChange

REASON_BY_STATE = np.array(
    [RejectionReason.NOT_REGISTERED, RejectionReason.NONE, RejectionReason.SUSPENDED, RejectionReason.REVOKED], np.uint8
)
"""uint8[4], indexed by the contract's ClientState: why such a client may not contribute."""

REASON_AFTER = {
    "register": RejectionReason.NONE,
    "readmit": RejectionReason.NONE,
    "suspend": RejectionReason.SUSPENDED,
    "revoke": RejectionReason.REVOKED,
}
"""Action of a change -> eligibility of the client after it."""

FUNCTION_OF_ACTION = {
    "register": "registerClients",
    "readmit": "readmitClient",
    "suspend": "suspendClient",
    "revoke": "revokeClient",
}


def initially_registered(options: LedgerOptions, clients: int) -> int:
    """The number of clients that are registered before the first round.

    Args:
        options: the ``[ledger]`` section.
        clients: C, number of clients.

    Raises:
        BoflError: if the options name clients that do not exist.
    """
    registered = clients if options.registered is None else options.registered
    if registered > clients:
        raise BoflError(f"ledger.registered = {registered}, but there are only {clients} clients: lower it")
    for change in options.changes:
        if change.client >= clients:
            raise BoflError(f"ledger.changes names client {change.client}, but clients are 0..{clients - 1}")
    return registered


def changes_before(options: LedgerOptions, round: int) -> Iterator[RegistryChange]:
    """The planned registry changes before a round, in the order of the configuration.

    Args:
        options: the ``[ledger]`` section.
        round: number of the round.
    """
    return (change for change in options.changes if change.round == round)


def planned_eligibility(options: LedgerOptions, clients: int, round: int) -> np.ndarray:
    """uint8[C]: the eligibility in a round that follows from the configuration alone.

    Args:
        options: the ``[ledger]`` section.
        clients: C, number of clients.
        round: number of the round.
    """
    eligibility = np.full(clients, RejectionReason.NOT_REGISTERED, np.uint8)
    eligibility[: initially_registered(options, clients)] = RejectionReason.NONE
    for change in sorted(options.changes, key=lambda change: change.round):
        if change.round <= round:
            eligibility[change.client] = REASON_AFTER[change.action]
    return eligibility
