"""The replay of a chain: gas, results, events, and transactions that no run sends."""

import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger import (
    LedgerOptions,
    RegistryChange,
    RejectionReason,
    VerdictDiffersError,
    audit_chain,
    create_ledger,
)
from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.contract import modes
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.contract.calls import BATCH_GAS, ContractCall
from bofl_jax.ledger.contract.registry import REASON_AFTER
from bofl_jax.ledger.storage.block_log import append_record
from bofl_jax.ledger.storage.layout import ledger_files
from tests.ledger.conftest import CLIENTS, CONFIG, MODEL, SEED, opened, row, submissions

ON = list(modes.MODES)
RESULTS = b"\7" * 32
NEVER_REVERTED = ("publishResults", "refuseUpdates", "commitRound", "suspendClient")


def record_round(ledger, number):
    opened(ledger, number, [0, 1])
    return ledger.close_round(number, submissions(row(0), row(1)), MODEL)


def events(audit):
    return [event.name for _, event in audit.events]


# ------------------------------------------------------------------------------------------------------------------ gas

CHANGES = tuple(
    RegistryChange(round=round, action=action, client=client)
    for round, action, client in ((1, "suspend", 2), (2, "register", 4), (2, "revoke", 3), (3, "readmit", 2))
)


@pytest.fixture
def eventful(tmp_path):
    """A function that creates a ledger whose registry changes before every round."""
    return lambda mode: create_ledger(
        LedgerOptions(mode=mode, registered=4, changes=CHANGES), tmp_path, CLIENTS, SEED, CONFIG
    )


@pytest.mark.parametrize("mode", ON)
def test_registry_changes_are_part_of_the_gas_of_the_round_after_them(tmp_path, eventful, mode):
    ledger = eventful(mode)
    costs = [record_round(ledger, number) for number in range(1, 5)]
    assert [found.gas for found in audit_chain(tmp_path).rounds] == [cost.gas for cost in costs]
    assert costs[1].gas - costs[3].gas > 50_000  # two changes
    assert costs[2].gas > costs[3].gas


@pytest.mark.parametrize("mode", ON)
def test_an_aborted_round_is_not_part_of_the_next_rounds_gas(tmp_path, eventful, mode):
    ledger = eventful(mode)
    costs = [record_round(ledger, 1)]
    for number in (2, 3):
        opened(ledger, number, [0, 1])
        ledger.abort_round(number)
        costs.append(record_round(ledger, number))
    audit = audit_chain(tmp_path)
    assert (audit.aborted, [(r.round, r.version) for r in audit.rounds]) == ([2, 4], [(1, 1), (3, 2), (5, 3)])
    assert [found.gas for found in audit.rounds] == [cost.gas for cost in costs]


@pytest.mark.parametrize("mode", ON)
def test_a_round_that_the_contract_rejected_is_not_part_of_the_next_rounds_gas(tmp_path, eventful, mode):
    ledger = opened(eventful(mode), 1, [0, 1])
    with pytest.raises(VerdictDiffersError):
        ledger.close_round(1, submissions(row(0), row(1)), bytes(32))
    costs = [record_round(ledger, number) for number in (1, 2)]
    audit = audit_chain(tmp_path)
    assert (audit.aborted, [found.gas for found in audit.rounds]) == ([1], [cost.gas for cost in costs])


