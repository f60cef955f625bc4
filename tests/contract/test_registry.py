"""Roles and the registry of clients: what is allowed, what is said, and every call that is refused."""

import pytest

from bofl_jax.ledger.accounts import account

ADMIN, AGGREGATOR = 1, 2
ZERO = bytes(20)


def hexed(address):
    return "0x" + address.hex()


def test_the_deployer_is_admin_and_aggregator(world):
    granted = [event.args for event in world.events(world.deployment)]
    assert granted == [{"account": hexed(world.admin.address), "role": role} for role in (ADMIN, AGGREGATOR)]
    assert world.read("rolesOf", world.admin.address) == ADMIN | AGGREGATOR
    assert world.read("rolesOf", world.stranger.address) == 0


def test_registering_is_announced_and_counted(world):
    outcome = world.do("registerClients", world.clients)
    assert [event.name for event in world.events(outcome)] == ["ClientRegistered"] * 20
    assert [event.args["client"] for event in world.events(outcome)] == [hexed(client) for client in world.clients]
    assert world.read("activeClients") == 20
    assert world.read("clientState", world.clients[7]) == 1


def test_suspension_and_readmission(staffed):
    client = staffed.clients[3]
    suspended = staffed.events(staffed.do("setClientActive", client, False))
    assert [(event.name, event.args) for event in suspended] == [("ClientSuspended", {"client": hexed(client)})]
    assert (staffed.read("clientState", client), staffed.read("activeClients")) == (2, 19)
    readmitted = staffed.events(staffed.do("setClientActive", client, True))
    assert [(event.name, event.args) for event in readmitted] == [("ClientReadmitted", {"client": hexed(client)})]
    assert (staffed.read("clientState", client), staffed.read("activeClients")) == (1, 20)


def test_roles_are_granted_and_revoked(world):
    other = world.stranger
    granted = world.events(world.do("grantRole", other.address, ADMIN))
    assert [(event.name, event.args["role"]) for event in granted] == [("RoleGranted", ADMIN)]
    assert world.send(other, "registerClients", world.clients).success
    revoked = world.events(world.do("revokeRole", other.address, ADMIN))
    assert [(event.name, event.args["role"]) for event in revoked] == [("RoleRevoked", ADMIN)]
    assert world.refusal(other, "setClientActive", world.clients[0], False).startswith("MissingRole")


@pytest.mark.parametrize("role_held", [0, ADMIN, AGGREGATOR])
@pytest.mark.parametrize(
    ("function", "args", "needed"),
    [
        ("grantRole", (ZERO, ADMIN), ADMIN),
        ("revokeRole", (ZERO, ADMIN), ADMIN),
        ("registerClients", ([ZERO],), ADMIN),
        ("setClientActive", (ZERO, True), ADMIN),
        ("openRound", (1, bytes(32), bytes(32), 1), AGGREGATOR),
        ("commitRound", (1, bytes(32), 1), AGGREGATOR),
        ("finaliseRound", (1, bytes(32)), AGGREGATOR),
    ],
)
def test_a_role_is_needed(world, function, args, needed, role_held):
    if role_held:
        world.do("grantRole", world.stranger.address, role_held)
    reason = world.refusal(world.stranger, function, *args)
    missing = f"MissingRole(account={hexed(world.stranger.address)}, role={needed})"
    assert (reason == missing) == (role_held != needed)


@pytest.mark.parametrize(
    ("function", "args", "reason"),
    [
        ("grantRole", (account(0, "stranger", 0).address, 4), "UnknownRole(role=4)"),
        ("grantRole", (account(0, "stranger", 0).address, 3), "UnknownRole(role=3)"),
        ("grantRole", (ZERO, ADMIN), "ZeroAddress()"),
        ("revokeRole", (account(0, "operator", 0).address, ADMIN), "CannotRevokeOwnAdmin()"),
        ("revokeRole", (account(0, "operator", 0).address, 0), "UnknownRole(role=0)"),
        ("revokeRole", (ZERO, AGGREGATOR), f"MissingRole(account={hexed(ZERO)}, role=2)"),
        ("registerClients", ([],), "EmptyBatch()"),
        ("registerClients", ([ZERO],), "ZeroAddress()"),
        ("setClientActive", (ZERO, True), f"NotRegistered(client={hexed(ZERO)})"),
    ],
)
def test_the_admin_is_refused_too(world, function, args, reason):
    assert world.refusal(world.admin, function, *args) == reason


def test_a_known_client_fails_its_whole_batch(staffed):
    fresh = account(0, "client", 20).address
    batch = [fresh, staffed.clients[0]]
    reason = staffed.refusal(staffed.admin, "registerClients", batch)
    assert reason == f"AlreadyRegistered(client={hexed(staffed.clients[0])})"
    assert (staffed.read("clientState", fresh), staffed.read("activeClients")) == (0, 20)
    twice = staffed.refusal(staffed.admin, "registerClients", [fresh, fresh])
    assert twice == f"AlreadyRegistered(client={hexed(fresh)})"


def test_a_suspended_client_cannot_be_registered_again(staffed):
    staffed.do("setClientActive", staffed.clients[0], False)
    reason = staffed.refusal(staffed.admin, "registerClients", staffed.clients[:1])
    assert reason.startswith("AlreadyRegistered")


@pytest.mark.parametrize("active", [True, False])
def test_a_change_must_change_something(staffed, active):
    client = staffed.clients[0]
    if not active:
        staffed.do("setClientActive", client, False)
    reason = staffed.refusal(staffed.admin, "setClientActive", client, active)
    assert reason == f"ActivityUnchanged(client={hexed(client)})"
