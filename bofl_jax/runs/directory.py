"""The run directory: what is written, when, and in which form."""

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.config import Config
from bofl_jax.core.errors import BoflError
from bofl_jax.core.parsing import parse_json
from bofl_jax.parallel.clients import ExecutionPlan
from bofl_jax.results.writing import (
    _text,
    environment,
    flat,
    read_toml,
    refuse_if_used,
    summary_text,
    write_arrays,
    write_csv,
    write_text,
)


class RunDirectory:
    """One run's files. ``summary.json`` is written last: where it stands, the run is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.rounds = path / "rounds.jsonl"

    @property
    def begun(self) -> bool:
        """Whether it holds a run, complete or not."""
        return (self.path / "config.toml").exists()

    @property
    def complete(self) -> bool:
        """Whether it holds a completed run."""
        return (self.path / "summary.json").exists()

    def refuse_if_used(self) -> None:
        """Raises BoflError if the directory holds anything."""
        refuse_if_used(self.path, self.begun)

    def begin(self, config: Config) -> None:
        """Create the directory and write what is known before the first round.

        Raises:
            BoflError: if it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_text(self.path / "config.toml", config.to_toml())
            write_text(self.path / "environment.json", json.dumps(environment(), indent=1) + "\n")
        except OSError as error:
            raise BoflError(f"{self.path} cannot be written ({error.strerror}): name another --out") from error

    def check_same(self, config: Config) -> None:
        """Compare with the configuration that the directory was begun with.

        Raises:
            BoflError: naming the first key that differs.
        """
        theirs, ours = flat(read_toml(self.path / "config.toml")), flat(tomllib.loads(config.to_toml()))
        differing = sorted(key for key in theirs.keys() | ours.keys() if _text(theirs, key) != _text(ours, key))
        if differing:
            key = differing[0]
            raise BoflError(
                f"{self.path} was begun with {key} = {_text(theirs, key)}, not {_text(ours, key)}: resume it with the "
                f"same configuration ({self.path / 'config.toml'}), or name another --out"
            )

    def chunks(self) -> ExecutionPlan | None:
        """The chunks in which the run's clients were begun to run, for want of memory; None: not in any."""
        engine = read_toml(self.path / "config.toml").get("engine", {})
        return ExecutionPlan("map", engine.get("width", 0), 1, 1) if engine.get("execution") == "map" else None

    def discard_ledger(self) -> None:
        """Remove the chain of a run that was cut off before its first checkpoint; its rounds are done again."""
        if (self.path / "ledger").exists():
            shutil.rmtree(self.path / "ledger")

    def append_round(self, record: dict[str, Any]) -> None:
        """Add a line to ``rounds.jsonl``."""
        with self.rounds.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def keep_rounds(self, count: int) -> list[dict[str, Any]]:
        """Cut ``rounds.jsonl`` down to the first ``count`` rounds and return them.

        Raises:
            BoflError: if it holds fewer, or a line of them is damaged.
        """
        lines = self.rounds.read_text().splitlines()[:count] if self.rounds.exists() else []
        try:
            records = [parse_json(line) for line in lines]
        except ValueError:
            records = []
        if [record["round"] for record in records] != list(range(1, count + 1)):
            raise BoflError(f"{self.rounds} does not hold the first {count} rounds: start again with another --out")
        write_text(self.rounds, "".join(line + "\n" for line in lines))
        return records

    def write_results(self, clients: list[dict[str, Any]], predictions: dict[str, np.ndarray]) -> None:
        """Write what was measured of a completed run, client by client and sample by sample."""
        write_csv(self.path / "clients.csv", clients)
        write_arrays(self.path / "predictions.npz", predictions)

    def write_explanations(self, arrays: dict[str, np.ndarray]) -> None:
        """Write the samples that were explained."""
        write_arrays(self.path / "explanations.npz", arrays)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary: the run is complete."""
        write_text(self.path / "summary.json", summary_text(summary))
