"""The engine on an Ethereum node: the same contract and the same run on a development node or a real network.

The network executes and keeps the transactions; this side signs them, waits for them and writes down where they are.
Transactions are checked here, signatures included; what the node says of their execution (receipts) is taken as said.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import rlp
from eth_hash.auto import keccak
from rlp.sedes import Binary, CountableList, List, big_endian_int

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.accounts import private_key
from bofl_jax.ledger.base import Applied, Call, Outcome, TransactionRevertedError

if TYPE_CHECKING:
    from web3 import HTTPProvider

BLOCK_SECONDS = 12
BATCH = 100  # questions in one HTTP request; public nodes refuse many more
BUSY = (429, 502, 503, 504)  # HTTP answers after which the same request is sent again
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
TRANSACTION = List([big_endian_int] * 3 + [Binary()] + [big_endian_int] + [Binary()] + [big_endian_int] * 3)

Json = Mapping[str, Any]
Request = tuple[str, Sequence[Any]]


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
        self._rpc = _Rpc(url, timeout)
        self._funder, self._timeout = funder, timeout
        self._chain_id = _int(self._rpc.one("eth_chainId"))
        self._mines = _waits_for_orders(self._rpc) if mine is None else mine
        self._head = _bytes(self._rpc.one("eth_getBlockByNumber", "0x0", False)["hash"])
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
            mined = self._fetch(_decode(raw, LOCATOR))
        except BoflError:
            raise
        except Exception as error:  # whatever foreign bytes or a strange answer lead to is a refusal, never a crash
            reason = " ".join(str(error).split()) or type(error).__name__
            raise VerificationError(f"block {self.height + 1} does not hold: {reason}") from error
        return self._append(mined, [b""] * len(mined))

    def view(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        return self._call(NO_ONE, to, data, "latest")

    def code(self, address: bytes) -> bytes:
        return _bytes(self._rpc.one("eth_getCode", _hex(address), "latest"))

    def _sign(self, calls: Sequence[Call]) -> list["_Signed"]:
        """Prices fall by one wei from call to call: block makers go by price, and the calls have an order."""
        price = self._price()
        prices = [price + after if price else 0 for after in reversed(range(len(calls)))]
        senders = [_address(call.key) for call in calls]
        needs: Counter[bytes] = Counter()
        for sender, call, each in zip(senders, calls, prices, strict=True):
            needs[sender] += call.gas * each
        if price:
            self._fund(needs, price)
        nonces = self._nonces(needs)
        return [
            _sign(call, next(nonces[sender]), each, self._chain_id)
            for call, sender, each in zip(calls, senders, prices, strict=True)
        ]

    def _price(self) -> int:
        """Price of gas in wei. A base fee of 0 is a network without fees, though anvil suggests a tip there as well."""
        base_fee = self._rpc.one("eth_getBlockByNumber", "latest", False).get("baseFeePerGas")
        if base_fee is not None and _int(base_fee) == 0:
            return 0
        return HEADROOM * max(_int(base_fee or "0x0"), _int(self._rpc.one("eth_gasPrice")))

    def _nonces(self, senders: Mapping[bytes, int]) -> dict[bytes, Iterator[int]]:
        answers = self._rpc.many([("eth_getTransactionCount", (_hex(sender), "latest")) for sender in senders])
        return {sender: count(_int(next_)) for sender, next_ in zip(senders, answers, strict=True)}

    def _fund(self, needs: Mapping[bytes, int], price: int) -> None:
        balances = self._rpc.many([("eth_getBalance", (_hex(sender), "latest")) for sender in needs])
        missing = {
            sender: (need, _int(balance))
            for (sender, need), balance in zip(needs.items(), balances, strict=True)
            if _int(balance) < need
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
        funder = _address(self._funder)
        balance = _int(self._rpc.one("eth_getBalance", _hex(funder), "latest"))
        need = sum(amounts.values()) + len(amounts) * TRANSFER_GAS * price
        if balance < need:
            raise BoflError(self._shortage(funder, need - balance))
        nonces = self._nonces({funder: need})[funder]
        calls = [(Call(self._funder, to, b"", TRANSFER_GAS), amount) for to, amount in amounts.items()]
        sent = [_sign(call, next(nonces), price, self._chain_id, amount) for call, amount in calls]
        for transfer in self._wait(self._send(sent)):
            if not transfer.success:
                to = _hex(transfer.signed.to)
                raise BoflError(f"the transfer to {to} was reverted: let {_hex(funder)} be an account without code")

    def _shortage(self, address: bytes, wei: int) -> str:
        return (
            f"account {_hex(address)} lacks {_ether(wei)} ETH on chain {self._chain_id} to pay for gas: "
            "set BOFL_LEDGER_FUNDER to the private key of an account that holds it"
        )

    def _send(self, transactions: list["_Signed"]) -> list["_Signed"]:
        """One after the other, as a node may take the requests of a batch in any order; one sent before is no error."""
        for index, transaction in enumerate(transactions):
            answer = self._rpc.answer("eth_sendRawTransaction", _hex(transaction.raw))
            if _failed(answer) and self._rpc.one("eth_getTransactionByHash", _hex(transaction.hash)) is None:
                raise BoflError(
                    f"the node refused transaction {index} of {len(transactions)} ({_message(answer)}): "
                    "check its chain, fees and gas limit"
                )
        return transactions

    def _wait(self, transactions: list["_Signed"]) -> list["_Mined"]:
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

    def _receipts(self, transactions: Sequence["_Signed"]) -> list[Any]:
        return self._rpc.many([("eth_getTransactionReceipt", (_hex(each.hash),)) for each in transactions])

    def _let_time_pass(self, transaction: "_Signed", deadline: float) -> None:
        if time.monotonic() > deadline:
            raise BoflError(
                f"transaction {_hex(transaction.hash)} was in no block after {self._timeout:g} s: "
                "check that the node makes blocks, or wait until fees have fallen"
            )
        if self._mines:
            self._mine(transaction)
        else:
            time.sleep(POLL_SECONDS)

    def _mine(self, transaction: "_Signed") -> None:
        """Have a block made, which must not be empty: the node would leave the transaction out of the next one too."""
        parent = self._rpc.one("eth_getBlockByNumber", "latest", False)
        self._rpc.one("evm_setNextBlockTimestamp", _int(parent["timestamp"]) + BLOCK_SECONDS)
        self._rpc.one("evm_mine")
        taken = _int(self._rpc.one("eth_getBlockTransactionCountByNumber", "latest"))
        if not taken and self._receipts([transaction]) == [None]:
            raise BoflError(
                f"the node takes transaction {_hex(transaction.hash)} into no block: "
                "check its gas limit and the nonces of its sender"
            )

    def _error(self, transaction: "_Mined") -> bytes:
        """The encoded error of a reverted transaction.

        Known for certain to a node that can trace. Another one is asked to call again before the block, where what
        came earlier in it is missing, and if that succeeds after the block.
        """
        signed, number = transaction.signed, transaction.place[0]
        for method, options in TRACES:
            output = _traced(self._rpc.answer(method, _hex(signed.hash), *options).get("result"))
            if output is not None:
                return output
        for state in (number - 1, number):
            success, output = self._call(signed.sender, signed.to, signed.data, hex(state), signed.gas)
            if not success:
                return output
        return b""

    def _call(self, sender: bytes, to: bytes, data: bytes, state: str, gas: int | None = None) -> tuple[bool, bytes]:
        call = {"from": _hex(sender), "data": _hex(data)}
        call |= ({"to": _hex(to)} if to else {}) | ({"gas": hex(gas)} if gas else {})
        answer = self._rpc.answer("eth_call", call, state)
        if not _failed(answer):
            return True, _bytes(answer["result"])
        message, output = _message(answer), _revert_data(answer["error"])
        if output or answer["error"].get("code") == 3 or any(word in message.lower() for word in FAILED_CALL):
            return False, output
        raise BoflError(f"the node refused eth_call ({message}): use one that can")

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
            if block is None or _bytes(block["hash"]) != block_hash:
                raise ValueError(f"0x{block_hash.hex()} is not block {number} of the network")
            if each.place[0] != number or _bytes(block["transactions"][each.place[1]]) != hash_:
                raise ValueError(f"transaction 0x{hash_.hex()} is not in block {number} of the network")
        last: dict[bytes, int] = {}
        for sender, nonce in ((each.signed.sender, each.signed.nonce) for each in mined):
            if nonce <= last.get(sender, -1):
                raise ValueError(f"the transactions of {_hex(sender)} are not in the order of their nonces")
            last[sender] = nonce

    def _transactions(self, hashes: Sequence[bytes]) -> list["_Signed"]:
        """The signed bytes, from a node that gives them out, else put together from their fields."""
        answers = self._rpc.answers([("eth_getRawTransactionByHash", (_hex(hash_),)) for hash_ in hashes])
        raws = [
            _bytes(answer.get("result") or "0x") or self._rebuild(hash_)
            for hash_, answer in zip(hashes, answers, strict=True)
        ]
        return [_recover(raw, hash_, self._chain_id) for raw, hash_ in zip(raws, hashes, strict=True)]

    def _rebuild(self, hash_: bytes) -> bytes:
        fields = self._rpc.one("eth_getTransactionByHash", _hex(hash_))
        if fields is None:
            raise ValueError(f"the network knows no transaction 0x{hash_.hex()}")
        nonce, price, gas, value, v, r, s = (
            _int(fields[name]) for name in ("nonce", "gasPrice", "gas", "value", "v", "r", "s")
        )
        return rlp.encode([nonce, price, gas, _bytes(fields["to"] or "0x"), value, _bytes(fields["input"]), v, r, s])


class _Signed(NamedTuple):
    """A signed transaction and what it says."""

    raw: bytes
    hash: bytes
    sender: bytes
    to: bytes
    data: bytes
    gas: int
    nonce: int


class _Mined(NamedTuple):
    """A transaction that the network has executed, with the node's receipt."""

    signed: _Signed
    receipt: Json

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands: the network's number of the block, and the position in it."""
        return _int(self.receipt["blockNumber"]), _int(self.receipt["transactionIndex"])

    @property
    def block_hash(self) -> bytes:
        return _bytes(self.receipt["blockHash"])

    @property
    def success(self) -> bool:
        return _int(self.receipt["status"]) == 1

    def outcome(self, output: bytes) -> Outcome:
        """What became of it, as every engine says it."""
        signed, receipt = self.signed, self.receipt
        logs = tuple(_log(log) for log in receipt["logs"])
        gas, size = _int(receipt["gasUsed"]), len(signed.raw)
        return Outcome(signed.sender, signed.to, signed.data, self.success, output, gas, size, logs)


