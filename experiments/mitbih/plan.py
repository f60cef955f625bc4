"""The trainings, and the rows of the table that each of them gives."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent


class Training(NamedTuple):
    """One configuration file, and the keys that are changed in it."""

    file: str
    overrides: Mapping[str, Any]


class Row(NamedTuple):
    """One row of the table: a model of a training, tested on all test clients or on all but one."""

    title: str
    training: str
    model: str  # global | personalised
    without: str = ""  # client whose beats are left out; a key of results.json, as the other fields


def _fine_tuned(file: str, steps: int) -> Training:
    """The same training with another number of fine-tuning steps, and without a ledger, which must change no bit."""
    return Training(file, {"personalise.steps": steps, "ledger.mode": "off", "evaluate.every": 0})


TRAININGS = {
    "local": Training("local.toml", {}),
    "fedavg": Training("fedavg.toml", {}),
    "perfedavg": Training("perfedavg.toml", {}),
    "centralised": Training("centralised.toml", {}),
    "centralised_sqrt": Training("centralised_sqrt.toml", {}),
    "fedavg_ft30": _fine_tuned("fedavg.toml", 30),
    "fedavg_ft150": _fine_tuned("fedavg.toml", 150),
    "perfedavg_ft30": _fine_tuned("perfedavg.toml", 30),
    "perfedavg_ft150": _fine_tuned("perfedavg.toml", 150),
}

ROWS = {
    "local": Row("Local only", "local", "personalised"),
    "fedavg": Row("FedAvg", "fedavg", "global"),
    "fedavg_ft30": Row("FedAvg + FT 30", "fedavg_ft30", "personalised"),
    "fedavg_ft150": Row("FedAvg + FT 150", "fedavg_ft150", "personalised"),
    "fedavg_ft600": Row("FedAvg + FT 600", "fedavg", "personalised"),
    "perfedavg_ft30": Row("PerFedAvg + FT 30", "perfedavg_ft30", "personalised"),
    "perfedavg_ft150": Row("PerFedAvg + FT 150", "perfedavg_ft150", "personalised"),
    "perfedavg_ft600": Row("PerFedAvg + FT 600", "perfedavg", "personalised"),
    "centralised": Row("Centralised, CE", "centralised", "global"),
    "centralised_no202": Row("Centralised, CE, without 202", "centralised", "global", "202"),
    "centralised_sqrt": Row("Centralised, √ weights", "centralised_sqrt", "global"),
    "centralised_sqrt_no202": Row("Centralised, √ weights, without 202", "centralised_sqrt", "global", "202"),
}

WITHOUT_LEDGER = {"fedavg": "fedavg_ft30", "perfedavg": "perfedavg_ft30"}
"""Training on the ledger -> the same training without a ledger and with another number of fine-tuning steps."""


def config_hashes() -> dict[str, str]:
    """Configuration file -> its SHA-256."""
    files = sorted({training.file for training in TRAININGS.values()})
    return {file: hashlib.sha256((HERE / file).read_bytes()).hexdigest() for file in files}
