"""Execution of clients: every plan gives the same sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.parallel.clients import ExecutionPlan, map_clients, resolve_plan, skip_padding, sum_blocks
from bofl_jax.parallel.options import EngineOptions
from tests.support.methods import PLANS


def multiply(shared, factor, live):
    value = jnp.where(live, factor * shared, 0.0)
    return {"sum": value}, jnp.where(live, 1.0, 0.0), value + 1


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("clients", [1, 7, 16, 21])
def test_sums_weights_and_reports_are_those_of_all_clients(name, clients):
    factors = jnp.arange(clients, dtype=jnp.float32)
    outputs = map_clients(PLANS[name], multiply, jnp.float32(2), factors)
    total, weight = sum_blocks(outputs)
    assert float(total["sum"]) == clients * (clients - 1)
    assert float(weight) == clients
    np.testing.assert_array_equal(outputs.reports, 2 * factors + 1)


@pytest.mark.parametrize("name", PLANS)
def test_reports_that_are_not_kept_are_not_returned(name):
    outputs = map_clients(PLANS[name], multiply, jnp.float32(2), jnp.arange(5.0), keep_reports=False)
    assert outputs.reports == ()
    assert float(sum_blocks(outputs)[0]["sum"]) == 20


@pytest.mark.parametrize("clients", [1, 3, 11])
def test_padding_is_not_computed(clients):
    computed = []

    def add_one(value):
        jax.debug.callback(lambda: computed.append(value.shape))
        return value + 1

    def client(_, value, live):
        return (), jnp.float32(0), skip_padding(live, add_one, value)

    plan = ExecutionPlan("shard", 1, 1, 8)
    reports = jax.jit(lambda values: map_clients(plan, client, (), values).reports)(jnp.arange(float(clients)))
    jax.effects_barrier()
    np.testing.assert_array_equal(reports, np.arange(clients) + 1)
    assert len(computed) == clients


def test_padding_gives_zeros_of_the_same_shape_and_type():
    found = jax.vmap(lambda live: skip_padding(live, lambda a: (a, a.astype(int)), jnp.full(3, 2.0)))(
        jnp.array([True, False])
    )
    np.testing.assert_array_equal(found[0], [[2, 2, 2], [0, 0, 0]])
    assert found[1].dtype == jnp.int32


def test_the_loop_names_the_client_that_fails():
    def broken(shared, factor, live):
        if factor == 3:
            raise ValueError("boom")
        return multiply(shared, factor, live)

    with pytest.raises(RuntimeError, match="client 3 of 5"):
        map_clients(PLANS["loop"], broken, jnp.float32(1), jnp.arange(5.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"devices": 64}, "JAX sees 2"), ({"devices": 2, "blocks": 3}, "must divide engine.blocks")],
)
def test_impossible_engines_are_refused(options, message):
    with pytest.raises(BoflError, match=message):
        resolve_plan(EngineOptions(**options))


def test_auto_is_resolved():
    assert resolve_plan(EngineOptions()) == ExecutionPlan("shard", 1, 2, 8)
    assert resolve_plan(EngineOptions(execution="vmap")) == ExecutionPlan("vmap", 0, 1, 1)
