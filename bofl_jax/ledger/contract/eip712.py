"""Updates that their clients sign: EIP-712 typed data, checked on chain by ``ecrecover``.

A leaf of the round's tree, signed: the signature covers the chain, the contract and the round, so that it says the same
nowhere else. Remco Bloemen et al., "EIP-712: Typed structured data hashing and signing", 2017; compact signatures
after Richard Moore, Nick Johnson, "EIP-2098", 2019.
"""

from eth_abi import encode
from eth_hash.auto import keccak

from bofl_jax.ledger.chain.accounts import private_key
from bofl_jax.ledger.merkle import Leaf

NAME, VERSION = "FederationGovernance", "1"
_DOMAIN = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_UPDATE = keccak(b"ClientUpdate(uint32 round,address client,bytes32 updateDigest,uint32 samples,int64 metric)")


def domain_separator(chain_id: int, contract: bytes) -> bytes:
    """32 bytes that stand for one contract (20-byte address) on one chain."""
    values = (_DOMAIN, keccak(NAME.encode()), keccak(VERSION.encode()), chain_id, contract)
    return keccak(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], values))


def update_hash(domain: bytes, leaf: Leaf) -> bytes:
    """The 32 bytes that a client signs for its leaf of a round."""
    content = encode(["bytes32", "uint32", "address", "bytes32", "uint32", "int64"], (_UPDATE, *leaf))
    return keccak(b"\x19\x01" + domain + keccak(content))


def sign_update(key: bytes, domain: bytes, leaf: Leaf) -> tuple[bytes, bytes]:
    """A client's signature under its leaf: ``r`` and ``vs``, 32 bytes each.

    Args:
        key: 32 bytes, the client's private key.
        domain: from `domain_separator`.
        leaf: what is signed.
    """
    signature = private_key(key).sign_msg_hash(update_hash(domain, leaf))
    return signature.r.to_bytes(32, "big"), (signature.v << 255 | signature.s).to_bytes(32, "big")
