"""Train every method on every protocol and seed, adapt, test, and keep every patient's confusion matrices.

    BOFL_DATA=../shared/data python experiments/personalisation/run.py --work runs/personalisation

A training is done once and adapted for 1, 5, 30 and 150 steps from where it ended. What is finished in the work folder
is kept, so that the command goes on where it was cut off.
"""

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from plan import FOLDS, HERE, METHODS, OFF, PROTOCOLS, STEPS, TRAININGS, Method, Protocol

import bofl_jax as bofl
from bofl_jax import data
from bofl_jax.algorithms.personalisation import FineTuneOptions, OwnOptions
from bofl_jax.core.errors import in_one_line
from bofl_jax.core.types import Samples
from bofl_jax.data import person_of
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.personalise import compile_personalise
from bofl_jax.engine.predict import compile_predict
from bofl_jax.engine.problem import FederatedProblem, build_problem
from bofl_jax.engine.round import compile_round, initial_state
from bofl_jax.metrics import confusions
from bofl_jax.parallel import devices
from bofl_jax.parallel.clients import resolve
from bofl_jax.partition import class_counts

ADAPT_LR = 0.03


def main() -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the finished pieces")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--rounds", type=int, help="fewer rounds, to try it out")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    config = bofl.load_config(HERE / "base.toml")
    devices.configure_devices(config.engine)
    jax.config.update("jax_compilation_cache_dir", str(arguments.work.absolute() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    plan, samples = resolve(config.engine), data.load(config.data, 0)
    chosen = {name: [one for one in together if one in arguments.protocols] for name, together in TRAININGS.items()}
    jobs = itertools.product(arguments.seeds, chosen.values(), arguments.methods)
    for seed, protocols, method in jobs:
        unseen = any(PROTOCOLS[protocol].unseen for protocol in protocols)
        for fold in range(FOLDS if unseen else 1):
            pieces = {p: arguments.work / f"{p}-{method}-fold{fold}-seed{seed}.npz" for p in protocols}
            missing = [protocol for protocol, piece in pieces.items() if not piece.exists()]
            began = time.perf_counter()
            settings = [
                build_problem(
                    configure(PROTOCOLS[protocol], METHODS[method], fold, seed, samples, arguments.rounds),
                    plan,
                    samples,
                )
                for protocol in missing
            ]
            for protocol, found in zip(missing, measure(settings, METHODS[method], unseen), strict=True):
                partial = pieces[protocol].with_suffix(".partial.npz")
                np.savez_compressed(partial, allow_pickle=False, **found)
                partial.replace(pieces[protocol])
            if missing:
                names = " ".join(pieces[protocol].stem for protocol in missing)
                print(f"{names}: {time.perf_counter() - began:.1f} s", flush=True)


def fold_of(subjects: tuple[str, ...], fold: int) -> list[str]:
    """The subjects held out in a fold: people in order of their records, dealt out one by one."""
    people = sorted({person_of(name) for name in subjects})
    return [name for name in subjects if people.index(person_of(name)) % FOLDS == fold]


def configure(
    protocol: Protocol, method: Method, fold: int, seed: int, samples: Samples, rounds: int | None
) -> bofl.Config:
    """The configuration of one training."""
    overrides = {**OFF, "seed": seed, **protocol.overrides, **method.overrides}
    if protocol.unseen:
        overrides["partition.test_subjects"] = fold_of(samples.subjects, fold)
    if rounds:
        overrides["federation.rounds"] = rounds
    return bofl.load_config(HERE / "base.toml", overrides)


def measure(settings: list[FederatedProblem], method: Method, unseen: bool) -> Iterator[dict[str, np.ndarray]]:
    """Train once, then adapt and test in every setting; they differ in what the tested patients adapt on alone.

    Yields:
        For each setting confusion matrices int32[C, K, K] by steps of adaptation ("global": of the shared model,
        "alone": of local training), and what the clients know: names[C], tested[C], labelled[C, K].
    """
    state = None
    for whole in settings:
        assert_same_training(settings[0], whole)
        if state is None:
            in_vain = unseen and method.adapts == "none"  # those who are tested are not among those who train
            state = initial_state(whole) if in_vain else train(whole)
        setting = only_tested_adapt(whole)
        population = setting.population
        found = {
            "names": np.array(population.names),
            "tested": population.test.size > 0,
            "labelled": class_counts(population.adapt, setting.samples.y, len(setting.samples.classes)),
        }
        if setting.has_global:
            model = setting.algorithm.model(state.params)
            found["global"] = confusion(setting, compile_predict(setting, model, own=False)(model))
        options, steps = adaptation(setting, method, unseen)
        adapt = compile_personalise(setting, state, options)
        predict = None
        for key, count in steps.items():
            own = adapt(state, count)
            predict = predict or compile_predict(setting, own, own=True)
            found[key] = confusion(setting, predict(own))
        yield found


def adaptation(
    setting: FederatedProblem, method: Method, unseen: bool
) -> tuple[FineTuneOptions | OwnOptions, dict[str, int]]:
    """How a method adapts after training, and for how many steps, by their key in a piece."""
    if method.adapts == "finetune":
        return FineTuneOptions(method="finetune", steps=1, lr=ADAPT_LR), {f"adapted{n}": n for n in STEPS}
    if method.adapts == "own":
        return OwnOptions(method="own", steps=1, lr=ADAPT_LR), {f"adapted{n}": n for n in (0, *STEPS)}
    if not unseen:
        return OwnOptions(method="own"), {"alone": 0}
    federation, optimizer = setting.config.federation, setting.config.optimizer
    steps = federation.rounds * federation.local_steps  # alone on the labelled minutes, for as long as the federation
    return OwnOptions(method="own", steps=steps, lr=optimizer.lr / 2), {"alone": steps}


def only_tested_adapt(setting: FederatedProblem) -> FederatedProblem:
    """The same, without the adaptation of patients that are not tested."""
    population = setting.population
    adapt = population.adapt._replace(size=np.where(population.test.size > 0, population.adapt.size, 0))
    return dataclasses.replace(setting, population=dataclasses.replace(population, adapt=adapt))


def assert_same_training(one: FederatedProblem, other: FederatedProblem) -> None:
    """One training stands for both settings: the same rows train, from the same key, in the same way."""
    for mine, yours in zip(one.training, other.training, strict=True):
        np.testing.assert_array_equal(mine, yours)
    parts = ("seed", "model", "federation", "optimizer")
    assert all(getattr(one.config, part) == getattr(other.config, part) for part in parts)


def train(setting: FederatedProblem) -> Any:
    """All rounds; the state at the end."""
    config = setting.config
    state = initial_state(setting)
    one_round = None
    for number in range(1, config.federation.rounds + 1):
        cohort = draw_cohort(config.federation, setting.training, setting.root, number)
        one_round = one_round or compile_round(setting, state, cohort, "off")
        state, info = one_round(state, cohort, number, setting.lr[number - 1])
    jax.block_until_ready(state)
    assert np.isfinite(np.asarray(info.loss)).all()
    return state


def confusion(setting: FederatedProblem, probability: np.ndarray) -> np.ndarray:
    """int32[C, K, K]: true class by predicted class, client by client."""
    sample, client = setting.population.test.flat()
    return np.asarray(confusions(probability, setting.samples.y[sample], client, setting.population.clients))


if __name__ == "__main__":
    with in_one_line():
        main()
