"""The conductor: from a configuration to a run directory."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.federate import runtime
from bofl_jax.federate.checkpoint import Checkpoints, restore
from bofl_jax.federate.cohort import Cohort, draw
from bofl_jax.federate.execute import Plan, resolve
from bofl_jax.federate.options import NoPersonaliseOptions, OwnOptions
from bofl_jax.federate.record import Recorder
from bofl_jax.federate.report import Predictions, client_rows, measure, summarise
from bofl_jax.federate.results import RunDirectory, results_digest
from bofl_jax.federate.round import RoundInfo, TrainState, compile_round, digesting, mean_loss, start
from bofl_jax.federate.setting import Setting, initial_params, settle
from bofl_jax.federate.testing import compile_predict, personalise
from bofl_jax.ledger import Ledger, Refusal, VerdictDiffersError, create_ledger, resume_ledger

if TYPE_CHECKING:
    from bofl_jax.config import Config

Listener = Callable[[dict[str, Any]], None]


class Interrupted(BoflError):  # noqa: N818 - no error: what was done is kept
    """Ctrl-C: the round in hand was completed and saved."""

    exit_code = 130


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


def run(config: "Config", out: str | Path | None = None, resume: bool = False, on_round: Listener | None = None) -> Run:
    """Run a configuration.

    Args:
        config: from ``load_config``.
        out: run directory; ``runs/<name>`` when left out.
        resume: go on from the last completed round that ``out`` holds.
        on_round: called with every line of ``rounds.jsonl`` as it is written.

    Raises:
        BoflError: if the request cannot be carried out; one line says what to mend.
        Interrupted: on Ctrl-C, after the round in hand was saved.
    """
    directory = RunDirectory(Path(out) if out else Path("runs") / config.name)
    if not resume:
        directory.refuse_if_used()
    config, plan = resolved(config)
    begun = directory.begun
    if begun:
        directory.check_same(config)
    setting = settle(config, plan)
    if not begun:
        directory.refuse_if_used()
        directory.begin(config)
    return _Conductor(setting, directory, on_round or (lambda _: None)).conduct()


def resolved(config: "Config") -> tuple["Config", Plan]:
    """The configuration as a run directory has it, the way in which clients run settled for this machine."""
    runtime.prepare(config.engine)
    plan = resolve(config.engine)
    engine = {name: getattr(plan, name) for name in ("execution", "width", "devices", "blocks")}
    return config.model_copy(update={"engine": config.engine.model_copy(update=engine)}), plan


class _Conductor:
    """Holds the open files of one run; the numbers live in ``TrainState``."""

    def __init__(self, setting: Setting, directory: RunDirectory, on_round: Listener) -> None:
        self.setting = setting
        self.directory = directory
        self.on_round = on_round
        self.compile_s = 0.0

    def conduct(self) -> Run:
        with ExitStack() as open_files:
            self.checkpoints = open_files.enter_context(closing(Checkpoints(self.directory.checkpoints)))
            state, records = self._restore()
            ledger = self._open_ledger(len(records))
            self.recorder = open_files.enter_context(closing(Recorder(ledger, self.setting.shares)))
            state = self._train(state, records)
            return self._finish(state, records)

    def _restore(self) -> tuple[TrainState, list[dict[str, Any]]]:
        """The state after the last saved round (or before the first), and the records of the rounds up to it."""
        state = start(self.setting, initial_params(self.setting))
        saved = self.checkpoints.latest()
        if saved is None:
            return state, self.directory.keep_rounds(0)
        state = self.setting.plan.replicate(restore(saved, state))
        return state, self.directory.keep_rounds(saved.round)

    def _open_ledger(self, rounds: int) -> Ledger:
        config = self.setting.config
        opening = (config.ledger, self.directory.path, self.setting.population.clients, config.seed, config.sha256())
        if rounds:
            return resume_ledger(*opening, rounds=rounds)
        self.directory.discard_ledger()
        return create_ledger(*opening)

    def _train(self, state: TrainState, records: list[dict[str, Any]]) -> TrainState:
        """All rounds that are left. While the device trains one, the ledger records the one before."""
        setting, last = self.setting, self.setting.config.federation.rounds
        first = len(records) + 1
        if first > last:
            return state
        standing = self.recorder.standing(first)
        cohort = self._draw(first, standing)
        one_round = self._timed(lambda: compile_round(setting, state, cohort, digesting(setting)))
        predict = self._compile_test(state) if setting.has_global else None
        with _postponed_interrupt() as interrupted:
            waiting: _Waiting | None = None
            for number in range(first, last + 1):
                began = time.perf_counter()
                if waiting and self._registry_changes(number):
                    self._settle(waiting, records)
                    waiting = None
                    standing = self.recorder.standing(number)
                cohort = self._draw(number, standing)
                after, info = one_round(state, cohort, number, setting.lr[number - 1])
                if waiting:
                    self._settle(waiting, records)
                after, info = jax.block_until_ready((after, info))
                self._refuse_divergence(number, cohort, info)
                record = self._record(number, cohort, info)
                if predict and self._tested(number):
                    record["metrics"] = Predictions(setting, {"global": predict(self._shared(after))}).measure("global")
                line = self.recorder.record(number, standing, cohort, info, after.params)
                stop = interrupted.is_set()
                if stop or number == last:  # nothing is trained meanwhile: the wait is part of the round
                    wait([line])
                record["seconds"] = time.perf_counter() - began
                waiting = _Waiting(state, after, record, line)
                state = after
                if stop or number == last:
                    self._settle(waiting, records, save=True)
                if stop and number < last:
                    raise Interrupted(
                        f"stopped after round {number} of {last}; go on with --resume --out {self.directory.path}"
                    )
        return state

    def _draw(self, number: int, standing: np.ndarray) -> Cohort:
        setting, adversary = self.setting, self.setting.config.adversary
        return draw(setting.config.federation, setting.training, setting.root, number, standing, adversary)

    def _registry_changes(self, number: int) -> bool:
        return any(change.round == number for change in self.setting.config.ledger.changes)

    def _settle(self, waiting: "_Waiting", records: list[dict[str, Any]], save: bool = False) -> None:
        """Wait until a round is on the ledger, then write it down; where the chain says no, go back before it."""
        number = waiting.record["round"]
        try:
            record = waiting.record | {"ledger": waiting.line.result()}
        except VerdictDiffersError as error:
            if number > 1 and not self.checkpoints.has(number - 1):
                self.checkpoints.save(number - 1, waiting.before)
            raise VerdictDiffersError(
                f"{error}; the run is back at round {number - 1}, the last one that was finalised: find out "
                f"who changed the registry or the contract, then go on with --resume --out {self.directory.path}"
            ) from error
        self.directory.append_round(record)
        records.append(record)
        if save or number % self.setting.config.engine.checkpoint_every == 0:
            self.checkpoints.save(number, waiting.after)
        self.on_round(record)

    def _tested(self, number: int) -> bool:
        every = self.setting.config.evaluate.every
        return number == self.setting.config.federation.rounds or (every > 0 and number % every == 0)

    def _shared(self, state: TrainState) -> Any:
        """The parameters of the model that all share: the server's, or those of the one centralised client."""
        algorithm = self.setting.algorithm
        if self.setting.shares:
            return algorithm.model(state.params) if algorithm.model else None
        assert algorithm.own is not None
        return algorithm.own(state.params, jax.tree.map(lambda a: a[0], state.kept.own))

    def _compile_test(self, state: TrainState) -> Callable[[Any], np.ndarray]:
        return self._timed(lambda: compile_predict(self.setting, self._shared(state), own=False))

    def _timed(self, build: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        built = build()
        self.compile_s += time.perf_counter() - began
        return built

    def _refuse_divergence(self, number: int, cohort: Cohort, info: RoundInfo) -> None:
        """A round in which no update is a number cannot be committed: stop, with the last checkpoint intact."""
        verdict = np.asarray(info.verdict)[cohort.sends]
        if len(verdict) and (verdict == Refusal.NOT_FINITE).all():
            raise BoflError(
                f"round {number}: every update holds NaN or infinity, training diverged: lower optimizer.lr "
                f"(now {self.setting.config.optimizer.lr:g}) and start again with another --out"
            )

    def _record(self, number: int, cohort: Cohort, info: RoundInfo) -> dict[str, Any]:
        return {
            "round": number,
            "loss": mean_loss(info, cohort),
            "examples": int(np.asarray(info.examples).sum()),
            "clients": len(cohort.invited),
        }

    def _finish(self, state: TrainState, records: list[dict[str, Any]]) -> Run:
        setting = self.setting
        probability, personal, params = {}, None, None
        if setting.shares or setting.config.federation.algorithm == "centralised":
            params = self._shared(state)
        if setting.has_global:
            probability["global"] = self._compile_test(state)(params)
        if setting.config.federation.algorithm == "local":
            personal = personalise(setting, state, OwnOptions(method="own"))
        elif not isinstance(setting.config.personalise, NoPersonaliseOptions):
            personal = personalise(setting, state, setting.config.personalise)
        if personal is not None:
            predict = self._timed(lambda: compile_predict(setting, personal, own=True))
            probability["personalised"] = predict(personal)
        predictions = Predictions(setting, probability)
        self.directory.write_results(client_rows(predictions), predictions.arrays())
        measured = measure(predictions)
        if setting.shares:
            self.recorder.publish(results_digest(self.directory.path, measured))
        ledger = self.recorder.ledger
        summary = summarise(measured, setting.config, records, ledger.mode, ledger.head_hash, self.compile_s)
        self.directory.finish(summary)
        return Run(self.directory.path, summary, params, personal)


class _Waiting(NamedTuple):
    """A round that the device has done, and the ledger has not.

    Attributes:
        before: the state before it.
        after: the state after it.
        record: its line of ``rounds.jsonl`` without the ledger's part.
        line: the ledger's part, when it is there.
    """

    before: TrainState
    after: TrainState
    record: dict[str, Any]
    line: "Future[dict[str, Any]]"


@contextmanager
def _postponed_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that the round in hand is completed; a second one stops at once.

    Both also where the process was started with the signal ignored, as a shell starts what it puts in the background.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(_number: int, _frame: Any) -> None:
        flag.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handler)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
