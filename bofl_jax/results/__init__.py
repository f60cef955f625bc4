"""Result files: the schema of each, and its one writer and one reader.

A file that is missing, damaged or of another version raises a BoflError of one line, which names the file and says how
to fix it.

========================  =========================  ===============================================================
file                      module                     evidence
========================  =========================  ===============================================================
``config.toml``           `results.run_config`       its SHA-256 is in the genesis of the chain
``environment.json``      `results.environment`      not verified
``rounds.jsonl``          `results.rounds`           compared with the chain, and in the results digest, but for times
``clients.csv``           `results.clients`          in the results digest
``predictions.npz``       `results.predictions`      in the results digest
``summary.json``          `results.summary`          in the results digest, compared with the chain, or computed again
``synthesis.jsonl``       `results.requests`         compared with the chain, but for scores and sources
``synthetic/*.npz``       `results.requests`         the digest of each file is on the chain
``explanations.npz``      `results.explanations`     not verified
``sweep.csv``, ``.npz``   `results.sweep`            on no chain
results of studies        `results.study`            on no chain
results of benchmarks     `results.benchmarks`       on no chain
========================  =========================  ===============================================================
"""

from bofl_jax.results.benchmarks import Benchmarks, PeerSpeed, Workload, read_benchmarks
from bofl_jax.results.clients import Clients, read_clients
from bofl_jax.results.digest import results_digest
from bofl_jax.results.environment import Environment, read_environment
from bofl_jax.results.explanations import Explanations, read_explanations
from bofl_jax.results.predictions import Predictions, read_predictions
from bofl_jax.results.requests import RequestRecord, read_requests
from bofl_jax.results.rounds import RoundRecord, Rounds, read_round_records, read_rounds
from bofl_jax.results.run import RunResults, read_run
from bofl_jax.results.run_config import RunConfig, read_config
from bofl_jax.results.study import Fidelity, Study, StudyRound, StudyRow, read_study
from bofl_jax.results.summary import Summary, SummaryRecord, is_complete, read_summary, read_summary_record
from bofl_jax.results.sweep import SweepMember, SweepResults, SweepTable, read_sweep, read_sweep_table

__all__ = [
    "Benchmarks",
    "Clients",
    "Environment",
    "Explanations",
    "Fidelity",
    "PeerSpeed",
    "Predictions",
    "RequestRecord",
    "RoundRecord",
    "Rounds",
    "RunConfig",
    "RunResults",
    "Study",
    "StudyRound",
    "StudyRow",
    "Summary",
    "SummaryRecord",
    "SweepMember",
    "SweepResults",
    "SweepTable",
    "Workload",
    "is_complete",
    "read_benchmarks",
    "read_clients",
    "read_config",
    "read_environment",
    "read_explanations",
    "read_predictions",
    "read_requests",
    "read_round_records",
    "read_rounds",
    "read_run",
    "read_study",
    "read_summary",
    "read_summary_record",
    "read_sweep",
    "read_sweep_table",
    "results_digest",
]
