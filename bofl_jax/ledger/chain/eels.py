"""A second EVM for audits: the same chain on EELS, the Ethereum execution specification in Python.

EELS and py-evm were written by different people and share no code, so an error in one of them does not go unnoticed in
an audit that uses both. Nothing here imports py-evm: a block is decoded, executed, hashed and compared with the classes
and functions of ``ethereum.forks.prague`` alone. The seal is not checked here: coinbase and extra data are taken as
they are, because the audit checks them on the py-evm chain.

Needs the extra ``bofl_jax[audit]`` (Python < 3.13); without it the import of this module raises ImportError.

Cost: 17 ms per transaction, where py-evm takes 10 ms. Without the cache of jump destinations it would be 106 ms. EELS
also builds the whole state trie for every state root, which `EelsChain` needs after every block: 45 ms for 100
registered clients, 460 ms for 1 000.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

from ethereum.crypto.hash import Hash32, keccak256
from ethereum.exceptions import InvalidBlock, InvalidTransaction
from ethereum.forks.prague.blocks import Block, Header
from ethereum.forks.prague.blocks import Log as EelsLog
from ethereum.forks.prague.blocks import Receipt as EelsReceipt
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
from bofl_jax.ledger.chain.base import ExecutedBlock, Log, Receipt
from bofl_jax.ledger.chain.genesis import (
    BLOCK_GAS_LIMIT,
    BLOCK_SECONDS,
    CHAIN_ID,
    ETH_CALL_GAS,
    GENESIS_TIMESTAMP,
    Genesis,
)

EIP_155_OFFSET = 35
ANCESTORS = 256  # number of block hashes that a contract can read
ZERO_ADDRESS = Address(bytes(20))
INHERITED_FIELDS = (
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
"""The header fields that are equal in all blocks."""


class EelsChain:
    """A chain in memory that checks blocks but cannot seal any.

    Creating the first instance changes EELS for the whole process: the valid jump destinations of a code are cached
    instead of being computed at every call. This changes the time of an execution, never its result.

    Args:
        genesis: content of block 0.
    """

    def __init__(self, genesis: Genesis) -> None:
        _cache_jump_destinations()
        self._state = State()
        self._head = _genesis_header(genesis)
        self._hashes = deque([_hash(self._head)], maxlen=ANCESTORS)

    @property
    def chain_id(self) -> int:
        """Id of the chain that transactions are signed for."""
        return CHAIN_ID

    @property
    def head_hash(self) -> bytes:
        """32 bytes, the hash of the last block."""
        return bytes(self._hashes[-1])

    @property
    def height(self) -> int:
        """Number of the last block; the genesis block is 0."""
        return int(self._head.number)

    def import_block(self, raw: bytes) -> ExecutedBlock:
        """Check header and transactions, execute them, compare every root, and append the block.

        Raises:
            VerificationError: if it is not a valid child of the head; the chain is unchanged.
        """
        number = self.height + 1
        state = _copy(self._state)  # EELS cannot nest the snapshots of transactions in one of the block
        try:
            block = _decode(raw)
            _compare(block.header, _fields_from_parent(self._head), "follows from the parent")
            output, receipts = _execute(_environment(state, block.header, list(self._hashes)), block.transactions)
            _compare(block.header, _results(output, state), "the transactions lead to")
        except Exception as error:  # any error that foreign bytes cause in EELS is a rejection, not a crash
            raise VerificationError(f"block {number} does not hold on EELS: {_reason(error)}") from error
        self._state, self._head = state, block.header
        self._hashes.append(_hash(block.header))
        return ExecutedBlock(number, raw, receipts)

    def eth_call(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        """Call a contract without a transaction: whether it succeeded, and the output or encoded error."""
        environment = _environment(_copy(self._state), self._head, list(self._hashes)[:-1])
        result = interpreter.process_message_call(_call_message(environment, Address(to), data))
        return result.error is None, bytes(result.return_data)

    def get_code(self, address: bytes) -> bytes:
        """The contract code at a 20-byte address; empty if there is none."""
        return bytes(get_account(self._state, Address(address)).code)


def _cache_jump_destinations() -> None:
    """Let EELS analyse each code once; the cached sets are never changed. Does nothing the second time."""
    name = "get_valid_jump_destinations"
    analyse = getattr(runtime, name)
    if not hasattr(analyse, "cache_info"):
        cached = lru_cache(maxsize=64)(analyse)
        for module in (runtime, interpreter):
            setattr(module, name, cached)


def _genesis_header(genesis: Genesis) -> Header:
    """Block 0: an empty state, no transactions, and the constants of `bofl_jax.ledger.chain.genesis`."""
    return Header(
        parent_hash=Hash32(bytes(32)),
        ommers_hash=EMPTY_OMMER_HASH,
        coinbase=ZERO_ADDRESS,
        state_root=EMPTY_TRIE_ROOT,
        transactions_root=EMPTY_TRIE_ROOT,
        receipt_root=EMPTY_TRIE_ROOT,
        bloom=Bloom(bytes(256)),
        difficulty=Uint(0),
        number=Uint(0),
        gas_limit=Uint(BLOCK_GAS_LIMIT),
        gas_used=Uint(0),
        timestamp=U256(GENESIS_TIMESTAMP),
        extra_data=genesis.extra_data,
        prev_randao=Bytes32(bytes(32)),
        nonce=Bytes8(bytes(8)),
        base_fee_per_gas=Uint(0),
        withdrawals_root=EMPTY_TRIE_ROOT,
        blob_gas_used=U64(0),
        excess_blob_gas=U64(0),
        parent_beacon_block_root=EMPTY_TRIE_ROOT,  # there is no beacon chain; py-evm writes this value
        requests_hash=Hash32(compute_requests_hash([])),
    )


def _fields_from_parent(parent: Header) -> dict[str, object]:
    """The header fields of the next block that the parent determines: all but the seal and the execution's results."""
    following = {
        "parent_hash": _hash(parent),
        "number": parent.number + Uint(1),
        "timestamp": parent.timestamp + U256(BLOCK_SECONDS),
    }
    return following | {name: getattr(parent, name) for name in INHERITED_FIELDS}


