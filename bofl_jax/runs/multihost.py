"""One run carried out by several processes, on one host or on more (`jax.distributed`).

The first process conducts: it alone has the run directory, the ledger and the records. What it asks of its `Runner` it
tells the others first, and they ask the same of theirs: all of them start the same programs in the same order, and the
devices of all share out the clients.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
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
from bofl_jax.engine.round import RoundInfo, TrainState, initial_state
from bofl_jax.parallel.clients import local_copy
from bofl_jax.parallel.processes import _bytes, _name, _text, barrier, broadcast_command, receive_command
from bofl_jax.results.writing import environment
from bofl_jax.runs.loop import Interrupted, postponed_interrupt
from bofl_jax.runs.session import Run

Tree = Any


COMPARED = ("another configuration", "other data", "other packages")
"""What must be the same in all processes."""


def check_same_inputs(prepare: Callable[[], FederatedProblem]) -> FederatedProblem:
    """``prepare()``, which must succeed in every process and come to the same in each.

    Raises:
        BoflError: in all of them if it raises one in any, or if they differ.
    """
    if jax.process_count() == 1:
        return prepare()
    setting, problem, mine = None, None, np.zeros((len(COMPARED), 32), np.uint8)
    try:
        setting = prepare()
        mine = _fingerprint(setting)
    except BoflError as error:
        problem = error
    barrier()
    every = multihost_utils.process_allgather(mine)
    if problem:
        raise problem
    assert setting is not None
    for process, found in enumerate(every):
        if not found.any():
            raise BoflError(f"{_name(process)} cannot begin: mend what it says, and start all of them again")
        for what, theirs, first in zip(COMPARED, found, every[0], strict=True):
            if (theirs != first).any():
                raise BoflError(f"{_name(process)} has {what} than the first: start all of them with the same")
    return setting


def run_as_coordinator(conduct: Callable[[Callable[[RunPrograms], RunPrograms]], Run]) -> Run:
    """Conduct a run, and let the other processes know what to do and how it ended.

    Args:
        conduct: carries out the run with programs to which it applies its argument.
    """
    if jax.process_count() == 1:
        return conduct(lambda runner: runner)
    try:
        run = conduct(_BroadcastingPrograms)
    except Exception as error:
        kind = "interrupted" if isinstance(error, Interrupted) else "failed"
        broadcast_command(kind, [_bytes(str(error) or type(error).__name__)])
        raise
    broadcast_command("ended", [_bytes(json.dumps(run.summary))])
    return run


def run_as_worker(setting: FederatedProblem, directory: Path) -> Run:
    """Do what the first process says until it is done.

    Args:
        setting: the same as the first process has.
        directory: the run directory, which only the first process writes.

    Raises:
        BoflError: if the run fails there.
        Interrupted: if it was stopped.
    """
    runner = SingleRunPrograms(setting)
    state, own = initial_state(setting), None
    with postponed_interrupt():  # the first process decides
        while True:
            said, content = receive_command()
            match said:
                case "join":
                    state = setting.plan.replicate(jax.tree.unflatten(jax.tree.structure(state), content))
                case "prepare":
                    runner.prepare(state, [Cohort(*content)])
                    barrier()  # connections are made when the first program runs, and that may not take long
                case "round":
                    *cohort, number = content
                    state, _ = jax.block_until_ready(runner.round(state, [Cohort(*cohort)], int(number)))
                case "test":
                    runner.test(state)
                case "personalise":
                    own = jax.block_until_ready(runner.personalise(state))
                case "test own":
                    runner.test_own(own)
                case "ended":
                    return Run(
                        directory, json.loads(_text(content)), global_model(setting, local_copy(state)), local_copy(own)
                    )
                case "interrupted":
                    raise Interrupted(_text(content))
                case _:
                    raise BoflError(f"the first process failed: {_text(content)}")


class _BroadcastingPrograms:
    """A runner of which the other processes do their part."""

    def __init__(self, runner: RunPrograms) -> None:
        self._runner = runner

    @property
    def compile_s(self) -> float:
        return self._runner.compile_s

    def join(self, states: Sequence[TrainState]) -> TrainState:
        broadcast_command("join", jax.tree.leaves(jax.device_get(local_copy(states[0]))))
        return self._runner.join(states)

    def split(self, tree: Tree) -> list[Tree]:
        return self._runner.split(tree)

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        broadcast_command("prepare", cohorts[0])
        self._runner.prepare(state, cohorts)
        barrier()

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        broadcast_command("round", [*cohorts[0], np.int32(number)])
        return self._runner.round(state, cohorts, number)

    def test(self, state: TrainState) -> list[np.ndarray]:
        broadcast_command("test")
        return self._runner.test(state)

    def personalise(self, state: TrainState) -> Tree:
        broadcast_command("personalise")
        return jax.block_until_ready(self._runner.personalise(state))

    def test_own(self, own: Tree) -> list[np.ndarray]:
        broadcast_command("test own")
        return self._runner.test_own(own)


def _fingerprint(setting: FederatedProblem) -> np.ndarray:
    """uint8[3, 32]: SHA-256 of each thing that is compared."""
    samples = setting.samples
    data = hashlib.sha256()
    for column in (samples.x, samples.features, samples.y, samples.subject, samples.time):
        data.update(np.ascontiguousarray(column).data)
    packages = hashlib.sha256(json.dumps(environment()["packages"]).encode())
    found = (setting.config.sha256(), data.digest(), packages.digest())
    return np.stack([np.frombuffer(digest, np.uint8) for digest in found])
