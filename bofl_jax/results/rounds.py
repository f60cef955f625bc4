"""``rounds.jsonl``: a line for each round of a run, in order.

The chain vouches for every value but clock times: gas, accepted and rejected updates are compared with its blocks, all
else is in the results digest.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_json
from bofl_jax.results.reading import FIX_RUN, load_json_lines, number_column, read_file
from bofl_jax.results.records import Evidence, check_record, unverified_keys, without
from bofl_jax.results.writing import json_line, write_text

ROUNDS_FILE = "rounds.jsonl"


class LedgerRecord(TypedDict):
    """What one round cost on the ledger."""

    gas: Annotated[int, Evidence.CHAIN]
    bytes: int  # of the round's transactions
    cpu_ms: Annotated[float, Evidence.NONE]  # CPU time of the round's transactions
    accepted: Annotated[int, Evidence.CHAIN]  # updates
    rejected: Annotated[int, Evidence.CHAIN]  # updates
    digest_ms: NotRequired[Annotated[float, Evidence.NONE]]  # CPU time of hashing the updates and their tree


class RoundRecord(TypedDict):
    """One line of ``rounds.jsonl``."""

    round: Annotated[int, Evidence.CHAIN]  # from 1
    loss: float  # mean training loss of the cohort
    examples: int  # training samples that the cohort's local steps read
    clients: int  # of the cohort
    metrics: NotRequired[dict[str, Any]]  # of the global model, in rounds in which it was tested
    seconds: Annotated[float, Evidence.NONE]  # wall-clock time
    contributors: NotRequired[list[int]]  # clients, in rounds in which contributions were estimated
    contribution: NotRequired[list[float]]  # of the contributors
    ledger: LedgerRecord


@dataclass(frozen=True)
class Rounds:
    """``rounds.jsonl`` as columns of R rounds; NaN where a number was not written."""

    number: np.ndarray  # int64[R], rising
    loss: np.ndarray  # float64[R]
    gas: np.ndarray  # float64[R]
    cpu_ms: np.ndarray  # float64[R], the ledger's transactions
    accuracy: np.ndarray  # float64[R], global model; NaN in rounds without evaluation
    macro_f1: np.ndarray  # float64[R]
    digest_ms: np.ndarray  # float64[R], hashing of updates and of their tree
    seconds: np.ndarray  # float64[R]


def append_round(directory: Path, record: RoundRecord) -> None:
    """Add the line of a round."""
    with (directory / ROUNDS_FILE).open("a", encoding="utf-8", newline="\n") as file:
        file.write(json_line(record))


def keep_first_rounds(directory: Path, count: int) -> list[RoundRecord]:
    """Cut the file down to its first rounds and read them.

    Args:
        directory: the run directory.
        count: number of rounds to keep.

    Raises:
        BoflError: if the file holds fewer rounds, or a line of them is damaged.
    """
    path = directory / ROUNDS_FILE
    lines = path.read_bytes().splitlines()[:count] if path.exists() else []
    try:
        records = [check_record(parse_json(line.decode("utf-8")), RoundRecord) for line in lines]
    except ValueError:
        records = []
    if [record["round"] for record in records] != list(range(1, count + 1)):
        raise BoflError(f"{path} does not hold the first {count} rounds: start again with another --out")
    write_text(path, "".join(line.decode("utf-8") + "\n" for line in lines))
    return records


def read_round_records(directory: Path) -> list[RoundRecord]:
    """Read the lines of all rounds.

    Raises:
        BoflError: if the file is missing or damaged.
    """
    return read_file(
        directory / ROUNDS_FILE,
        lambda path: [check_record(line, RoundRecord) for line in load_json_lines(path)],
        FIX_RUN,
    )


def read_rounds(directory: Path) -> Rounds:
    """Read the rounds of a run as columns; lines of older versions may lack all but the round's number.

    Raises:
        BoflError: if the file is missing or damaged, or its rounds are out of order.
    """
    return read_file(directory / ROUNDS_FILE, _columns, FIX_RUN)


def _columns(path: Path) -> Rounds:
    rows = [check_record(line, RoundRecord, partial=True) for line in load_json_lines(path)]
    number = np.array([row["round"] for row in rows], np.int64)
    if not rows or (np.diff(number) <= 0).any():
        raise ValueError("the rounds are not numbered upwards" if rows else "it holds no round")
    ledgers = [row.get("ledger") or {} for row in rows]
    measured = [row.get("metrics") or {} for row in rows]
    return Rounds(
        number=number,
        loss=number_column(rows, "loss"),
        gas=number_column(ledgers, "gas"),
        cpu_ms=number_column(ledgers, "cpu_ms"),
        accuracy=number_column(measured, "accuracy"),
        macro_f1=number_column(measured, "macro_f1"),
        digest_ms=number_column(ledgers, "digest_ms"),
        seconds=number_column(rows, "seconds"),
    )


def verified_values(record: RoundRecord) -> dict[str, Any]:
    """The values of a line that are part of the results digest."""
    ledger = without(record["ledger"], unverified_keys(LedgerRecord))
    return without(record, unverified_keys(RoundRecord)) | {"ledger": ledger}
