"""The py-evm engine: an in-process chain under Prague rules with proof-of-authority seals and deterministic headers.

py-evm is archived upstream; all that knows it is this module, `authority`, `evm_speed`, `trie_speed`, and `proof` for
its headers.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import rlp
from eth.abc import BlockAPI, BlockHeaderAPI, ComputationAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import Chain
from eth.consensus.context import ConsensusContext
from eth.consensus.noproof import NoProofConsensus
from eth.constants import CREATE_CONTRACT_ADDRESS, ZERO_ADDRESS
from eth.db.atomic import AtomicDB
from eth.db.header import HeaderDB
from eth_typing import Address, BlockNumber, Hash32
from rlp.codec import length_prefix

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.chain.accounts import Account, address_of
from bofl_jax.ledger.chain.base import Applied, Call, Outcome, TransactionRevertedError
from bofl_jax.ledger.chain.genesis import CHAIN_ID, SEAL, VIEW_GAS, Genesis, parse_extra_data
from bofl_jax.ledger.chain.proof_of_authority import (
    check_body,
    check_header,
    check_seal,
    genesis_header,
    in_turn,
    next_header,
    seal,
)
from bofl_jax.ledger.chain.py_evm_fast import LeanState, LeanVM, use_fast_keccak
from bofl_jax.ledger.chain.transactions import signature
from bofl_jax.ledger.chain.trie_fast import remember_nibbles, trie_root_and_nodes
from bofl_jax.ledger.clock import Clock

use_fast_keccak()
remember_nibbles()
_silent = logging.getLogger("bofl_jax.ledger.chain")
_silent.addHandler(logging.NullHandler())  # a refused block is an error with its reason, and no warning beside it


class PyEvmEngine:
    """A chain in memory. Without the authorities' keys it checks blocks, with them it seals them.

    Args:
        genesis: block 0.
        authorities: key pairs of the genesis block's authorities, in any order; none for an audit.
        clock: charged with the time for signing, execution, tries and sealing.
    """

    def __init__(self, genesis: Genesis, authorities: Iterable[Account] = (), clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._genesis = genesis
        self._authorities = {account.address: account for account in authorities}
        self._chain = _GovernedChain.from_genesis_header(AtomicDB(), genesis_header(genesis))
        self._head: BlockHeaderAPI = self._chain.get_canonical_head()

    @property
    def chain_id(self) -> int:
        return CHAIN_ID

    @property
    def head_hash(self) -> bytes:
        return self._head.hash

    @property
    def height(self) -> int:
        return self._head.block_number

    def seal_block(self, calls: Sequence[Call], *, strict: bool = True) -> Applied:
        """Sign the calls with the next nonces of their senders, execute them and seal the block.

        Raises:
            TransactionRevertedError: if ``strict`` and one was reverted; the chain is as before.
        """
        authority = self._authorities[in_turn(self._genesis, self.height + 1)]
        extra_data = self._genesis.config_hash + bytes(SEAL)
        header = next_header(self._head, coinbase=authority.address, extra_data=extra_data)
        vm = self._chain.get_vm(header)
        with self._clock.phase("signing"):
            transactions = self._sign(calls, vm.state)
        with self._clock.phase("execution"):
            executed, receipts, computations = vm.apply_all_transactions(transactions, header)
        if strict:
            _refuse_reverts(computations)
        with self._clock.phase("tries"):
            vm.state.persist()
            roots = {
                "transaction_root": self._store(transactions),
                "receipt_root": self._store(receipts),
                "state_root": vm.state.state_root,
            }
        with self._clock.phase("sealing"):
            block = vm.get_block_class()(seal(executed.copy(**roots), authority), transactions, (), ())
            vm.validate_header(block.header, self._head)
            return self._append(block, receipts, [computation.output for computation in computations])

    def import_block(self, raw: bytes) -> Applied:
        """Check seal, header and transactions, execute them again, compare every root, and append the block."""
        number = self.height + 1
        try:
            block = rlp.decode(raw, sedes=_GovernedVM.get_block_class())
            check_header(block.header, self._head, self._genesis)
            check_body(block)
            self._chain.import_block(block)
        except Exception as error:  # whatever the EVM trips over in foreign bytes is a refusal, never a crash
            reason = " ".join(str(error).split()) or type(error).__name__
            raise VerificationError(f"block {number} does not hold: {reason}") from error
        self._head = block.header
        receipts = block.get_receipts(self._chain.chaindb)
        return _applied(block, receipts, [b""] * len(receipts))

    def view(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        vm = self._chain.get_vm(self._head)
        address = Address(to)
        code = vm.state.get_code(address)
        computation = vm.execute_bytecode(ZERO_ADDRESS, 0, VIEW_GAS, address, ZERO_ADDRESS, 0, data, code, address)
        return computation.is_success, computation.output

    def code(self, address: bytes) -> bytes:
        return self._chain.get_vm(self._head).state.get_code(Address(address))

    def receipts(self, number: int) -> list[bytes]:
        """The encoded receipts of a block, as they stand in the trie under its header's receipt root."""
        header = self._chain.get_canonical_block_header_by_number(BlockNumber(number))
        receipts = self._chain.chaindb.get_receipts(header, _GovernedVM.get_block_class().get_receipt_builder())
        return [receipt.encode() for receipt in receipts]

    def _sign(self, calls: Sequence[Call], state: StateAPI) -> list[SignedTransactionAPI]:
        nonces: dict[bytes, int] = {}
        signed = []
        for call in calls:
            sender = address_of(call.key)
            nonce = nonces[sender] if sender in nonces else state.get_nonce(Address(sender))
            nonces[sender] = nonce + 1
            signed.append(_signed(call, sender, nonce))
        return signed

    def _store(self, items: Sequence[SignedTransactionAPI] | Sequence[ReceiptAPI]) -> Hash32:
        """The root of the trie of a block's transactions or receipts, whose nodes are stored."""
        root, nodes = trie_root_and_nodes([item.encode() for item in items])
        self._chain.chaindb.persist_trie_data_dict(nodes)
        return root

    def _append(self, block: BlockAPI, receipts: Sequence[ReceiptAPI], outputs: Sequence[bytes]) -> Applied:
        """Its header alone: `Chain.persist_block` would check the fresh seal, decode the block and list its hashes."""
        self._chain.chaindb.persist_header(block.header)
        self._head = block.header
        return _applied(block, receipts, outputs)


