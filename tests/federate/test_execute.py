"""Executors: the same sums whoever runs the clients, and one compilation a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.config import load_config
from bofl_jax.core.errors import BoflError
from bofl_jax.federate.cohort import draw
from bofl_jax.federate.execute import Plan, add_up, resolve, run_clients
from bofl_jax.federate.options import EngineOptions
from bofl_jax.federate.round import compile_round, start
from bofl_jax.federate.setting import initial_params, settle
from tests.conftest import make_samples

PLANS = {
    "vmap": Plan("vmap", 0, 1, 1),
    "map": Plan("map", 1, 1, 8),
    "map-2": Plan("map", 2, 1, 8),
    "shard": Plan("shard", 1, 2, 8),
    "shard-one-device": Plan("shard", 1, 1, 8),
    "loop": Plan("loop", 1, 1, 1),
}


def task(shared, one, live):
    value = jnp.where(live, one * shared, 0.0)
    return {"sum": value}, jnp.where(live, 1.0, 0.0), value + 1


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("clients", [1, 7, 16, 21])
def test_sums_weights_and_reports(name, clients):
    each = jnp.arange(clients, dtype=jnp.float32)
    outcome = run_clients(PLANS[name], task, jnp.float32(2), each)
    total, weight = add_up(outcome)
    assert float(total["sum"]) == clients * (clients - 1)
    assert float(weight) == clients
    np.testing.assert_array_equal(outcome.each, 2 * each + 1)


@pytest.mark.parametrize("name", PLANS)
def test_without_stacking_nothing_of_size_m_comes_out(name):
    outcome = run_clients(PLANS[name], task, jnp.float32(2), jnp.arange(5.0), stack=False)
    assert outcome.each == ()
    assert float(add_up(outcome)[0]["sum"]) == 20


def test_loop_names_the_client_that_fails():
    def broken(shared, one, live):
        if one == 3:
            raise ValueError("boom")
        return task(shared, one, live)

    with pytest.raises(RuntimeError, match="client 3 of 5"):
        run_clients(PLANS["loop"], broken, jnp.float32(1), jnp.arange(5.0))


@pytest.mark.parametrize(
    ("given", "said"), [({"devices": 64}, "JAX sees 2"), ({"devices": 2, "blocks": 3}, "must divide engine.blocks")]
)
def test_impossible_engines_are_refused(given, said):
    with pytest.raises(BoflError, match=said):
        resolve(EngineOptions(**given))


def test_auto_is_settled():
    assert resolve(EngineOptions()) == Plan("shard", 1, 2, 8)
    assert resolve(EngineOptions(execution="vmap")) == Plan("vmap", 0, 1, 1)


ALGORITHMS: dict[str, dict] = {
    "fedavg": {"algorithm": "fedavg"},
    "fedprox": {"algorithm": "fedprox", "mu": 0.5, "stragglers": 0.5},
    "perfedavg": {"algorithm": "perfedavg", "inner_lr": 0.05},
    "local": {"algorithm": "local"},
    "centralised": {"algorithm": "centralised"},
}


def configure(name, **federation):
    algorithm = ALGORITHMS[name]["algorithm"]
    return load_config(
        {
            "data": {"source": "simulator"},
            "partition": {"scheme": "patient", "train_minutes": 1.0},
            "model": {"name": "cnn1d", "channels": [4], "kernels": [5], "strides": [2], "hidden": 8},
            "federation": {"rounds": 3, "local_steps": 2, "batch_size": 4, **ALGORITHMS[name], **federation},
            "personalise": {"method": "finetune"} if algorithm == "perfedavg" else {"method": "none"},
            "ledger": {"mode": "off" if algorithm in ("local", "centralised") else "merkle"},
        }
    )


def train(name, samples, plan, rounds=1, digests="off", **federation):
    """All that persists after some rounds, as one flat vector, and the last round's info."""
    config = configure(name, **federation)
    setting = settle(config, plan, samples)
    state = start(setting, initial_params(setting))
    cohort = draw(config.federation, setting.training, setting.root, 1)
    one_round = compile_round(setting, state, cohort, digests)
    for number in range(1, rounds + 1):
        state, info = one_round(state, draw(config.federation, setting.training, setting.root, number), number, 0.1)
    return np.asarray(jax.flatten_util.ravel_pytree(state)[0]), info


@pytest.fixture(scope="module")
def by_map(samples):
    return {name: train(name, samples, PLANS["map"])[0] for name in ALGORITHMS}


@pytest.mark.parametrize("name", ALGORITHMS)
class TestEveryAlgorithm:
    """The behaviour that every algorithm inherits."""

    @pytest.mark.parametrize("plan", ["vmap", "map-2"])
    def test_executors_agree_to_rounding(self, name, plan, samples, by_map):
        np.testing.assert_allclose(train(name, samples, PLANS[plan])[0], by_map[name], atol=1e-5)

    @pytest.mark.parametrize("plan", ["shard", "shard-one-device"])
    def test_the_number_of_devices_changes_no_bit(self, name, plan, samples, by_map):
        np.testing.assert_array_equal(train(name, samples, PLANS[plan])[0], by_map[name])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_plain_python_agrees_to_rounding(name):
    few = make_samples(subjects=2)
    loop, compiled = (train(name, few, PLANS[plan], local_steps=1)[0] for plan in ("loop", "map"))
    np.testing.assert_allclose(loop, compiled, atol=1e-5)
