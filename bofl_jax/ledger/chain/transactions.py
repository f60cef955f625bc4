"""Plain transactions after EIP-155, the kind that every network takes: signed here, and read back from their bytes.

Vitalik Buterin, "EIP-155: Simple replay attack protection", 2016.
"""

from typing import Any, NamedTuple

import rlp
from eth_hash.auto import keccak
from rlp.sedes import Binary, List, big_endian_int

from bofl_jax.ledger.chain.accounts import address_of, private_key
from bofl_jax.ledger.chain.base import Call

TRANSACTION = List([big_endian_int] * 3 + [Binary()] + [big_endian_int] + [Binary()] + [big_endian_int] * 3)
EIP_155 = 35


class Signature(NamedTuple):
    """``v`` holds the chain and the parity of y."""

    v: int
    r: int
    s: int


class Signed(NamedTuple):
    """A signed transaction and what it says."""

    raw: bytes
    hash: bytes
    sender: bytes
    to: bytes
    data: bytes
    gas: int
    nonce: int


def signature(call: Call, nonce: int, chain_id: int, price: int = 0, value: int = 0) -> Signature:
    """The sender's signature under a transaction.

    Args:
        call: receiver, calldata, gas limit, and the sender's key.
        nonce: how many transactions the sender made before.
        chain_id: the chain it is for.
        price: of a unit of gas, in wei.
        value: that is sent along, in wei.
    """
    v, r, s = private_key(call.key).sign_msg(_unsigned(call, nonce, chain_id, price, value)).vrs
    return Signature(v + EIP_155 + 2 * chain_id, r, s)


def sign(call: Call, nonce: int, chain_id: int, price: int = 0, value: int = 0) -> Signed:
    """A signed transaction; the arguments are those of `signature`."""
    signed = signature(call, nonce, chain_id, price, value)
    raw = rlp.encode([nonce, price, call.gas, call.to, value, call.data, *signed])
    return Signed(raw, keccak(raw), address_of(call.key), call.to, call.data, call.gas, nonce)


def recover(raw: bytes, expected: bytes, chain_id: int) -> Signed:
    """A transaction from its bytes, which must have the expected hash; its sender from the signature.

    Raises:
        ValueError: if it has another hash, or is none for this chain.
    """
    from eth_keys import keys

    if keccak(raw) != expected:
        raise ValueError(f"the node's transaction 0x{expected.hex()} has another hash")
    if raw[0] < 0xC0 or (fields := decode(raw, TRANSACTION))[6] - EIP_155 - 2 * chain_id not in (0, 1):
        raise ValueError(f"transaction 0x{expected.hex()} is not a plain one signed for chain {chain_id}")
    nonce, price, gas, to, value, data, v, r, s = fields
    message = _unsigned(Call(b"", to, data, gas), nonce, chain_id, price, value)
    signed = keys.Signature(vrs=(v - EIP_155 - 2 * chain_id, r, s))
    sender = signed.recover_public_key_from_msg(message).to_canonical_address()
    return Signed(raw, expected, sender, to, data, gas, nonce)


def decode(raw: bytes, sedes: Any) -> Any:
    """What RLP bytes hold. Raises ValueError if they are not in their one canonical encoding."""
    content = rlp.decode(raw, sedes)
    if rlp.encode(content, sedes) != raw:
        raise ValueError("the bytes are not in their one canonical encoding")
    return content


def _unsigned(call: Call, nonce: int, chain_id: int, price: int, value: int) -> bytes:
    return rlp.encode([nonce, price, call.gas, call.to, value, call.data, chain_id, 0, 0])
