"""Roles, the pause and the registry of clients: what is allowed, what is said, and every call that is refused."""

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
OF_CLIENTS = {"submitUpdate", "requestSynthetic", "logSynthetic", "cancelSynthetic"}


def hexed(address):
    return "0x" + address.hex()


def test_the_deployer_is_admin(world):
    granted = [event.args for event in world.events(world.deployment)]
    assert granted == [{"account": hexed(world.admin.address), "role": ADMIN}]
    people = (world.admin, world.aggregator, world.auditor, world.stranger)
    assert [world.read("rolesOf", who.address) for who in people] == [ADMIN, AGGREGATOR, AUDITOR, 0]


def test_registering_is_announced_and_counted(world):
    outcome = world.do("registerClients", world.clients)
    assert world.names(outcome) == ["ClientRegistered"] * 20
    assert [event.args["client"] for event in world.events(outcome)] == [hexed(client) for client in world.clients]
    assert (world.read("activeClients"), world.read("registeredClients")) == (20, 20)
    assert world.read("clients", world.clients[7]) == (1, 7, 0, 0)


def test_every_change_of_the_registry_has_a_number(world):
    assert world.read("registryVersion") == 0
    calls = ("registerClients", "suspendClient", "readmitClient", "revokeClient", "readmitClient")
    for version, function in enumerate(calls, 1):
        world.do(function, [CLIENT] if function == "registerClients" else CLIENT)
        assert world.read("registryVersion") == version
    world.refused("readmitClient", CLIENT)
    assert world.read("registryVersion") == len(calls)


def bring_to(world, state):
    """Client 0 in a registry state."""
    if state != "Unknown":
        world.do("registerClients", [CLIENT])
    if state in ("Suspended", "Revoked"):
        world.do("suspendClient" if state == "Suspended" else "revokeClient", CLIENT)


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
        assert world.refused(function, CLIENT) == f"WrongClientState(client={hexed(CLIENT)}, actual={state})"
        after = state
    else:
        told = world.events(world.do(function, CLIENT))
        assert [(e.name, e.args) for e in told] == [(event, {"client": hexed(CLIENT)})]
    assert world.read("clientStates", [CLIENT, ZERO]) == (STATES.index(after), 0)
    assert world.read("activeClients") == (after == "Active")


def test_roles_are_granted_and_revoked(world):
    other = world.stranger
    granted = world.events(world.do("grantRole", other.address, ADMIN))
    assert [(event.name, event.args["role"]) for event in granted] == [("RoleGranted", ADMIN)]
    assert world.send(other, "registerClients", world.clients).success
    revoked = world.events(world.do("revokeRole", other.address, ADMIN))
    assert [(event.name, event.args["role"]) for event in revoked] == [("RoleRevoked", ADMIN)]
    assert world.refusal(other, "suspendClient", world.clients[0]).startswith("MissingRole")


def test_the_table_of_roles_knows_every_function(world):
    changing = {
        entry["name"]
        for entry in world.contract.artefact["abi"]
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert changing == NEEDED.keys() | OF_CLIENTS


@pytest.mark.parametrize("role_held", [0, ADMIN, AGGREGATOR, AUDITOR])
@pytest.mark.parametrize("function", NEEDED)
def test_a_role_is_needed(world, function, role_held):
    args, needed = NEEDED[function]
    if role_held:
        world.do("grantRole", world.stranger.address, role_held)
    outcome = world.send(world.stranger, function, *args)
    missing = f"MissingRole(account={hexed(world.stranger.address)}, role={needed})"
    is_missing = not outcome.success and world.contract.describe_error(outcome.output) == missing
    assert is_missing == (not role_held & needed)


@pytest.mark.parametrize("function", ["requestSynthetic", "logSynthetic"])
@pytest.mark.parametrize("state", ["Unknown", "Suspended", "Revoked"])
def test_only_active_clients_act_as_clients(world, function, state):
    bring_to(world, state)
    args = {"requestSynthetic": (0, 1, [1, 9]), "logSynthetic": (1, 0, bytes(32), bytes(32), [])}[function]
    reason = world.refusal(derive_account(0, "client", 0), function, *args)
    assert reason == f"WrongClientState(client={hexed(CLIENT)}, actual={state})"


@pytest.mark.parametrize(
    ("function", "args", "reason"),
    [
        ("grantRole", (derive_account(0, "stranger", 0).address, 8), "UnknownRole(role=8)"),
        ("grantRole", (derive_account(0, "stranger", 0).address, 3), "UnknownRole(role=3)"),
        ("grantRole", (ZERO, ADMIN), "ZeroAddress()"),
        ("revokeRole", (derive_account(0, "admin", 0).address, ADMIN), "CannotRevokeOwnAdmin()"),
        ("revokeRole", (derive_account(0, "admin", 0).address, 0), "UnknownRole(role=0)"),
        ("revokeRole", (ZERO, AGGREGATOR), f"MissingRole(account={hexed(ZERO)}, role=2)"),
        ("registerClients", ([],), "EmptyBatch()"),
        ("registerClients", ([ZERO],), "ZeroAddress()"),
        ("setPaused", (False,), "PauseUnchanged()"),
        ("setPolicy", ((10_001, 0, 0, 0, 0, False),), "BadPolicy()"),
    ],
)
def test_the_admin_is_refused_too(world, function, args, reason):
    assert world.refusal(world.admin, function, *args) == reason


def test_a_known_client_fails_its_whole_batch(staffed):
    fresh = derive_account(0, "client", 20).address
    reason = staffed.refused("registerClients", [fresh, staffed.clients[0]])
    assert reason == f"AlreadyRegistered(client={hexed(staffed.clients[0])})"
    assert (staffed.read("clientStates", [fresh]), staffed.read("activeClients")) == ((0,), 20)
    assert staffed.refused("registerClients", [fresh, fresh]) == f"AlreadyRegistered(client={hexed(fresh)})"


@pytest.mark.parametrize("state", ["Suspended", "Revoked"])
def test_a_client_is_registered_once(world, state):
    bring_to(world, state)
    assert world.refused("registerClients", [CLIENT]) == f"AlreadyRegistered(client={hexed(CLIENT)})"


def test_a_pause_is_announced_and_ends(world):
    assert world.names(world.do("setPaused", True)) == ["Paused"]
    assert world.refused("setPaused", True) == "PauseUnchanged()"
    assert world.names(world.do("setPaused", False)) == ["Unpaused"]


def test_a_pause_stops_rounds_and_requests_but_not_the_registry(staffed):
    staffed.open(1)
    staffed.do("setPaused", True)
    client = staffed.members[0]
    stopped = ("openRound", "submitSignedUpdates", "publishDigests", "refuseUpdates", "commitRound", "finaliseRound")
    for function in (*stopped, "publishResults", "decideSynthetic"):
        assert staffed.refused(function, *NEEDED[function][0]) == "IsPaused()", function
    assert staffed.refusal(client, "submitUpdate", 1, bytes([1]) * 32, 1, 1) == "IsPaused()"
    assert staffed.refusal(client, "requestSynthetic", 0, 1, [1, 9]) == "IsPaused()"
    assert staffed.refusal(client, "logSynthetic", 1, 0, bytes(32), bytes(32), []) == "IsPaused()"
    staffed.do("abortRound", 1)
    staffed.do("suspendClient", client.address)
    staffed.do("setPaused", False)
    staffed.open(2, size=19)
