"""A second opinion: the same chain followed by EELS, the Ethereum specification in Python, and not by py-evm.

The two EVMs were written by different people and share no code, so a fault of one does not pass unseen through an
audit that asks both. Nothing here imports py-evm: the block is decoded, executed, hashed and compared with the classes
and functions of ``ethereum.forks.prague`` alone. Who may seal a block is not asked here: coinbase and extra data are
taken as they stand, for `authority` checks them together with the py-evm engine.

Needs the extra ``bofl_jax[audit]`` (Python < 3.13); without it the import of this module fails with ImportError.

Cost, where py-evm replays a transaction in 10 ms: 17 ms a transaction, and 106 if EELS analysed the code anew at every
call as it comes. EELS also builds the whole state trie for every root, which `EelsEngine` asks for after every block:
45 ms at 100 registered clients, 460 ms at 1 000.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from ethereum.crypto.hash import Hash32, keccak256
from ethereum.exceptions import InvalidBlock, InvalidTransaction
from ethereum.forks.prague.blocks import Block, Header, Log, Receipt
from ethereum.forks.prague.bloom import logs_bloom
from ethereum.forks.prague.fork import EMPTY_OMMER_HASH, process_transaction
from ethereum.forks.prague.fork_types import Address, Bloom
from ethereum.forks.prague.requests import compute_requests_hash
from ethereum.forks.prague.state import State, TransientStorage, get_account, state_root
from ethereum.forks.prague.transactions import LegacyTransaction, recover_sender
from ethereum.forks.prague.trie import EMPTY_TRIE_ROOT, copy_trie, root, trie_get
from ethereum.forks.prague.vm import (
    BlockEnvironment,
    BlockOutput,
    Message,
    TransactionEnvironment,
    interpreter,
    runtime,
)
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes8, Bytes32
from ethereum_types.numeric import U64, U256, Uint

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.chain.base import Applied, Outcome
from bofl_jax.ledger.chain.genesis import BLOCK_SECONDS, CHAIN_ID, GAS_LIMIT, TIMESTAMP, VIEW_GAS, Genesis

ANCESTORS = 256  # how many block hashes a contract can ask for
NOBODY = Address(bytes(20))
FOLLOWING = (
    "parent_hash",
    "number",
    "timestamp",
    "gas_limit",
    "ommers_hash",
    "difficulty",
    "prev_randao",
    "nonce",
    "base_fee_per_gas",
    "withdrawals_root",
    "blob_gas_used",
    "excess_blob_gas",
    "parent_beacon_block_root",
    "requests_hash",
)
"""The fields of a header that are neither a result of the execution nor the seal."""


class EelsEngine:
    """A chain in memory that checks blocks and cannot make any.

    Making the first one changes EELS for the whole process: the valid jump destinations of a code are kept instead of
    being found anew at every call. That changes the time an execution takes, never its result.

    Args:
        genesis: block 0.
    """

    def __init__(self, genesis: Genesis) -> None:
        _keep_jump_destinations()
        self._state = State()
        self._head = _genesis_header(genesis)
        self._hashes = deque([_hash(self._head)], maxlen=ANCESTORS)

    @property
    def chain_id(self) -> int:
        return CHAIN_ID

    @property
    def head_hash(self) -> bytes:
        return bytes(self._hashes[-1])

    @property
    def height(self) -> int:
        return int(self._head.number)

    def import_block(self, raw: bytes) -> Applied:
        """Check header and transactions, execute them, compare every root, and append the block.

        Raises:
            VerificationError: if it is not a valid child of the head; the engine is as before.
        """
        number = self.height + 1
        state = _copy(self._state)  # EELS cannot nest a block's snapshot around those of its transactions
        try:
            block = _decode(raw)
            child = _child(self._head)
            _compare(block.header, {name: getattr(child, name) for name in FOLLOWING}, "follows from the parent")
            output, outcomes = _execute(_environment(state, block.header, list(self._hashes)), block.transactions)
            _compare(block.header, _results(output, state), "the transactions lead to")
        except Exception as error:  # whatever EELS trips over in foreign bytes is a refusal, never a crash
            raise VerificationError(f"block {number} does not hold on EELS: {_reason(error)}") from error
        self._state, self._head = state, block.header
        self._hashes.append(_hash(block.header))
        return Applied(number, raw, outcomes)

    def view(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        environment = _environment(_copy(self._state), self._head, list(self._hashes)[:-1])
        result = interpreter.process_message_call(_call(environment, Address(to), data))
        return result.error is None, bytes(result.return_data)

    def code(self, address: bytes) -> bytes:
        return bytes(get_account(self._state, Address(address)).code)


def _keep_jump_destinations() -> None:
    """Let EELS analyse each code once. The same as before if that is so already; the sets are only ever read."""
    name = "get_valid_jump_destinations"
    analyse = getattr(runtime, name)
    if not hasattr(analyse, "cache_info"):
        kept = lru_cache(maxsize=64)(analyse)
        for module in (runtime, interpreter):
            setattr(module, name, kept)


def _genesis_header(genesis: Genesis) -> Header:
    """Block 0: an empty state, no transactions, the constants of `bofl_jax.ledger.genesis`."""
    return Header(
        parent_hash=Hash32(bytes(32)),
        ommers_hash=EMPTY_OMMER_HASH,
        coinbase=NOBODY,
        state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT,
        receipt_root=EMPTY_TRIE_ROOT,
        bloom=Bloom(bytes(256)),
        difficulty=Uint(0),
        number=Uint(0),
        gas_limit=Uint(GAS_LIMIT),
        gas_used=Uint(0),
        timestamp=U256(TIMESTAMP),
        extra_data=genesis.extra_data,
        prev_randao=Bytes32(bytes(32)),
        nonce=Bytes8(bytes(8)),
        base_fee_per_gas=Uint(0),
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=U64(0),
        excess_blob_gas=U64(0),
        parent_beacon_block_root=EMPTY_TRIE_ROOT,  # no root of a beacon chain, but what py-evm writes for want of one
        requests_hash=Hash32(compute_requests_hash([])),
    )


def _child(parent: Header) -> Header:
    """The header of the next block, as far as it follows from the parent: its `FOLLOWING` fields count."""
    return replace(
        parent,
        parent_hash=_hash(parent),
        number=parent.number + Uint(1),
        timestamp=parent.timestamp + U256(BLOCK_SECONDS),
        coinbase=NOBODY,
    )


def _environment(state: State, header: Header, ancestors: list[Hash32]) -> BlockEnvironment:
    """What contracts see of the block that they are executed in, and of the hashes of those before it."""
    return BlockEnvironment(
        chain_id=U64(CHAIN_ID),
        state=state,
        block_gas_limit=header.gas_limit,
        block_hashes=ancestors,
        coinbase=header.coinbase,
        number=header.number,
        base_fee_per_gas=header.base_fee_per_gas,
        time=header.timestamp,
        prev_randao=header.prev_randao,
        excess_blob_gas=header.excess_blob_gas,
        parent_beacon_block_root=header.parent_beacon_block_root,
    )


def _hash(header: Header) -> Hash32:
    return keccak256(rlp.encode(header))


def _copy(state: State) -> State:
    """A state of its own that starts out the same. The accounts and values themselves are immutable and shared."""
    storage = {address: copy_trie(trie) for address, trie in state._storage_tries.items()}
    return State(copy_trie(state._main_trie), storage)


def _decode(raw: bytes) -> Block:
    block = rlp.decode_to(Block, raw)
    if rlp.encode(block) != raw:
        raise InvalidBlock("the block is not in its one canonical encoding")
    if block.ommers or block.withdrawals:
        raise InvalidBlock("the block has ommers or withdrawals")
    return block


def _compare(header: Header, expected: Mapping[str, object], origin: str) -> None:
    """Raises InvalidBlock for the first field of the header that is not as expected."""
    for name, value in expected.items():
        if getattr(header, name) != value:
            raise InvalidBlock(f"{name} is not what {origin}")


def _execute(environment: BlockEnvironment, transactions: Iterable[Any]) -> tuple[BlockOutput, tuple[Outcome, ...]]:
    """Apply the transactions to the environment's state, in order."""
    output, outcomes = BlockOutput(), []
    for index, transaction in enumerate(transactions):
        try:
            outcomes.append(_apply(environment, output, index, transaction))
        except Exception as error:
            raise InvalidTransaction(f"transaction {index}: {_reason(error)}") from error
    return output, tuple(outcomes)


