"""What an audit of a run directory has to say, for people and for other programs."""

import csv
import io
import json
from pathlib import Path

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import SecondEngine
from bofl_jax.ledger.audit.provenance import Row, deeds, prove_contribution, rounds_table
from bofl_jax.results.writing import write_text
from bofl_jax.runs.audit import audit, find_client


class Report:
    """An audited run.

    Args:
        directory: the run directory.
        second: another EVM that has to agree.

    Raises:
        VerificationError: if the audit finds something that does not hold.
    """

    def __init__(self, directory: Path, second: SecondEngine | None = None) -> None:
        self.directory = directory
        self.chain = audit(directory, second)

    def rounds(self) -> list[Row]:
        """The provenance table: a row a global model."""
        return rounds_table(self.chain)

    def deeds(self, client: str) -> list[Row]:
        """Everything that one client did; it is named as `find_client` says."""
        return deeds(self.chain, find_client(self.directory, self.chain, client))

    def prove(self, client: str, round: int, path: Path | None = None) -> Path:
        """Write the proof that a client contributed to a round; returns where.

        Raises:
            BoflError: if it did not, or the file exists.
        """
        from bofl_jax.ledger.audit.proof import write_proof

        index = find_client(self.directory, self.chain, client)
        path = path or Path(f"proof-client-{index}-round-{round}.json")
        write_proof(path, prove_contribution(self.chain, index, round))
        return path

    def conclusion(self) -> str:
        """What was found to hold, in a few lines."""
        chain = self.chain
        proofs = sum(found.count for found in chain.rounds)
        batches = sum(t.event.name == "SyntheticLogged" and t.event.args["used"] > 0 for t in chain.told)
        aborted = f", {len(chain.aborted)} aborted" if chain.aborted else ""
        results = ", the published results" if chain.results else ""
        synthetic = f", {batches} synthetic batches" if batches else ""
        return (
            f"Holds: {chain.blocks} blocks with their seals and roots ({' and '.join(chain.engines)}), "
            f"{len(chain.rounds)} rounds in order{aborted}, {proofs} inclusion proofs of {chain.clients} clients, "
            f"the final model's digest{results}{synthetic}.\nHead {chain.head_hash}"
        )


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write rows as CSV or JSON, as the file's name says.

    Raises:
        BoflError: for another kind of file, or one that cannot be written.
    """
    if path.suffix == ".json":
        text = json.dumps(rows, indent=1) + "\n"
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
