"""Reports of an audited run, for people and for other programs."""

import csv
import io
import re
from pathlib import Path

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import ChainAudit, SecondEngine
from bofl_jax.ledger.audit.provenance import Row, client_history, prove_contribution, rounds_table
from bofl_jax.results.clients import CLIENTS_FILE, read_clients
from bofl_jax.results.writing import json_text, write_text
from bofl_jax.runs.audit import audit


class AuditReport:
    """An audited run.

    Args:
        directory: the run directory.
        second: another EVM, which must agree.

    Raises:
        BoflError: if there is no run, or no chain to audit.
        VerificationError: naming the first check that fails.
    """

    def __init__(self, directory: Path, second: SecondEngine | None = None) -> None:
        self.directory = directory
        self.chain = audit(directory, second)

    def rounds(self) -> list[Row]:
        """The provenance table: a row for each global model."""
        return rounds_table(self.chain)

    def client_history(self, client: str) -> list[Row]:
        """Everything that one client did, in the order of the chain; `find_client` explains how to name it."""
        return client_history(self.chain, find_client(self.directory, self.chain, client))

    def prove(self, client: str, round: int, path: Path | None = None) -> Path:
        """Write the proof that a client contributed to a round.

        Args:
            client: its name, address or index, as in `find_client`.
            round: number of the round.
            path: the file to write; named after client and round when left out.

        Returns:
            The file.

        Raises:
            BoflError: if the client did not contribute, or the file exists.
        """
        from bofl_jax.ledger.audit.proof import write_proof

        index = find_client(self.directory, self.chain, client)
        path = path or Path(f"proof-client-{index}-round-{round}.json")
        write_proof(path, prove_contribution(self.chain, index, round))
        return path

    def conclusion(self) -> str:
        """All that was verified, in a few lines."""
        chain = self.chain
        proofs = sum(found.count for found in chain.rounds)
        batches = sum(one.event.name == "SyntheticLogged" and one.event.args["used"] > 0 for one in chain.events)
        aborted = f", {len(chain.aborted)} aborted" if chain.aborted else ""
        results = ", the published results" if chain.results else ""
        synthetic = f", {batches} synthetic batches" if batches else ""
        return (
            f"Holds: {chain.blocks} blocks with their seals and roots ({' and '.join(chain.engines)}), "
            f"{len(chain.rounds)} rounds in order{aborted}, {proofs} inclusion proofs of {chain.clients} clients, "
            f"the final model's digest{results}{synthetic}.\nHead {chain.head_hash}"
        )


def find_client(directory: Path, chain: ChainAudit, name: str) -> int:
    """The index of a client.

    Args:
        directory: the run directory.
        chain: its audited chain.
        name: the client's name in ``clients.csv``, its address ``0x...`` or its index.

    Raises:
        BoflError: if there is no such client.
    """
    names = read_clients(directory).name if (directory / CLIENTS_FILE).exists() else ()
    if name in names:
        return names.index(name)
    addresses = ["0x" + address.hex() for address in chain.registry]
    if name.lower() in addresses:
        return addresses.index(name.lower())
    if name.isdecimal() and int(name) < chain.clients:
        return int(name)
    last = chain.clients - 1
    raise BoflError(f"there is no client {name}: give a name of clients.csv, an address, or an index 0..{last}")


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the rows of a table as CSV or JSON.

    Args:
        path: a file whose name ends in .csv or .json.
        rows: from `AuditReport`.

    Raises:
        BoflError: if the name ends in something else, or the file cannot be written.
    """
    if path.suffix == ".json":
        text = json_text(rows)
    elif path.suffix == ".csv":
        text = _csv(rows)
    else:
        raise BoflError(f"{path}: name a file that ends in .csv or .json")
    try:
        write_text(path, text)
    except OSError as error:
        raise BoflError(f"{path} cannot be written ({error.strerror}): name another file") from error


def _csv(rows: list[Row]) -> str:
    buffer = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: " ".join(map(str, v)) if isinstance(v, list) else v for k, v in row.items()})
    return buffer.getvalue()


def shorten_digests(text: str) -> str:
    """The text with long digests cut to their first eight bytes.

    >>> shorten_digests("update 0x" + "ab" * 32 + ", 40 samples").replace("…", "...")
    'update 0xabababababababab..., 40 samples'
    """
    return re.sub(r"(0x[0-9a-f]{16})[0-9a-f]{24,}", r"\1…", text)