class _Rpc:
    """JSON-RPC over HTTP: questions to a node, alone or many in one request."""

    def __init__(self, url: str, timeout: float) -> None:
        self._shown = _shown(url)
        self._provider = _provider(url, timeout)

    def one(self, method: str, *params: Any) -> Any:
        """The result of one question, which must have one (it may be null)."""
        return _result(method, self.answer(method, *params))

    def many(self, requests: Sequence[Request]) -> list[Any]:
        """The results of many."""
        pairs = zip(requests, self.answers(requests), strict=True)
        return [_result(method, answer) for (method, _), answer in pairs]

    def answer(self, method: str, *params: Any) -> Json:
        """The answer to one question: an object with ``result`` or ``error``."""
        return self.answers([(method, params)])[0]

    def answers(self, requests: Sequence[Request]) -> list[Json]:
        """The answers to many, in their order."""
        starts = range(0, len(requests), BATCH)
        return [answer for start in starts for answer in self._answers(requests[start : start + BATCH])]

    def _answers(self, batch: Sequence[Request]) -> list[Json]:
        """A node that does not take a batch, or not all of it, is asked one by one."""
        if len(batch) > 1:
            answers = self._post(self._provider.make_batch_request, list(batch))
            if isinstance(answers, list) and len(answers) == len(batch) and all(map(_is_answer, answers)):
                return answers
        return [self._alone(*request) for request in batch]

    def _alone(self, method: str, params: Sequence[Any]) -> Json:
        answer = self._post(self._provider.make_request, method, params)
        if not _is_answer(answer):
            raise self._absent("no JSON-RPC")
        return answer

    def _post(self, send: Any, *args: Any) -> Any:
        try:
            return send(*args)
        except (OSError, ValueError) as error:  # no connection, a refusal in HTTP; an answer that is no JSON
            reply = getattr(error, "response", None)
            raise self._absent("" if reply is None else f"HTTP {reply.status_code}") from error

    def _absent(self, reason: str) -> BoflError:
        why = f" ({reason})" if reason else ""
        return BoflError(
            f"no Ethereum node answers at {self._shown}{why}: start one, or set ledger.node to its address"
        )


