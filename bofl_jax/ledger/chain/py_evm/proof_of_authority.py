"""Proof of authority: which signer may seal a block, how a block is sealed, and which header fields are fixed.

Signer n modulo k of the genesis block seals block n, as in Clique (Péter Szilágyi, "EIP-225: Clique proof-of-authority
consensus protocol", 2017). Its address is the header's coinbase. The header's extra data hold the 32 bytes of the
configuration hash and then the seal: a 65-byte secp256k1 signature (r, s, parity) over the hash of the header without
the seal.

py-evm executes a block again and compares the roots, but it would let a dishonest signer choose every field that does
not result from the execution: the time, the gas limit, the mix hash and the beacon root. All of these have one allowed
value, which is checked here before the execution.
"""

from typing import Any

import rlp
from eth.abc import BlockAPI, BlockHeaderAPI
from eth.constants import BLANK_ROOT_HASH, POST_MERGE_MIX_HASH, POST_MERGE_NONCE, ZERO_ADDRESS
from eth.db.trie import make_trie_root_and_nodes
from eth_hash.auto import keccak
from eth_keys.constants import SECPK1_N
from eth_keys.exceptions import BadSignature
from eth_keys.main import lazy_key_api as keys
from eth_typing import BlockNumber
from eth_utils.exceptions import ValidationError

from bofl_jax.ledger.chain.accounts import Account, private_key
from bofl_jax.ledger.chain.genesis import (
    BLOCK_GAS_LIMIT,
    BLOCK_SECONDS,
    CHAIN_ID,
    GENESIS_TIMESTAMP,
    SEAL_BYTES,
    Genesis,
)
from bofl_jax.ledger.chain.py_evm.fast_vm import FastHeader


def genesis_header(genesis: Genesis) -> BlockHeaderAPI:
    """The header of block 0, whose state is empty."""
    return FastHeader(
        difficulty=0,
        block_number=BlockNumber(0),
        gas_limit=BLOCK_GAS_LIMIT,
        timestamp=GENESIS_TIMESTAMP,
        extra_data=genesis.extra_data,
        nonce=POST_MERGE_NONCE,
        parent_beacon_block_root=BLANK_ROOT_HASH,
    )


def next_header(parent: BlockHeaderAPI, *, coinbase: bytes = ZERO_ADDRESS, extra_data: bytes = b"") -> BlockHeaderAPI:
    """The header of the next block before any transaction. It does not depend on the wall clock.

    Args:
        parent: header of the previous block.
        coinbase: 20 bytes, address of the signer.
        extra_data: configuration hash and seal.
    """
    fields: dict[str, Any] = {"coinbase": coinbase, "extra_data": extra_data, "state_root": parent.state_root}
    return FastHeader(difficulty=0, nonce=POST_MERGE_NONCE, **_fields_from_parent(parent), **fields)


def in_turn_signer(genesis: Genesis, number: int) -> bytes:
    """The address of the signer that seals a block.

    Args:
        genesis: content of block 0.
        number: number of the block.
    """
    return genesis.signers[number % len(genesis.signers)]


def seal_hash(header: BlockHeaderAPI) -> bytes:
    """The 32 bytes that a signer signs: the hash of the header without its seal."""
    return keccak(rlp.encode(header.copy(extra_data=header.extra_data[:-SEAL_BYTES])))


def seal_header(header: BlockHeaderAPI, signer: Account) -> BlockHeaderAPI:
    """The header with the last 65 bytes of its extra data replaced by a signature.

    Args:
        header: the header, with room for the seal.
        signer: the account that seals it.
    """
    signature = private_key(signer.key).sign_msg_hash(seal_hash(header)).to_bytes()
    return header.copy(extra_data=header.extra_data[:-SEAL_BYTES] + signature)


def recover_signer(header: BlockHeaderAPI) -> bytes:
    """The address that sealed a header.

    Raises:
        ValidationError: if the seal is not a signature, or is malleated (high s), because the same block must not have
            two hashes.
    """
    try:
        signature = keys.Signature(header.extra_data[-SEAL_BYTES:])
        address = signature.recover_public_key_from_msg_hash(seal_hash(header)).to_canonical_address()
    except (BadSignature, ValidationError) as error:
        raise ValidationError(f"the seal is not a signature: {error}") from error
    if signature.s > SECPK1_N // 2:
        raise ValidationError("the seal is a malleated signature (high s)")
    return address


def check_seal(header: BlockHeaderAPI, genesis: Genesis) -> None:
    """Check that the in-turn signer sealed the header and is its coinbase.

    Args:
        header: the header.
        genesis: content of block 0.

    Raises:
        ValidationError: if not.
    """
    if len(header.extra_data) != len(genesis.config_hash) + SEAL_BYTES:
        raise ValidationError("the extra data is not 32 bytes and a seal of 65")
    expected = in_turn_signer(genesis, header.block_number)
    if recover_signer(header) != expected:
        raise ValidationError(f"not sealed by the in-turn signer, 0x{expected.hex()}")
    if header.coinbase != expected:
        raise ValidationError("the coinbase is not the signer")


def check_header(header: BlockHeaderAPI, parent: BlockHeaderAPI, genesis: Genesis) -> None:
    """Check every header field that does not result from the execution, and the seal.

    Args:
        header: the header.
        parent: header of the previous block.
        genesis: content of block 0.

    Raises:
        ValidationError: if a field does not have its one allowed value.
    """
    for field, expected in _fields_from_parent(parent).items():
        if getattr(header, field) != expected:
            raise ValidationError(f"{field} is not what follows from the parent")
    if header.extra_data[: len(genesis.config_hash)] != genesis.config_hash:
        raise ValidationError("the extra data does not repeat the configuration hash of the genesis block")
    check_seal(header, genesis)


def _fields_from_parent(parent: BlockHeaderAPI) -> dict[str, Any]:
    """The fields of a header that its parent determines."""
    return {
        "parent_hash": parent.hash,
        "block_number": parent.block_number + 1,
        "timestamp": parent.timestamp + BLOCK_SECONDS,
        "gas_limit": parent.gas_limit,
        "mix_hash": POST_MERGE_MIX_HASH,
        "parent_beacon_block_root": BLANK_ROOT_HASH,
        "base_fee_per_gas": 0,
    }


def check_body(block: BlockAPI) -> None:
    """Check that the block contains the transactions of its header, all for this chain, and nothing else.

    Raises:
        ValidationError: if not.
    """
    if make_trie_root_and_nodes(block.transactions)[0] != block.header.transaction_root:
        raise ValidationError("transaction_root does not match the transactions")
    if block.uncles or block.withdrawals:
        raise ValidationError("the block has uncles or withdrawals")
    for index, transaction in enumerate(block.transactions):
        if getattr(transaction, "type_id", None) is not None or transaction.chain_id != CHAIN_ID:
            raise ValidationError(f"transaction {index} is not a legacy transaction signed for chain {CHAIN_ID}")
