"""A chain on an Ethereum node: the same contract and the same run on a development node or a real network.

The network executes and stores the transactions. This side signs them, waits for them and records their positions.
Transactions and their signatures are checked here; the node's receipts of their execution are trusted.
"""

import os
from collections import Counter
from collections.abc import Sequence

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.chain.accounts import address_of
from bofl_jax.ledger.chain.base import ExecutedBlock, TransactionRequest, TransactionRevertedError
from bofl_jax.ledger.chain.node.calls import call_contract, revert_output
from bofl_jax.ledger.chain.node.fees import FeePayer
from bofl_jax.ledger.chain.node.locator import encode_locator, fetch_batch
from bofl_jax.ledger.chain.node.mining import MinedTransaction, TransactionSender
from bofl_jax.ledger.chain.node.rpc import JsonRpcClient, to_bytes, to_hex, to_int
from bofl_jax.ledger.chain.transactions import SignedTransaction, sign_transaction

FUNDER_VARIABLE = "BOFL_LEDGER_FUNDER"


class NodeChain:
    """A `BlockProducer` whose blocks are made by an Ethereum node.

    A block of the run is a batch of transactions, wherever the network places them. Its number counts the batches, and
    its raw bytes are the batch's locator (see `bofl_jax.ledger.chain.node.locator`). Locator and receipts are in the
    order of the requests. One sender's transactions are executed in this order, on development nodes all transactions.
    A real network is encouraged to keep the order, but may exchange transactions of different senders.

    Args:
        url: ``http://`` or ``https://`` address of the node.
        funder: 32 bytes, private key of the account that pays the gas of all others where gas has a price.
        timeout: seconds to wait for a response, and for a batch to be mined.
        mine: whether the node mines a block only on request; None asks the node.

    Raises:
        BoflError: if no node answers at the address.
    """

    def __init__(
        self, url: str, funder: bytes | None = None, timeout: float = 120.0, *, mine: bool | None = None
    ) -> None:
        self._rpc = JsonRpcClient(url, timeout)
        self._chain_id = to_int(self._rpc.call("eth_chainId"))
        self._sender = TransactionSender(self._rpc, timeout, mine)
        self._fees = FeePayer(self._rpc, self._sender, self._chain_id, funder)
        self._head = to_bytes(self._rpc.call("eth_getBlockByNumber", "0x0", False)["hash"])
        self._height = self._last_block = 0

    @property
    def chain_id(self) -> int:
        """Id of the network's chain."""
        return self._chain_id

    @property
    def head_hash(self) -> bytes:
        """32 bytes, hash of the network's block with the last transaction; of its block 0 before any transaction."""
        return self._head

    @property
    def height(self) -> int:
        """Number of batches so far."""
        return self._height

    def seal_block(self, requests: Sequence[TransactionRequest], *, strict: bool = True) -> ExecutedBlock:
        """Sign the requests with the next nonces of their senders, send them in order and wait until all are mined.

        A network does not undo a transaction. If ``strict`` raises, all transactions stay on the network, including
        the reverted ones, but the batch does not count: height and head are unchanged. The receipts do not contain
        returned values: ``output`` is empty except for the encoded error of a reverted transaction.

        Args:
            requests: the transactions in order.
            strict: whether a reverted transaction is an error.

        Raises:
            TransactionRevertedError: if ``strict`` and a transaction was reverted.
            BoflError: if nobody pays for gas that has a price, or the node rejects or does not mine a transaction.
        """
        mined = self._sender.send(self._sign(requests))
        for index, transaction in enumerate(mined):
            if strict and not transaction.success:
                raise TransactionRevertedError(index, revert_output(self._rpc, transaction))
        return self._append(mined, [b"" if each.success else revert_output(self._rpc, each) for each in mined])

    def import_block(self, raw: bytes) -> ExecutedBlock:
        """Fetch a batch from the network, check that its transactions are at the positions of the locator, append it.

        Raises:
            VerificationError: if they are not, or were not executed after those of the batch before.
        """
        try:
            mined = fetch_batch(self._rpc, self._chain_id, raw, self._last_block)
        except BoflError:
            raise
        except Exception as error:  # foreign bytes or an unexpected response must lead to a rejection, not to a crash
            reason = " ".join(str(error).split()) or type(error).__name__
            raise VerificationError(f"block {self.height + 1} does not hold: {reason}") from error
        return self._append(mined, [b""] * len(mined))

    def eth_call(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        """Call a contract without a transaction: whether it succeeded, and the output or encoded error."""
        return call_contract(self._rpc, to, data, "latest")

    def get_code(self, address: bytes) -> bytes:
        """The contract code at a 20-byte address; empty if there is none."""
        return to_bytes(self._rpc.call("eth_getCode", to_hex(address), "latest"))

    def _sign(self, requests: Sequence[TransactionRequest]) -> list[SignedTransaction]:
        """Sign with prices that fall by one wei from request to request, as block makers order by price."""
        price = self._fees.gas_price()
        prices = [price + rest if price else 0 for rest in reversed(range(len(requests)))]
        senders = [address_of(request.key) for request in requests]
        needs: Counter[bytes] = Counter()
        for sender, request, each in zip(senders, requests, prices, strict=True):
            needs[sender] += request.gas * each
        if price:
            self._fees.fund(needs, price)
        nonces = self._sender.nonces(needs)
        return [
            sign_transaction(request, next(nonces[sender]), self._chain_id, each)
            for request, sender, each in zip(requests, senders, prices, strict=True)
        ]

    def _append(self, mined: Sequence[MinedTransaction], outputs: Sequence[bytes]) -> ExecutedBlock:
        self._height += 1
        if mined:
            last = max(mined, key=lambda each: each.position)
            self._head, self._last_block = last.block_hash, last.position[0]
        receipts = (each.to_receipt(output) for each, output in zip(mined, outputs, strict=True))
        return ExecutedBlock(self._height, encode_locator(mined), tuple(receipts))


def connect_node(url: str) -> NodeChain:
    """The chain on the node at ``url``; the environment variable BOFL_LEDGER_FUNDER may hold the key that pays for gas.

    Raises:
        BoflError: if web3 is not installed, the key is not valid, or no node answers.
    """
    funder = os.environ.get(FUNDER_VARIABLE, "").removeprefix("0x")
    try:
        key = bytes.fromhex(funder) or None
    except ValueError:
        key = b"?"
    if key is not None and len(key) != 32:
        raise BoflError(f"{FUNDER_VARIABLE} is not a private key: set it to 64 hexadecimal digits, or leave it out")
    return NodeChain(url, key)