def _environment(state: State, header: Header, ancestors: list[Hash32]) -> BlockEnvironment:
    """The properties of a block, and the hashes of earlier blocks, that contracts can read."""
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
    """An independent copy of a state. Accounts and values are immutable and shared."""
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
    """Raise InvalidBlock for the first header field with another value than expected."""
    for name, value in expected.items():
        if getattr(header, name) != value:
            raise InvalidBlock(f"{name} is not what {origin}")


def _execute(environment: BlockEnvironment, transactions: Iterable[Any]) -> tuple[BlockOutput, tuple[Receipt, ...]]:
    """Apply the transactions to the environment's state, in order."""
    output, receipts = BlockOutput(), []
    for index, transaction in enumerate(transactions):
        try:
            receipts.append(_apply(environment, output, index, transaction))
        except Exception as error:
            raise InvalidTransaction(f"transaction {index}: {_reason(error)}") from error
    return output, tuple(receipts)


def _apply(environment: BlockEnvironment, output: BlockOutput, index: int, transaction: Any) -> Receipt:
    """Apply one transaction. EELS would also accept typed transactions and those without a chain id."""
    if not isinstance(transaction, LegacyTransaction) or (int(transaction.v) - EIP_155_OFFSET) // 2 != CHAIN_ID:
        raise InvalidTransaction(f"not a legacy transaction signed for chain {CHAIN_ID}")
    before = output.block_gas_used
    process_transaction(environment, output, transaction, Uint(index))
    receipt = cast(EelsReceipt, trie_get(output.receipts_trie, output.receipt_keys[-1]))
    return Receipt(
        sender=bytes(recover_sender(environment.chain_id, transaction)),
        to=bytes(transaction.to),
        data=bytes(transaction.data),
        success=receipt.succeeded,
        output=b"",
        gas_used=int(output.block_gas_used - before),
        size=len(rlp.encode(transaction)),
        logs=tuple(_log(log) for log in receipt.logs),
    )


def _log(log: EelsLog) -> Log:
    return Log(bytes(log.address), tuple(bytes(topic) for topic in log.topics), bytes(log.data))


def _results(output: BlockOutput, state: State) -> dict[str, object]:
    """The header fields that result from the execution. The state root comes last because it takes longest."""
    return {
        "transactions_root": root(output.transactions_trie),
        "gas_used": output.block_gas_used,
        "receipt_root": root(output.receipts_trie),
        "bloom": logs_bloom(output.block_logs),
        "state_root": state_root(state),
    }


def _call_message(environment: BlockEnvironment, to: Address, data: bytes) -> Message:
    """A call from the zero address, outside any transaction."""
    transaction = TransactionEnvironment(
        origin=ZERO_ADDRESS,
        gas_price=Uint(0),
        gas=Uint(ETH_CALL_GAS),
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
        caller=ZERO_ADDRESS,
        target=to,
        current_target=to,
        gas=Uint(ETH_CALL_GAS),
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
    """The error in one line; many errors of EELS have no text, only a name."""
    return " ".join(str(error).split()) or type(error).__name__
