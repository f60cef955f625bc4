"""Runs side by side are the runs that they are alone, to rounding, whatever numbers they differ in."""

import dataclasses

import jax
import numpy as np
import pytest

from bofl_jax.engine.batched import RunBatch, compile_key
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.personalise import personal_options
from bofl_jax.engine.problem import build_problem
from bofl_jax.engine.programs import SingleRunPrograms
from bofl_jax.engine.state import initial_state
from bofl_jax.partition import PatientOptions
from tests.conftest import make_samples
from tests.support.methods import MLP, PLANS, VARIANTS, configure, flat


def trio(variant, plan, samples):
    """Three runs: of one the seed, the data and the split are others, of one the seed, the numbers and the work."""
    first = configure(variant)
    held_out = PatientOptions(test_subjects=("s3",))  # its cohorts are smaller by one, its rows longer
    numbers = {
        section: {name: 0.7 * getattr(options, name) for name in options.traced_fields if getattr(options, name)}
        for section, options in (("federation", first.federation), ("optimizer", first.optimizer))
    }
    if variant in ("bfln", "local", "centralised"):
        numbers["optimizer"] = {}
    numbers["optimizer"]["lr"] = 0.05
    other = {"local_steps": 3, "class_weights": "sqrt"} | numbers["federation"]
    changed = {"federation": first.federation.model_copy(update=other)}
    changed["optimizer"] = first.optimizer.model_copy(update=numbers["optimizer"])
    configs = [
        first,
        first.model_copy(update={"seed": 1, "partition": held_out}),
        first.model_copy(update={"seed": 2} | changed),
    ]
    pools = (samples, make_samples(each=34, seed=1), samples)
    return [build_problem(config, plan, pool) for config, pool in zip(configs, pools, strict=True)]


def play(runner, settings):
    """Two rounds, and everything that comes out: state, info, probabilities, the clients' own models; run by run."""
    settings = [dataclasses.replace(s) for s in settings]
    state = runner.join([initial_state(s) for s in settings])
    cohorts = [draw_cohort(s.config.federation, s.training, s.root, 1) for s in settings]
    runner.prepare(state, cohorts)
    for number in (1, 2):
        state, info = runner.round(state, cohorts, number)
    found = {"state": runner.split(state), "loss": runner.split(info.loss)}
    if settings[0].has_global:
        found["test"] = runner.test(state)
    if personal_options(settings[0]):
        own = runner.personalise(state)
        found |= {"own": runner.split(own), "test own": runner.test_own(own)}
    return found


QUICK = ("fedavg-adam", "bfln", "centralised")


@pytest.mark.parametrize("variant", [v if v in QUICK else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS])
def test_a_run_is_what_it_is_alone(variant, samples, monkeypatch):
    settings = trio(variant, PLANS["shard"], samples)
    settings = [settings[0], settings[2], settings[1]]  # those with the same data next to each other
    assert len({compile_key(setting) for setting in settings}) == 1
    expected = [play(SingleRunPrograms(setting), [setting]) for setting in settings]
    compiled, original = [], jax.stages.Lowered.compile
    monkeypatch.setattr(
        jax.stages.Lowered, "compile", lambda self, *a, **k: (compiled.append(1), original(self, *a, **k))[1]
    )
    together = play(RunBatch(settings).programs(settings), settings)
    assert len(compiled) == 1 + ("test" in together) + 2 * ("own" in together)
    for index, alone in enumerate(expected):
        for name, (one,) in alone.items():
            mine = together[name][index]
            if name == "loss":
                mine = mine[: len(one)]
            np.testing.assert_allclose(flat(mine), flat(one), atol=3e-5, err_msg=f"{name} of run {index}")


def test_vmapped_runs_agree_too_and_chunks_share_their_programs(samples):
    """As on an accelerator; three runs in two chunks, of which the second is filled up."""
    settings = trio("perfedavg", PLANS["vmap"], samples)
    expected = [play(SingleRunPrograms(setting), [setting]) for setting in settings]
    group = RunBatch(settings, max_runs=2)
    assert [len(chunk) for chunk in group.chunks] == [2, 1]
    first, second = (play(group.programs(chunk), chunk) for chunk in group.chunks)
    assert sorted(group._programs) == ["personalise", "round", "test own"]
    for name in expected[0]:
        for alone, mine in zip(expected, [*first[name], *second[name]], strict=True):
            one = alone[name][0]
            np.testing.assert_allclose(flat(mine[: len(one)] if name == "loss" else mine), flat(one), atol=3e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"federation": {"batch_size": 8}},
        {"federation": {"augment_noise": 0.1}},
        {"federation": {"sampling": "shuffle"}},
        {"federation": {"rounds": 4}},
        {"federation": {"personal_steps": 2}},
        {"federation": {"personal_lr": 0.1}},
        {"model": {"name": "mlp", "hidden": [7]}},
        {"optimizer": {"momentum": 0.9}},
        {"optimizer": {"server": "adam"}},
        {"ledger": {"mode": "off"}},
        {"adversary": {"channel": "sign-flip", "altered": 0.5}},
        {"engine": {"blocks": 4}},
        {"personalise": {"method": "own", "steps": 3}},
    ],
    ids=str,
)
def test_what_programs_are_built_with_sets_runs_apart(change, samples):
    """What is no argument of the programs, and whether an option is left out."""
    table = configure("ditto").model_dump(exclude_none=True)
    one, other = (
        type(configure("ditto")).model_validate(table | {k: table.get(k, {}) | v for k, v in changed.items()})
        for changed in ({"model": MLP}, {"model": MLP} | change)
    )
    assert compile_key(build_problem(one, PLANS["map"], samples)) != compile_key(
        build_problem(other, PLANS["map"], samples)
    )


def test_shapes_set_runs_apart():
    config = configure("fedavg")
    shapes = [make_samples(), make_samples(subjects=5), make_samples(window=40), make_samples(classes=4)]
    assert len({compile_key(build_problem(config, PLANS["map"], pool)) for pool in shapes}) == len(shapes)
