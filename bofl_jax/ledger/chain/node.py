"""The engine on an Ethereum node: the same contract and the same run on a development node or a real network.

The network executes and keeps the transactions; this side signs them, waits for them and writes down where they are.
Transactions are checked here, signatures included; what the node says of their execution (receipts) is taken as said.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

import rlp
from rlp.sedes import Binary, CountableList, List, big_endian_int

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.chain.accounts import address_of
from bofl_jax.ledger.chain.base import Applied, Call, Outcome, TransactionRevertedError
from bofl_jax.ledger.chain.genesis import BLOCK_SECONDS
from bofl_jax.ledger.chain.rpc import Json, Rpc, failed, message, revert_data, to_bytes, to_hex, to_int
from bofl_jax.ledger.chain.transactions import Signed, decode, recover, sign

POLL_SECONDS = 0.25
HEADROOM = 2  # times the price asked now, so that a transaction is still wanted some blocks later
TOP_UP = 2  # times the need, so that few batches begin with a transfer
TRANSFER_GAS = 21_000
NO_ONE = bytes(20)
TRACES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("trace_transaction", ()),
    ("debug_traceTransaction", ({"tracer": "callTracer"},)),  # with anvil as slow as its block is long
)
FAILED_CALL = ("revert", "out of gas", "opcode", "vm execution")
LOCATOR = CountableList(List([big_endian_int, Binary.fixed_length(32), Binary.fixed_length(32)]))


class NodeEngine:
    """An `Engine` whose blocks are made by an Ethereum node, spoken to over JSON-RPC.

    A block of the run is a batch of transactions, wherever the network put them. Its number counts the batches, its
    raw bytes are the batch's locator: the RLP list of ``[block number, block hash, transaction hash]``. Locator and
    outcomes are in the order of the calls. That is the order of execution for one sender, on development nodes for
    all; a real network is invited to keep it, but free to put transactions of different senders the other way round.

    Args:
        url: ``http://`` or ``https://`` address of the node.
        funder: 32 bytes, private key of the account that pays the gas of all others where gas has a price.
        timeout: seconds to wait for an answer, and for a batch to be in blocks.
        mine: whether the node must be told to make blocks; None asks it, and tells an anvil or Hardhat that does not.

    Raises:
        BoflError: if the address is none of a node.
    """

    def __init__(
        self, url: str, funder: bytes | None = None, timeout: float = 120.0, *, mine: bool | None = None
    ) -> None:
        self._rpc = Rpc(url, timeout)
        self._funder, self._timeout = funder, timeout
        self._chain_id = to_int(self._rpc.one("eth_chainId"))
        self._mines = _waits_for_orders(self._rpc) if mine is None else mine
        self._head = to_bytes(self._rpc.one("eth_getBlockByNumber", "0x0", False)["hash"])
        self._height = self._last_block = 0

    @property
    def chain_id(self) -> int:
        return self._chain_id

    @property
    def head_hash(self) -> bytes:
        """32 bytes, the hash of the network's block with the last transaction; before any, of its block 0."""
        return self._head

    @property
    def height(self) -> int:
        """Number of batches so far."""
        return self._height

    def seal_block(self, calls: Sequence[Call], *, strict: bool = True) -> Applied:
        """Sign the calls with the next nonces of their senders, send them in order and wait until all are in blocks.

        What a network has executed stays: where ``strict`` raises, the transactions are on the network, reverted ones
        included, but the batch does not count (height and head are as before). Returned values are not known here:
        ``output`` is empty, except for the encoded error of a reverted transaction.

        Raises:
            TransactionRevertedError: if ``strict`` and one was reverted.
            BoflError: if gas has a price that nobody pays, or the node refuses a transaction or does not include it.
        """
        mined = self._wait(self._send(self._sign(calls)))
        for index, transaction in enumerate(mined):
            if strict and not transaction.success:
                raise TransactionRevertedError(index, self._error(transaction))
        return self._append(mined, [b"" if each.success else self._error(each) for each in mined])

    def import_block(self, raw: bytes) -> Applied:
        """Fetch a batch from the network, check that its transactions are what and where the locator says, append it.

        Raises:
            VerificationError: if they are not, or were not executed after those before.
        """
        try:
            mined = self._fetch(decode(raw, LOCATOR))
        except BoflError:
            raise
        except Exception as error:  # whatever foreign bytes or a strange answer lead to is a refusal, never a crash
            reason = " ".join(str(error).split()) or type(error).__name__
            raise VerificationError(f"block {self.height + 1} does not hold: {reason}") from error
        return self._append(mined, [b""] * len(mined))

    def view(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        return self._call(NO_ONE, to, data, "latest")

    def code(self, address: bytes) -> bytes:
        return to_bytes(self._rpc.one("eth_getCode", to_hex(address), "latest"))

    def _sign(self, calls: Sequence[Call]) -> list["Signed"]:
        """Prices fall by one wei from call to call: block makers go by price, and the calls have an order."""
        price = self._price()
        prices = [price + after if price else 0 for after in reversed(range(len(calls)))]
        senders = [address_of(call.key) for call in calls]
        needs: Counter[bytes] = Counter()
        for sender, call, each in zip(senders, calls, prices, strict=True):
            needs[sender] += call.gas * each
        if price:
            self._fund(needs, price)
        nonces = self._nonces(needs)
        return [
            sign(call, next(nonces[sender]), self._chain_id, each)
            for call, sender, each in zip(calls, senders, prices, strict=True)
        ]

    def _price(self) -> int:
        """Price of gas in wei. A base fee of 0 is a network without fees, though anvil suggests a tip there as well."""
        base_fee = self._rpc.one("eth_getBlockByNumber", "latest", False).get("baseFeePerGas")
        if base_fee is not None and to_int(base_fee) == 0:
            return 0
        return HEADROOM * max(to_int(base_fee or "0x0"), to_int(self._rpc.one("eth_gasPrice")))

    def _nonces(self, senders: Mapping[bytes, int]) -> dict[bytes, Iterator[int]]:
        answers = self._rpc.many([("eth_getTransactionCount", (to_hex(sender), "latest")) for sender in senders])
        return {sender: count(to_int(next_)) for sender, next_ in zip(senders, answers, strict=True)}

    def _fund(self, needs: Mapping[bytes, int], price: int) -> None:
        balances = self._rpc.many([("eth_getBalance", (to_hex(sender), "latest")) for sender in needs])
        missing = {
            sender: (need, to_int(balance))
            for (sender, need), balance in zip(needs.items(), balances, strict=True)
            if to_int(balance) < need
        }
        if not missing:
            return
        if self._funder is None:
            sender, (need, balance) = next(iter(missing.items()))
            raise BoflError(self._shortage(sender, need - balance))
        self._transfer({sender: TOP_UP * need - balance for sender, (need, balance) in missing.items()}, price)

    def _transfer(self, amounts: Mapping[bytes, int], price: int) -> None:
        """From the funder's account, and wait for it."""
        assert self._funder is not None
        funder = address_of(self._funder)
        balance = to_int(self._rpc.one("eth_getBalance", to_hex(funder), "latest"))
        need = sum(amounts.values()) + len(amounts) * TRANSFER_GAS * price
        if balance < need:
            raise BoflError(self._shortage(funder, need - balance))
        nonces = self._nonces({funder: need})[funder]
        calls = [(Call(self._funder, to, b"", TRANSFER_GAS), amount) for to, amount in amounts.items()]
        sent = [sign(call, next(nonces), self._chain_id, price, amount) for call, amount in calls]
        for transfer in self._wait(self._send(sent)):
            if not transfer.success:
                to = to_hex(transfer.signed.to)
                raise BoflError(f"the transfer to {to} was reverted: let {to_hex(funder)} be an account without code")

    def _shortage(self, address: bytes, wei: int) -> str:
        return (
            f"account {to_hex(address)} lacks {_ether(wei)} ETH on chain {self._chain_id} to pay for gas: "
            "set BOFL_LEDGER_FUNDER to the private key of an account that holds it"
        )

    def _send(self, transactions: list["Signed"]) -> list["Signed"]:
        """One after the other, as a node may take the requests of a batch in any order; one sent before is no error."""
        for index, transaction in enumerate(transactions):
            answer = self._rpc.answer("eth_sendRawTransaction", to_hex(transaction.raw))
            if failed(answer) and self._rpc.one("eth_getTransactionByHash", to_hex(transaction.hash)) is None:
                raise BoflError(
                    f"the node refused transaction {index} of {len(transactions)} ({message(answer)}): "
                    "check its chain, fees and gas limit"
                )
        return transactions

    def _wait(self, transactions: list["Signed"]) -> list["_Mined"]:
        """Wait for the first that is not in a block yet, then look at all."""
        deadline = time.monotonic() + self._timeout
        receipts: dict[bytes, Json] = {}
        while waiting := [each for each in transactions if each.hash not in receipts]:
            if self._receipts(waiting[:1])[0] is None:
                self._let_time_pass(waiting[0], deadline)
                continue
            found = zip(waiting, self._receipts(waiting), strict=True)
            receipts |= {each.hash: receipt for each, receipt in found if receipt is not None}
        return [_Mined(each, receipts[each.hash]) for each in transactions]

    def _receipts(self, transactions: Sequence["Signed"]) -> list[Any]:
        return self._rpc.many([("eth_getTransactionReceipt", (to_hex(each.hash),)) for each in transactions])

    def _let_time_pass(self, transaction: "Signed", deadline: float) -> None:
        if time.monotonic() > deadline:
            raise BoflError(
                f"transaction {to_hex(transaction.hash)} was in no block after {self._timeout:g} s: "
                "check that the node makes blocks, or wait until fees have fallen"
            )
        if self._mines:
            self._mine(transaction)
        else:
            time.sleep(POLL_SECONDS)

    def _mine(self, transaction: "Signed") -> None:
        """Have a block made, which must not be empty: the node would leave the transaction out of the next one too."""
        parent = self._rpc.one("eth_getBlockByNumber", "latest", False)
        self._rpc.one("evm_setNextBlockTimestamp", to_int(parent["timestamp"]) + BLOCK_SECONDS)
        self._rpc.one("evm_mine")
        taken = to_int(self._rpc.one("eth_getBlockTransactionCountByNumber", "latest"))
        if not taken and self._receipts([transaction]) == [None]:
            raise BoflError(
                f"the node takes transaction {to_hex(transaction.hash)} into no block: "
                "check its gas limit and the nonces of its sender"
            )

    def _error(self, transaction: "_Mined") -> bytes:
        """The encoded error of a reverted transaction.

        Known for certain to a node that can trace. Another one is asked to call again before the block, where what
        came earlier in it is missing, and if that succeeds after the block.
        """
        signed, number = transaction.signed, transaction.place[0]
        for method, options in TRACES:
            output = _traced(self._rpc.answer(method, to_hex(signed.hash), *options).get("result"))
            if output is not None:
                return output
        for state in (number - 1, number):
            success, output = self._call(signed.sender, signed.to, signed.data, hex(state), signed.gas)
            if not success:
                return output
        return b""

    def _call(self, sender: bytes, to: bytes, data: bytes, state: str, gas: int | None = None) -> tuple[bool, bytes]:
        call = {"from": to_hex(sender), "data": to_hex(data)}
        call |= ({"to": to_hex(to)} if to else {}) | ({"gas": hex(gas)} if gas else {})
        answer = self._rpc.answer("eth_call", call, state)
        if not failed(answer):
            return True, to_bytes(answer["result"])
        reason, output = message(answer), revert_data(answer["error"])
        if output or answer["error"].get("code") == 3 or any(word in reason.lower() for word in FAILED_CALL):
            return False, output
        raise BoflError(f"the node refused eth_call ({reason}): use one that can")

    def _append(self, mined: Sequence["_Mined"], outputs: Sequence[bytes]) -> Applied:
        self._height += 1
        if mined:
            last = max(mined, key=lambda each: each.place)
            self._head, self._last_block = last.block_hash, last.place[0]
        locator = [[each.place[0], each.block_hash, each.signed.hash] for each in mined]
        outcomes = (each.outcome(output) for each, output in zip(mined, outputs, strict=True))
        return Applied(self._height, rlp.encode(locator), tuple(outcomes))

    def _fetch(self, locator: Sequence[tuple[int, bytes, bytes]]) -> list["_Mined"]:
        transactions = self._transactions([hash_ for _, _, hash_ in locator])
        receipts = self._receipts(transactions)
        if None in receipts:
            raise ValueError(f"the network did not execute transaction {receipts.index(None)}")
        mined = [_Mined(*pair) for pair in zip(transactions, receipts, strict=True)]
        self._check_places(mined, locator)
        return mined

    def _check_places(self, mined: Sequence["_Mined"], locator: Sequence[tuple[int, bytes, bytes]]) -> None:
        numbers = sorted({number for number, _, _ in locator})
        if numbers and numbers[0] <= self._last_block:
            raise ValueError(f"network block {numbers[0]} is not after block {self._last_block} of the batch before")
        answers = self._rpc.many([("eth_getBlockByNumber", (hex(number), False)) for number in numbers])
        blocks = dict(zip(numbers, answers, strict=True))
        for each, (number, block_hash, hash_) in zip(mined, locator, strict=True):
            block = blocks[number]
            if block is None or to_bytes(block["hash"]) != block_hash:
                raise ValueError(f"0x{block_hash.hex()} is not block {number} of the network")
            if each.place[0] != number or to_bytes(block["transactions"][each.place[1]]) != hash_:
                raise ValueError(f"transaction 0x{hash_.hex()} is not in block {number} of the network")
        last: dict[bytes, int] = {}
        for sender, nonce in ((each.signed.sender, each.signed.nonce) for each in mined):
            if nonce <= last.get(sender, -1):
                raise ValueError(f"the transactions of {to_hex(sender)} are not in the order of their nonces")
            last[sender] = nonce

    def _transactions(self, hashes: Sequence[bytes]) -> list["Signed"]:
        """The signed bytes, from a node that gives them out, else put together from their fields."""
        answers = self._rpc.answers([("eth_getRawTransactionByHash", (to_hex(hash_),)) for hash_ in hashes])
        raws = [
            to_bytes(answer.get("result") or "0x") or self._rebuild(hash_)
            for hash_, answer in zip(hashes, answers, strict=True)
        ]
        return [recover(raw, hash_, self._chain_id) for raw, hash_ in zip(raws, hashes, strict=True)]

    def _rebuild(self, hash_: bytes) -> bytes:
        fields = self._rpc.one("eth_getTransactionByHash", to_hex(hash_))
        if fields is None:
            raise ValueError(f"the network knows no transaction 0x{hash_.hex()}")
        nonce, price, gas, value, v, r, s = (
            to_int(fields[name]) for name in ("nonce", "gasPrice", "gas", "value", "v", "r", "s")
        )
        return rlp.encode(
            [nonce, price, gas, to_bytes(fields["to"] or "0x"), value, to_bytes(fields["input"]), v, r, s]
        )


class _Mined(NamedTuple):
    """A transaction that the network has executed, with the node's receipt."""

    signed: Signed
    receipt: Json

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands: the network's number of the block, and the position in it."""
        return to_int(self.receipt["blockNumber"]), to_int(self.receipt["transactionIndex"])

    @property
    def block_hash(self) -> bytes:
        return to_bytes(self.receipt["blockHash"])

    @property
    def success(self) -> bool:
        return to_int(self.receipt["status"]) == 1

    def outcome(self, output: bytes) -> Outcome:
        """What became of it, as every engine says it."""
        signed, receipt = self.signed, self.receipt
        logs = tuple(_log(log) for log in receipt["logs"])
        gas, size = to_int(receipt["gasUsed"]), len(signed.raw)
        return Outcome(signed.sender, signed.to, signed.data, self.success, output, gas, size, logs)


def _waits_for_orders(rpc: Rpc) -> bool:
    """Whether the node is a development node with automatic mining switched off."""
    version = rpc.one("web3_clientVersion").lower()
    return version.startswith(("anvil", "hardhat")) and rpc.one("hardhat_getAutomine") is False


def _traced(trace: Any) -> bytes | None:
    """The output in a transaction's trace; None without one, or where a list of frames leaves that of a revert out."""
    if isinstance(trace, list):
        output = (trace[0].get("result") or {}).get("output") if trace else None
        return None if output is None else to_bytes(output)
    return None if trace is None else to_bytes(trace.get("output") or "0x")


def _log(log: Json) -> tuple[bytes, tuple[bytes, ...], bytes]:
    return to_bytes(log["address"]), tuple(to_bytes(topic) for topic in log["topics"]), to_bytes(log["data"])


def _ether(wei: int) -> str:
    return f"{Decimal(wei) / 10**18:f}"
