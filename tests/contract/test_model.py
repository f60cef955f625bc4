"""Random sequences of calls by any account: the contract and its plain Python model agree after every call."""

import random
from collections import Counter

import pytest

from bofl_jax.ledger.chain.genesis import CHAIN_ID
from bofl_jax.ledger.contract.artefact import ENUMS
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update
from bofl_jax.ledger.merkle import Leaf
from tests.contract.conftest import COHORT, CONFIG, MODEL, ROOT, World
from tests.contract.model import ADMIN, AGGREGATOR, AUDITOR, Governance, RejectedError

CLIENTS = ("client 0", "client 1", "client 2", "client 3")
ROLES = {"admin": ADMIN, "aggregator": AGGREGATOR, "auditor": AUDITOR, "client 3": AUDITOR}
ACCOUNTS = (*CLIENTS, "admin", "aggregator", "auditor", "stranger")
UPDATE = (b"\x07" * 32, 10, 5)
MOVES = {
    "suspendClient": (("Active",), "Suspended"),
    "revokeClient": (("Active", "Suspended"), "Revoked"),
    "readmitClient": (("Suspended", "Revoked"), "Active"),
}
FREQUENCY = {
    "open": 6, "submit": 5, "relay": 4, "withdraw": 3, "publish": 5, "commit": 3, "finalise": 4, "abort": 2, "move": 3,
    "results": 3, "register": 1, "pause": 1, "rules": 3, "request": 6, "decide": 6, "log": 3, "cancel": 2,
}  # fmt: skip


