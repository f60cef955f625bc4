"""One run in progress: its directory, its ledger and its records. The `TrainState` stays with the caller."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.cohort import Cohort, draw_cohort
from bofl_jax.engine.inference import probabilities
from bofl_jax.engine.predict import global_model
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.round import mean_loss
from bofl_jax.engine.state import RoundInfo, TrainState, initial_state
from bofl_jax.evaluation.client_contribution import ContributionEstimator, total_contributions
from bofl_jax.evaluation.explanations import explain_predictions
from bofl_jax.evaluation.reliability import unseen_samples
from bofl_jax.evaluation.summary import RunPredictions, client_rows, measure_models, summarise
from bofl_jax.ledger import Ledger, RejectionReason, VerdictDiffersError, create_ledger, resume_ledger
from bofl_jax.results.clients import write_clients
from bofl_jax.results.digest import results_digest
from bofl_jax.results.explanations import write_explanations
from bofl_jax.results.predictions import write_predictions
from bofl_jax.results.requests import read_requests, request_totals
from bofl_jax.results.rounds import LedgerRecord, RoundRecord, append_round, keep_first_rounds
from bofl_jax.results.summary import SummaryRecord, write_summary
from bofl_jax.runs.checkpoint import CheckpointStore, restore
from bofl_jax.runs.ledger_worker import LedgerWorker
from bofl_jax.runs.open_run import PreparedRun
from bofl_jax.synthesis import SynthesisOptions


class RoundCallback(Protocol):
    """A function that is called after each round."""

    def __call__(self, record: RoundRecord, /) -> None:
        """Receive the line of ``rounds.jsonl`` that was written."""


@dataclass(frozen=True)
class Run:
    """A completed run.

    Attributes:
        directory: the run directory.
        summary: content of ``summary.json``.
        params: parameters that all clients share; None where the method shares no whole network.
        personal_params: parameters ``[C, ...]`` of the clients' own models; None without personalisation.
    """

    directory: Path
    summary: SummaryRecord
    params: Any
    personal_params: Any


class RunSession:
    """One run in progress. As a context manager, it closes what it opened.

    Args:
        prepared: the run.
        ledger_thread: thread for all calls of the ledger, from `ledger_thread`.
        on_round: called with each line of ``rounds.jsonl`` when it is written.
        generator_cache: fitted neural generators of other runs, or None.

    Attributes:
        problem: inputs that stay constant during the run; after `open` with the synthetic samples.
        records: lines of ``rounds.jsonl`` so far.
        cohort: the cohort that was drawn last.
    """

    cohort: Cohort

    def __init__(
        self,
        prepared: PreparedRun,
        ledger_thread: ThreadPoolExecutor,
        on_round: RoundCallback | None = None,
        generator_cache: GeneratorCache | None = None,
    ) -> None:
        self.problem = prepared.problem
        self.records: list[RoundRecord] = []
        self._opened, self._directory = prepared.opened, prepared.opened.directory
        self._on_round, self._generator_cache = on_round, generator_cache
        self._thread = ledger_thread
        self._resources = ExitStack()
        self._eligibility: np.ndarray | None = None
        self._record: dict[str, Any] = {}
        self._ledger_record: Future[LedgerRecord] | None = None

    def __enter__(self) -> "RunSession":
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def open(self) -> TrainState:
        """Begin the run directory or restore the newest checkpoint, and open the ledger.

        Returns:
            The state after the last saved round, or before the first round.

        Raises:
            BoflError: if a file of the directory is damaged, or the directory cannot be written.
        """
        self._opened.begin(self.problem.config)
        self._checkpoints = self._resources.enter_context(closing(CheckpointStore(self._directory.checkpoints)))
        state = self._restore_state()
        ledger = self._open_ledger(len(self.records))
        self.problem = self._add_synthetic_samples(ledger)
        worker = LedgerWorker(ledger, self.problem.shares, self._thread)
        self._ledger_worker = self._resources.enter_context(closing(worker))
        return state

    def _restore_state(self) -> TrainState:
        state = initial_state(self.problem)
        checkpoint = self._checkpoints.latest()
        if checkpoint:
            state = self.problem.plan.replicate(restore(checkpoint, state))
        self.records = keep_first_rounds(self._directory.path, checkpoint.round if checkpoint else 0)
        return state

    def _open_ledger(self, rounds: int) -> Ledger:
        config = self.problem.config
        arguments = (config.ledger, self._directory.path, self.problem.population.clients, config.seed, config.sha256())
        if rounds:
            return resume_ledger(*arguments, rounds=rounds)
        self._directory.discard_ledger()
        return create_ledger(*arguments)

    def _add_synthetic_samples(self, ledger: Ledger) -> FederatedProblem:
        """The problem with synthetic samples: those of a resumed run, or those that clients request now."""
        options = self.problem.config.synthesis
        if not isinstance(options, SynthesisOptions):
            return self.problem
        from bofl_jax.balancing.workflow import balance, with_synthetic_samples

        path = self._directory.path
        if self.records:
            return with_synthetic_samples(self.problem, path)
        return balance(self.problem, options, ledger, path, self._generator_cache)

    def draw_cohort(self, number: int) -> None:
        """Draw the cohort of a round. Updates of ineligible clients are computed but ignored."""
        config = self.problem.config
        if self._eligibility is None or self.registry_changes(number):
            self._eligibility = self._ledger_worker.eligibility(number)
        self.cohort = draw_cohort(
            config.federation, self.problem.training, self.problem.root, number, self._eligibility, config.adversary
        )

    def registry_changes(self, number: int) -> bool:
        """Whether the registry of clients changes before a round; earlier rounds must then be on the ledger."""
        return any(change.round == number for change in self.problem.config.ledger.changes)

    def is_evaluation_round(self, number: int) -> bool:
        """Whether the shared model is tested after a round."""
        every = self.problem.config.evaluate.every
        return number == self.problem.config.federation.rounds or (every > 0 and number % every == 0)

    def is_contribution_round(self, number: int) -> bool:
        """Whether the contributions of clients to a round are estimated."""
        options = self.problem.config.evaluate
        return options.contribution != "none" and number % options.contribution_every == 0

    def begin_round_record(self, number: int, info: RoundInfo, params: Any, probability: np.ndarray | None) -> None:
        """Record a trained round, and hand it to the ledger's thread.

        Args:
            number: number of the round.
            info: the updates that arrived and the verdicts of the server.
            params: what the server shares after the round.
            probability: float32[Ntest, K] by the shared model, where it was tested.

        Raises:
            BoflError: if every update is NaN or infinite.
        """
        self._check_divergence(number, info)
        self._record = {
            "round": number,
            "loss": mean_loss(info, self.cohort),
            "examples": int(np.asarray(info.examples).sum()),
            "clients": len(self.cohort.invited),
        }
        if probability is not None:
            self._record["metrics"] = RunPredictions(self.problem, {"global": probability}).measure("global")
        assert self._eligibility is not None
        self._ledger_record = self._ledger_worker.record(number, self._eligibility, self.cohort, info, params)

    def _check_divergence(self, number: int, info: RoundInfo) -> None:
        """Stop if every update is NaN or infinite; the last checkpoint is kept."""
        verdict = np.asarray(info.verdict)[self.cohort.sends]
        if len(verdict) and (verdict == RejectionReason.NOT_FINITE).all():
            raise BoflError(
                f"round {number}: every update holds NaN or infinity, training diverged: lower optimizer.lr "
                f"(now {self.problem.config.optimizer.lr:g}) and start again with another --out"
            )

    def record_contributions(self, number: int, info: RoundInfo, before: Any) -> None:
        """Add the contributions of clients to the record of the last round.

        Args:
            number: number of the round.
            info: the updates that arrived and the verdicts of the server.
            before: what the server shared before the round.
        """
        clients, contribution = self._contributions.value_round(number, self.cohort, info, before)
        self._record |= {"contributors": clients.tolist(), "contribution": contribution.tolist()}

    @cached_property
    def _contributions(self) -> ContributionEstimator:
        return ContributionEstimator(self.problem)

    def set_round_seconds(self, seconds: float) -> None:
        """Add the duration of the last round to its record."""
        self._record["seconds"] = seconds

    def wait_for_ledger(self) -> None:
        """Wait until the ledger has committed or rejected the last round."""
        if self._ledger_record:
            self._ledger_record.exception()

    def commit_round(self, before: Callable[[], TrainState], after: Callable[[], TrainState], save: bool) -> None:
        """Wait until the last round is on the ledger, then write its record, and a checkpoint where one is due.

        Args:
            before: returns the state before the round.
            after: returns the state after the round.
            save: whether to write a checkpoint after any round.

        Raises:
            VerdictDiffersError: if the contract rejects the round; the run is then saved as it was before the round.
        """
        assert self._ledger_record is not None
        number = self._record["round"]
        try:
            record = cast(RoundRecord, self._record | {"ledger": self._ledger_record.result()})
        except VerdictDiffersError as error:
            if number > 1 and not self._checkpoints.has(number - 1):
                self._checkpoints.save(number - 1, before())
            raise VerdictDiffersError(
                f"{error}; the run is back at round {number - 1}, the last one that was finalised: find out "
                f"who changed the registry or the contract, then go on with --resume --out {self._directory.path}"
            ) from error
        append_round(self._directory.path, record)
        self.records.append(record)
        if save or number % self.problem.config.engine.checkpoint_every == 0:
            self._checkpoints.save(number, after())
        if self._on_round:
            self._on_round(record)

    def finish(self, state: TrainState, probability: dict[str, np.ndarray], personal: Any, compile_s: float) -> Run:
        """Compute the metrics, write the results, publish their digest, and write the summary.

        Args:
            state: the state after training.
            probability: name of a model -> float32[Ntest, K].
            personal: parameters ``[C, ...]`` of the clients' own models, or None.
            compile_s: seconds spent on compiling.
        """
        problem = self.problem
        predictions = RunPredictions(problem, probability)
        contribution = total_contributions(self.records, problem.population.clients) if problem.keeps_updates else None
        write_clients(self._directory.path, client_rows(predictions, contribution))
        write_predictions(self._directory.path, predictions.arrays())
        measured = measure_models(predictions)
        if problem.shares:
            self._ledger_worker.publish(results_digest(self._directory.path, measured))
        ledger = self._ledger_worker.ledger
        requests = request_totals(read_requests(self._directory.path))
        summary = summarise(measured, problem.config, self.records, ledger.mode, ledger.head_hash, compile_s, requests)
        shared = global_model(problem, state)
        self._add_reliability(summary, predictions, shared, personal)
        write_summary(self._directory.path, summary)
        return Run(self._directory.path, summary, shared, personal)

    def _add_reliability(self, summary: SummaryRecord, predictions: RunPredictions, shared: Any, personal: Any) -> None:
        """Add reliability to the summary, and explanations where the configuration asks for them."""
        problem, reference = self.problem, None
        rows, _ = unseen_samples(problem.population).flat()
        if problem.has_global and len(rows):
            reference = (probabilities(problem, shared, rows), problem.samples.y[rows])
        summary["safety"] = predictions.reliability(reference)
        if problem.config.evaluate.explain:
            explanation = explain_predictions(predictions, shared, personal, problem.config.evaluate.explain)
            write_explanations(self._directory.path, explanation.arrays)
            summary["explanation"] = explanation.summary
