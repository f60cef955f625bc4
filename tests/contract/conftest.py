"""A chain with the contract on it, and people to call it."""

from typing import Any

import pytest

from bofl_jax.ledger.chain.accounts import Account, derive_account
from bofl_jax.ledger.chain.base import Receipt, TransactionRequest
from bofl_jax.ledger.chain.genesis import Genesis
from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain
from bofl_jax.ledger.chain.transactions import contract_address
from bofl_jax.ledger.contract.artefact import AGGREGATOR, AUDITOR, ContractEvent, load_contract

GAS = 10_000_000
CONFIG, COHORT, ROOT, MODEL = (bytes([value]) * 32 for value in (1, 2, 3, 4))
OFFICE = dict.fromkeys(
    ("openRound", "submitSignedUpdates", "publishDigests", "refuseUpdates", "commitRound"), "aggregator"
) | dict.fromkeys(("finaliseRound", "abortRound", "publishResults", "decideSynthetic"), "auditor")


class World:
    """An authority; an admin (who deployed), an aggregator, an auditor, a stranger; 20 clients, not registered yet."""

    def __init__(self) -> None:
        authority = derive_account(0, "authority", 0)
        self.contract = load_contract()
        self.admin, self.aggregator, self.auditor, self.stranger = (
            derive_account(0, role, 0) for role in ("admin", "aggregator", "auditor", "stranger")
        )
        self.members = [derive_account(0, "client", index) for index in range(20)]
        self.clients = [member.address for member in self.members]
        self.engine = PyEvmChain(Genesis(bytes(range(32)), (authority.address,)), [authority])
        self.deployment = self.engine.seal_block(
            [TransactionRequest(self.admin.key, b"", self.contract.bytecode, GAS)]
        ).receipts[0]
        self.address = contract_address(self.admin.address, 0)
        self.do("grantRole", self.aggregator.address, AGGREGATOR)
        self.do("grantRole", self.auditor.address, AUDITOR)

    def send(self, who: Account, function: str, *args: Any) -> Receipt:
        """A transaction in a block of its own, reverted or not."""
        call = TransactionRequest(who.key, self.address, self.contract.encode_call(function, *args), GAS)
        return self.engine.seal_block([call], strict=False).receipts[0]

    def must(self, who: Account, function: str, *args: Any) -> Receipt:
        """A transaction that must succeed."""
        outcome = self.send(who, function, *args)
        assert outcome.success, self.contract.describe_error(outcome.output)
        return outcome

    def do(self, function: str, *args: Any) -> Receipt:
        """A transaction of whoever holds the office for it, which must succeed."""
        return self.must(self.officer(function), function, *args)

    def officer(self, function: str) -> Account:
        """Who may call a function: the aggregator, the auditor, else the admin."""
        return getattr(self, OFFICE.get(function, "admin"))

    def refusal(self, who: Account, function: str, *args: Any) -> str:
        """The reason why a transaction was reverted; it must be, and must not have changed anything."""
        outcome = self.send(who, function, *args)
        assert not outcome.success, f"{function}{args} was accepted"
        assert not outcome.logs
        return self.contract.describe_error(outcome.output)

    def refused(self, function: str, *args: Any) -> str:
        """The reason why whoever holds the office for it was refused."""
        return self.refusal(self.officer(function), function, *args)

    def events(self, outcome: Receipt) -> list[ContractEvent]:
        """The decoded events of a transaction."""
        return [self.contract.decode_log(topics, data) for _, topics, data in outcome.logs]

    def names(self, outcome: Receipt) -> list[str]:
        """Their names."""
        return [event.name for event in self.events(outcome)]

    def read(self, function: str, *args: Any) -> Any:
        """A view that must succeed: its only value, or all of them."""
        success, output = self.engine.eth_call(self.address, self.contract.encode_call(function, *args))
        assert success, self.contract.describe_error(output)
        values = self.contract.decode_output(function, output)
        return values[0] if len(values) == 1 else values

    def read_refusal(self, function: str, *args: Any) -> str:
        """The reason why a view was reverted."""
        success, output = self.engine.eth_call(self.address, self.contract.encode_call(function, *args))
        assert not success
        return self.contract.describe_error(output)

    def open(self, number: int = 1, size: int = 20, quorum: int = 0, members: tuple[int, ...] = ()) -> Receipt:
        """Open a round; ``members`` is the cohort's bit map, empty for one that is not listed."""
        return self.do("openRound", number, self.read("registryVersion"), CONFIG, COHORT, size, quorum, members)

    def commit(self, number: int = 1, count: int = 18) -> Receipt:
        """Commit a round to some root."""
        return self.do("commitRound", number, ROOT if count else bytes(32), count, 100 * count, 10**6)

    def finalise(self, number: int = 1) -> Receipt:
        """Finalise a round with some model."""
        return self.do("finaliseRound", number, MODEL)


def everyone(count: int) -> list[int]:
    """The bit map of the first ``count`` clients of the registry."""
    words = -(-count // 256)
    return [((1 << count) - 1) >> 256 * word & (1 << 256) - 1 for word in range(words)]


@pytest.fixture
def world() -> World:
    """The contract, just deployed, with its offices filled."""
    return World()


@pytest.fixture
def staffed(world: World) -> World:
    """The contract with all 20 clients registered."""
    world.do("registerClients", world.clients)
    return world
