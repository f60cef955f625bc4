"""A call of the contract, and the error for a call that the contract rejects."""

from typing import Any, NamedTuple

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger.chain.accounts import Account

CALL_GAS, BATCH_GAS = 500_000, 16_000_000


class ContractCall(NamedTuple):
    """A call of a contract function that is not sent yet.

    Attributes:
        sender: the account that makes the call.
        function: name of the function.
        args: its arguments.
        gas: the gas limit.
    """

    sender: Account
    function: str
    args: tuple[Any, ...]
    gas: int = CALL_GAS


class ContractRejectionError(BoflError):
    """The contract rejected a call, or its verdict on an update differs; the message states the reason."""
