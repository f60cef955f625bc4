"""Every federated method on tiny data: what the suites of this folder run through."""

import jax
import numpy as np

from bofl_jax.config import load_config
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.compile import compile_round
from bofl_jax.engine.personalise import compile_personalise
from bofl_jax.engine.problem import build_problem
from bofl_jax.engine.state import initial_state
from bofl_jax.parallel.clients import ExecutionPlan

PLANS = {
    "vmap": ExecutionPlan("vmap", 0, 1, 1),
    "map": ExecutionPlan("map", 1, 1, 8),
    "map-2": ExecutionPlan("map", 2, 1, 8),
    "shard": ExecutionPlan("shard", 1, 2, 8),
    "shard-one-device": ExecutionPlan("shard", 1, 1, 8),
    "loop": ExecutionPlan("loop", 1, 1, 1),
}
CNN = {"name": "cnn1d", "channels": [4], "kernels": [5], "strides": [2], "hidden": 8}
MLP = {"name": "mlp", "hidden": [6]}
ALONE = ("local", "centralised")

VARIANTS: dict[str, dict] = {
    "fedavg": {},
    "fedavg-adam": {"optimizer": {"server": "adam", "server_lr": 0.1}},
    "fedprox": {"federation": {"mu": 0.5, "stragglers": 0.5}},
    "fednova": {"federation": {"stragglers": 0.5}},
    "scaffold": {},
    "perfedavg": {"federation": {"inner_lr": 0.05}},
    "ditto": {},
    "pfedme": {"federation": {"inner_steps": 2}},
    "apfl": {"federation": {"adaptive": True}},
    "fedrep": {"federation": {"head_steps": 1}},
    "fedper": {},
    "fedbn": {"model": CNN | {"norm": "group", "groups": 2}},
    "bfln": {"federation": {"clusters": 2, "prototype_steps": 1}},
    "local": {},
    "centralised": {},
}
"""The suite's configurations: a method, or a method and a variant of it."""


def configure(variant, model=None, **federation):
    """A configuration of one variant; ``federation`` overrides its section."""
    given = VARIANTS[variant]
    algorithm = variant.partition("-")[0]
    own = {"fedrep": "own", "fedper": "own", "fedbn": "own", "bfln": "own", "perfedavg": "finetune"}
    return load_config(
        {
            "data": {"source": "simulator"},
            "partition": {"scheme": "patient", "train_minutes": 1.0},
            "model": given.get("model", model or MLP),
            "federation": {
                "algorithm": algorithm,
                "rounds": 3,
                "local_steps": 2,
                "batch_size": 4,
                **given.get("federation", {}),
                **federation,
            },
            "optimizer": given.get("optimizer", {}),
            "personalise": {"method": own.get(algorithm, "none")},
            "ledger": {"mode": "off" if algorithm in ALONE else "merkle"},
        }
    )


def train(variant, samples, plan, rounds=1, digests="off", change=None, model=None, **federation):
    """All that persists after some rounds, and the last round's info.

    Args:
        variant: of `VARIANTS`.
        samples: the pool.
        plan: how clients run.
        rounds: how many.
        digests: where updates are digested.
        change: setting -> setting, before anything is compiled.
        model: the network, where the variant names none.
        federation: overrides of that section.
    """
    config = configure(variant, model, **federation)
    setting = build_problem(config, plan, samples)
    setting = change(setting) if change else setting
    state, info = initial_state(setting), None
    cohort = draw_cohort(config.federation, setting.training, setting.root, 1)
    one_round = compile_round(setting, state, cohort, digests)
    for number in range(1, rounds + 1):
        state, info = one_round(
            state, draw_cohort(config.federation, setting.training, setting.root, number), number, 0.1
        )
    return state, info


def personalise(setting, state, options):
    """Every client's own parameters."""
    return compile_personalise(setting, state, options)(state, options.steps)


def flat(tree):
    """All leaves as one vector."""
    return np.concatenate([np.asarray(leaf, np.float64).reshape(-1) for leaf in jax.tree.leaves(tree)])