class RandomCalls:
    """A random sequence of calls, each made to the contract and to the model."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.model, self.draw = world, Governance(dict(ROLES)), random.Random(seed)
        self.order: list[str] = []
        self.made: Counter[tuple[str, bool]] = Counter()
        world.transact("grantRole", world.members[3].address, AUDITOR)

    def step(self) -> None:
        getattr(self, self.draw.choices(list(FREQUENCY), list(FREQUENCY.values()))[0])()
        self.compare()

    def chance(self, chance: float = 0.1) -> bool:
        return self.draw.random() < chance

    def role_holder(self, name: str) -> str:
        return self.draw.choice(ACCOUNTS) if self.chance() else name

    def round(self) -> int:
        return max(self.model.latest + (self.draw.choice((-1, 1)) if self.chance() else 0), 0)

    def account(self, name: str):
        return self.world.members[CLIENTS.index(name)] if name in CLIENTS else getattr(self.world, name)

    def both(self, who, change, function, *args):
        """Make a call on both; returns the events, or none if both reject it for the same reason."""
        expected = ""
        try:
            change()
        except RejectedError as error:
            expected = str(error)
        self.made[function, not expected] += 1
        if expected:
            assert self.world.reverts_as(self.account(who), function, *args).split("(")[0] == expected
            return []
        return self.world.events(self.world.transact_as(self.account(who), function, *args))

    def pause(self):
        who, value = self.role_holder("admin"), not self.model.paused if self.chance(0.8) else self.model.paused
        self.both(who, lambda: self.model.pause(who, value), "setPaused", value)
        while self.model.paused and self.chance(0.8):
            self.both("admin", lambda: self.model.pause("admin", False), "setPaused", False)

    def register(self):
        who, name, before = self.role_holder("admin"), self.draw.choice(CLIENTS), len(self.model.clients)
        self.both(who, lambda: self.model.register(who, name), "registerClients", [self.account(name).address])
        self.order += [name] * (len(self.model.clients) - before)

    def move(self):
        who, name = self.role_holder("admin"), self.draw.choice(CLIENTS)
        function = self.draw.choice(list(MOVES))
        if self.model.clients.get(name) in ("Suspended", "Revoked") and not self.chance():
            function = "readmitClient"
        change = lambda: self.model.move(who, name, *MOVES[function])  # noqa: E731
        self.both(who, change, function, self.account(name).address)

    def open(self):
        who, number = self.role_holder("aggregator"), self.round() + 1
        quorum, size, members, words = self.draw.choice((0, 0, 0, 1, 3)), self.draw.randint(0, 4), None, []
        if self.chance(0.5):
            bits = self.draw.choice((15, self.draw.randint(1, 15)))
            names = [*self.order, *(name for name in CLIENTS if name not in self.order)]
            members, words = frozenset(names[i] for i in range(4) if bits >> i & 1), [bits]
            size = size if self.chance() else len(members)
        registry = self.model.registry - self.chance(0.05)
        change = lambda: self.model.open(who, number, registry, size, quorum, members)  # noqa: E731
        self.both(who, change, "openRound", number, registry, CONFIG, COHORT, size, quorum, words)

    def submit(self):
        number = self.round()
        entry = self.model.rounds.get(number)
        waiting = sorted(((entry and entry.members) or set(CLIENTS)) - (entry.accepted if entry else set()))
        who = self.role_holder(self.draw.choice(waiting or CLIENTS))
        self.both(who, lambda: self.model.submit(who, number), "submitUpdate", number, *UPDATE)

    def relay(self):
        who, number, verdicts = self.role_holder("aggregator"), self.round(), []
        names = self.draw.choices(CLIENTS, k=self.draw.randint(1, 4))
        domain = domain_separator(CHAIN_ID, self.world.address)
        accounts = [self.account(name) for name in names]
        batch = [(p.address, *UPDATE, *sign_update(p.key, domain, Leaf(number, p.address, *UPDATE))) for p in accounts]
        change = lambda: verdicts.extend(self.model.relay(who, number, names))  # noqa: E731
        events = self.both(who, change, "submitSignedUpdates", number, batch)
        assert [ENUMS["Refusal"][event.args.get("reason", 0)] for event in events] == verdicts

    def publish(self):
        who, number, count = self.role_holder("aggregator"), self.round(), self.draw.randint(1, 3)
        self.both(who, lambda: self.model.publish(who, number, count), "publishDigests", number, [ROOT] * count)

    def withdraw(self):
        who, number, name = self.role_holder("aggregator"), self.round(), self.draw.choice(CLIENTS)
        entry = (self.account(name).address, ROOT, 7)
        self.both(who, lambda: self.model.withdraw(who, number, name), "refuseUpdates", number, [entry])

    def commit(self):
        who, number, count = self.role_holder("aggregator"), self.round(), self.draw.randint(0, 4)
        if not self.chance(0.3) and number in self.model.rounds:
            count = self.model.rounds[number].submitted
        args = (number, ROOT if count else bytes(32), count, 0, 0)
        self.both(who, lambda: self.model.commit(who, number, count), "commitRound", *args)

    def finalise(self):
        who, number = self.role_holder("auditor"), self.round()
        self.both(who, lambda: self.model.finalise(who, number), "finaliseRound", number, MODEL)

    def abort(self):
        who, number = self.role_holder("auditor"), self.round()
        self.both(who, lambda: self.model.abort(who, number), "abortRound", number)

    def results(self):
        who, version = self.role_holder("auditor"), self.model.version
        if self.chance(0.3):
            version = self.draw.randint(0, self.model.version + 1)
        self.both(who, lambda: self.model.results(who, version), "publishResults", version, ROOT)

    def rules(self):
        who, quota = self.role_holder("admin"), self.draw.randint(8, 20)
        policy = (3000, quota, 4 * quota, 5, self.draw.randint(0, 2), self.chance(0.5))
        self.both(who, lambda: self.model.rule(who, policy), "setPolicy", policy)

    def request(self):
        who, label = self.role_holder(self.draw.choice(CLIENTS)), self.draw.choice((0, 0, 0, 1, 2))
        amount, first = self.draw.choice((0, 1, 1, 2, 4, 5, 6)), self.draw.choice((0, 1, 2, 9))
        counts = [first, 9 - first]
        change = lambda: self.model.request(who, label, amount, counts)  # noqa: E731
        self.both(who, change, "requestSynthetic", label, amount, counts)

    def pick(self, state: str) -> int:
        """The number of a random request, mostly of one in this state."""
        fitting = [number for number, entry in self.model.requests.items() if entry.state == state]
        return self.draw.choice(fitting) if fitting and not self.chance() else len(self.model.requests)

    def decide(self):
        who, number, approve = self.role_holder("auditor"), self.pick("Pending"), self.chance(0.7)
        if self.chance(0.3):
            who = "client 3"
        self.both(who, lambda: self.model.decide(who, number, approve), "decideSynthetic", number, approve)

    def log(self):
        number = self.pick("Approved")
        who = self.role_holder(self.model.requests[number].client if number else "client 0")
        used, batch = self.draw.choice((0, 1, 2, 6)), self.draw.randint(1, 100)
        args = (number, used, batch.to_bytes(32, "big"), MODEL, [1, 2])
        self.both(who, lambda: self.model.log(who, number, used, batch), "logSynthetic", *args)

    def cancel(self):
        number = self.pick(self.draw.choice(("Approved", "Pending")))
        who = self.role_holder(self.model.requests[number].client if number and self.chance(0.7) else "admin")
        self.both(who, lambda: self.model.cancel(who, number), "cancelSynthetic", number)

    def compare(self) -> None:
        """Check that everything readable of the contract equals the model."""
        world, model = self.world, self.model
        assert world.call("paused") == model.paused
        assert (world.call("latestRound"), world.call("latestVersion")) == (model.latest, model.version)
        assert (world.call("activeClients"), world.call("registryVersion")) == (model.active, model.registry)
        states = world.call("clientStates", [self.account(name).address for name in CLIENTS])
        expected = [model.clients.get(name, "Unknown") for name in CLIENTS]
        assert [ENUMS["ClientState"][state] for state in states] == expected
        if model.latest:
            state, listed, *numbers, _, _, _ = world.call("rounds", model.latest)
            entry = model.rounds[model.latest]
            assert (ENUMS["RoundState"][state], listed) == (entry.state, entry.members is not None)
            assert numbers == [entry.size, entry.quorum, entry.submitted, entry.count]
        for number, request in list(model.requests.items())[-3:]:
            assert ENUMS["RequestState"][world.call("requests", number)[1]] == request.state
            used = world.call("usage", self.account(request.client).address, request.label)[0]
            assert used == model.used.get((request.client, request.label), 0)


@pytest.fixture(scope="module")
def made():
    """How often every function was called with and without success in all sequences."""
    return Counter()


@pytest.mark.parametrize("seed", range(12))
def test_a_random_sequence_leads_to_the_same_state(world, made, seed):
    calls = RandomCalls(world, seed)
    for name in CLIENTS[: 2 + seed % 3]:
        calls.both("admin", lambda name=name: calls.model.register("admin", name), "registerClients",
                  [calls.account(name).address])  # fmt: skip
        calls.order.append(name)
    for _ in range(180):
        calls.step()
    made += calls.made


def test_the_sequences_call_every_function_with_and_without_success(made):
    functions = {function for function, _ in made}
    assert len(functions) == 19
    assert all(made[function, success] >= 2 for function in functions for success in (True, False)), made
