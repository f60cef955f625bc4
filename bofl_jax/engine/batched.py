"""Runs side by side: runs that differ in numbers only are rows of one program's arguments.

What a program must not differ in is its `signature`. Everything else is an argument: keys, class weights, the options
that `Options.arguments` names, rows of samples and cohorts (padded to the longest), and one pool in which each data set
stands once. A run's result is that of the same run alone, to rounding: its clients are shared out in other blocks where
cohorts are padded, and the server's step is compiled together with theirs.
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
from bofl_jax.engine.memory import first_cohort, runs_at_once
from bofl_jax.engine.personalise import adaptation_cohort, personal_options, personalise_step
from bofl_jax.engine.predict import global_model, predict_step, unpad_tiles
from bofl_jax.engine.problem import TILE, FederatedProblem, ProgramInputs, program_inputs
from bofl_jax.engine.round import RoundInfo, RoundInputs, TrainState, compile_for, digest_location, round_step
from bofl_jax.parallel.clients import BY_CLIENT, map_runs
from bofl_jax.partition import ClientIndices, Tiles, tile

Tree = Any

BY_SHAPE = ("name", "seed", "data", "partition")
"""What a program sees of these are keys, samples and rows: arguments."""


def compile_key(setting: FederatedProblem) -> str:
    """What runs must have in common to share their programs, as text."""
    config, samples = setting.config, setting.samples
    parts: dict[str, Any] = {}
    for section, options in config:
        if isinstance(options, Options) and section not in (*BY_SHAPE, "ledger"):
            parts[section] = options.model_dump(
                mode="json", exclude={*options.traced_fields, *options.uncompiled_fields}
            )
    given = sorted(setting.hyperparameters.options)
    shapes = (samples.x.shape[1:], samples.features.shape[1], len(samples.classes), setting.population.clients)
    return json.dumps([parts, given, shapes, len(setting.training.size), digest_location(setting)], sort_keys=True)


class PaddedSizes(NamedTuple):
    """Sizes to which the runs of a group are padded."""

    runs: int  # G
    cohort: int  # M
    training: int  # longest row of training samples
    adapt: int
    test: int  # tiles of test samples
    pool: int  # N of the data sets that the runs of a chunk draw on, together


class RunBatch:
    """The programs of runs with one signature, chunk after chunk of them, compiled once.

    Args:
        settings: of all the runs, those with the same samples next to each other.
        at_once: most runs in a chunk; as many as fit into the memory when left out.
    """

    def __init__(self, settings: Sequence[FederatedProblem], at_once: int | None = None) -> None:
        self.plan = settings[0].plan
        self.setting = replace(settings[0], plan=self.plan.single_device())
        self.compile_s = 0.0
        most = max(1, at_once or runs_at_once(settings[0]))
        chunks = -(-len(settings) // most)
        per_chunk = -(-len(settings) // chunks)
        self.chunks = [list(settings[first : first + per_chunk]) for first in range(0, len(settings), per_chunk)]
        self.capacity = PaddedSizes(
            runs=-(-per_chunk // self.plan.devices) * self.plan.devices,
            cohort=max(len(first_cohort(setting).client) for setting in settings),
            training=max(setting.training.sample.shape[1] for setting in settings),
            adapt=max(setting.population.adapt.sample.shape[1] for setting in settings),
            test=max(len(tile(setting.population.test, TILE).size) for setting in settings),
            pool=max(sum(len(samples) for samples in _distinct(chunk)) for chunk in self.chunks),
        )
        self._programs: dict[str, Callable] = {}

    def runner(self, settings: Sequence[FederatedProblem]) -> "BatchedRunPrograms":
        """The programs for some of the runs, of one chunk."""
        return BatchedRunPrograms(self, settings)

    def program(self, name: str, program: Callable, shared: Tree, each: Tree) -> Callable:
        """``program(shared, *one)`` for all rows of ``each``; compiled when it is first asked for."""
        if name not in self._programs:
            began = time.perf_counter()
            whole = functools.partial(map_runs, self.plan, program)
            self._programs[name] = compile_for(self.plan, whole, shared, each)
            self.compile_s += (time.perf_counter() - began) / sum(map(len, self.chunks))
        return self._programs[name]


class BatchedRunPrograms:
    """The programs of some runs side by side: devices share out the runs."""

    def __init__(self, group: RunBatch, settings: Sequence[FederatedProblem]) -> None:
        self._group, self._settings = group, list(settings)
        capacity = group.capacity
        self._rows = [min(row, len(settings) - 1) for row in range(capacity.runs)]  # the last one fills up
        distinct = _distinct(settings)
        self._pool = group.plan.replicate(_joined_pool(distinct, capacity.pool))
        first = dict(zip(map(id, distinct), np.cumsum([0, *map(len, distinct)]), strict=False))
        held = [program_inputs(setting) for setting in settings]
        self._tiles = [each.test for each in held]
        self._held = self._stack(
            [_pad_inputs(each, int(first[id(s.samples)]), capacity) for each, s in zip(held, settings, strict=True)]
        )

    @property
    def compile_s(self) -> float:
        """Seconds spent on compiling, a run's share."""
        return self._group.compile_s

    def join(self, states: Sequence[TrainState]) -> TrainState:
        """The states of all runs as one."""
        return self._stack(states)

    def split(self, tree: Tree) -> list[Tree]:
        """What belongs to each run, on the host."""
        tree = jax.device_get(tree)
        return [jax.tree.map(lambda a, row=row: a[row], tree) for row in range(len(self._settings))]

    def prepare(self, state: TrainState, cohorts: Sequence[Cohort]) -> None:
        """Compile what every round needs."""
        self._compile_round(*self._given(state, cohorts, 1))
        if self._group.setting.has_global:
            self._compile_test(state)

    def round(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[TrainState, RoundInfo]:
        """Begin a round."""
        shared, each = self._given(state, cohorts, number)
        return self._compile_round(shared, each)(shared, each)

    def _given(self, state: TrainState, cohorts: Sequence[Cohort], number: int) -> tuple[Tree, Tree]:
        drawn = self._stack(
            [
                (pad(cohort, self._group.capacity.cohort), setting.lr[number - 1])
                for cohort, setting in zip(cohorts, self._settings, strict=True)
            ]
        )
        return (self._pool, self._group.plan.replicate(np.int32(number))), (self._held, state, *drawn)

    def _compile_round(self, shared: Tree, each: Tree) -> Callable:
        setting = self._group.setting
        digests = digest_location(setting)

        def program(shared: Tree, held: ProgramInputs, state: TrainState, cohort: Cohort, lr: jax.Array) -> Tree:
            pool, number = shared
            return round_step(setting, digests, RoundInputs(pool, held, state, cohort, number, lr))

        return self._group.program("round", program, shared, each)

    def test(self, state: TrainState) -> list[np.ndarray]:
        """Probabilities by the shared model."""
        return self._flat(self._compile_test(state)(self._pool, (self._held, state)))

    def _compile_test(self, state: TrainState) -> Callable:
        setting = self._group.setting

        def program(pool: algorithms.Batch, held: ProgramInputs, state: TrainState) -> jax.Array:
            params = global_model(setting.with_hyperparameters(held.hyperparameters), state)
            return predict_step(setting, False, pool, held.test, params)

        return self._group.program("test", program, self._pool, (self._held, state))

    def personalise(self, state: TrainState) -> Tree:
        """The clients' own parameters."""
        setting = self._group.setting
        options = [personal_options(each) for each in self._settings]
        kind = options[0]
        assert kind is not None

        def program(
            pool: algorithms.Batch, held: ProgramInputs, state: TrainState, cohort: Cohort, lr: jax.Array
        ) -> Tree:
            return personalise_step(setting, kind, pool, held, state, cohort, lr)

        drawn = self._stack(
            [
                (adaptation_cohort(each, own.steps), np.float32(own.lr))
                for each, own in zip(self._settings, options, strict=True)
                if own is not None
            ]
        )
        each = (self._held, state, *drawn)
        return self._group.program("personalise", program, self._pool, each)(self._pool, each)

    def test_own(self, own: Tree) -> list[np.ndarray]:
        """Probabilities by the clients' own models."""
        setting, each = self._group.setting, (self._held, own)

        def program(pool: algorithms.Batch, held: ProgramInputs, own: Tree) -> jax.Array:
            return predict_step(setting, True, pool, held.test, own)

        return self._flat(self._group.program("test own", program, self._pool, each)(self._pool, each))

    def _flat(self, probability: jax.Array) -> list[np.ndarray]:
        return [unpad_tiles(tiles, p) for tiles, p in zip(self._tiles, self.split(probability), strict=True)]

    def _stack(self, trees: Sequence[Tree]) -> Tree:
        """One tree with a leading axis, a row for each run and some to fill up, shared out over the devices."""
        rows = [trees[row] for row in self._rows]
        stacked = jax.tree.map(lambda *leaves: _stack(leaves), *rows)
        return jax.device_put(stacked, NamedSharding(self._group.plan.mesh(), BY_CLIENT))


def _stack(leaves: Sequence[Any]) -> Any:
    if isinstance(leaves[0], jax.Array) and jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return jnp.stack(leaves)
    return np.stack([np.asarray(leaf) for leaf in leaves])


def _distinct(settings: Sequence[FederatedProblem]) -> list[Samples]:
    """The data sets of some runs, each once."""
    return list({id(setting.samples): setting.samples for setting in settings}.values())


def _joined_pool(data_sets: Sequence[Samples], size: int) -> algorithms.Batch:
    """All samples, one data set after another, and zeros up to N = ``size``."""
    columns = zip(*((samples.x, samples.features, samples.y) for samples in data_sets), strict=True)
    return algorithms.Batch(*(jnp.asarray(pad_to(np.concatenate(parts), size)) for parts in columns))


def _pad_inputs(held: ProgramInputs, first: int, capacity: PaddedSizes) -> ProgramInputs:
    """The same for a pool in which the run's samples begin at ``first``, its rows filled up."""

    def wider(rows: ClientIndices, width: int) -> ClientIndices:
        return ClientIndices(pad_to(rows.sample.T + first, width).T, rows.size)

    test = held.test._replace(sample=held.test.sample + first)
    return held._replace(
        training=wider(held.training, capacity.training),
        adapt=wider(held.adapt, capacity.adapt),
        test=Tiles(*(pad_to(column, capacity.test) for column in test)),
    )
