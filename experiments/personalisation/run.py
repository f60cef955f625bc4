"""Train every method on every protocol and seed, adapt, test, and keep every patient's confusion matrices.

    BOFL_DATA=../shared/data python experiments/personalisation/run.py --work runs/personalisation

A training is done once and adapted for 1, 5, 30 and 150 steps from where it ended. What is finished in the work folder
is kept, so that the command goes on where it was cut off.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from plan import FOLDS, HERE, METHODS, OFF, PROTOCOLS, STEPS, Method, Protocol

import bofl_jax as bofl
from bofl_jax import data
from bofl_jax.data import person_of
from bofl_jax.federate import runtime
from bofl_jax.federate.cohort import draw
from bofl_jax.federate.execute import Plan, resolve
from bofl_jax.federate.options import FineTuneOptions, OwnOptions
from bofl_jax.federate.round import compile_round, start
from bofl_jax.federate.setting import Setting, initial_params, settle
from bofl_jax.federate.testing import compile_predict, personalise
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
    runtime.prepare(config.engine)
    jax.config.update("jax_compilation_cache_dir", str(arguments.work.absolute() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    plan, samples = resolve(config.engine), data.load(config.data, 0)
    for seed in arguments.seeds:
        for protocol in arguments.protocols:
            for method in arguments.methods:
                for fold in range(FOLDS) if PROTOCOLS[protocol].unseen else (0,):
                    piece = arguments.work / f"{protocol}-{method}-fold{fold}-seed{seed}.npz"
                    if piece.exists():
                        continue
                    began = time.perf_counter()
                    found = measure(PROTOCOLS[protocol], METHODS[method], fold, seed, plan, samples, arguments.rounds)
                    partial = piece.with_suffix(".partial.npz")
                    np.savez_compressed(partial, allow_pickle=False, **found)
                    partial.replace(piece)
                    print(f"{piece.stem}: {time.perf_counter() - began:.1f} s", flush=True)


def fold_of(subjects: tuple[str, ...], fold: int) -> list[str]:
    """The subjects held out in a fold: people in order of their records, dealt out one by one."""
    people = sorted({person_of(name) for name in subjects})
    return [name for name in subjects if people.index(person_of(name)) % FOLDS == fold]


def measure(
    protocol: Protocol, method: Method, fold: int, seed: int, plan: Plan, samples: Any, rounds: int | None
) -> dict[str, np.ndarray]:
    """Confusion matrices int32[C, K, K] by steps of adaptation ("global": of the shared model), and counts[C, K]."""
    overrides = {**OFF, "seed": seed, **protocol.overrides, **method.overrides}
    if protocol.unseen:
        overrides["partition.test_subjects"] = fold_of(samples.subjects, fold)
    if rounds:
        overrides["federation.rounds"] = rounds
    config = bofl.load_config(HERE / "base.toml", overrides)
    setting = settle(config, plan, samples)
    trains_in_vain = protocol.unseen and method.adapts == "none"  # the tested patients are not among those who train
    state = start(setting, initial_params(setting)) if trains_in_vain else train(setting)
    classes = len(samples.classes)
    found = {
        "names": np.array(setting.population.names),
        "tested": setting.population.test.size > 0,
        "labelled": class_counts(setting.population.adapt, samples.y, classes),
    }
    if setting.has_global:
        model = setting.algorithm.model(state.params)
        found["global"] = confusion(setting, compile_predict(setting, model, own=False)(model))
    for steps in (0, *STEPS) if method.adapts == "own" else STEPS:
        if method.adapts == "finetune":
            options = FineTuneOptions(method="finetune", steps=steps, lr=ADAPT_LR)
        elif method.adapts == "own":
            options = OwnOptions(method="own", steps=steps, lr=ADAPT_LR)
        else:
            break
        own = personalise(setting, state, options)
        found[f"adapted{steps}"] = confusion(setting, compile_predict(setting, own, own=True)(own))
    if method.adapts == "none":
        options = OwnOptions(method="own")
        if protocol.unseen:  # alone on the labelled minutes, for as many steps as the federation had
            options = OwnOptions(method="own", steps=config.federation.rounds * config.federation.local_steps, lr=0.05)
        own = personalise(setting, state, options)
        found["alone"] = confusion(setting, compile_predict(setting, own, own=True)(own))
    return found


def train(setting: Setting) -> Any:
    """All rounds; the state at the end."""
    config = setting.config
    state = start(setting, initial_params(setting))
    one_round = None
    for number in range(1, config.federation.rounds + 1):
        cohort = draw(config.federation, setting.training, setting.root, number)
        one_round = one_round or compile_round(setting, state, cohort, "off")
        state, info = one_round(state, cohort, number, setting.lr[number - 1])
    jax.block_until_ready(state)
    assert np.isfinite(np.asarray(info.loss)).all()
    return state


def confusion(setting: Setting, probability: np.ndarray) -> np.ndarray:
    """int32[C, K, K]: true class by predicted class, client by client."""
    sample, client = setting.population.test.flat()
    classes = len(setting.samples.classes)
    counts = np.zeros((setting.population.clients, classes, classes), np.int32)
    np.add.at(counts, (client, setting.samples.y[sample], probability.argmax(axis=1)), 1)
    return counts


if __name__ == "__main__":
    main()
