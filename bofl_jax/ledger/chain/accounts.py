"""Accounts of a simulated network: keys that follow from the run's seed, so that a run can be repeated to the bit."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from eth_hash.auto import keccak

from bofl_jax.ledger.chain.genesis import Genesis

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


@dataclass(frozen=True)
class Network:
    """The accounts of a run.

    Attributes:
        authorities: who seals blocks, in ascending order of their addresses.
        admin: who deploys the contract, registers the clients and hands out the roles.
        aggregator: who opens and commits rounds.
        auditor: who finalises and aborts them.
        clients: the clients' accounts; in modes ``merkle`` and ``calldata`` only their addresses are used.
    """

    authorities: tuple[Account, ...]
    admin: Account
    aggregator: Account
    auditor: Account
    clients: tuple[Account, ...]

    @cached_property
    def addresses(self) -> list[bytes]:
        """The clients' addresses, 20 bytes each."""
        return [client.address for client in self.clients]

    @cached_property
    def address_rows(self) -> np.ndarray:
        """uint8[C, 20]: the same as rows."""
        return np.frombuffer(b"".join(self.addresses), np.uint8).reshape(-1, 20)

    def genesis(self, config_hash: bytes) -> Genesis:
        """Block 0 of this network for one configuration."""
        return Genesis(config_hash, tuple(authority.address for authority in self.authorities))


def network(seed: int, authorities: int, clients: int, secret: str = "") -> Network:
    """The accounts that follow from a run's seed, and a secret if there is one."""
    sealing = sorted((account(seed, "authority", i, secret) for i in range(authorities)), key=lambda a: a.address)
    members = tuple(account(seed, "client", i, secret) for i in range(clients))
    admin, aggregator, auditor = (account(seed, role, 0, secret) for role in ("admin", "aggregator", "auditor"))
    return Network(tuple(sealing), admin, aggregator, auditor, members)