def test_results_are_not_part_of_a_rounds_gas(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    costs = [record_round(ledger, 1)]
    ledger.publish_results(RESULTS)
    costs.append(record_round(ledger, 2))
    assert [found.gas for found in audit_chain(tmp_path).rounds] == [cost.gas for cost in costs]


# -------------------------------------------------------------------------------------------------------------- results


def test_published_results_are_reported_with_their_model(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    for number in (1, 2):
        record_round(ledger, number)
    ledger.publish_results(RESULTS)
    audit = audit_chain(tmp_path)
    assert (audit.results, events(audit)[-1]) == ({2: RESULTS}, "ResultsPublished")
    assert audit.head_hash == ledger.head_hash


def test_results_belong_to_a_models_version_and_not_to_its_rounds_number(tmp_path, new_ledger):
    ledger = opened(new_ledger(tmp_path), 1, [0, 1])
    ledger.abort_round(1)
    record_round(ledger, 1)
    ledger.publish_results(RESULTS)
    assert audit_chain(tmp_path).results == {1: RESULTS}


@pytest.mark.parametrize("digest", [RESULTS, b"\x08" * 32])
def test_results_cannot_be_published_again(tmp_path, new_ledger, digest):
    ledger = new_ledger(tmp_path)
    record_round(ledger, 1)
    ledger.publish_results(RESULTS)
    with pytest.raises(BoflError, match="ResultsAlreadyPublished"):
        ledger.publish_results(digest)
    assert audit_chain(tmp_path).results == {1: RESULTS}


@pytest.mark.parametrize(
    ("rounds", "digest", "reason"), [(0, RESULTS, "UnknownVersion"), (1, bytes(32), "EmptyDigest")]
)
def test_results_without_a_model_or_digest_are_rejected(tmp_path, new_ledger, rounds, digest, reason):
    ledger = new_ledger(tmp_path)
    for number in range(1, rounds + 1):
        record_round(ledger, number)
    with pytest.raises(BoflError, match=f"while publishing the results: {reason}"):
        ledger.publish_results(digest)


# --------------------------------------------------------------------------------------------------------------- events


def test_every_event_is_reported_with_its_block(tmp_path, eventful):
    ledger = eventful("merkle")
    record_round(ledger, 1)
    found = [(block, event.name) for block, event in audit_chain(tmp_path).events]
    setting_up = [(1, "RoleGranted"), *[(2, "RoleGranted")] * 2, *[(2, "ClientRegistered")] * 4]
    in_round = [(3, "ClientSuspended"), (4, "RoundOpened"), (5, "RoundCommitted"), (5, "RoundFinalised")]
    assert found == setting_up + in_round


def test_the_registry_is_in_the_order_of_joining(tmp_path, eventful):
    ledger = eventful("merkle")
    for number in (1, 2):
        record_round(ledger, number)
    assert audit_chain(tmp_path).registry == ledger.accounts.client_addresses


# -------------------------------------------------------------------------------------- transactions that no run sends


def force(ledger, *calls):
    """Seal a block of transactions that the contract reverts."""
    block = ledger.transact("forcing", calls, strict=False)
    assert not any(receipt.success for receipt in block.receipts)


def reverted_calls(ledger):
    accounts = ledger.accounts
    return {
        "publishResults": ContractCall(accounts.auditor, "publishResults", (9, RESULTS)),
        "refuseUpdates": ContractCall(accounts.aggregator, "refuseUpdates", (1, []), BATCH_GAS),
        "commitRound": ContractCall(accounts.aggregator, "commitRound", (9, RESULTS, 1, 1, 1)),
        "suspendClient": ContractCall(accounts.clients[0], "suspendClient", (accounts.client_addresses[1],)),
        "submitUpdate": ContractCall(accounts.clients[1], "submitUpdate", (1, RESULTS, 1, 1)),
    }


@pytest.mark.parametrize(
    "function", ["publishResults", "refuseUpdates", "commitRound", "suspendClient", "submitUpdate"]
)
def test_a_reverted_transaction_between_rounds_is_found(tmp_path, new_ledger, function):
    ledger = new_ledger(tmp_path)
    record_round(ledger, 1)
    force(ledger, reverted_calls(ledger)[function])
    record_round(ledger, 2)
    with pytest.raises(VerificationError, match="block 5 contains a transaction that was reverted"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("function", NEVER_REVERTED)
def test_a_reverted_transaction_within_a_round_is_found_unless_it_is_an_update(tmp_path, new_ledger, function):
    ledger = opened(new_ledger(tmp_path), 1, [0])
    force(ledger, reverted_calls(ledger)[function])
    ledger.close_round(1, submissions(row(0)), MODEL)
    with pytest.raises(VerificationError, match="block 4 contains a transaction that was reverted"):
        audit_chain(tmp_path)


def uninvited(ledger):
    """Client 3's own update, which the contract reverts."""
    return ContractCall(ledger.accounts.clients[3], "submitUpdate", (1, row(3)[1], 10, 10**6))


def rejection(ledger, client, reason):
    entry = (ledger.accounts.client_addresses[client], row(client)[1], int(reason))
    return ContractCall(ledger.accounts.aggregator, "refuseUpdates", (1, [entry]), BATCH_GAS)


def with_a_revert(directory, records, times=1):
    """Record a round in which client 3 sends its own updates, which the server records as rejected or not."""
    ledger = opened(create_ledger(LedgerOptions(mode="per-client"), directory, CLIENTS, SEED, CONFIG), 1, [0])
    force(ledger, *[uninvited(ledger)] * times)
    for client, reason in records:
        ledger.transact("recording", [rejection(ledger, client, reason)])
    return ledger.close_round(1, submissions(row(0)), MODEL)


@pytest.mark.parametrize(
    ("records", "times"),
    [
        ([], 1),
        ([(3, RejectionReason.NOT_IN_COHORT)], 2),
        ([(2, RejectionReason.NOT_IN_COHORT)], 1),
        ([(3, RejectionReason.NOT_FINITE)], 1),  # the contract had another reason
    ],
    ids=["none", "one of two", "another client's", "another kind"],
)
def test_a_reverted_update_that_is_not_recorded_is_found(tmp_path, records, times):
    with_a_revert(tmp_path, records, times)
    with pytest.raises(VerificationError, match="round 1: an update was rejected by the contract and is not on record"):
        audit_chain(tmp_path)


def test_a_reverted_update_that_is_recorded_passes_the_audit(tmp_path):
    with_a_revert(tmp_path, [(3, RejectionReason.NOT_IN_COHORT)])
    found = audit_chain(tmp_path).rounds[0]
    assert (found.count, found.rejected) == (1, 1)


def test_a_block_of_only_reverted_updates_is_part_of_its_rounds_gas(tmp_path):
    cost = with_a_revert(tmp_path, [(3, RejectionReason.NOT_IN_COHORT)])
    assert audit_chain(tmp_path).rounds[0].gas == cost.gas


def append_block(ledger, directory, *requests):
    append_record(ledger_files(directory).blocks, ledger.contract.chain.seal_block(requests, strict=False).raw)


def test_a_transaction_that_is_not_for_the_contract_is_found(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    append_block(
        ledger,
        tmp_path,
        TransactionRequest(ledger.accounts.admin.key, ledger.accounts.client_addresses[0], b"", 100_000),
    )
    with pytest.raises(VerificationError, match="block 3 contains a transaction that is not for the contract"):
        audit_chain(tmp_path)


def test_a_second_deployment_is_found(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    append_block(
        ledger, tmp_path, TransactionRequest(ledger.accounts.admin.key, b"", load_contract().bytecode, BATCH_GAS)
    )
    with pytest.raises(VerificationError, match="block 3 contains a transaction that is not for the contract"):
        audit_chain(tmp_path)


def test_a_round_under_another_configuration_is_found(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    ledger._config_hash = RESULTS
    record_round(ledger, 1)
    with pytest.raises(VerificationError, match="block 3 opens a round under another configuration"):
        audit_chain(tmp_path)


def test_a_block_without_transactions_changes_nothing(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    append_block(ledger, tmp_path)
    cost = record_round(ledger, 1)
    audit = audit_chain(tmp_path)
    assert (audit.blocks, audit.rounds[0].gas, audit.rounds[0].blocks) == (5, cost.gas, (4, 5, 5))


def test_every_change_of_the_registry_is_counted_by_its_event():
    """A registry function of a later contract is not forgotten."""
    from bofl_jax.ledger.audit.replay import REGISTRY_EVENTS

    names = {entry["name"] for entry in load_contract().artefact["abi"] if entry["type"] == "event"}
    assert {name for name in names if name.startswith("Client")} == REGISTRY_EVENTS
    assert len(REGISTRY_EVENTS) == len(REASON_AFTER)
