"""The chain on py-evm: in memory, under Prague rules, with proof-of-authority seals and deterministic headers."""

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
from bofl_jax.ledger.chain.base import ExecutedBlock, Log, Receipt, TransactionRequest, TransactionRevertedError
from bofl_jax.ledger.chain.genesis import CHAIN_ID, ETH_CALL_GAS, SEAL_BYTES, Genesis, parse_extra_data
from bofl_jax.ledger.chain.py_evm.fast_trie import cache_nibbles, trie_root_and_nodes
from bofl_jax.ledger.chain.py_evm.fast_vm import FastState, FastVM, use_fast_keccak
from bofl_jax.ledger.chain.py_evm.proof_of_authority import (
    check_body,
    check_header,
    check_seal,
    genesis_header,
    in_turn_signer,
    next_header,
    seal_header,
)
from bofl_jax.ledger.chain.transactions import transaction_signature
from bofl_jax.ledger.clock import CpuClock

use_fast_keccak()
cache_nibbles()
_silent = logging.getLogger("bofl_jax.ledger.chain")
_silent.addHandler(logging.NullHandler())  # a rejected block raises an error with its reason; no warning is needed


class PyEvmChain:
    """A chain in memory. Without the signers' keys it only checks blocks; with them it also seals blocks.

    Args:
        genesis: content of block 0.
        signers: key pairs of the proof-of-authority signers, in any order; none for an audit.
        clock: charged with the time for signing, execution, tries and sealing.
    """

    def __init__(self, genesis: Genesis, signers: Iterable[Account] = (), clock: CpuClock | None = None) -> None:
        self._clock = clock or CpuClock()
        self._genesis = genesis
        self._signers = {account.address: account for account in signers}
        self._chain = _ProofOfAuthorityChain.from_genesis_header(AtomicDB(), genesis_header(genesis))
        self._head: BlockHeaderAPI = self._chain.get_canonical_head()

    @property
    def chain_id(self) -> int:
        """Id of the chain that transactions and EIP-712 data are signed for."""
        return CHAIN_ID

    @property
    def head_hash(self) -> bytes:
        """32 bytes, the hash of the last block."""
        return self._head.hash

    @property
    def height(self) -> int:
        """Number of the last block; the genesis block is 0."""
        return self._head.block_number

    def seal_block(self, requests: Sequence[TransactionRequest], *, strict: bool = True) -> ExecutedBlock:
        """Sign the requests with the next nonces of their senders, execute them and seal the block.

        Args:
            requests: the transactions in order.
            strict: whether a reverted transaction drops the whole block.

        Raises:
            TransactionRevertedError: if ``strict`` and a transaction was reverted; the chain is unchanged.
        """
        signer = self._signers[in_turn_signer(self._genesis, self.height + 1)]
        extra_data = self._genesis.config_hash + bytes(SEAL_BYTES)
        header = next_header(self._head, coinbase=signer.address, extra_data=extra_data)
        vm = self._chain.get_vm(header)
        with self._clock.phase("signing"):
            transactions = self._sign(requests, vm.state)
        with self._clock.phase("execution"):
            executed, receipts, computations = vm.apply_all_transactions(transactions, header)
        if strict:
            _raise_if_reverted(computations)
        with self._clock.phase("tries"):
            vm.state.persist()
            roots = {
                "transaction_root": self._store(transactions),
                "receipt_root": self._store(receipts),
                "state_root": vm.state.state_root,
            }
        with self._clock.phase("sealing"):
            block = vm.get_block_class()(seal_header(executed.copy(**roots), signer), transactions, (), ())
            vm.validate_header(block.header, self._head)
            return self._append(block, receipts, [computation.output for computation in computations])

    def import_block(self, raw: bytes) -> ExecutedBlock:
        """Check seal, header and transactions, execute them again, compare every root, and append the block.

        Raises:
            VerificationError: if it is not a valid child of the head; the chain is unchanged.
        """
        number = self.height + 1
        try:
            block = rlp.decode(raw, sedes=ProofOfAuthorityVM.get_block_class())
            check_header(block.header, self._head, self._genesis)
            check_body(block)
            self._chain.import_block(block)
        except Exception as error:  # any error that foreign bytes cause in the EVM is a rejection, not a crash
            reason = " ".join(str(error).split()) or type(error).__name__
            raise VerificationError(f"block {number} does not hold: {reason}") from error
        self._head = block.header
        receipts = block.get_receipts(self._chain.chaindb)
        return _executed(block, receipts, [b""] * len(receipts))

    def eth_call(self, to: bytes, data: bytes) -> tuple[bool, bytes]:
        """Call a contract without a transaction: whether it succeeded, and the output or encoded error."""
        vm = self._chain.get_vm(self._head)
        address = Address(to)
        code = vm.state.get_code(address)
        computation = vm.execute_bytecode(ZERO_ADDRESS, 0, ETH_CALL_GAS, address, ZERO_ADDRESS, 0, data, code, address)
        return computation.is_success, computation.output

    def get_code(self, address: bytes) -> bytes:
        """The contract code at a 20-byte address; empty if there is none."""
        return self._chain.get_vm(self._head).state.get_code(Address(address))

    def encoded_receipts(self, number: int) -> list[bytes]:
        """The encoded receipts of a block, as in the trie under its header's receipt root."""
        header = self._chain.get_canonical_block_header_by_number(BlockNumber(number))
        receipts = self._chain.chaindb.get_receipts(header, ProofOfAuthorityVM.get_block_class().get_receipt_builder())
        return [receipt.encode() for receipt in receipts]

    def _sign(self, requests: Sequence[TransactionRequest], state: StateAPI) -> list[SignedTransactionAPI]:
        nonces: dict[bytes, int] = {}
        signed = []
        for request in requests:
            sender = address_of(request.key)
            nonce = nonces[sender] if sender in nonces else state.get_nonce(Address(sender))
            nonces[sender] = nonce + 1
            signed.append(_signed(request, sender, nonce))
        return signed

    def _store(self, items: Sequence[SignedTransactionAPI] | Sequence[ReceiptAPI]) -> Hash32:
        """Store the trie of a block's transactions or receipts; returns its root."""
        root, nodes = trie_root_and_nodes([item.encode() for item in items])
        self._chain.chaindb.persist_trie_data_dict(nodes)
        return root

    def _append(self, block: BlockAPI, receipts: Sequence[ReceiptAPI], outputs: Sequence[bytes]) -> ExecutedBlock:
        """Store the header alone: `Chain.persist_block` would check the new seal and decode the block again."""
        self._chain.chaindb.persist_header(block.header)
        self._head = block.header
        return _executed(block, receipts, outputs)


