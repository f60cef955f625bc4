"""One run in several processes, on one host or on several hosts (`jax.distributed`).

The first process is the coordinator. It alone has the run directory, the ledger and the records. The other processes
are workers. Before the coordinator starts a program, it broadcasts a command, and the workers start the same program:
all processes start the same programs in the same order, and the devices of all processes share the clients among them.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from bofl_jax.core.errors import BoflError
from bofl_jax.engine.cohort import Cohort
from bofl_jax.engine.predict import global_model
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.engine.programs import RunPrograms, SingleRunPrograms
from bofl_jax.engine.state import RoundInfo, TrainState, initial_state
from bofl_jax.parallel.clients import local_copy
from bofl_jax.parallel.processes import (
    barrier,
    broadcast_command,
    decode_text,
    encode_text,
    process_name,
    receive_command,
)
from bofl_jax.parallel.typed_jax import block_until_ready
from bofl_jax.results.environment import current_environment
from bofl_jax.results.summary import SummaryRecord
from bofl_jax.runs.loop import Interrupted, postponed_interrupt
from bofl_jax.runs.open_run import PreparedRun
from bofl_jax.runs.session import Run

Tree = Any

COMPARED_INPUTS = ("another configuration", "other data", "other packages")
"""Inputs that must be the same in all processes, in the words of the error."""


class Command(StrEnum):
    """Commands of the coordinator: a method of `RunPrograms`, or the end of the run."""

    JOIN = "join"
    PREPARE = "prepare"
    ROUND = "round"
    TEST = "test"
    PERSONALISE = "personalise"
    TEST_OWN = "test own"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


def check_same_inputs(prepare: Callable[[], PreparedRun]) -> PreparedRun:
    """Prepare the run in every process, and check that configuration, data and packages are the same in all of them.

    Raises:
        BoflError: in every process, if one of them cannot prepare the run or has other inputs than the first process.
    """
    if jax.process_count() == 1:
        return prepare()
    prepared, failure, fingerprint = None, None, np.zeros((len(COMPARED_INPUTS), 32), np.uint8)
    try:
        prepared = prepare()
        fingerprint = _fingerprint(prepared.problem)
    except BoflError as error:
        failure = error
    barrier()
    fingerprints = multihost_utils.process_allgather(fingerprint)
    if failure:
        raise failure
    assert prepared is not None
    for process, digests in enumerate(fingerprints):
        if not digests.any():
            raise BoflError(f"{process_name(process)} cannot begin: fix the error that it reports, and start all again")
        for inputs, digest, of_first in zip(COMPARED_INPUTS, digests, fingerprints[0], strict=True):
            if (digest != of_first).any():
                raise BoflError(f"{process_name(process)} has {inputs} than the first: start all of them with the same")
    return prepared


def _fingerprint(problem: FederatedProblem) -> np.ndarray:
    """uint8[3, 32]: the SHA-256 of each input in the order of `COMPARED_INPUTS`."""
    samples = problem.samples
    data = hashlib.sha256()
    for column in (samples.x, samples.features, samples.y, samples.subject, samples.time):
        data.update(np.ascontiguousarray(column).data)
    packages = hashlib.sha256(json.dumps(current_environment()["packages"]).encode())
    digests = (problem.config.sha256(), data.digest(), packages.digest())
    return np.stack([np.frombuffer(digest, np.uint8) for digest in digests])


def run_as_coordinator(run_with: Callable[[Callable[[RunPrograms], RunPrograms]], Run]) -> Run:
    """Carry out a run, and tell the workers what to compute and how the run ended.

    Args:
        run_with: carries out the run after applying its argument to the programs of the run.
    """
    if jax.process_count() == 1:
        return run_with(lambda programs: programs)
    try:
        run = run_with(BroadcastingPrograms)
    except Exception as error:
        command = Command.INTERRUPTED if isinstance(error, Interrupted) else Command.FAILED
        broadcast_command(command, [encode_text(str(error) or type(error).__name__)])
        raise
    broadcast_command(Command.COMPLETED, [encode_text(json.dumps(run.summary))])
    return run


class BroadcastingPrograms:
    """Programs of the coordinator, which broadcasts every call so that the workers make the same call."""

    def __init__(self, programs: RunPrograms) -> None:
        self._programs = programs

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling in this process."""
        return self._programs.compile_s

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The one state, also sent to the workers."""
        broadcast_command(Command.JOIN, jax.tree.leaves(jax.device_get(local_copy(states[0]))))
        return self._programs.join(states)

    def split(self, tree: Tree) -> list[Tree]:
        """The one tree; needs no worker."""
        return self._programs.split(tree)

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        """Compile the programs of a round in all processes."""
        broadcast_command(Command.PREPARE, cohorts[0])
        self._programs.prepare(state, cohorts)
        barrier()

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        """Begin a round in all processes."""
        broadcast_command(Command.ROUND, [*cohorts[0], np.int32(number)])
        return self._programs.round(state, cohorts, number)

    def test(self, state: TrainState) -> list[np.ndarray]:
        """Probabilities by the shared model, computed by all processes."""
        broadcast_command(Command.TEST)
        return self._programs.test(state)

    def personalise(self, state: TrainState) -> Tree:
        """The clients' own parameters, computed by all processes."""
        broadcast_command(Command.PERSONALISE)
        return block_until_ready(self._programs.personalise(state))

    def test_own(self, own: Tree) -> list[np.ndarray]:
        """Probabilities by the clients' own models, computed by all processes."""
        broadcast_command(Command.TEST_OWN)
        return self._programs.test_own(own)


