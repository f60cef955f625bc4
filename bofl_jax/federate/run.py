"""The conductor: from a configuration to a run directory."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.core.layout import canonical_bytes, stacked_canonical_bytes
from bofl_jax.federate import runtime
from bofl_jax.federate.checkpoint import Checkpoints, restore
from bofl_jax.federate.cohort import Cohort, draw
from bofl_jax.federate.execute import resolve
from bofl_jax.federate.options import FineTuneOptions
from bofl_jax.federate.report import Predictions, client_rows, summarise
from bofl_jax.federate.results import RunDirectory
from bofl_jax.federate.round import RoundInfo, TrainState, compile_round, mean_loss, start
from bofl_jax.federate.setting import Setting, initial_params, settle
from bofl_jax.federate.testing import compile_predict, personalise
from bofl_jax.ledger import Ledger, Refusal, Submission, create_ledger, digest, digest_rows, resume_ledger

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
        params: the shared parameters; None with local-only training.
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
    runtime.prepare(config.engine)
    plan = resolve(config.engine)
    resolved = {name: getattr(plan, name) for name in ("execution", "width", "devices", "blocks")}
    config = config.model_copy(update={"engine": config.engine.model_copy(update=resolved)})
    begun = directory.begun
    if begun:
        directory.check_same(config)
    setting = settle(config, plan)
    if not begun:
        directory.refuse_if_used()
        directory.begin(config)
    return _Conductor(setting, directory, on_round or (lambda _: None)).conduct()


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
            self.ledger = open_files.enter_context(closing(self._open_ledger(len(records))))
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
        setting, federation = self.setting, self.setting.config.federation
        done = len(records)
        if done == federation.rounds:
            return state
        cohort = draw(federation, setting.training, setting.root, done + 1)
        stack = setting.shares and self.ledger.mode != "off"
        one_round = self._timed(lambda: compile_round(setting, state, cohort, stack))
        predict = self._compile_test(state) if setting.has_global else None
        with _postponed_interrupt() as interrupted:
            for number in range(done + 1, federation.rounds + 1):
                began = time.perf_counter()
                cohort = draw(federation, setting.training, setting.root, number)
                self._open_round(number, cohort)
                state, info = jax.block_until_ready(one_round(state, cohort, number, setting.lr[number - 1]))
                self._refuse_divergence(number, cohort, info)
                cost = self._close_round(number, cohort, info, state)
                seconds = time.perf_counter() - began
                record = self._record(number, cohort, info, cost, seconds)
                if predict and self._tested(number):
                    record["metrics"] = Predictions(setting, {"global": predict(self._shared(state))}).measure("global")
                self.directory.append_round(record)
                records.append(record)
                last, stop = number == federation.rounds, interrupted.is_set()
                if last or stop or number % setting.config.engine.checkpoint_every == 0:
                    self.checkpoints.save(number, state)
                self.on_round(record)
                if stop and not last:
                    raise Interrupted(
                        f"stopped after round {number} of {federation.rounds}; go on with --resume "
                        f"--out {self.directory.path}"
                    )
        return state

    def _tested(self, number: int) -> bool:
        every = self.setting.config.evaluate.every
        return number == self.setting.config.federation.rounds or (every > 0 and number % every == 0)

    def _shared(self, state: TrainState) -> Any:
        """The shared parameters: the server's, or those of the one centralised client."""
        if self.setting.shares:
            return state.params
        return jax.tree.map(lambda a: a[0], self.setting.algorithm.params(state.kept))

    def _compile_test(self, state: TrainState) -> Callable[[Any], np.ndarray]:
        return self._timed(lambda: compile_predict(self.setting, self._shared(state), own=False))

    def _timed(self, build: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        built = build()
        self.compile_s += time.perf_counter() - began
        return built

    def _open_round(self, number: int, cohort: Cohort) -> None:
        if self.setting.shares:
            self.ledger.open_round(number, cohort.client[cohort.weight > 0].tolist())

    def _refuse_divergence(self, number: int, cohort: Cohort, info: RoundInfo) -> None:
        """A round in which no update is a number cannot be committed: stop, with the last checkpoint intact."""
        if not (np.asarray(info.finite) & (cohort.weight > 0)).any():
            raise BoflError(
                f"round {number}: every update holds NaN or infinity, training diverged: lower optimizer.lr "
                f"(now {self.setting.config.optimizer.lr:g}) and start again with another --out"
            )

    def _close_round(self, number: int, cohort: Cohort, info: RoundInfo, state: TrainState) -> dict[str, Any]:
        """Digest the updates, commit them and the new model; returns what it cost."""
        if not self.setting.shares or self.ledger.mode == "off":
            accepted = int((np.asarray(info.finite) & (cohort.weight > 0)).sum()) if self.setting.shares else 0
            rejected = int((cohort.weight > 0).sum()) - accepted if self.setting.shares else 0
            return {"gas": 0, "bytes": 0, "cpu_ms": 0.0, "accepted": accepted, "rejected": rejected, "digest_ms": 0.0}
        began = time.thread_time()
        digests = digest_rows(*stacked_canonical_bytes(info.updates))
        model_digest = digest(*canonical_bytes(state.params))
        digest_ms = (time.thread_time() - began) * 1e3
        loss, finite = np.asarray(info.loss), np.asarray(info.finite)
        submissions = [
            Submission(
                client=int(cohort.client[i]),
                digest=digests[i],
                samples=int(cohort.weight[i]),
                metric=_millionths(loss[i]),
                refusal=Refusal.NONE if finite[i] else Refusal.NOT_FINITE,
            )
            for i in np.flatnonzero(cohort.weight)
        ]
        cost = self.ledger.close_round(number, submissions, model_digest)
        return {**cost._asdict(), "digest_ms": digest_ms}

    def _record(
        self, number: int, cohort: Cohort, info: RoundInfo, cost: dict[str, Any], seconds: float
    ) -> dict[str, Any]:
        return {
            "round": number,
            "loss": mean_loss(info, cohort),
            "examples": int(np.asarray(info.examples).sum()),
            "clients": int((cohort.weight > 0).sum()),
            "seconds": seconds,
            "ledger": cost,
        }

    def _finish(self, state: TrainState, records: list[dict[str, Any]]) -> Run:
        setting = self.setting
        probability, personal, params = {}, None, None
        if setting.shares or setting.config.federation.algorithm == "centralised":
            params = self._shared(state)
        if setting.has_global:
            probability["global"] = self._compile_test(state)(params)
        if setting.config.federation.algorithm == "local":
            personal = setting.algorithm.params(state.kept)
        elif isinstance(setting.config.personalise, FineTuneOptions):
            personal = personalise(setting, params, setting.config.personalise)
        if personal is not None:
            predict = self._timed(lambda: compile_predict(setting, personal, own=True))
            probability["personalised"] = predict(personal)
        predictions = Predictions(setting, probability)
        summary = summarise(predictions, records, self.ledger.mode, self.ledger.head_hash, self.compile_s)
        self.directory.finish(client_rows(predictions), predictions.arrays(), summary)
        return Run(self.directory.path, summary, params, personal)


def _millionths(loss: float) -> int:
    """A training loss as the ledger's fixed-point number; one that is not finite counts as 0."""
    return round(float(np.clip(np.nan_to_num(loss, posinf=0.0), 0, 1e9)) * 1e6)


@contextmanager
def _postponed_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that the round in hand is completed; a second one stops at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(_number: int, _frame: Any) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handler)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
