"""The exact gas of every function. ``BOFL_WRITE_GOLDEN=1`` rewrites the table: check the difference."""

import json
import os
from pathlib import Path

import pytest

from bofl_jax.ledger import merkle
from bofl_jax.ledger.chain.accounts import derive_account
from bofl_jax.ledger.chain.genesis import CHAIN_ID
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update
from bofl_jax.ledger.merkle import Leaf
from tests.contract.conftest import everyone

GOLDEN = Path(__file__).parents[1] / "golden" / "gas.json"
CLIENTS = 1000
DIGEST = b"\x06" * 32
RULES = (500, 1000, 10_000, 1000, 0)


def registry(world, table):
    addresses = [derive_account(0, "client", index).address for index in range(CLIENTS)]
    table["grantRole"] = world.transact("grantRole", world.stranger.address, 4)
    table["revokeRole"] = world.transact("revokeRole", world.stranger.address, 4)
    table["registerClients, first 1"] = world.transact("registerClients", addresses[:1])
    table["registerClients, 19"] = world.transact("registerClients", addresses[1:20])
    table["registerClients, 200"] = world.transact("registerClients", addresses[20:220])
    for start in range(220, CLIENTS, 200):
        world.transact("registerClients", addresses[start : start + 200])
    table["suspendClient"] = world.transact("suspendClient", addresses[0])
    table["readmitClient, suspended"] = world.transact("readmitClient", addresses[0])
    table["revokeClient"] = world.transact("revokeClient", addresses[0])
    table["readmitClient, revoked"] = world.transact("readmitClient", addresses[0])
    table["setPaused, on"] = world.transact("setPaused", True)
    table["setPaused, off"] = world.transact("setPaused", False)


def merkle_rounds(world, table):
    for number, count, label in ((1, 1, "first"), (2, 10, "10 clients"), (3, 1000, "1000 clients")):
        leaf = Leaf(number, bytes([1]) * 20, bytes([1]) * 32, 100, 10**6)
        table[f"openRound, {label}"] = world.open(number, size=CLIENTS)
        table[f"commitRound, {label}"] = world.commit(number, count)
        table[f"finaliseRound, {label}"] = world.finalise(number)
        table[f"publishResults, {label}"] = world.transact("publishResults", number, DIGEST)
        proof = [b"\x05" * 32] * merkle.depth(count)
        table[f"verifyInclusion as a transaction, {label}"] = world.transact(
            "verifyInclusion", number, 0, *leaf[1:], proof
        )


def listed_rounds(world, table):
    table["openRound, listed, 20 clients"] = world.open(4, 20, members=everyone(20))
    update = (DIGEST, 100, 10**6)
    table["submitUpdate, first"] = world.transact_as(world.members[0], "submitUpdate", 4, *update)
    table["submitUpdate, next"] = world.transact_as(world.members[1], "submitUpdate", 4, *update)
    domain = domain_separator(CHAIN_ID, world.address)
    signed = [
        (member.address, *update, *sign_update(member.key, domain, Leaf(4, member.address, *update)))
        for member in world.members[2:20]
    ]
    table["submitSignedUpdates, 1"] = world.transact("submitSignedUpdates", 4, signed[:1])
    table["submitSignedUpdates, 17"] = world.transact("submitSignedUpdates", 4, signed[1:])
    table["submitSignedUpdates, 1 duplicate"] = world.transact("submitSignedUpdates", 4, signed[:1])
    withdrawn = (world.clients[0], DIGEST, 7)
    table["refuseUpdates, 1 withdrawn"] = world.transact("refuseUpdates", 4, [withdrawn])
    table["refuseUpdates, 1 recorded"] = world.transact("refuseUpdates", 4, [(*withdrawn[:2], 5)])
    table["commitRound, listed"] = world.commit(4, 19)
    table["abortRound, committed"] = world.transact("abortRound", 4)
    table["openRound, listed, 1000 clients"] = world.open(5, CLIENTS, members=everyone(CLIENTS))
    table["abortRound, open"] = world.transact("abortRound", 5)


def calldata_rounds(world, table):
    world.open(6, CLIENTS)
    table["publishDigests, 10"] = world.transact("publishDigests", 6, [DIGEST] * 10)
    table["publishDigests, 990"] = world.transact("publishDigests", 6, [DIGEST] * 990)
    world.commit(6, CLIENTS)
    world.finalise(6)


def synthetic(world, table):
    client, log = world.members[0], (b"\x08" * 32, b"\x09" * 32, [9000, 8000, 7000])
    table["setPolicy, automatic"] = world.transact("setPolicy", (*RULES, False))
    table["requestSynthetic, approved, first"] = world.transact_as(client, "requestSynthetic", 1, 50, [960, 40, 0])
    table["requestSynthetic, approved, next"] = world.transact_as(client, "requestSynthetic", 1, 50, [960, 40, 0])
    table["requestSynthetic, rejected"] = world.transact_as(client, "requestSynthetic", 0, 50, [960, 40, 0])
    table["logSynthetic, all used"] = world.transact_as(client, "logSynthetic", 1, 50, *log)
    table["logSynthetic, refund"] = world.transact_as(client, "logSynthetic", 2, 20, b"\x07" * 32, *log[1:])
    table["setPolicy, manual"] = world.transact("setPolicy", (*RULES, True))
    for _ in range(3):
        table["requestSynthetic, pending"] = world.transact_as(client, "requestSynthetic", 1, 50, [960, 40, 0])
    table["decideSynthetic, approve"] = world.transact("decideSynthetic", 4, True)
    table["decideSynthetic, reject"] = world.transact("decideSynthetic", 5, False)
    table["cancelSynthetic, approved"] = world.transact_as(client, "cancelSynthetic", 4)
    table["cancelSynthetic, pending"] = world.transact_as(client, "cancelSynthetic", 6)


def rejections(world, table):
    world.open(7, size=20, members=everyone(20))
    update = (DIGEST, 100, 10**6)
    world.transact_as(world.members[0], "submitUpdate", 7, *update)
    world.transact("revokeClient", world.clients[1])
    version = world.call("registryVersion")
    for label, who, function, *args in (
        ("role", world.stranger, "finaliseRound", 7, DIGEST),
        ("known client", world.admin, "registerClients", [world.clients[0]]),
        ("round number", world.aggregator, "openRound", 5, version, DIGEST, DIGEST, 10, 0, []),
        ("registry changed", world.aggregator, "openRound", 8, version - 1, DIGEST, DIGEST, 10, 0, []),
        ("round unfinished", world.aggregator, "openRound", 8, version, DIGEST, DIGEST, 10, 0, []),
        ("round state", world.aggregator, "commitRound", 3, DIGEST, 1, 100, 10**6),
        ("duplicate update", world.members[0], "submitUpdate", 7, *update),
        ("revoked client", world.members[1], "submitUpdate", 7, *update),
        ("unregistered client", world.stranger, "submitUpdate", 7, *update),
        ("requester decides", world.members[0], "decideSynthetic", 6, True),
    ):
        table[f"refused, {label}"] = world.send(who, function, *args)
    world.transact("setPaused", True)
    table["refused, paused"] = world.send(world.members[2], "submitUpdate", 7, *update)


@pytest.fixture
def measured(world):
    table = {"deploy": world.deployment}
    registry(world, table)
    merkle_rounds(world, table)
    listed_rounds(world, table)
    calldata_rounds(world, table)
    synthetic(world, table)
    rejections(world, table)
    assert all(receipt.success != label.startswith("refused") for label, receipt in table.items())
    return {label: receipt.gas_used for label, receipt in table.items()}


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
