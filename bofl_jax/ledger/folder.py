"""Where a run keeps its ledger: the files under ``RUN_DIR/ledger/``, and who is who on a simulated network."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.parsing import parse_json
from bofl_jax.ledger.accounts import Account, account
from bofl_jax.ledger.contract import Contract, load_contract
from bofl_jax.ledger.genesis import Genesis


class Files(NamedTuple):
    """The four files of a ledger."""

    genesis: Path
    contract: Path
    blocks: Path
    leaves: Path


def files_of(directory: Path) -> Files:
    """The ledger's files in a run directory."""
    folder = directory / "ledger"
    return Files(folder / "genesis.json", folder / "contract.json", folder / "blocks.rlp", folder / "leaves.rlp")


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


def write_contract(path: Path, address: bytes) -> None:
    """Write ``contract.json``: where the contract stands, and its ABI, bytecode and origin for other tools."""
    path.write_bytes(_contract_text(load_contract(), address).encode())


def read_contract(path: Path) -> bytes:
    """The contract's 20-byte address.

    Raises:
        VerificationError: if the file is missing, was changed, or describes another contract than the package's.
    """
    try:
        text = path.read_bytes().decode()
        address = bytes.fromhex(parse_json(text)["address"][2:])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path.name} cannot be read ({error}): restore it from a copy") from error
    if text != _contract_text(load_contract(), address):
        raise VerificationError(f"{path.name} is not about the contract that this version of bofl_jax ships")
    return address


def _contract_text(contract: Contract, address: bytes) -> str:
    return json.dumps({"address": "0x" + address.hex(), **contract.artefact}, indent=1) + "\n"
