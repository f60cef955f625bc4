"""Runs side by side: runs that differ only in numbers are rows of the arguments of one program.

Runs share programs if they have the same `compile_key`. Everything else is an argument: keys, class weights, the
fields that `Options.traced_fields` names, rows of samples and cohorts (padded to the longest), and one pool that holds
each data set once. The result of a run equals that of the same run alone to rounding: padded cohorts divide the clients
into other blocks, and the server's step is compiled together with the clients'.
"""

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from bofl_jax import algorithms
from bofl_jax.core.options import Options
from bofl_jax.core.padding import pad_to
from bofl_jax.core.types import Samples
from bofl_jax.engine.cohort import Cohort, pad
from bofl_jax.engine.compile import compile_for, digest_location
from bofl_jax.engine.memory import first_cohort, runs_at_once
from bofl_jax.engine.personalise import adaptation_cohort, personal_options, personalise_step
from bofl_jax.engine.predict import global_model, predict_step, unpad_tiles
from bofl_jax.engine.problem import TILE, FederatedProblem, ProgramInputs, program_inputs
from bofl_jax.engine.round import round_step
from bofl_jax.engine.state import RoundInfo, RoundInputs, TrainState
from bofl_jax.parallel.clients import BY_CLIENT, map_runs
from bofl_jax.partition import ClientIndices, Tiles, tile

Tree = Any

BY_SHAPE = ("name", "seed", "data", "partition")
"""Sections of which programs see only keys, samples and rows, which are arguments."""


def compile_key(problem: FederatedProblem) -> str:
    """Everything that runs must have in common to share programs, as text."""
    config, samples = problem.config, problem.samples
    parts: dict[str, Any] = {}
    for section, options in config:
        if isinstance(options, Options) and section not in (*BY_SHAPE, "ledger"):
            parts[section] = options.model_dump(
                mode="json", exclude={*options.traced_fields, *options.uncompiled_fields}
            )
    given = sorted(problem.hyperparameters.options)
    shapes = (samples.x.shape[1:], samples.features.shape[1], len(samples.classes), problem.population.clients)
    return json.dumps([parts, given, shapes, len(problem.training.size), digest_location(problem)], sort_keys=True)


class PaddedSizes(NamedTuple):
    """Sizes to which the runs of a batch are padded."""

    runs: int  # G
    cohort: int  # M
    training: int  # longest row of training samples
    adapt: int
    test: int  # tiles of test samples
    pool: int  # N, samples of all data sets that the runs of a chunk use