def _apply(environment: BlockEnvironment, output: BlockOutput, index: int, transaction: Any) -> Outcome:
    """Apply one transaction. EELS would also take typed ones and those signed for no chain in particular."""
    if not isinstance(transaction, LegacyTransaction) or (int(transaction.v) - 35) // 2 != CHAIN_ID:
        raise InvalidTransaction(f"not a plain one signed for chain {CHAIN_ID}")
    before = output.block_gas_used
    process_transaction(environment, output, transaction, Uint(index))
    receipt = cast(Receipt, trie_get(output.receipts_trie, output.receipt_keys[-1]))
    return Outcome(
        sender=bytes(recover_sender(environment.chain_id, transaction)),
        to=bytes(transaction.to),
        data=bytes(transaction.data),
        success=receipt.succeeded,
        output=b"",
        gas=int(output.block_gas_used - before),
        size=len(rlp.encode(transaction)),
        logs=tuple(_log(log) for log in receipt.logs),
    )


def _log(log: Log) -> tuple[bytes, tuple[bytes, ...], bytes]:
    return bytes(log.address), tuple(bytes(topic) for topic in log.topics), bytes(log.data)


def _results(output: BlockOutput, state: State) -> dict[str, object]:
    """The header fields that the execution decides. The state's root comes last, for it takes longest."""
    return {
        "transactions_root": root(output.transactions_trie),
        "gas_used": output.block_gas_used,
        "receipt_root": root(output.receipts_trie),
        "bloom": logs_bloom(output.block_logs),
        "state_root": state_root(state),
    }


def _call(environment: BlockEnvironment, to: Address, data: bytes) -> Message:
    """A call by nobody, from outside any transaction."""
    transaction = TransactionEnvironment(
        origin=NOBODY,
        gas_price=Uint(0),
        gas=Uint(VIEW_GAS),
        access_list_addresses=set(),
        access_list_storage_keys=set(),
        transient_storage=TransientStorage(),
        blob_versioned_hashes=(),
        authorizations=(),
        index_in_block=None,
        tx_hash=None,
    )
    return Message(
        block_env=environment,
        tx_env=transaction,
        caller=NOBODY,
        target=to,
        current_target=to,
        gas=Uint(VIEW_GAS),
        value=U256(0),
        data=data,
        code_address=to,
        code=get_account(environment.state, to).code,
        depth=Uint(0),
        should_transfer_value=False,
        is_static=False,
        accessed_addresses=set(),
        accessed_storage_keys=set(),
        disable_precompiles=False,
        parent_evm=None,
    )


def _reason(error: Exception) -> str:
    """What went wrong in one line; many of EELS' errors say it with nothing but their name."""
    return " ".join(str(error).split()) or type(error).__name__
