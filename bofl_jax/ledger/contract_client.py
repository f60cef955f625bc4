"""A client of the deployed contract: transactions, which are written to the block log, and calls without them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_abi.exceptions import EncodingError

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger.chain.base import (
    BlockImporter,
    BlockProducer,
    ExecutedBlock,
    TransactionRequest,
    TransactionRevertedError,
)
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.contract.calls import ContractCall, ContractRejectionError
from bofl_jax.ledger.storage.block_log import append_record


class ContractClient:
    """Calls the contract of one run.

    Args:
        chain: the chain, able to seal blocks.
        log: path of the block log.
        address: 20 bytes, the contract's address.
    """

    def __init__(self, chain: BlockProducer, log: Path, address: bytes) -> None:
        self.chain, self.address = chain, address
        self._log, self._contract = log, load_contract()

    def transact(self, task: str, calls: Sequence[ContractCall], *, strict: bool = True) -> ExecutedBlock:
        """Seal one block of contract calls and write it to the disk.

        Args:
            task: what the calls are for, as an error message says it after "while".
            calls: the calls in order.
            strict: whether one reverted call rejects all of them.

        Raises:
            ContractRejectionError: if ``strict`` and the contract rejects a call; the chain is unchanged.
            BoflError: if an argument does not fit its type.
        """
        try:
            requests = [self._request(call) for call in calls]
        except EncodingError as error:
            raise BoflError(f"the contract cannot be called while {task}: {error}") from error
        try:
            block = self.chain.seal_block(requests, strict=strict)
        except TransactionRevertedError as error:
            function, reason = calls[error.index].function, self._contract.describe_error(error.output)
            raise ContractRejectionError(f"the contract rejected {function} while {task}: {reason}") from error
        append_record(self._log, block.raw)
        return block

    def call(self, function: str, *args: Any) -> Any:
        """The first value that a view function returns. Raises BoflError if there is no such contract."""
        return call_view(self.chain, self.address, function, *args)

    def _request(self, call: ContractCall) -> TransactionRequest:
        data = self._contract.encode_call(call.function, *call.args)
        return TransactionRequest(call.sender.key, self.address, data, call.gas)


def call_view(chain: BlockImporter, address: bytes, function: str, *args: Any) -> Any:
    """The first value that a view function of the contract returns.

    Args:
        chain: the chain.
        address: 20 bytes, the contract's address.
        function: name of the function.
        args: its arguments.

    Raises:
        BoflError: if there is no such contract, or it rejects the call.
    """
    contract = load_contract()
    success, output = chain.eth_call(address, contract.encode_call(function, *args))
    if not success or not output:
        raise BoflError(f"there is no contract at 0x{address.hex()}, or it rejects {function}")
    return contract.decode_output(function, output)[0]
