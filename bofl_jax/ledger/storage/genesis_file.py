"""The file ``genesis.json``: the genesis block of a run's own chain, or the network on which a run takes place."""

import json
from pathlib import Path
from typing import Any

from bofl_jax.ledger.chain.genesis import Genesis, NetworkGenesis, genesis_fields, parse_extra_data
from bofl_jax.ledger.storage.canonical_json import read_canonical

CHANGED = "was changed: its fields are not those that a run writes"


def write_genesis(path: Path, genesis: Genesis, block_hash: bytes) -> None:
    """Write ``genesis.json`` for a run with its own chain.

    Args:
        path: the file.
        genesis: content of block 0.
        block_hash: 32 bytes, hash of block 0.
    """
    path.write_bytes(_text((genesis, block_hash)).encode())


def read_genesis(path: Path) -> tuple[Genesis, bytes]:
    """Read ``genesis.json``: the genesis block and the hash that it must have.

    Raises:
        VerificationError: if the file is missing or differs, in any byte, from what `write_genesis` writes.
    """
    return read_canonical(path, _parse, _text, CHANGED)


def write_network_genesis(path: Path, genesis: NetworkGenesis) -> None:
    """Write ``genesis.json`` for a run on a network."""
    path.write_bytes(_network_text(genesis).encode())


def read_network_genesis(path: Path) -> NetworkGenesis:
    """Read ``genesis.json`` of a run on a network.

    Raises:
        VerificationError: if the file is missing or differs, in any byte, from what `write_network_genesis` writes.
    """
    return read_canonical(path, _parse_network, _network_text, CHANGED)


def _parse(fields: Any) -> tuple[Genesis, bytes]:
    return parse_extra_data(bytes.fromhex(fields["extraData"][2:])), bytes.fromhex(fields["hash"][2:])


def _text(content: tuple[Genesis, bytes]) -> str:
    return json.dumps(genesis_fields(*content), indent=1) + "\n"


def _parse_network(fields: Any) -> NetworkGenesis:
    config_hash, block_hash = (bytes.fromhex(fields[name][2:]) for name in ("configHash", "hash"))
    return NetworkGenesis(config_hash, int(fields["chainId"]), block_hash)


def _network_text(genesis: NetworkGenesis) -> str:
    config_hash, chain_id, block_hash = genesis
    fields = {"chainId": chain_id, "hash": "0x" + block_hash.hex(), "configHash": "0x" + config_hash.hex()}
    return json.dumps(fields, indent=1) + "\n"