class _Context(ConsensusContext):
    """Gives access to the genesis block, against which seals are checked."""

    def genesis(self) -> Genesis:
        return parse_extra_data(HeaderDB(self.db).get_canonical_block_header_by_number(BlockNumber(0)).extra_data)


class _ProofOfAuthority(NoProofConsensus):
    def __init__(self, context: _Context) -> None:
        self._context = context

    def validate_seal(self, header: BlockHeaderAPI) -> None:
        check_seal(header, self._context.genesis())


ProofOfAuthorityVM = FastVM.configure(
    __name__="ProofOfAuthorityVM",
    consensus_class=_ProofOfAuthority,
    extra_data_max_bytes=65535,
    create_header_from_parent=staticmethod(next_header),
    _state_class=FastState,
)
_ProofOfAuthorityChain = Chain.configure(
    __name__="ProofOfAuthorityChain",
    vm_configuration=((0, ProofOfAuthorityVM),),
    chain_id=CHAIN_ID,
    consensus_context_class=_Context,
    logger=_silent,
)


def _signed(request: TransactionRequest, sender: bytes, nonce: int) -> SignedTransactionAPI:
    """A signed transaction without a check of the new signature. Imported transactions are always checked.

    py-evm's own way (unsigned, encoded, decoded, extended, encoded, signed, built again) takes twice as long.
    """
    to = Address(request.to) or CREATE_CONTRACT_ADDRESS
    signature = transaction_signature(request, nonce, CHAIN_ID)
    builder = ProofOfAuthorityVM.get_transaction_builder()
    transaction = builder.new_transaction(nonce, 0, request.gas, to, 0, request.data, *signature)
    vars(transaction).update(sender=sender, check_signature_validity=lambda: None)
    return transaction


def _raise_if_reverted(computations: Sequence[ComputationAPI]) -> None:
    for index, computation in enumerate(computations):
        if not computation.is_success:
            raise TransactionRevertedError(index, computation.output)


def _executed(block: BlockAPI, receipts: Sequence[ReceiptAPI], outputs: Sequence[bytes]) -> ExecutedBlock:
    found, before = [], 0
    for transaction, receipt, output in zip(block.transactions, receipts, outputs, strict=True):
        found.append(
            Receipt(
                sender=transaction.sender,
                to=transaction.to,
                data=transaction.data,
                success=receipt.state_root == b"\x01",
                output=output,
                gas_used=receipt.gas_used - before,
                size=len(transaction.encode()),
                logs=tuple(_log(log) for log in receipt.logs),
            )
        )
        before = receipt.gas_used
    return ExecutedBlock(block.number, _encode(block), tuple(found))


def _log(log: Any) -> Log:
    return Log(log.address, tuple(topic.to_bytes(32, "big") for topic in log.topics), log.data)


def _encode(block: BlockAPI) -> bytes:
    """The block's RLP bytes, built from the cached encodings of its transactions; a full encoding would be slow."""
    transactions = b"".join(transaction.encode() for transaction in block.transactions)
    body = rlp.encode(block.header) + length_prefix(len(transactions), 192) + transactions + b"\xc0\xc0"
    return bytes(length_prefix(len(body), 192) + body)
