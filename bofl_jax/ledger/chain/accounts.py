"""The accounts of a run. Their keys are derived from the run's seed, so that a run can be repeated to the bit."""

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


def derive_account(seed: int, role: str, index: int, secret: str = "") -> Account:
    """The account number ``index`` of a role.

    Its private key is keccak("bofl-key-SEED-ROLE-INDEX"). Everybody who knows the seed knows the key, which is fine for
    a simulation. On a real network a ``secret`` is inserted before the seed.

    Args:
        seed: the run's seed.
        role: ``authority`` (a signer), ``admin``, ``aggregator``, ``auditor`` or ``client``.
        index: number of the account, from 0.
        secret: text that only the owner of the run knows.

    >>> derive_account(0, "client", 1).address.hex()
    'bf394831e49edf48347069bfe77ca12062ee1165'
    """
    key = keccak(f"bofl-key-{secret and secret + '-'}{seed}-{role}-{index}".encode())
    return Account(key, address_of(key))


@lru_cache(maxsize=1 << 15)
def private_key(key: bytes) -> "PrivateKey":
    """A private key object that can sign. Objects are cached because each one derives its public key."""
    from eth_keys.main import lazy_key_api as keys

    return keys.PrivateKey(key, backend=_backend())


@lru_cache(maxsize=1 << 15)
def address_of(key: bytes) -> bytes:
    """The 20-byte address of a private key."""
    return private_key(key).public_key.to_canonical_address()


@lru_cache(maxsize=1)
def _backend() -> "BaseECCBackend":
    """The default backend of ``eth_keys``; coincurve's key objects are cached, as one costs more than a signature."""
    from eth_keys.backends import get_backend
    from eth_keys.backends.coincurve import CoinCurveECCBackend

    backend = get_backend()
    if isinstance(backend, CoinCurveECCBackend):
        keys = backend.keys
        cached = lru_cache(maxsize=1 << 15)(keys.PrivateKey)
        vars(backend)["keys"] = SimpleNamespace(PrivateKey=cached, PublicKey=keys.PublicKey)
    return backend


@dataclass(frozen=True)
class RunAccounts:
    """The accounts of a run.

    Attributes:
        signers: the proof-of-authority signers, which seal blocks in turn; in ascending order of their addresses.
        admin: deploys the contract, registers the clients and grants the roles.
        aggregator: opens and commits rounds.
        auditor: finalises and aborts rounds.
        clients: one account per client; the modes ``merkle`` and ``calldata`` use only their addresses.
    """

    signers: tuple[Account, ...]
    admin: Account
    aggregator: Account
    auditor: Account
    clients: tuple[Account, ...]

    @cached_property
    def client_addresses(self) -> list[bytes]:
        """The clients' addresses, 20 bytes each."""
        return [client.address for client in self.clients]

    @cached_property
    def client_address_rows(self) -> np.ndarray:
        """uint8[C, 20]: the clients' addresses as an array."""
        return np.frombuffer(b"".join(self.client_addresses), np.uint8).reshape(-1, 20)

    def genesis(self, config_hash: bytes) -> Genesis:
        """The genesis block of a chain with these signers and a 32-byte configuration hash."""
        return Genesis(config_hash, tuple(signer.address for signer in self.signers))


def derive_accounts(seed: int, signers: int, clients: int, secret: str = "") -> RunAccounts:
    """All accounts of a run.

    Args:
        seed: the run's seed.
        signers: number of proof-of-authority signers.
        clients: C, number of clients.
        secret: text that only the owner of the run knows; empty for a simulation.
    """
    sealing = sorted((derive_account(seed, "authority", i, secret) for i in range(signers)), key=lambda a: a.address)
    members = tuple(derive_account(seed, "client", i, secret) for i in range(clients))
    admin, aggregator, auditor = (derive_account(seed, role, 0, secret) for role in ("admin", "aggregator", "auditor"))
    return RunAccounts(tuple(sealing), admin, aggregator, auditor, members)
