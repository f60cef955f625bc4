"""Finished runs to tamper with, with events of every kind, in two ledger modes and with two seeds."""

import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bofl_jax.ledger import Ledger, create_ledger
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.sample_requests import Policy, SampleRequestClient
from bofl_jax.results.requests import write_batch
from bofl_jax.results.run_config import read_config
from tests.support.tiny import run_tiny, write_arrays

Kind = Callable[[random.Random, Path], None]
Counts = dict[str, dict[str, int]]
CLIENTS, ROUNDS, DRAWS = 6, 4, 50
EVERY, FIRST, LAST, FINALISED = slice(None), slice(1), slice(-1, None), slice(1, None)  # round 1 is aborted
CONTRACT = load_contract()
EVENTFUL = {
    "ledger.registered": 5,
    "ledger.changes": [
        {"round": 2, "action": "register", "client": 5},
        {"round": 3, "action": "suspend", "client": 1},
        {"round": 4, "action": "readmit", "client": 1},
    ],
    "federation.cohort": 4,
    "federation.rounds": ROUNDS,
    "engine.checkpoint_every": 1,
    "personalise.method": "none",
    "adversary.uninvited": 1,
    "adversary.duplicates": 1,
}
"""Changes of the registry, uninvited senders and duplicates: blocks of every kind."""
MODES = {
    "signed": {"ledger.mode": "signed"},
    "merkle": {"ledger.mode": "merkle"},
}
ALTERING = {"adversary.channel": "bit-flip", "adversary.altered": 0.2}
"""A channel that alters updates takes long to compile, so only one of the four runs has it."""


def configuration(run: Path) -> dict[str, Any]:
    """The configuration of a run, as nested tables."""
    return read_config(run).tables


def run_eventful(directory: Path, arrays: Path, overrides: dict[str, Any]) -> Path:
    """A finished run whose chain also has an aborted round and synthetic batches."""
    with mock.patch("bofl_jax.runs.session.create_ledger", _create_eventful_ledger):
        return run_tiny(directory, arrays, EVENTFUL | overrides).directory


def make_runs(folder: Path) -> Path:
    """Make the runs ``signed`` and ``merkle``, and ``other-...`` with another seed; returns their folder."""
    arrays = write_arrays(folder / "own.npz")
    for mode, overrides in MODES.items():
        run_eventful(folder / mode, arrays, overrides | (ALTERING if mode == "signed" else {}))
        run_eventful(folder / f"other-{mode}", arrays, overrides | {"seed": 1})
    return folder


def other_run(run: Path) -> Path:
    """The run with another seed beside a run."""
    return run.parent / f"other-{configuration(run)['ledger']['mode']}"


def _create_eventful_ledger(options: Any, directory: Path, clients: int, seed: int, config_hash: bytes) -> Ledger:
    """The ledger of the run after an aborted round, with sample requests before the first round and during rounds."""
    ledger: Any = create_ledger(options, directory, clients, seed, config_hash)
    desk, open_round = SampleRequestClient(ledger), ledger.open_round
    ledger.eligibility(1)
    ledger.open_round(1, np.arange(3))
    ledger.abort_round(1)
    desk.set_policy(Policy(rare_threshold=500, round_quota=100, total_quota=250, max_batch=80))
    for client in (0, 2):
        desk.request(client, 1, 50, [960, 40, 0])
    batch = {"x": np.random.default_rng(seed).normal(size=(50, 32, 1)).astype(np.float32), "y": np.ones(50, np.int32)}
    desk.log_batch(0, 1, 50, write_batch(directory, 1, batch), sha256(b"generator").digest(), [9000, 8000])

    def open_with_requests(round: int, cohort: np.ndarray) -> None:
        open_round(round, cohort)
        if round == 3:
            desk.request(0, 0, 10, [960, 40, 0])  # refused: class 0 is not rare
            desk.log_batch(2, 2, 0, sha256(b"bad").digest(), sha256(b"generator").digest())  # not used, hence refunded

    ledger.open_round = open_with_requests
    return ledger
