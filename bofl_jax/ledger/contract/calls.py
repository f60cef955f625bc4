"""Calls of the contract: what is to be done, by whom, and what the contract says to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eth_abi.exceptions import EncodingError

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger.chain.accounts import Account
from bofl_jax.ledger.chain.base import Applied, Call, Engine, Follower, TransactionRevertedError
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.storage.block_log import append_record

STEP_GAS, BATCH_GAS = 500_000, 16_000_000


class Step(NamedTuple):
    """A contract call to be made: by whom, which, with what, and with how much gas at most."""

    account: Account
    function: str
    args: tuple[Any, ...]
    gas: int = STEP_GAS


class ContractRefusedError(BoflError):
    """The contract refused a call; the message has its reason."""


def seal_steps(
    engine: Engine, log: Path, address: bytes, what: str, steps: Sequence[Step], *, strict: bool = True
) -> Applied:
    """One block of contract calls, sealed and on the disk.

    Args:
        engine: the chain, able to seal.
        log: the block log.
        address: 20 bytes, the contract's address.
        what: what is being done, for an error.
        steps: the calls in order.
        strict: refuse all of them if one is reverted.

    Raises:
        ContractRefusedError: with the contract's reason, if it refuses one; then nothing has happened.
        BoflError: if a value does not fit.
    """
    contract = load_contract()
    try:
        calls = [Call(s.account.key, address, contract.encode(s.function, *s.args), s.gas) for s in steps]
    except EncodingError as error:
        raise BoflError(f"the contract cannot be called while {what}: {error}") from error
    try:
        applied = engine.seal_block(calls, strict=strict)
    except TransactionRevertedError as error:
        function, reason = steps[error.index].function, contract.describe_error(error.output)
        raise ContractRefusedError(f"the contract refused {function} while {what}: {reason}") from error
    append_record(log, applied.raw)
    return applied


def read_view(engine: Follower, address: bytes, function: str, *args: Any) -> Any:
    """The first value that a view of the contract returns.

    Raises:
        BoflError: if there is no such contract.
    """
    contract = load_contract()
    success, output = engine.view(address, contract.encode(function, *args))
    if not success or not output:
        raise BoflError(f"there is no contract at 0x{address.hex()}, or it refuses {function}")
    return contract.decode_output(function, output)[0]
