"""Paths of a ledger's files under ``RUN_DIR/ledger/``."""

from pathlib import Path
from typing import NamedTuple


class LedgerFiles(NamedTuple):
    """The four files of a ledger."""

    genesis: Path
    contract: Path
    blocks: Path
    leaves: Path


def ledger_files(directory: Path) -> LedgerFiles:
    """The paths of the ledger's files in a run directory."""
    folder = directory / "ledger"
    return LedgerFiles(folder / "genesis.json", folder / "contract.json", folder / "blocks.rlp", folder / "leaves.rlp")