class RunBatch:
    """The programs of runs with the same compile key, compiled once for chunk after chunk of runs.

    Args:
        problems: of all runs; those with the same samples stand next to each other.
        max_runs: maximum number of runs in a chunk; as many as fit into memory when left out.
    """

    def __init__(self, problems: Sequence[FederatedProblem], max_runs: int | None = None) -> None:
        self.plan = problems[0].plan
        self.problem = replace(problems[0], plan=self.plan.single_device())
        self.compile_s = 0.0
        most = max(1, max_runs or runs_at_once(problems[0]))
        chunks = -(-len(problems) // most)
        per_chunk = -(-len(problems) // chunks)
        self.chunks = [list(problems[first : first + per_chunk]) for first in range(0, len(problems), per_chunk)]
        self.sizes = PaddedSizes(
            runs=-(-per_chunk // self.plan.devices) * self.plan.devices,
            cohort=max(len(first_cohort(problem).client) for problem in problems),
            training=max(problem.training.sample.shape[1] for problem in problems),
            adapt=max(problem.population.adapt.sample.shape[1] for problem in problems),
            test=max(len(tile(problem.population.test, TILE).size) for problem in problems),
            pool=max(sum(len(samples) for samples in _distinct(chunk)) for chunk in self.chunks),
        )
        self._programs: dict[str, Callable[..., Tree]] = {}

    def programs(self, problems: Sequence[FederatedProblem]) -> "BatchedRunPrograms":
        """The programs for some runs of one chunk."""
        return BatchedRunPrograms(self, problems)

    def program(self, name: str, program: Callable[..., Tree], shared: Tree, each: Tree) -> Callable[..., Tree]:
        """The compiled ``program(shared, *row)`` for all rows of ``each``; compiled at the first request.

        Args:
            name: of the program.
            program: of one run.
            shared: arguments that all runs share.
            each: pytree of arrays with a row for each run.
        """
        if name not in self._programs:
            began = time.perf_counter()
            whole = functools.partial(map_runs, self.plan, program)
            self._programs[name] = compile_for(self.plan, whole, shared, each)
            self.compile_s += (time.perf_counter() - began) / sum(map(len, self.chunks))
        return self._programs[name]


class BatchedRunPrograms:
    """The programs of some runs side by side; the runs are divided among the devices."""

    def __init__(self, batch: RunBatch, problems: Sequence[FederatedProblem]) -> None:
        self._batch, self._problems = batch, list(problems)
        sizes = batch.sizes
        self._rows = [min(row, len(problems) - 1) for row in range(sizes.runs)]  # the last run is repeated as padding
        distinct = _distinct(problems)
        self._pool = batch.plan.replicate(_joined_pool(distinct, sizes.pool))
        first = dict(zip(map(id, distinct), np.cumsum([0, *map(len, distinct)]), strict=False))
        inputs = [program_inputs(problem) for problem in problems]
        self._tiles = [each.test for each in inputs]
        self._inputs = self._stack(
            [_pad_inputs(each, int(first[id(s.samples)]), sizes) for each, s in zip(inputs, problems, strict=True)]
        )

    @property
    def compile_s(self) -> float:
        """Seconds spent on compilation, divided by the number of runs."""
        return self._batch.compile_s

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all runs as one tree."""
        joined: TrainState = self._stack(states)
        return joined

    def split(self, tree: Tree) -> list[Tree]:
        """The part of a tree that belongs to each run, on the host."""
        tree = jax.device_get(tree)
        return [jax.tree.map(lambda a, row=row: a[row], tree) for row in range(len(self._problems))]

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        """Compile the programs that every round needs, as in `RunPrograms.prepare`."""
        self._compile_round(*self._given(state, cohorts, 1))
        if self._batch.problem.has_global:
            self._compile_test(state)

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        """Start a round, as in `RunPrograms.round`."""
        shared, each = self._given(state, cohorts, number)
        after: tuple[TrainState, RoundInfo] = self._compile_round(shared, each)(shared, each)
        return after

    def _given(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[Tree, Tree]:
        drawn = self._stack(
            [
                (pad(cohort, self._batch.sizes.cohort), problem.lr[number - 1])
                for cohort, problem in zip(cohorts, self._problems, strict=True)
            ]
        )
        return (self._pool, self._batch.plan.replicate(np.int32(number))), (self._inputs, state, *drawn)

    def _compile_round(self, shared: Tree, each: Tree) -> Callable[..., Tree]:
        problem = self._batch.problem
        digests = digest_location(problem)

        def program(shared: Tree, inputs: ProgramInputs, state: TrainState, cohort: Cohort, lr: jax.Array) -> Tree:
            pool, number = shared
            return round_step(problem, digests, RoundInputs(pool, inputs, state, cohort, number, lr))

        return self._batch.program("round", program, shared, each)

    def test(self, state: TrainState) -> list[np.ndarray]:
        """Test probabilities by the global model for each run, float32[Ntest, K]."""
        return self._flat(self._compile_test(state)(self._pool, (self._inputs, state)))

    def _compile_test(self, state: TrainState) -> Callable[..., Tree]:
        problem = self._batch.problem

        def program(pool: algorithms.Batch, inputs: ProgramInputs, state: TrainState) -> jax.Array:
            params = global_model(problem.with_hyperparameters(inputs.hyperparameters), state)
            return predict_step(problem, False, pool, inputs.test, params)

        return self._batch.program("test", program, self._pool, (self._inputs, state))

    def personalise(self, state: TrainState) -> Tree:
        """The personal parameters of all clients of each run."""
        problem = self._batch.problem
        options = [personal_options(each) for each in self._problems]
        kind = options[0]
        assert kind is not None

        def program(
            pool: algorithms.Batch, inputs: ProgramInputs, state: TrainState, cohort: Cohort, lr: jax.Array
        ) -> Tree:
            return personalise_step(problem, kind, pool, inputs, state, cohort, lr)

        drawn = self._stack(
            [
                (adaptation_cohort(each, own.steps), np.float32(own.lr))
                for each, own in zip(self._problems, options, strict=True)
                if own is not None
            ]
        )
        each = (self._inputs, state, *drawn)
        return self._batch.program("personalise", program, self._pool, each)(self._pool, each)

    def test_own(self, own: Tree) -> list[np.ndarray]:
        """Test probabilities by the personal models for each run, float32[Ntest, K]."""
        problem, each = self._batch.problem, (self._inputs, own)

        def program(pool: algorithms.Batch, inputs: ProgramInputs, own: Tree) -> jax.Array:
            return predict_step(problem, True, pool, inputs.test, own)

        return self._flat(self._batch.program("test own", program, self._pool, each)(self._pool, each))

    def _flat(self, probability: jax.Array) -> list[np.ndarray]:
        return [unpad_tiles(tiles, p) for tiles, p in zip(self._tiles, self.split(probability), strict=True)]

    def _stack(self, trees: Sequence[Tree]) -> Tree:
        """One tree with a row for each run and for padding runs, divided among the devices."""
        rows = [trees[row] for row in self._rows]
        stacked = jax.tree.map(lambda *leaves: _stack(leaves), *rows)
        return jax.device_put(stacked, NamedSharding(self._batch.plan.mesh(), BY_CLIENT))


def _stack(leaves: Sequence[Any]) -> Any:
    if isinstance(leaves[0], jax.Array) and jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return np.stack([np.asarray(leaf) for leaf in leaves])


def _distinct(problems: Sequence[FederatedProblem]) -> list[Samples]:
    """The data sets of some runs, each of them once."""
    return list({id(problem.samples): problem.samples for problem in problems}.values())


def _joined_pool(data_sets: Sequence[Samples], size: int) -> algorithms.Batch:
    """All samples, one data set after another, and zeros up to ``size`` samples."""
    columns = zip(*((samples.x, samples.features, samples.y) for samples in data_sets), strict=True)
    return algorithms.Batch(*(jnp.asarray(pad_to(np.concatenate(parts), size)) for parts in columns))


def _pad_inputs(inputs: ProgramInputs, first: int, sizes: PaddedSizes) -> ProgramInputs:
    """The inputs for a pool in which the run's samples begin at ``first``, padded to the sizes of the batch."""

    def wider(rows: ClientIndices, width: int) -> ClientIndices:
        return ClientIndices(pad_to(rows.sample.T + first, width).T, rows.size)

    test = inputs.test._replace(sample=inputs.test.sample + first)
    return inputs._replace(
        training=wider(inputs.training, sizes.training),
        adapt=wider(inputs.adapt, sizes.adapt),
        test=Tiles(*(pad_to(column, sizes.test) for column in test)),
    )
