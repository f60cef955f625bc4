"""Executors: the same sums whoever runs the clients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.parallel.clients import ExecutionPlan, map_clients, resolve, skip_padding, sum_blocks
from bofl_jax.parallel.options import EngineOptions
from tests.support.methods import PLANS


def task(shared, one, live):
    value = jnp.where(live, one * shared, 0.0)
    return {"sum": value}, jnp.where(live, 1.0, 0.0), value + 1


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("clients", [1, 7, 16, 21])
def test_sums_weights_and_reports(name, clients):
    each = jnp.arange(clients, dtype=jnp.float32)
    outcome = map_clients(PLANS[name], task, jnp.float32(2), each)
    total, weight = sum_blocks(outcome)
    assert float(total["sum"]) == clients * (clients - 1)
    assert float(weight) == clients
    np.testing.assert_array_equal(outcome.reports, 2 * each + 1)


@pytest.mark.parametrize("name", PLANS)
def test_without_stacking_nothing_of_size_m_comes_out(name):
    outcome = map_clients(PLANS[name], task, jnp.float32(2), jnp.arange(5.0), stack=False)
    assert outcome.reports == ()
    assert float(sum_blocks(outcome)[0]["sum"]) == 20


@pytest.mark.parametrize("clients", [1, 3, 11])
def test_padding_does_not_work(clients):
    worked = []

    def work(value):
        jax.debug.callback(lambda: worked.append(value.shape))
        return value + 1

    def client(_, one, live):
        return (), jnp.float32(0), skip_padding(live, work, one)

    each = jax.jit(lambda each: map_clients(ExecutionPlan("shard", 1, 1, 8), client, (), each).reports)(
        jnp.arange(float(clients))
    )
    jax.effects_barrier()
    np.testing.assert_array_equal(each, np.arange(clients) + 1)
    assert len(worked) == clients


def test_a_row_of_padding_gives_zeros_of_the_same_kind():
    found = jax.vmap(lambda live: skip_padding(live, lambda a: (a, a.astype(int)), jnp.full(3, 2.0)))(
        jnp.array([True, False])
    )
    np.testing.assert_array_equal(found[0], [[2, 2, 2], [0, 0, 0]])
    assert found[1].dtype == jnp.int32


def test_loop_names_the_client_that_fails():
    def broken(shared, one, live):
        if one == 3:
            raise ValueError("boom")
        return task(shared, one, live)

    with pytest.raises(RuntimeError, match="client 3 of 5"):
        map_clients(PLANS["loop"], broken, jnp.float32(1), jnp.arange(5.0))


@pytest.mark.parametrize(
    ("given", "said"), [({"devices": 64}, "JAX sees 2"), ({"devices": 2, "blocks": 3}, "must divide engine.blocks")]
)
def test_impossible_engines_are_refused(given, said):
    with pytest.raises(BoflError, match=said):
        resolve(EngineOptions(**given))


def test_auto_is_settled():
    assert resolve(EngineOptions()) == ExecutionPlan("shard", 1, 2, 8)
    assert resolve(EngineOptions(execution="vmap")) == ExecutionPlan("vmap", 0, 1, 1)
