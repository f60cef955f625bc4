"""Roles, the pause and the client registry: allowed calls, their events, and every reverted call."""

import pytest

from bofl_jax.ledger.chain.accounts import derive_account

ADMIN, AGGREGATOR, AUDITOR = 1, 2, 4
ZERO = bytes(20)
CLIENT = derive_account(0, "client", 0).address
STATES = ("Unknown", "Active", "Suspended", "Revoked")
NEEDED = {
    "grantRole": ((ZERO, ADMIN), ADMIN),
    "revokeRole": ((ZERO, ADMIN), ADMIN),
    "setPaused": ((True,), ADMIN),
    "registerClients": (([ZERO],), ADMIN),
    "suspendClient": ((ZERO,), ADMIN),
    "revokeClient": ((ZERO,), ADMIN),
    "readmitClient": ((ZERO,), ADMIN),
    "setPolicy": (((0, 0, 0, 0, 0, False),), ADMIN),
    "openRound": ((1, 0, bytes(32), bytes(32), 1, 0, []), AGGREGATOR),
    "submitSignedUpdates": ((1, []), AGGREGATOR),
    "publishDigests": ((1, []), AGGREGATOR),
    "refuseUpdates": ((1, []), AGGREGATOR),
    "commitRound": ((1, bytes(32), 1, 0, 0), AGGREGATOR),
    "finaliseRound": ((1, bytes(32)), AUDITOR),
    "abortRound": ((1,), ADMIN | AUDITOR),
    "publishResults": ((1, bytes(32)), AUDITOR),
    "decideSynthetic": ((1, True), ADMIN | AUDITOR),
}
CLIENT_FUNCTIONS = {"submitUpdate", "requestSynthetic", "logSynthetic", "cancelSynthetic"}


def to_hex(address):
    return "0x" + address.hex()


def test_the_deployer_is_admin(world):
    granted = [event.args for event in world.events(world.deployment)]
    assert granted == [{"account": to_hex(world.admin.address), "role": ADMIN}]
    accounts = (world.admin, world.aggregator, world.auditor, world.stranger)
    assert [world.call("rolesOf", who.address) for who in accounts] == [ADMIN, AGGREGATOR, AUDITOR, 0]


def test_registering_clients_has_events_and_is_counted(world):
    outcome = world.transact("registerClients", world.clients)
    assert world.names(outcome) == ["ClientRegistered"] * 20
    assert [event.args["client"] for event in world.events(outcome)] == [to_hex(client) for client in world.clients]
    assert (world.call("activeClients"), world.call("registeredClients")) == (20, 20)
    assert world.call("clients", world.clients[7]) == (1, 7, 0, 0)


def test_every_change_of_the_registry_increments_its_version(world):
    assert world.call("registryVersion") == 0
    calls = ("registerClients", "suspendClient", "readmitClient", "revokeClient", "readmitClient")
    for version, function in enumerate(calls, 1):
        world.transact(function, [CLIENT] if function == "registerClients" else CLIENT)
        assert world.call("registryVersion") == version
    world.reverts("readmitClient", CLIENT)
    assert world.call("registryVersion") == len(calls)


def bring_to(world, state):
    """Client 0 in a registry state."""
    if state != "Unknown":
        world.transact("registerClients", [CLIENT])
    if state in ("Suspended", "Revoked"):
        world.transact("suspendClient" if state == "Suspended" else "revokeClient", CLIENT)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    ("function", "allowed", "event", "after"),
    [
        ("suspendClient", ("Active",), "ClientSuspended", "Suspended"),
        ("revokeClient", ("Active", "Suspended"), "ClientRevoked", "Revoked"),
        ("readmitClient", ("Suspended", "Revoked"), "ClientReadmitted", "Active"),
    ],
)
def test_every_transition_of_the_registry(world, state, function, allowed, event, after):
    bring_to(world, state)
    if state not in allowed:
        assert world.reverts(function, CLIENT) == f"WrongClientState(client={to_hex(CLIENT)}, actual={state})"
        after = state
    else:
        events = world.events(world.transact(function, CLIENT))
        assert [(e.name, e.args) for e in events] == [(event, {"client": to_hex(CLIENT)})]
    assert world.call("clientStates", [CLIENT, ZERO]) == (STATES.index(after), 0)
    assert world.call("activeClients") == (after == "Active")


def test_roles_are_granted_and_revoked(world):
    other = world.stranger
    granted = world.events(world.transact("grantRole", other.address, ADMIN))
    assert [(event.name, event.args["role"]) for event in granted] == [("RoleGranted", ADMIN)]
    assert world.send(other, "registerClients", world.clients).success
    revoked = world.events(world.transact("revokeRole", other.address, ADMIN))
    assert [(event.name, event.args["role"]) for event in revoked] == [("RoleRevoked", ADMIN)]
    assert world.reverts_as(other, "suspendClient", world.clients[0]).startswith("MissingRole")