def run_as_worker(problem: FederatedProblem, directory: Path) -> Run:
    """Follow the commands of the coordinator until the run ends.

    Args:
        problem: the same problem as that of the coordinator.
        directory: the run directory, which only the coordinator writes.

    Raises:
        BoflError: if the run failed in the coordinator.
        Interrupted: if the run was interrupted there.
    """
    worker = _Worker(problem)
    with postponed_interrupt():  # the coordinator decides when to stop
        while True:
            name, arrays = receive_command()
            match Command(name):
                case Command.COMPLETED:
                    return worker.completed_run(directory, json.loads(decode_text(arrays)))
                case Command.INTERRUPTED:
                    raise Interrupted(decode_text(arrays))
                case Command.FAILED:
                    raise BoflError(f"the first process failed: {decode_text(arrays)}")
                case command:
                    worker.follow(command, arrays)


class _Worker:
    """The part of one run that a worker computes."""

    def __init__(self, problem: FederatedProblem) -> None:
        self.problem = problem
        self.programs = SingleRunPrograms(problem)
        self.state = initial_state(problem)
        self.personal: Tree = None

    def follow(self, command: Command, arrays: list[np.ndarray]) -> None:
        """Make the call that the coordinator makes."""
        match command:
            case Command.JOIN:
                state = jax.tree.unflatten(jax.tree.structure(self.state), arrays)
                self.state = self.problem.plan.replicate(state)
            case Command.PREPARE:
                self.programs.prepare(self.state, [Cohort(*arrays)])
                barrier()  # processes connect in the first program, which must therefore start everywhere soon
            case Command.ROUND:
                *cohort, number = arrays
                after = self.programs.round(self.state, [Cohort(*cohort)], int(number))
                self.state, _ = block_until_ready(after)
            case Command.TEST:
                self.programs.test(self.state)
            case Command.PERSONALISE:
                self.personal = block_until_ready(self.programs.personalise(self.state))
            case Command.TEST_OWN:
                self.programs.test_own(self.personal)

    def completed_run(self, directory: Path, summary: SummaryRecord) -> Run:
        """The run as the coordinator returns it."""
        params = global_model(self.problem, local_copy(self.state))
        return Run(directory, summary, params, local_copy(self.personal))
