"""Who may contribute: the contract's registry in the server's terms, and what the configuration has in store for it."""

from collections.abc import Iterator

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.options import LedgerOptions, RegistryChange

BY_STATE = np.array(
    [RejectionReason.NOT_REGISTERED, RejectionReason.NONE, RejectionReason.SUSPENDED, RejectionReason.REVOKED], np.uint8
)
"""The contract's ClientState -> why such a client may not contribute."""

AFTER = {
    "register": RejectionReason.NONE,
    "readmit": RejectionReason.NONE,
    "suspend": RejectionReason.SUSPENDED,
    "revoke": RejectionReason.REVOKED,
}
FUNCTION = {
    "register": "registerClients",
    "readmit": "readmitClient",
    "suspend": "suspendClient",
    "revoke": "revokeClient",
}


def at_start(options: LedgerOptions, clients: int) -> int:
    """How many clients are registered before the first round.

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


def due(options: LedgerOptions, round: int) -> Iterator[RegistryChange]:
    """The changes that the configuration has in store for a round."""
    return (change for change in options.changes if change.round == round)


def planned_standing(options: LedgerOptions, clients: int, round: int) -> np.ndarray:
    """uint8[C]: the standing at a round that follows from the configuration alone, without asking a contract."""
    standing = np.full(clients, RejectionReason.NOT_REGISTERED, np.uint8)
    standing[: at_start(options, clients)] = RejectionReason.NONE
    for change in sorted(options.changes, key=lambda change: change.round):
        if change.round <= round:
            standing[change.client] = AFTER[change.action]
    return standing
