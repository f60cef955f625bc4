"""All result files of a run directory that figures and pages show."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bofl_jax.core.errors import BoflError
from bofl_jax.results.clients import Clients, read_clients
from bofl_jax.results.explanations import Explanations, read_explanations
from bofl_jax.results.predictions import Predictions, read_predictions
from bofl_jax.results.reading import FIX_RUN, load_json, read_file
from bofl_jax.results.records import check_record
from bofl_jax.results.requests import Request, read_request_outcomes
from bofl_jax.results.rounds import Rounds, read_rounds
from bofl_jax.results.run_config import CONFIG_FILE, read_config
from bofl_jax.results.summary import Summary, read_summary


@dataclass(frozen=True)
class RunResults:
    """The result files of one run."""

    rounds: Rounds
    clients: Clients
    predictions: Predictions
    summary: Summary
    requests: tuple[Request, ...] = ()
    explanations: Explanations | None = None
    config: dict[str, Any] = field(default_factory=dict)  # section -> key -> value
    contract: str = ""  # the name of the contract on the run's chain


def read_run(directory: Path) -> RunResults:
    """Read and check the result files of a run.

    Raises:
        BoflError: one line that names the file that is missing or damaged, and says how to fix it.
    """
    if not directory.is_dir():
        raise BoflError(f"there is no run directory {directory}: give the folder that `bofl run --out` wrote")
    contract = directory / "ledger" / "contract.json"
    return RunResults(
        predictions=read_predictions(directory),
        rounds=read_rounds(directory),
        clients=read_clients(directory),
        summary=read_summary(directory),
        requests=read_request_outcomes(directory),
        explanations=read_explanations(directory),
        config=read_config(directory).tables if (directory / CONFIG_FILE).exists() else {},
        contract=read_file(contract, _contract_name, FIX_RUN) if contract.exists() else "",
    )


def _contract_name(path: Path) -> str:
    return check_record(load_json(path), dict[str, Any])["contractName"]  # type: ignore[no-any-return]
