"""One run's directory, ledger and records. Its numbers are in the `TrainState` that the conductor hands on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.cohort import Cohort, draw_cohort
from bofl_jax.engine.inference import probabilities
from bofl_jax.engine.predict import global_model
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.round import RoundInfo, TrainState, initial_state, mean_loss
from bofl_jax.evaluation.client_contribution import Contributions, total
from bofl_jax.evaluation.explanations import explain
from bofl_jax.evaluation.reliability import unseen
from bofl_jax.evaluation.summary import Predictions, client_rows, measure, summarise
from bofl_jax.ledger import Ledger, RejectionReason, VerdictDiffersError, create_ledger, resume_ledger
from bofl_jax.results.requests import read_lines, tally
from bofl_jax.results.writing import results_digest
from bofl_jax.runs.checkpoint import Checkpoints, restore
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.runs.ledger_worker import LedgerWorker
from bofl_jax.synthesis import SynthesisOptions

Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Run:
    """A completed run.

    Attributes:
        directory: the run directory.
        summary: what ``summary.json`` holds.
        params: the parameters of the model that all share; None where the method shares no whole network.
        personal_params: parameters ``[C, ...]``; None without personalisation.
    """

    directory: Path
    summary: dict[str, Any]
    params: Any
    personal_params: Any


class RunSession:
    """A run under way; a context manager, whose end closes what was opened.

    Args:
        setting: what the run holds still.
        directory: begun, or about to be resumed.
        ledger_thread: in which the ledger works, job after job.
        on_round: called with every line of ``rounds.jsonl`` as it is written.
        shelf: where neural generators are kept for other runs; None: nowhere.

    Attributes:
        records: the lines of ``rounds.jsonl`` so far.
        cohort: of the last round that was drawn.
    """

    cohort: Cohort

    def __init__(
        self,
        setting: FederatedProblem,
        directory: RunDirectory,
        ledger_thread: ThreadPoolExecutor,
        on_round: Listener | None = None,
        shelf: GeneratorCache | None = None,
    ) -> None:
        self.setting, self.directory, self._on_round, self._shelf = setting, directory, on_round, shelf
        self.records: list[dict[str, Any]] = []
        self._thread = ledger_thread
        self._open = ExitStack()
        self._standing: np.ndarray | None = None
        self._record: dict[str, Any] = {}
        self._line: Future[dict[str, Any]] | None = None

    def __enter__(self) -> "RunSession":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def open(self) -> TrainState:
        """Open the files and the ledger.

        Returns:
            The state after the last saved round, or before the first.

        Raises:
            BoflError: if what lies in the directory is damaged.
        """
        self._checkpoints = self._open.enter_context(closing(Checkpoints(self.directory.checkpoints)))
        state = self._restore()
        ledger = self._open_ledger(len(self.records))
        self.setting = self._balance(ledger)
        self.recorder = self._open.enter_context(closing(LedgerWorker(ledger, self.setting.shares, self._thread)))
        return state

    def _restore(self) -> TrainState:
        state = initial_state(self.setting)
        saved = self._checkpoints.latest()
        self.records = self.directory.keep_rounds(saved.round if saved else 0)
        return self.setting.plan.replicate(restore(saved, state)) if saved else state

    def _balance(self, ledger: Ledger) -> FederatedProblem:
        """The setting with the synthetic samples that clients were granted, or are granted now."""
        options = self.setting.config.synthesis
        if not isinstance(options, SynthesisOptions):
            return self.setting
        from bofl_jax.balancing.workflow import balance, with_synthetic_samples

        path = self.directory.path
        if self.records:
            return with_synthetic_samples(self.setting, path)
        return balance(self.setting, options, ledger, path, self._shelf)

    def _open_ledger(self, rounds: int) -> Ledger:
        config = self.setting.config
        opening = (config.ledger, self.directory.path, self.setting.population.clients, config.seed, config.sha256())
        if rounds:
            return resume_ledger(*opening, rounds=rounds)
        self.directory.discard_ledger()
        return create_ledger(*opening)

    def draw_cohort(self, number: int) -> None:
        """Draw the cohort of a round; whoever the contract does not let contribute works in vain."""
        config = self.setting.config
        if self._standing is None or self.registry_changes(number):
            self._standing = self.recorder.eligibility(number)
        self.cohort = draw_cohort(
            config.federation, self.setting.training, self.setting.root, number, self._standing, config.adversary
        )

    def registry_changes(self, number: int) -> bool:
        """Whether the registry of clients changes before a round: the rounds before must be on the ledger then."""
        return any(change.round == number for change in self.setting.config.ledger.changes)

    def is_tested(self, number: int) -> bool:
        """Whether the shared model is tested after a round."""
        every = self.setting.config.evaluate.every
        return number == self.setting.config.federation.rounds or (every > 0 and number % every == 0)

    def begin_round_record(self, number: int, info: RoundInfo, params: Any, probability: np.ndarray | None) -> None:
        """Write down a round that was trained, and begin to put it on the ledger.

        Args:
            number: of the round.
            info: what arrived, and the server's verdicts.
            params: what is shared after it.
            probability: of all test samples, where the shared model was tested.

        Raises:
            BoflError: if no update is a number.
        """
        self._refuse_divergence(number, info)
        self._record = {
            "round": number,
            "loss": mean_loss(info, self.cohort),
            "examples": int(np.asarray(info.examples).sum()),
            "clients": len(self.cohort.invited),
        }
        if probability is not None:
            self._record["metrics"] = Predictions(self.setting, {"global": probability}).measure("global")
        assert self._standing is not None
        self._line = self.recorder.record(number, self._standing, self.cohort, info, params)

    def _refuse_divergence(self, number: int, info: RoundInfo) -> None:
        """A round in which no update is a number cannot be committed: stop, with the last checkpoint intact."""
        verdict = np.asarray(info.verdict)[self.cohort.sends]
        if len(verdict) and (verdict == RejectionReason.NOT_FINITE).all():
            raise BoflError(
                f"round {number}: every update holds NaN or infinity, training diverged: lower optimizer.lr "
                f"(now {self.setting.config.optimizer.lr:g}) and start again with another --out"
            )

    def is_valued(self, number: int) -> bool:
        """Whether the updates of a round are valued."""
        options = self.setting.config.evaluate
        return options.contribution != "none" and number % options.contribution_every == 0

    def value_clients(self, number: int, info: RoundInfo, before: Any) -> None:
        """Say what each client was worth to the round that was recorded last.

        Args:
            number: of the round.
            info: what arrived, and the server's verdicts.
            before: what was shared before it.
        """
        clients, worth = self._contributions.of_round(number, self.cohort, info, before)
        self._record |= {"contributors": clients.tolist(), "contribution": worth.tolist()}

    @cached_property
    def _contributions(self) -> Contributions:
        return Contributions(self.setting)

    def set_round_seconds(self, seconds: float) -> None:
        """Say how long the round took that was recorded last."""
        self._record["seconds"] = seconds

    def wait(self) -> None:
        """Wait until the round that was recorded last is on the ledger, or was refused by it."""
        if self._line:
            self._line.exception()

    def commit_round(self, before: Callable[[], TrainState], after: Callable[[], TrainState], save: bool) -> None:
        """Wait until the last round is on the ledger, then write it down; where the chain says no, go back before it.

        Args:
            before: the state before the round.
            after: the state after it.
            save: whether a checkpoint is due whatever the round.

        Raises:
            VerdictDiffersError: where the chain says no.
        """
        assert self._line is not None
        number = self._record["round"]
        try:
            record = self._record | {"ledger": self._line.result()}
        except VerdictDiffersError as error:
            if number > 1 and not self._checkpoints.has(number - 1):
                self._checkpoints.save(number - 1, before())
            raise VerdictDiffersError(
                f"{error}; the run is back at round {number - 1}, the last one that was finalised: find out "
                f"who changed the registry or the contract, then go on with --resume --out {self.directory.path}"
            ) from error
        self.directory.append_round(record)
        self.records.append(record)
        if save or number % self.setting.config.engine.checkpoint_every == 0:
            self._checkpoints.save(number, after())
        if self._on_round:
            self._on_round(record)

    def finish(self, state: TrainState, probability: dict[str, np.ndarray], personal: Any, compile_s: float) -> Run:
        """Measure, write the results, publish their digest, and write the summary.

        Args:
            state: after training.
            probability: model name -> float32[Ntest, K].
            personal: parameters ``[C, ...]``, or None.
            compile_s: seconds spent on compiling.
        """
        setting = self.setting
        predictions = Predictions(setting, probability)
        contribution = total(self.records, setting.population.clients) if setting.keeps_updates else None
        self.directory.write_results(client_rows(predictions, contribution), predictions.arrays())
        measured = measure(predictions)
        if setting.shares:
            self.recorder.publish(results_digest(self.directory.path, measured))
        ledger = self.recorder.ledger
        requests = tally(read_lines(self.directory.path))
        summary = summarise(measured, setting.config, self.records, ledger.mode, ledger.head_hash, compile_s, requests)
        shared = global_model(setting, state)
        summary |= self._beyond(predictions, shared, personal)
        self.directory.finish(summary)
        return Run(self.directory.path, summary, shared, personal)

    def _beyond(self, predictions: Predictions, shared: Any, personal: Any) -> dict[str, Any]:
        """What the summary says beyond the test, and ``explanations.npz`` where samples are to be explained."""
        setting, known = self.setting, None
        rows, _ = unseen(setting.population).flat()
        if setting.has_global and len(rows):
            known = (probabilities(setting, shared, rows), setting.samples.y[rows])
        found = {"safety": predictions.safety(known)}
        if setting.config.evaluate.explain:
            explanation = explain(predictions, shared, personal, setting.config.evaluate.explain)
            self.directory.write_explanations(explanation.arrays)
            found["explanation"] = explanation.summary
        return found
