"""Sends signed transactions to a node and waits until they are mined."""

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger.chain.base import Log, Receipt
from bofl_jax.ledger.chain.genesis import BLOCK_SECONDS
from bofl_jax.ledger.chain.node.rpc import Json, JsonRpcClient, error_message, is_error, to_bytes, to_hex, to_int
from bofl_jax.ledger.chain.transactions import SignedTransaction

POLL_SECONDS = 0.25


class MinedTransaction(NamedTuple):
    """A transaction that the network has executed, with the node's receipt."""

    signed: SignedTransaction
    receipt: Json

    @property
    def position(self) -> tuple[int, int]:
        """The network's number of the block, and the index of the transaction in it."""
        return to_int(self.receipt["blockNumber"]), to_int(self.receipt["transactionIndex"])

    @property
    def block_hash(self) -> bytes:
        """32 bytes, hash of the network's block."""
        return to_bytes(self.receipt["blockHash"])

    @property
    def success(self) -> bool:
        """False if the transaction was reverted."""
        return to_int(self.receipt["status"]) == 1

    def to_receipt(self, output: bytes) -> Receipt:
        """The receipt in the form that all chains share; ``output`` is not part of the node's receipt."""
        signed, receipt = self.signed, self.receipt
        logs = tuple(_log(log) for log in receipt["logs"])
        gas_used, size = to_int(receipt["gasUsed"]), len(signed.raw)
        return Receipt(signed.sender, signed.to, signed.data, self.success, output, gas_used, size, logs)


def get_receipts(rpc: JsonRpcClient, transactions: Sequence[SignedTransaction]) -> list[Any]:
    """The node's receipts of transactions; None for a transaction that is not mined yet.

    Args:
        rpc: connection to the node.
        transactions: the transactions.
    """
    return rpc.call_batch([("eth_getTransactionReceipt", (to_hex(each.hash),)) for each in transactions])


class TransactionSender:
    """Sends transactions and waits for their receipts.

    Args:
        rpc: connection to the node.
        timeout: seconds to wait until a batch is mined.
        mine: whether the node mines a block only on request; None asks the node.
    """

    def __init__(self, rpc: JsonRpcClient, timeout: float, mine: bool | None) -> None:
        self._rpc, self._timeout = rpc, timeout
        self._mine_on_request = _mines_on_request(rpc) if mine is None else mine

    def nonces(self, senders: Iterable[bytes]) -> dict[bytes, Iterator[int]]:
        """Sender (20-byte address) -> its next nonces."""
        senders = list(senders)
        counts = self._rpc.call_batch([("eth_getTransactionCount", (to_hex(sender), "latest")) for sender in senders])
        return {sender: count(to_int(first)) for sender, first in zip(senders, counts, strict=True)}

    def send(self, transactions: Sequence[SignedTransaction]) -> list[MinedTransaction]:
        """Send transactions in order and wait until all are mined.

        Raises:
            BoflError: if the node rejects a transaction, or does not mine it in time.
        """
        self._submit(transactions)
        deadline = time.monotonic() + self._timeout
        receipts: dict[bytes, Json] = {}
        while waiting := [each for each in transactions if each.hash not in receipts]:
            if get_receipts(self._rpc, waiting[:1])[0] is None:
                self._wait(waiting[0], deadline)
                continue
            found = zip(waiting, get_receipts(self._rpc, waiting), strict=True)
            receipts |= {each.hash: receipt for each, receipt in found if receipt is not None}
        return [MinedTransaction(each, receipts[each.hash]) for each in transactions]

    def _submit(self, transactions: Sequence[SignedTransaction]) -> None:
        """Send one request per transaction, because a node may process a batch in any order.

        A transaction that the node already knows is not an error.
        """
        for index, transaction in enumerate(transactions):
            response = self._rpc.response("eth_sendRawTransaction", to_hex(transaction.raw))
            if is_error(response) and self._rpc.call("eth_getTransactionByHash", to_hex(transaction.hash)) is None:
                raise BoflError(
                    f"the node rejected transaction {index} of {len(transactions)} ({error_message(response)}): "
                    "check its chain, fees and gas limit"
                )

    def _wait(self, transaction: SignedTransaction, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise BoflError(
                f"transaction {to_hex(transaction.hash)} was not mined within {self._timeout:g} s: "
                "check that the node makes blocks, or wait until fees have fallen"
            )
        if self._mine_on_request:
            self._mine(transaction)
        else:
            time.sleep(POLL_SECONDS)

    def _mine(self, transaction: SignedTransaction) -> None:
        """Let the node mine a block. If the block is empty, the next one would not include the transaction either."""
        parent = self._rpc.call("eth_getBlockByNumber", "latest", False)
        self._rpc.call("evm_setNextBlockTimestamp", to_int(parent["timestamp"]) + BLOCK_SECONDS)
        self._rpc.call("evm_mine")
        mined = to_int(self._rpc.call("eth_getBlockTransactionCountByNumber", "latest"))
        if not mined and get_receipts(self._rpc, [transaction]) == [None]:
            raise BoflError(
                f"the node includes transaction {to_hex(transaction.hash)} in no block: "
                "check its gas limit and the nonces of its sender"
            )


def _mines_on_request(rpc: JsonRpcClient) -> bool:
    """Whether the node is a development node with automatic mining switched off."""
    version: str = rpc.call("web3_clientVersion").lower()
    return version.startswith(("anvil", "hardhat")) and rpc.call("hardhat_getAutomine") is False


def _log(log: Json) -> Log:
    return Log(to_bytes(log["address"]), tuple(to_bytes(topic) for topic in log["topics"]), to_bytes(log["data"]))
