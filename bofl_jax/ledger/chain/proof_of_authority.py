"""Proof of authority: who may seal a block, how, and what its header must look like.

Block n is sealed by ``authorities[n % k]``: its header names that account as coinbase and carries, after 32 bytes that
repeat the genesis block's, a 65-byte secp256k1 signature (r, s, parity) over the hash of the header without them.

py-evm re-executes a block and compares the roots, but would let a dishonest authority choose what is not a result of
the execution: the time, the gas limit, the mix hash, the beacon root. So all of that is fixed here and checked first.
"""

from typing import Any

import rlp
from eth.abc import BlockAPI, BlockHeaderAPI
from eth.constants import BLANK_ROOT_HASH, POST_MERGE_MIX_HASH, POST_MERGE_NONCE, ZERO_ADDRESS
from eth.db.trie import make_trie_root_and_nodes
from eth_hash.auto import keccak
from eth_keys import keys
from eth_keys.constants import SECPK1_N
from eth_keys.exceptions import BadSignature
from eth_keys.exceptions import ValidationError as KeyValidationError
from eth_typing import BlockNumber
from eth_utils import ValidationError

from bofl_jax.ledger.chain.accounts import Account, private_key
from bofl_jax.ledger.chain.genesis import BLOCK_SECONDS, CHAIN_ID, GAS_LIMIT, SEAL, TIMESTAMP, Genesis
from bofl_jax.ledger.chain.py_evm_fast import LeanHeader


def genesis_header(genesis: Genesis) -> BlockHeaderAPI:
    """Block 0, under which the state is empty."""
    return LeanHeader(
        difficulty=0,
        block_number=BlockNumber(0),
        gas_limit=GAS_LIMIT,
        timestamp=TIMESTAMP,
        extra_data=genesis.extra_data,
        nonce=POST_MERGE_NONCE,
        parent_beacon_block_root=BLANK_ROOT_HASH,
    )


def next_header(parent: BlockHeaderAPI, *, coinbase: bytes = ZERO_ADDRESS, extra_data: bytes = b"") -> BlockHeaderAPI:
    """The header of a block after ``parent`` in which nothing has happened yet: no wall clock, no drift."""
    fields: dict[str, Any] = {"coinbase": coinbase, "extra_data": extra_data, "state_root": parent.state_root}
    return LeanHeader(difficulty=0, nonce=POST_MERGE_NONCE, **_after(parent), **fields)


def in_turn(genesis: Genesis, number: int) -> bytes:
    """The address of the authority that seals block ``number``."""
    return genesis.authorities[number % len(genesis.authorities)]


def seal_hash(header: BlockHeaderAPI) -> bytes:
    """What an authority signs: the hash of the header without its seal."""
    return keccak(rlp.encode(header.copy(extra_data=header.extra_data[:-SEAL])))


def seal(header: BlockHeaderAPI, authority: Account) -> BlockHeaderAPI:
    """The header with the last 65 bytes of its extra data replaced by the authority's signature."""
    signature = private_key(authority.key).sign_msg_hash(seal_hash(header)).to_bytes()
    return header.copy(extra_data=header.extra_data[:-SEAL] + signature)


def signer(header: BlockHeaderAPI) -> bytes:
    """The address that sealed a header.

    Raises:
        ValidationError: if the seal is not a signature, or is the mirror image (high s) of one: the same block must
            not have two hashes.
    """
    try:
        signature = keys.Signature(header.extra_data[-SEAL:])
        address = signature.recover_public_key_from_msg_hash(seal_hash(header)).to_canonical_address()
    except (BadSignature, KeyValidationError) as error:
        raise ValidationError(f"the seal is not a signature: {error}") from error
    if signature.s > SECPK1_N // 2:
        raise ValidationError("the seal is a malleated signature (high s)")
    return address


def check_seal(header: BlockHeaderAPI, genesis: Genesis) -> None:
    """Is the header sealed by the authority whose turn it is, in its own name?"""
    if len(header.extra_data) != len(genesis.config_hash) + SEAL:
        raise ValidationError("the extra data is not 32 bytes and a seal of 65")
    expected = in_turn(genesis, header.block_number)
    if signer(header) != expected:
        raise ValidationError(f"not sealed by the authority in turn, 0x{expected.hex()}")
    if header.coinbase != expected:
        raise ValidationError("the coinbase is not the sealing authority")


def check_header(header: BlockHeaderAPI, parent: BlockHeaderAPI, genesis: Genesis) -> None:
    """Does every field that is not a result of the execution have the one value it may have?"""
    for field, expected in _after(parent).items():
        if getattr(header, field) != expected:
            raise ValidationError(f"{field} is not what follows from the parent")
    if header.extra_data[: len(genesis.config_hash)] != genesis.config_hash:
        raise ValidationError("the extra data does not repeat the configuration hash of the genesis block")
    check_seal(header, genesis)


def _after(parent: BlockHeaderAPI) -> dict[str, Any]:
    """The fields of a header that follow from its parent."""
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
    """Are these the sealed transactions, all for this chain, and nothing else in the block?"""
    if make_trie_root_and_nodes(block.transactions)[0] != block.header.transaction_root:
        raise ValidationError("transaction_root does not match the transactions")
    if block.uncles or block.withdrawals:
        raise ValidationError("the block has uncles or withdrawals")
    for index, transaction in enumerate(block.transactions):
        if getattr(transaction, "type_id", None) is not None or transaction.chain_id != CHAIN_ID:
            raise ValidationError(f"transaction {index} is not a plain one signed for chain {CHAIN_ID}")
