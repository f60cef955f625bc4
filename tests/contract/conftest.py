"""A chain with the contract on it, and people to call it."""

from typing import Any

import pytest

from bofl_jax.ledger.accounts import Account, account
from bofl_jax.ledger.base import Call, LogEvent, Outcome
from bofl_jax.ledger.chain import PyEvmEngine
from bofl_jax.ledger.contract import deployed_address, load_contract
from bofl_jax.ledger.genesis import Genesis

GAS = 10_000_000


class World:
    """One authority, an admin (who deployed), a stranger, and 20 clients that are not registered yet."""

    def __init__(self) -> None:
        authority = account(0, "authority", 0)
        self.contract = load_contract()
        self.admin, self.stranger = account(0, "operator", 0), account(0, "stranger", 0)
        self.clients = [account(0, "client", index).address for index in range(20)]
        self.engine = PyEvmEngine(Genesis(bytes(range(32)), (authority.address,)), [authority])
        self.deployment = self.engine.seal_block([Call(self.admin.key, b"", self.contract.bytecode, GAS)]).outcomes[0]
        self.address = deployed_address(self.admin.address, 0)

    def send(self, who: Account, function: str, *args: Any) -> Outcome:
        """A transaction in a block of its own, reverted or not."""
        call = Call(who.key, self.address, self.contract.encode(function, *args), GAS)
        return self.engine.seal_block([call], strict=False).outcomes[0]

    def do(self, function: str, *args: Any) -> Outcome:
        """The admin's transaction, which must succeed."""
        outcome = self.send(self.admin, function, *args)
        assert outcome.success, self.contract.describe_error(outcome.output)
        return outcome

    def refusal(self, who: Account, function: str, *args: Any) -> str:
        """The reason why a transaction was reverted; it must be, and must not have changed anything."""
        outcome = self.send(who, function, *args)
        assert not outcome.success, f"{function}{args} was accepted"
        assert not outcome.logs
        return self.contract.describe_error(outcome.output)

    def events(self, outcome: Outcome) -> list[LogEvent]:
        """The decoded events of a transaction."""
        return [self.contract.decode_log(topics, data) for _, topics, data in outcome.logs]

    def read(self, function: str, *args: Any) -> Any:
        """A view that must succeed: its only value, or all of them."""
        success, output = self.engine.view(self.address, self.contract.encode(function, *args))
        assert success, self.contract.describe_error(output)
        values = self.contract.decode_output(function, output)
        return values[0] if len(values) == 1 else values

    def read_refusal(self, function: str, *args: Any) -> str:
        """The reason why a view was reverted."""
        success, output = self.engine.view(self.address, self.contract.encode(function, *args))
        assert not success
        return self.contract.describe_error(output)


@pytest.fixture
def world() -> World:
    """The contract, just deployed."""
    return World()


@pytest.fixture
def staffed(world: World) -> World:
    """The contract with all 20 clients registered."""
    world.do("registerClients", world.clients)
    return world