def _shown(url: str) -> str:
    """Scheme, host and port of an address; the rest may hold an access key."""
    try:
        address = urlsplit(url)
    except ValueError:
        address = urlsplit("")
    if address.scheme not in ("http", "https") or not address.hostname:
        raise BoflError(f"{url!r} is no address of an Ethereum node: set ledger.node to an http:// or https:// URL")
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


def _provider(url: str, timeout: float) -> "HTTPProvider":
    """web3's connection, which repeats a request if and only if the node says that it is too busy."""
    try:
        from requests import Session
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry
        from web3 import HTTPProvider
    except ImportError as error:
        raise BoflError(f"ledger.node needs web3 ({error.name} is missing): pip install 'bofl_jax[node]'") from error
    session = Session()
    busy = Retry(5, connect=0, read=0, allowed_methods=None, status_forcelist=BUSY, backoff_factor=0.5)
    session.mount(url, HTTPAdapter(max_retries=busy))
    return HTTPProvider(url, {"timeout": timeout}, session, exception_retry_configuration=None)


def _waits_for_orders(rpc: _Rpc) -> bool:
    """Whether the node is a development node with automatic mining switched off."""
    version = rpc.one("web3_clientVersion").lower()
    return version.startswith(("anvil", "hardhat")) and rpc.one("hardhat_getAutomine") is False