def test_the_table_of_roles_knows_every_function(world):
    changing = {
        entry["name"]
        for entry in world.contract.artefact["abi"]
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert changing == NEEDED.keys() | CLIENT_FUNCTIONS


@pytest.mark.parametrize("role_held", [0, ADMIN, AGGREGATOR, AUDITOR])
@pytest.mark.parametrize("function", NEEDED)
def test_a_role_is_needed(world, function, role_held):
    args, needed = NEEDED[function]
    if role_held:
        world.transact("grantRole", world.stranger.address, role_held)
    outcome = world.send(world.stranger, function, *args)
    missing = f"MissingRole(account={to_hex(world.stranger.address)}, role={needed})"
    is_missing = not outcome.success and world.contract.describe_error(outcome.output) == missing
    assert is_missing == (not role_held & needed)


@pytest.mark.parametrize("function", ["requestSynthetic", "logSynthetic"])
@pytest.mark.parametrize("state", ["Unknown", "Suspended", "Revoked"])
def test_only_active_clients_act_as_clients(world, function, state):
    bring_to(world, state)
    args = {"requestSynthetic": (0, 1, [1, 9]), "logSynthetic": (1, 0, bytes(32), bytes(32), [])}[function]
    reason = world.reverts_as(derive_account(0, "client", 0), function, *args)
    assert reason == f"WrongClientState(client={to_hex(CLIENT)}, actual={state})"


@pytest.mark.parametrize(
    ("function", "args", "reason"),
    [
        ("grantRole", (derive_account(0, "stranger", 0).address, 8), "UnknownRole(role=8)"),
        ("grantRole", (derive_account(0, "stranger", 0).address, 3), "UnknownRole(role=3)"),
        ("grantRole", (ZERO, ADMIN), "ZeroAddress()"),
        ("revokeRole", (derive_account(0, "admin", 0).address, ADMIN), "CannotRevokeOwnAdmin()"),
        ("revokeRole", (derive_account(0, "admin", 0).address, 0), "UnknownRole(role=0)"),
        ("revokeRole", (ZERO, AGGREGATOR), f"MissingRole(account={to_hex(ZERO)}, role=2)"),
        ("registerClients", ([],), "EmptyBatch()"),
        ("registerClients", ([ZERO],), "ZeroAddress()"),
        ("setPaused", (False,), "PauseUnchanged()"),
        ("setPolicy", ((10_001, 0, 0, 0, 0, False),), "BadPolicy()"),
    ],
)
def test_invalid_calls_of_the_admin_are_reverted(world, function, args, reason):
    assert world.reverts_as(world.admin, function, *args) == reason


def test_a_known_client_fails_its_whole_batch(registered):
    fresh = derive_account(0, "client", 20).address
    reason = registered.reverts("registerClients", [fresh, registered.clients[0]])
    assert reason == f"AlreadyRegistered(client={to_hex(registered.clients[0])})"
    assert (registered.call("clientStates", [fresh]), registered.call("activeClients")) == ((0,), 20)
    assert registered.reverts("registerClients", [fresh, fresh]) == f"AlreadyRegistered(client={to_hex(fresh)})"


@pytest.mark.parametrize("state", ["Suspended", "Revoked"])
def test_a_client_is_registered_once(world, state):
    bring_to(world, state)
    assert world.reverts("registerClients", [CLIENT]) == f"AlreadyRegistered(client={to_hex(CLIENT)})"


def test_pausing_and_unpausing_have_events(world):
    assert world.names(world.transact("setPaused", True)) == ["Paused"]
    assert world.reverts("setPaused", True) == "PauseUnchanged()"
    assert world.names(world.transact("setPaused", False)) == ["Unpaused"]


def test_a_pause_stops_rounds_and_requests_but_not_the_registry(registered):
    registered.open(1)
    registered.transact("setPaused", True)
    client = registered.members[0]
    stopped = ("openRound", "submitSignedUpdates", "publishDigests", "refuseUpdates", "commitRound", "finaliseRound")
    for function in (*stopped, "publishResults", "decideSynthetic"):
        assert registered.reverts(function, *NEEDED[function][0]) == "IsPaused()", function
    assert registered.reverts_as(client, "submitUpdate", 1, bytes([1]) * 32, 1, 1) == "IsPaused()"
    assert registered.reverts_as(client, "requestSynthetic", 0, 1, [1, 9]) == "IsPaused()"
    assert registered.reverts_as(client, "logSynthetic", 1, 0, bytes(32), bytes(32), []) == "IsPaused()"
    registered.transact("abortRound", 1)
    registered.transact("suspendClient", client.address)
    registered.transact("setPaused", False)
    registered.open(2, size=19)
