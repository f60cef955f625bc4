"""Legacy transactions with replay protection (EIP-155), which every network accepts: signing and decoding.

Vitalik Buterin, "EIP-155: Simple replay attack protection", 2016.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import rlp
from eth_hash.auto import keccak
from rlp.sedes import Binary, List, big_endian_int

from bofl_jax.ledger.chain.accounts import address_of, private_key
from bofl_jax.ledger.chain.base import TransactionRequest

LEGACY_TRANSACTION = List([big_endian_int] * 3 + [Binary()] + [big_endian_int] + [Binary()] + [big_endian_int] * 3)
FIRST_LIST_BYTE = 0xC0  # a legacy transaction is an RLP list; a typed one (EIP-2718) starts with a smaller byte
EIP_155_OFFSET = 35


class Signature(NamedTuple):
    """An EIP-155 signature; ``v`` encodes the chain id and the parity of y."""

    v: int
    r: int
    s: int


class SignedTransaction(NamedTuple):
    """A signed transaction.

    Attributes:
        raw: its RLP bytes.
        hash: 32 bytes.
        sender: 20 bytes.
        to: 20 bytes; empty for a deployment.
        data: the calldata.
        gas: the gas limit.
        nonce: number of earlier transactions of the sender.
    """

    raw: bytes
    hash: bytes
    sender: bytes
    to: bytes
    data: bytes
    gas: int
    nonce: int


def transaction_signature(
    request: TransactionRequest, nonce: int, chain_id: int, gas_price: int = 0, value: int = 0
) -> Signature:
    """The sender's signature of a transaction.

    Args:
        request: receiver, calldata, gas limit and the sender's key.
        nonce: number of earlier transactions of the sender.
        chain_id: the chain that the transaction is for.
        gas_price: price of one unit of gas, in wei.
        value: transferred amount, in wei.
    """
    v, r, s = private_key(request.key).sign_msg(_unsigned(request, nonce, chain_id, gas_price, value)).vrs
    return Signature(v + EIP_155_OFFSET + 2 * chain_id, r, s)


def sign_transaction(
    request: TransactionRequest, nonce: int, chain_id: int, gas_price: int = 0, value: int = 0
) -> SignedTransaction:
    """A signed transaction.

    Args:
        request: receiver, calldata, gas limit and the sender's key.
        nonce: number of earlier transactions of the sender.
        chain_id: the chain that the transaction is for.
        gas_price: price of one unit of gas, in wei.
        value: transferred amount, in wei.
    """
    signature = transaction_signature(request, nonce, chain_id, gas_price, value)
    raw = rlp.encode([nonce, gas_price, request.gas, request.to, value, request.data, *signature])
    return SignedTransaction(raw, keccak(raw), address_of(request.key), request.to, request.data, request.gas, nonce)


def recover_transaction(raw: bytes, expected_hash: bytes, chain_id: int) -> SignedTransaction:
    """Decode a signed transaction and recover its sender from the signature.

    Args:
        raw: its RLP bytes.
        expected_hash: 32 bytes, the hash that it must have.
        chain_id: the chain that it must be signed for.

    Raises:
        ValueError: if it has another hash, or is not a legacy transaction for this chain.
    """
    from eth_keys.main import lazy_key_api as keys

    if keccak(raw) != expected_hash:
        raise ValueError(f"the node's transaction 0x{expected_hash.hex()} has another hash")
    if raw[0] < FIRST_LIST_BYTE or not _is_for_chain(fields := decode_canonical(raw, LEGACY_TRANSACTION), chain_id):
        raise ValueError(f"transaction 0x{expected_hash.hex()} is not a legacy transaction signed for chain {chain_id}")
    nonce, gas_price, gas, to, value, data, v, r, s = fields
    message = _unsigned(TransactionRequest(b"", to, data, gas), nonce, chain_id, gas_price, value)
    public_key = keys.Signature(vrs=(_parity(v, chain_id), r, s)).recover_public_key_from_msg(message)
    return SignedTransaction(raw, expected_hash, public_key.to_canonical_address(), to, data, gas, nonce)


def _is_for_chain(fields: Sequence[Any], chain_id: int) -> bool:
    return _parity(fields[6], chain_id) in (0, 1)


def _parity(v: int, chain_id: int) -> int:
    return v - EIP_155_OFFSET - 2 * chain_id


def contract_address(deployer: bytes, nonce: int) -> bytes:
    """The 20-byte address of a contract that an account deploys.

    Args:
        deployer: 20 bytes, the account.
        nonce: number of earlier transactions of the account.
    """
    return keccak(rlp.encode([deployer, nonce]))[12:]


def decode_canonical(raw: bytes, sedes: Any) -> Any:
    """Decode RLP bytes with an rlp ``sedes``. Raises ValueError if they are not the canonical encoding."""
    content = rlp.decode(raw, sedes)
    if rlp.encode(content, sedes) != raw:
        raise ValueError("the bytes are not in their one canonical encoding")
    return content


def _unsigned(request: TransactionRequest, nonce: int, chain_id: int, gas_price: int, value: int) -> bytes:
    return bytes(rlp.encode([nonce, gas_price, request.gas, request.to, value, request.data, chain_id, 0, 0]))
