"""A chain with the contract, and accounts that call it."""

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
ROLE_OF_FUNCTION = dict.fromkeys(
    ("openRound", "submitSignedUpdates", "publishDigests", "refuseUpdates", "commitRound"), "aggregator"
) | dict.fromkeys(("finaliseRound", "abortRound", "publishResults", "decideSynthetic"), "auditor")


class World:
    """A signer, the admin (who deployed the contract), aggregator, auditor, a stranger, and 20 unregistered clients."""

    def __init__(self) -> None:
        signer = derive_account(0, "authority", 0)
        self.contract = load_contract()
        self.admin, self.aggregator, self.auditor, self.stranger = (
            derive_account(0, role, 0) for role in ("admin", "aggregator", "auditor", "stranger")
        )
        self.members = [derive_account(0, "client", index) for index in range(20)]
        self.clients = [member.address for member in self.members]
        self.chain = PyEvmChain(Genesis(bytes(range(32)), (signer.address,)), [signer])
        self.deployment = self.chain.seal_block(
            [TransactionRequest(self.admin.key, b"", self.contract.bytecode, GAS)]
        ).receipts[0]
        self.address = contract_address(self.admin.address, 0)
        self.transact("grantRole", self.aggregator.address, AGGREGATOR)
        self.transact("grantRole", self.auditor.address, AUDITOR)

    def send(self, sender: Account, function: str, *args: Any) -> Receipt:
        """Send a transaction in a block of its own, reverted or not."""
        call = TransactionRequest(sender.key, self.address, self.contract.encode_call(function, *args), GAS)
        return self.chain.seal_block([call], strict=False).receipts[0]

    def transact_as(self, sender: Account, function: str, *args: Any) -> Receipt:
        """Send a transaction that must succeed."""
        receipt = self.send(sender, function, *args)
        assert receipt.success, self.contract.describe_error(receipt.output)
        return receipt

    def transact(self, function: str, *args: Any) -> Receipt:
        """Send a transaction from the holder of the function's role; it must succeed."""
        return self.transact_as(self.role_holder(function), function, *args)

    def role_holder(self, function: str) -> Account:
        """The account that may call a function: the aggregator, the auditor, else the admin."""
        return getattr(self, ROLE_OF_FUNCTION.get(function, "admin"))

    def reverts_as(self, sender: Account, function: str, *args: Any) -> str:
        """Send a transaction that must be reverted without any event; returns the reason."""
        receipt = self.send(sender, function, *args)
        assert not receipt.success, f"{function}{args} was accepted"
        assert not receipt.logs
        return self.contract.describe_error(receipt.output)

    def reverts(self, function: str, *args: Any) -> str:
        """Send a transaction from the holder of the function's role that must be reverted; returns the reason."""
        return self.reverts_as(self.role_holder(function), function, *args)

    def events(self, receipt: Receipt) -> list[ContractEvent]:
        """The decoded events of a transaction."""
        return [self.contract.decode_log(topics, data) for _, topics, data in receipt.logs]

    def names(self, receipt: Receipt) -> list[str]:
        """The names of the events of a transaction."""
        return [event.name for event in self.events(receipt)]

    def call(self, function: str, *args: Any) -> Any:
        """The value of a view function, or a tuple of its values."""
        success, output = self.chain.eth_call(self.address, self.contract.encode_call(function, *args))
        assert success, self.contract.describe_error(output)
        values = self.contract.decode_output(function, output)
        return values[0] if len(values) == 1 else values

    def call_reverts(self, function: str, *args: Any) -> str:
        """Call a view function that must be reverted; returns the reason."""
        success, output = self.chain.eth_call(self.address, self.contract.encode_call(function, *args))
        assert not success
        return self.contract.describe_error(output)

    def open(self, number: int = 1, size: int = 20, quorum: int = 0, members: tuple[int, ...] = ()) -> Receipt:
        """Open a round; ``members`` is the cohort's bitmap, empty if the cohort is not stored."""
        return self.transact("openRound", number, self.call("registryVersion"), CONFIG, COHORT, size, quorum, members)

    def commit(self, number: int = 1, count: int = 18) -> Receipt:
        """Commit a round to an arbitrary root."""
        return self.transact("commitRound", number, ROOT if count else bytes(32), count, 100 * count, 10**6)

    def finalise(self, number: int = 1) -> Receipt:
        """Finalise a round with an arbitrary model."""
        return self.transact("finaliseRound", number, MODEL)


def everyone(count: int) -> list[int]:
    """The bitmap of the first ``count`` clients of the registry."""
    words = -(-count // 256)
    return [((1 << count) - 1) >> 256 * word & (1 << 256) - 1 for word in range(words)]


@pytest.fixture
def world() -> World:
    """The deployed contract with its roles granted."""
    return World()


@pytest.fixture
def registered(world: World) -> World:
    """The contract with all 20 clients registered."""
    world.transact("registerClients", world.clients)
    return world
