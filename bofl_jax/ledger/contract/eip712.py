"""Updates that clients sign: EIP-712 typed data, which the contract checks with ``ecrecover``.

A client signs its leaf of the round's Merkle tree. The signature covers the chain, the contract and the round, so it is
valid nowhere else. Remco Bloemen et al., "EIP-712: Typed structured data hashing and signing", 2017. Compact signatures
follow Richard Moore, Nick Johnson, "EIP-2098: Compact signature representation", 2019.
"""

from eth_abi.abi import encode
from eth_hash.auto import keccak

from bofl_jax.ledger.chain.accounts import private_key
from bofl_jax.ledger.merkle import Leaf

NAME, VERSION = "FederationGovernance", "1"
_DOMAIN_TYPEHASH = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_UPDATE_TYPEHASH = keccak(b"ClientUpdate(uint32 round,address client,bytes32 updateDigest,uint32 samples,int64 metric)")


def domain_separator(chain_id: int, contract: bytes) -> bytes:
    """The 32-byte EIP-712 domain separator of a contract.

    Args:
        chain_id: id of the chain.
        contract: 20 bytes, the contract's address.
    """
    values = (_DOMAIN_TYPEHASH, keccak(NAME.encode()), keccak(VERSION.encode()), chain_id, contract)
    return keccak(encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], values))


def update_hash(domain: bytes, leaf: Leaf) -> bytes:
    """The 32 bytes that a client signs for its leaf of a round.

    Args:
        domain: 32 bytes, the domain separator.
        leaf: the client's contribution.
    """
    content = encode(["bytes32", "uint32", "address", "bytes32", "uint32", "int64"], (_UPDATE_TYPEHASH, *leaf))
    return keccak(b"\x19\x01" + domain + keccak(content))


def sign_update(key: bytes, domain: bytes, leaf: Leaf) -> tuple[bytes, bytes]:
    """A client's compact signature of its leaf: ``r`` and ``vs``, 32 bytes each.

    Args:
        key: 32 bytes, the client's private key.
        domain: 32 bytes, the domain separator.
        leaf: the client's contribution.
    """
    signature = private_key(key).sign_msg_hash(update_hash(domain, leaf))
    return signature.r.to_bytes(32, "big"), (signature.v << 255 | signature.s).to_bytes(32, "big")
