"""What every function costs, to the unit. ``BOFL_WRITE_GOLDEN=1`` writes the table anew: look at the difference."""

import json
import os
from pathlib import Path

import pytest

from bofl_jax.ledger import merkle
from bofl_jax.ledger.accounts import account
from bofl_jax.ledger.merkle import Leaf

GOLDEN = Path(__file__).parents[1] / "golden" / "gas.json"
CONFIG, COHORT, MODEL = (bytes([value]) * 32 for value in (1, 2, 4))


def rounds(world, table):
    for number, count, label in ((1, 1, "first"), (2, 10, "10 clients"), (3, 1000, "1000 clients")):
        leaves = [Leaf(number, bytes([1]) * 20, bytes([i % 255 + 1]) * 32, 100, 10**6) for i in range(count)]
        table[f"openRound, {label}"] = world.do("openRound", number, CONFIG, COHORT, 1000)
        table[f"commitRound, {label}"] = world.do("commitRound", number, b"\x03" * 32, count)
        table[f"finaliseRound, {label}"] = world.do("finaliseRound", number, MODEL)
        proof = [b"\x05" * 32] * merkle.depth(count)
        table[f"verifyInclusion as a transaction, {label}"] = world.do(
            "verifyInclusion", number, 0, *leaves[0][1:], proof
        )


def registry(world, table):
    addresses = [account(0, "client", index).address for index in range(1000)]
    table["registerClients, first 1"] = world.do("registerClients", addresses[:1])
    table["registerClients, 20"] = world.do("registerClients", addresses[1:21])
    table["registerClients, 200"] = world.do("registerClients", addresses[21:221])
    for start in range(221, 1000, 200):
        world.do("registerClients", addresses[start : start + 200])
    world.do("registerClients", [account(0, "client", 1000).address])
    table["setClientActive, suspend"] = world.do("setClientActive", addresses[0], False)
    table["setClientActive, readmit"] = world.do("setClientActive", addresses[0], True)
    table["grantRole"] = world.do("grantRole", account(0, "auditor", 0).address, 2)
    table["revokeRole"] = world.do("revokeRole", account(0, "auditor", 0).address, 2)


def refusals(world, table):
    table["refused, role"] = world.send(world.stranger, "openRound", 1, CONFIG, COHORT, 10)
    table["refused, known client"] = world.send(world.admin, "registerClients", [account(0, "client", 0).address])
    table["refused, round number"] = world.send(world.admin, "openRound", 5, CONFIG, COHORT, 10)
    table["refused, round state"] = world.send(world.admin, "commitRound", 3, CONFIG, 1)


@pytest.fixture
def measured(world):
    table = {"deploy": world.deployment}
    registry(world, table)
    rounds(world, table)
    refusals(world, table)
    assert all(outcome.success != label.startswith("refused") for label, outcome in table.items())
    return {label: outcome.gas for label, outcome in table.items()}


def test_gas_is_as_in_the_golden_table(measured):
    if os.environ.get("BOFL_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(measured, indent=1) + "\n")
    assert measured == json.loads(GOLDEN.read_text())


def test_a_round_costs_the_same_for_ten_and_a_thousand_clients():
    gas = json.loads(GOLDEN.read_text())
    costs = [
        sum(gas[f"{function}, {clients}"] for function in ("openRound", "commitRound", "finaliseRound"))
        for clients in ("10 clients", "1000 clients")
    ]
    assert abs(costs[0] - costs[1]) <= 100  # one more non-zero byte of the count
