"""Block 0: who seals, and which configuration the chain belongs to. Its hash names the chain."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.parsing import parse_json

CHAIN_ID = 1337
TIMESTAMP = 1_700_000_000
GAS_LIMIT = 10**12
VIEW_GAS = 10**8
BLOCK_SECONDS = 12
VANITY = 32
ADDRESS = 20
SEAL = 65


class Genesis(NamedTuple):
    """What block 0 says beyond the constants above.

    Attributes:
        config_hash: 32 bytes, SHA-256 of the run's resolved configuration; every header repeats it.
        authorities: the sealing accounts, 20 bytes each, ascending; block n is sealed by number n modulo their count.
    """

    config_hash: bytes
    authorities: tuple[bytes, ...]

    @property
    def extra_data(self) -> bytes:
        """The header field that carries both: 32 bytes, then 20 a authority."""
        return self.config_hash + b"".join(self.authorities)


def parse_extra_data(extra: bytes) -> Genesis:
    """The inverse of `Genesis.extra_data`. Raises ValueError unless it is well formed."""
    rest = extra[VANITY:]
    addresses = tuple(rest[i : i + ADDRESS] for i in range(0, len(rest), ADDRESS))
    if not addresses or len(rest) % ADDRESS or list(addresses) != sorted(set(addresses)):
        raise ValueError("extraData must be 32 bytes and then ascending 20-byte addresses")
    return Genesis(extra[:VANITY], addresses)


class Anchor(NamedTuple):
    """What stands in for a genesis of one's own where a network keeps the chain.

    Attributes:
        config_hash: 32 bytes, SHA-256 of the run's resolved configuration.
        chain_id: the network's.
        block_hash: 32 bytes, hash of the network's block 0.
    """

    config_hash: bytes
    chain_id: int
    block_hash: bytes


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Write ``genesis.json`` for a run on a network."""
    path.write_bytes(_anchor_text(anchor).encode())


def read_anchor(path: Path) -> Anchor:
    """Read what `write_anchor` wrote.

    Raises:
        VerificationError: if the file is missing or is not, to the byte, what `write_anchor` writes.
    """
    try:
        text = path.read_bytes().decode()
        fields = parse_json(text)
        config_hash, block_hash = (bytes.fromhex(fields[name][2:]) for name in ("configHash", "hash"))
        anchor = Anchor(config_hash, int(fields["chainId"]), block_hash)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path.name} cannot be read ({error}): restore it from a copy") from error
    if text != _anchor_text(anchor):
        raise VerificationError(f"{path.name} was changed: its fields are not those that a run writes")
    return anchor


def genesis_fields(genesis: Genesis, block_hash: bytes) -> dict[str, Any]:
    """What ``genesis.json`` says."""
    return {
        "chainId": CHAIN_ID,
        "timestamp": TIMESTAMP,
        "gasLimit": GAS_LIMIT,
        "extraData": "0x" + genesis.extra_data.hex(),
        "hash": "0x" + block_hash.hex(),
    }


def write_genesis(path: Path, genesis: Genesis, block_hash: bytes) -> None:
    """Write ``genesis.json``."""
    path.write_bytes(_text(genesis, block_hash).encode())


def read_genesis(path: Path) -> tuple[Genesis, bytes]:
    """Read ``genesis.json``: the genesis and the hash that block 0 must have.

    Raises:
        VerificationError: if the file is missing or is not, to the byte, what `write_genesis` writes.
    """
    try:
        text = path.read_bytes().decode()
        fields = parse_json(text)
        genesis = parse_extra_data(bytes.fromhex(fields["extraData"][2:]))
        block_hash = bytes.fromhex(fields["hash"][2:])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerificationError(f"{path.name} cannot be read ({error}): restore it from a copy") from error
    if text != _text(genesis, block_hash):
        raise VerificationError(f"{path.name} was changed: its fields are not those that a run writes")
    return genesis, block_hash


def _anchor_text(anchor: Anchor) -> str:
    config_hash, chain_id, block_hash = anchor
    fields = {"chainId": chain_id, "hash": "0x" + block_hash.hex(), "configHash": "0x" + config_hash.hex()}
    return json.dumps(fields, indent=1) + "\n"


def _text(genesis: Genesis, block_hash: bytes) -> str:
    return json.dumps(genesis_fields(genesis, block_hash), indent=1) + "\n"
