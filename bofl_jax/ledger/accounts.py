"""Accounts of a simulated network: keys that follow from the run's seed, so that a run can be repeated to the bit."""

from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

from eth_hash.auto import keccak

if TYPE_CHECKING:
    from eth_keys.backends.base import BaseECCBackend
    from eth_keys.datatypes import PrivateKey


class Account(NamedTuple):
    """A key pair: the 32-byte private key and the 20-byte address."""

    key: bytes
    address: bytes


def account(seed: int, role: str, index: int, secret: str = "") -> Account:
    """Account number ``index`` of a role (``authority``, ``admin``, ``client`` ...) in the run with this seed.

    Its key is keccak("bofl-key-SEED-ROLE-INDEX"), known to everyone who knows the seed: good for a simulation. On a
    network that anything depends on, a ``secret`` goes before the seed.

    >>> account(0, "client", 1).address.hex()
    'bf394831e49edf48347069bfe77ca12062ee1165'
    """
    key = keccak(f"bofl-key-{secret and secret + '-'}{seed}-{role}-{index}".encode())
    return Account(key, address_of(key))


@lru_cache(maxsize=1 << 15)
def private_key(key: bytes) -> "PrivateKey":
    """A private key ready to sign; making one derives the public key, so they are kept."""
    from eth_keys import keys

    return keys.PrivateKey(key, backend=_backend())


@lru_cache(maxsize=1 << 15)
def address_of(key: bytes) -> bytes:
    """The 20-byte address of a private key."""
    return private_key(key).public_key.to_canonical_address()


@lru_cache(maxsize=1)
def _backend() -> "BaseECCBackend":
    """What ``eth_keys`` would sign with, but coincurve's keys are kept too: making one costs more than to sign."""
    from eth_keys.backends import CoinCurveECCBackend, get_backend

    backend = get_backend()
    if isinstance(backend, CoinCurveECCBackend):
        keys = backend.keys
        kept = lru_cache(maxsize=1 << 15)(keys.PrivateKey)
        vars(backend)["keys"] = SimpleNamespace(PrivateKey=kept, PublicKey=keys.PublicKey)
    return backend