def _sign(call: Call, nonce: int, price: int, chain_id: int, value: int = 0) -> _Signed:
    """A legacy transaction after EIP-155, the kind that every network takes."""
    key = private_key(call.key)
    says = (nonce, price, call.gas, call.to, value, call.data)
    signature = key.sign_msg_hash(keccak(rlp.encode([*says, chain_id, 0, 0])))
    raw = rlp.encode([*says, chain_id * 2 + 35 + signature.v, signature.r, signature.s])
    sender = key.public_key.to_canonical_address()
    return _Signed(raw, keccak(raw), sender, call.to, call.data, call.gas, nonce)


def _recover(raw: bytes, expected: bytes, chain_id: int) -> _Signed:
    """A transaction from its bytes, which must have the expected hash; its sender from the signature."""
    from eth_keys import keys

    if keccak(raw) != expected:
        raise ValueError(f"the node's transaction 0x{expected.hex()} has another hash")
    if raw[0] < 0xC0 or (fields := _decode(raw, TRANSACTION))[6] - 35 - 2 * chain_id not in (0, 1):
        raise ValueError(f"transaction 0x{expected.hex()} is not a plain one signed for chain {chain_id}")
    nonce, price, gas, to, value, data, v, r, s = fields
    unsigned = keccak(rlp.encode([nonce, price, gas, to, value, data, chain_id, 0, 0]))
    signature = keys.Signature(vrs=(v - 35 - 2 * chain_id, r, s))
    sender = signature.recover_public_key_from_msg_hash(unsigned).to_canonical_address()
    return _Signed(raw, expected, sender, to, data, gas, nonce)


def _decode(raw: bytes, sedes: Any) -> Any:
    content = rlp.decode(raw, sedes)
    if rlp.encode(content, sedes) != raw:
        raise ValueError("the bytes are not in their one canonical encoding")
    return content


def _address(key: bytes) -> bytes:
    return private_key(key).public_key.to_canonical_address()


def _traced(trace: Any) -> bytes | None:
    """The output in a transaction's trace; None without one, or where a list of frames leaves that of a revert out."""
    if isinstance(trace, list):
        output = (trace[0].get("result") or {}).get("output") if trace else None
        return None if output is None else _bytes(output)
    return None if trace is None else _bytes(trace.get("output") or "0x")


def _log(log: Json) -> tuple[bytes, tuple[bytes, ...], bytes]:
    return _bytes(log["address"]), tuple(_bytes(topic) for topic in log["topics"]), _bytes(log["data"])


def _result(method: str, answer: Json) -> Any:
    if _failed(answer):
        raise BoflError(f"the node refused {method} ({_message(answer)}): use one that can")
    return answer["result"]


def _failed(answer: Json) -> bool:
    return answer.get("error") is not None


def _is_answer(answer: Any) -> bool:
    return isinstance(answer, Mapping) and ("result" in answer or isinstance(answer.get("error"), Mapping))


def _message(answer: Json) -> str:
    return " ".join(str(answer["error"].get("message", answer["error"])).split())


def _revert_data(error: Json) -> bytes:
    """Nodes put it into ``data``, some of them one level deeper."""
    data = error.get("data")
    data = data.get("data") if isinstance(data, Mapping) else data
    return _bytes(data) if isinstance(data, str) and data.startswith("0x") else b""


def _ether(wei: int) -> str:
    return f"{Decimal(wei) / 10**18:f}"


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _int(quantity: str) -> int:
    return int(quantity, 16)


def _bytes(data: str) -> bytes:
    return bytes.fromhex(data.removeprefix("0x"))