class _Context(ConsensusContext):
    """What a seal is checked against: the genesis block."""

    def genesis(self) -> Genesis:
        return parse_extra_data(HeaderDB(self.db).get_canonical_block_header_by_number(BlockNumber(0)).extra_data)


class _Authority(NoProofConsensus):
    def __init__(self, context: _Context) -> None:
        self._context = context

    def validate_seal(self, header: BlockHeaderAPI) -> None:
        check_seal(header, self._context.genesis())


_GovernedVM = LeanVM.configure(
    __name__="GovernedVM",
    consensus_class=_Authority,
    extra_data_max_bytes=65535,
    create_header_from_parent=staticmethod(next_header),
    _state_class=LeanState,
)
_GovernedChain = Chain.configure(
    __name__="GovernedChain",
    vm_configuration=((0, _GovernedVM),),
    chain_id=CHAIN_ID,
    consensus_context_class=_Context,
    logger=_silent,
)


def _signed(call: Call, sender: bytes, nonce: int) -> SignedTransactionAPI:
    """A transaction, which needs no check of a signature made a moment ago. Imported ones are always checked.

    py-evm's own way (unsigned, encoded, decoded, extended, encoded, signed, made again) takes twice as long.
    """
    to = Address(call.to) or CREATE_CONTRACT_ADDRESS
    builder = _GovernedVM.get_transaction_builder()
    transaction = builder.new_transaction(nonce, 0, call.gas, to, 0, call.data, *signature(call, nonce, CHAIN_ID))
    vars(transaction).update(sender=sender, check_signature_validity=lambda: None)
    return transaction


def _refuse_reverts(computations: Sequence[ComputationAPI]) -> None:
    for index, computation in enumerate(computations):
        if not computation.is_success:
            raise TransactionRevertedError(index, computation.output)


def _applied(block: BlockAPI, receipts: Sequence[ReceiptAPI], outputs: Sequence[bytes]) -> Applied:
    outcomes, before = [], 0
    for transaction, receipt, output in zip(block.transactions, receipts, outputs, strict=True):
        outcomes.append(
            Outcome(
                sender=transaction.sender,
                to=transaction.to,
                data=transaction.data,
                success=receipt.state_root == b"\x01",
                output=output,
                gas=receipt.gas_used - before,
                size=len(transaction.encode()),
                logs=tuple(_log(log) for log in receipt.logs),
            )
        )
        before = receipt.gas_used
    return Applied(block.number, _encode(block), tuple(outcomes))


def _log(log: Any) -> tuple[bytes, tuple[bytes, ...], bytes]:
    return log.address, tuple(topic.to_bytes(32, "big") for topic in log.topics), log.data


def _encode(block: BlockAPI) -> bytes:
    """The block's RLP, put together from the transactions' own, which are kept; to encode all of it again is slow."""
    transactions = b"".join(transaction.encode() for transaction in block.transactions)
    body = rlp.encode(block.header) + length_prefix(len(transactions), 192) + transactions + b"\xc0\xc0"
    return length_prefix(len(body), 192) + body
