"""The file ``contract.json``: the contract's address, with its ABI, bytecode and origin for other tools."""

import json
from pathlib import Path
from typing import Any

from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.storage.canonical_json import read_canonical

FOREIGN = "does not describe the contract that this version of bofl_jax ships"
EARLIER_SOURCES = ("54d9ebc2217b6f183624bb4854a7a1bb21cb4c68cc9219da9132fceb7cc2cb2c",)
"""SHA-256 of earlier Solidity sources that compile to the same bytecode; runs made with them are still valid."""


def write_contract(path: Path, address: bytes) -> None:
    """Write ``contract.json`` for the shipped contract.

    Args:
        path: the file.
        address: 20 bytes, address of the deployed contract.
    """
    path.write_bytes(_text((address, "")).encode())


def read_contract(path: Path) -> bytes:
    """The contract's 20-byte address.

    Raises:
        VerificationError: if the file is missing, was changed, or describes another contract than the shipped one.
    """
    return read_canonical(path, _parse, _text, FOREIGN)[0]


def _parse(fields: Any) -> tuple[bytes, str]:
    source = fields["sourceSha256"]
    return bytes.fromhex(fields["address"][2:]), source if source in EARLIER_SOURCES else ""


def _text(content: tuple[bytes, str]) -> str:
    """The text of the file; the source is an earlier one, or empty for the present one."""
    address, source = content
    artefact = load_contract().artefact | ({"sourceSha256": source} if source else {})
    return json.dumps({"address": "0x" + address.hex(), **artefact}, indent=1) + "\n"
