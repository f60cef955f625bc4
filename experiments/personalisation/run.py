"""Train every method on every protocol and seed, adapt, test, and keep every patient's confusion matrices.

    BOFL_DATA=../shared/data python -m experiments.personalisation.run --work runs/personalisation

A training is done once, and adapted for 1, 5, 30 and 150 steps from its end. Finished results of the work folder are
kept, so that an interrupted command continues.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import bofl_jax as bofl
from bofl_jax import Samples
from bofl_jax.algorithms import FineTuneOptions, OwnOptions
from bofl_jax.engine import FederatedProblem, TrainState, build_problem, initial_state
from bofl_jax.metrics import group_confusions
from bofl_jax.partition import class_counts
from bofl_jax.results.writing import write_arrays
from experiments.common.command import argument_parser, prepare, run_command
from experiments.common.files import Arrays, WorkFolder
from experiments.common.protocols import TEN_SEEDS
from experiments.common.training import Predictor, local_training_options, train_all_rounds
from experiments.personalisation.plan import (
    FOLDS,
    HERE,
    METHODS,
    PROTOCOLS,
    STEPS,
    TRAININGS,
    WITHOUT_LEDGER,
    Method,
    Protocol,
    folds,
)

ADAPT_LR = 0.03


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out the trainings that are not finished."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the finished results")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(TEN_SEEDS))
    parser.add_argument("--protocols", nargs="+", choices=list(PROTOCOLS), default=list(PROTOCOLS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--rounds", type=int, help="fewer rounds, to try it out")
    options = parser.parse_args(arguments)
    folder = WorkFolder(options.work)
    plan, samples = prepare(bofl.load_config(HERE / "base.toml"), options.work)
    selected = [[name for name in together if name in options.protocols] for together in TRAININGS.values()]
    for seed, protocols, method in itertools.product(options.seeds, filter(None, selected), options.methods):
        for fold in folds(protocols[0]):
            files = {name: folder.file((name, method, f"fold{fold}"), seed) for name in protocols}
            missing = [name for name, file in files.items() if not file.exists()]
            if not missing:
                continue
            began = time.perf_counter()
            configs = [
                configure(PROTOCOLS[name], METHODS[method], fold, seed, samples, options.rounds) for name in missing
            ]
            problems = [build_problem(config, plan, samples) for config in configs]
            results = train_and_adapt(problems, METHODS[method], PROTOCOLS[missing[0]].unseen)
            for name, result in zip(missing, results, strict=True):
                write_arrays(files[name], result)
            names = " ".join(files[name].stem for name in missing)
            print(f"{names}: {time.perf_counter() - began:.1f} s", flush=True)


def fold_of(samples: Samples, fold: int) -> list[str]:
    """The subjects that are held out in a fold: people in the order of their names are assigned to folds in turn.

    Args:
        samples: the pool.
        fold: number of the fold.
    """
    people = sorted(set(samples.persons))
    pairs = zip(samples.subjects, samples.persons, strict=True)
    return [subject for subject, person in pairs if people.index(person) % FOLDS == fold]


def configure(
    protocol: Protocol, method: Method, fold: int, seed: int, samples: Samples, rounds: int | None
) -> bofl.Config:
    """The configuration of one training.

    Args:
        protocol: which samples train.
        method: how the models train.
        fold: number of the fold, for unseen patients.
        seed: root seed.
        samples: the pool.
        rounds: number of rounds; that of the protocol with None.
    """
    overrides = {**WITHOUT_LEDGER, "seed": seed, **protocol.overrides, **method.overrides}
    if protocol.unseen:
        overrides["partition.test_subjects"] = fold_of(samples, fold)
    if rounds:
        overrides["federation.rounds"] = rounds
    return bofl.load_config(HERE / "base.toml", overrides)


def train_and_adapt(problems: Sequence[FederatedProblem], method: Method, unseen: bool) -> Iterator[Arrays]:
    """Train once, then adapt and test in every problem; they differ only in the samples that tested patients adapt on.

    Args:
        problems: the problems.
        method: how the models train and adapt.
        unseen: whether the tested patients took no part in training.

    Yields:
        For each problem the confusion matrices int32[C, K, K] by steps of adaptation ("global": of the global model,
        "alone": of local training), and of the clients names[C], tested[C] and labelled[C, K].
    """
    first = problems[0]
    trains_alone = unseen and method.adapts == "none"  # tested patients take no part in the rounds
    state = initial_state(first) if trains_alone else train_all_rounds(first)
    for problem in problems:
        assert_same_training(first, problem)
        yield adapt_and_test(problem, state, method, unseen)


def adapt_and_test(problem: FederatedProblem, state: TrainState, method: Method, unseen: bool) -> Arrays:
    """Adapt the models of one training and count the predictions of their tests.

    Args:
        problem: the problem.
        state: the state after training.
        method: how clients adapt.
        unseen: whether the tested patients took no part in training.
    """
    samples, predictor = problem.samples, Predictor(problem)
    population = predictor.problem.population
    found = {
        "names": np.array(population.names),
        "tested": population.test.size > 0,
        "labelled": class_counts(population.adapt, samples.y, len(samples.classes)),
    }
    if problem.has_global:
        found["global"] = confusion(problem, predictor.of_global(state))
    options, steps = adaptation(problem, method, unseen)
    for key, count in steps.items():
        found[key] = confusion(problem, predictor.of_personal(state, options, count))
    return found


def adaptation(
    problem: FederatedProblem, method: Method, unseen: bool
) -> tuple[FineTuneOptions | OwnOptions, dict[str, int]]:
    """How clients adapt after training, and the number of steps by their key in the results.

    Args:
        problem: the problem.
        method: the method.
        unseen: whether the tested patients took no part in training.
    """
    if method.adapts == "finetune":
        return FineTuneOptions(method="finetune", steps=1, lr=ADAPT_LR), {f"adapted{n}": n for n in STEPS}
    if method.adapts == "own":
        return OwnOptions(method="own", steps=1, lr=ADAPT_LR), {f"adapted{n}": n for n in (0, *STEPS)}
    if not unseen:
        return OwnOptions(method="own"), {"alone": 0}
    options = local_training_options(problem)
    return options, {"alone": options.steps}


def assert_same_training(one: FederatedProblem, other: FederatedProblem) -> None:
    """Check that one training stands for both problems: the same samples, key and method.

    Args:
        one: one problem.
        other: the other problem.
    """
    for mine, theirs in zip(one.training, other.training, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    sections = ("seed", "model", "federation", "optimizer")
    assert all(getattr(one.config, section) == getattr(other.config, section) for section in sections)


def confusion(problem: FederatedProblem, probability: np.ndarray) -> np.ndarray:
    """int32[C, K, K]: true class by predicted class, client by client.

    Args:
        problem: the problem.
        probability: float32[N, K], of the test samples, client after client.
    """
    sample, client = problem.population.test.flat()
    return np.asarray(
        group_confusions(probability, problem.samples.y[sample], client, problem.population.clients), np.int32
    )


if __name__ == "__main__":
    run_command(main)
