"""Where a run keeps its ledger: the files under ``RUN_DIR/ledger/``, and who is who on a simulated network."""

from pathlib import Path
from typing import NamedTuple


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
