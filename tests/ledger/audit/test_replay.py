"""What a chain tells beyond its rounds: gas, results, and transactions that no run sends."""

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
from bofl_jax.ledger.chain.base import Call
from bofl_jax.ledger.contract import modes
from bofl_jax.ledger.contract.artefact import load_contract
from bofl_jax.ledger.contract.calls import BATCH_GAS, Step
from bofl_jax.ledger.contract.registry import AFTER
from bofl_jax.ledger.storage.block_log import append_record
from bofl_jax.ledger.storage.layout import files_of
from tests.ledger.conftest import CLIENTS, CONFIG, MODEL, SEED, opened, row, submissions

ON = list(modes.MODES)
RESULTS = b"\7" * 32
NEVER_REVERTED = ("publishResults", "refuseUpdates", "commitRound", "suspendClient")


def play_round(ledger, number):
    opened(ledger, number, [0, 1])
    return ledger.close_round(number, submissions(row(0), row(1)), MODEL)


def events(audit):
    return [told.event.name for told in audit.told]


# ------------------------------------------------------------------------------------------------------------------ gas

CHANGES = tuple(
    RegistryChange(round=round, action=action, client=client)
    for round, action, client in ((1, "suspend", 2), (2, "register", 4), (2, "revoke", 3), (3, "readmit", 2))
)


@pytest.fixture
def eventful(tmp_path):
    """Starts a ledger whose registry changes before every round."""
    return lambda mode: create_ledger(
        LedgerOptions(mode=mode, registered=4, changes=CHANGES), tmp_path, CLIENTS, SEED, CONFIG
    )


@pytest.mark.parametrize("mode", ON)
def test_changes_of_the_registry_are_paid_for_in_the_round_before_which_they_are_made(tmp_path, eventful, mode):
    ledger = eventful(mode)
    costs = [play_round(ledger, number) for number in range(1, 5)]
    assert [found.gas for found in audit_chain(tmp_path).rounds] == [cost.gas for cost in costs]
    assert costs[1].gas - costs[3].gas > 50_000  # two changes
    assert costs[2].gas > costs[3].gas


@pytest.mark.parametrize("mode", ON)
def test_an_aborted_round_is_no_part_of_the_next_ones_gas(tmp_path, eventful, mode):
    ledger = eventful(mode)
    costs = [play_round(ledger, 1)]
    for number in (2, 3):
        opened(ledger, number, [0, 1])
        ledger.abort_round(number)
        costs.append(play_round(ledger, number))
    audit = audit_chain(tmp_path)
    assert (audit.aborted, [(r.round, r.version) for r in audit.rounds]) == ([2, 4], [(1, 1), (3, 2), (5, 3)])
    assert [found.gas for found in audit.rounds] == [cost.gas for cost in costs]


@pytest.mark.parametrize("mode", ON)
def test_a_round_that_the_contract_ended_is_no_part_of_the_next_ones_gas(tmp_path, eventful, mode):
    ledger = opened(eventful(mode), 1, [0, 1])
    with pytest.raises(VerdictDiffersError):
        ledger.close_round(1, submissions(row(0), row(1)), bytes(32))
    costs = [play_round(ledger, number) for number in (1, 2)]
    audit = audit_chain(tmp_path)
    assert (audit.aborted, [found.gas for found in audit.rounds]) == ([1], [cost.gas for cost in costs])


def test_results_are_no_part_of_a_rounds_gas(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    costs = [play_round(ledger, 1)]
    ledger.publish_results(RESULTS)
    costs.append(play_round(ledger, 2))
    assert [found.gas for found in audit_chain(tmp_path).rounds] == [cost.gas for cost in costs]


# -------------------------------------------------------------------------------------------------------------- results


def test_published_results_show_beside_their_model(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    for number in (1, 2):
        play_round(ledger, number)
    ledger.publish_results(RESULTS)
    audit = audit_chain(tmp_path)
    assert (audit.results, events(audit)[-1]) == ({2: RESULTS}, "ResultsPublished")
    assert audit.head_hash == ledger.head_hash


def test_results_stand_beside_a_models_version_and_not_its_rounds_number(tmp_path, new_ledger):
    ledger = opened(new_ledger(tmp_path), 1, [0, 1])
    ledger.abort_round(1)
    play_round(ledger, 1)
    ledger.publish_results(RESULTS)
    assert audit_chain(tmp_path).results == {1: RESULTS}


@pytest.mark.parametrize("digest", [RESULTS, b"\x08" * 32])
def test_results_cannot_be_published_again(tmp_path, new_ledger, digest):
    ledger = new_ledger(tmp_path)
    play_round(ledger, 1)
    ledger.publish_results(RESULTS)
    with pytest.raises(BoflError, match="ResultsAlreadyPublished"):
        ledger.publish_results(digest)
    assert audit_chain(tmp_path).results == {1: RESULTS}


@pytest.mark.parametrize(
    ("rounds", "digest", "reason"), [(0, RESULTS, "UnknownVersion"), (1, bytes(32), "EmptyDigest")]
)
def test_results_of_nothing_are_refused(tmp_path, new_ledger, rounds, digest, reason):
    ledger = new_ledger(tmp_path)
    for number in range(1, rounds + 1):
        play_round(ledger, number)
    with pytest.raises(BoflError, match=f"while publishing the results: {reason}"):
        ledger.publish_results(digest)


# ------------------------------------------------------------------------------------------------- what the story holds


def test_every_event_is_told_with_its_block(tmp_path, eventful):
    ledger = eventful("merkle")
    play_round(ledger, 1)
    found = [(told.block, told.event.name) for told in audit_chain(tmp_path).told]
    setting_up = [(1, "RoleGranted"), *[(2, "RoleGranted")] * 2, *[(2, "ClientRegistered")] * 4]
    in_round = [(3, "ClientSuspended"), (4, "RoundOpened"), (5, "RoundCommitted"), (5, "RoundFinalised")]
    assert found == setting_up + in_round


def test_the_registry_is_in_the_order_of_joining(tmp_path, eventful):
    ledger = eventful("merkle")
    for number in (1, 2):
        play_round(ledger, number)
    assert audit_chain(tmp_path).registry == ledger.network.addresses


# -------------------------------------------------------------------------------------- transactions that no run sends


def forced(ledger, *steps):
    """A block that an authority seals though the contract refuses the transactions in it."""
    applied = ledger.transact("forcing", steps, strict=False)
    assert not any(outcome.success for outcome in applied.outcomes)


def reverted(ledger):
    network = ledger.network
    return {
        "publishResults": Step(network.auditor, "publishResults", (9, RESULTS)),
        "refuseUpdates": Step(network.aggregator, "refuseUpdates", (1, []), BATCH_GAS),
        "commitRound": Step(network.aggregator, "commitRound", (9, RESULTS, 1, 1, 1)),
        "suspendClient": Step(network.clients[0], "suspendClient", (network.addresses[1],)),
        "submitUpdate": Step(network.clients[1], "submitUpdate", (1, RESULTS, 1, 1)),
    }


@pytest.mark.parametrize(
    "function", ["publishResults", "refuseUpdates", "commitRound", "suspendClient", "submitUpdate"]
)
def test_a_reverted_transaction_between_rounds_is_found(tmp_path, new_ledger, function):
    ledger = new_ledger(tmp_path)
    play_round(ledger, 1)
    forced(ledger, reverted(ledger)[function])
    play_round(ledger, 2)
    with pytest.raises(VerificationError, match="block 5 holds a transaction that was reverted"):
        audit_chain(tmp_path)


@pytest.mark.parametrize("function", NEVER_REVERTED)
def test_a_reverted_transaction_within_a_round_is_found_unless_it_is_an_update(tmp_path, new_ledger, function):
    ledger = opened(new_ledger(tmp_path), 1, [0])
    forced(ledger, reverted(ledger)[function])
    ledger.close_round(1, submissions(row(0)), MODEL)
    with pytest.raises(VerificationError, match="block 4 holds a transaction that was reverted"):
        audit_chain(tmp_path)


def uninvited(ledger):
    """Client 3's own update, which the contract refuses by a revert."""
    return Step(ledger.network.clients[3], "submitUpdate", (1, row(3)[1], 10, 10**6))


def refusal(ledger, client, reason):
    entry = (ledger.network.addresses[client], row(client)[1], int(reason))
    return Step(ledger.network.aggregator, "refuseUpdates", (1, [entry]), BATCH_GAS)


def with_a_revert(directory, records, times=1):
    """A round in which client 3 sends updates of its own, and the server has them on record or has not."""
    ledger = opened(create_ledger(LedgerOptions(mode="per-client"), directory, CLIENTS, SEED, CONFIG), 1, [0])
    forced(ledger, *[uninvited(ledger)] * times)
    for client, reason in records:
        ledger.transact("recording", [refusal(ledger, client, reason)])
    return ledger.close_round(1, submissions(row(0)), MODEL)


@pytest.mark.parametrize(
    ("records", "times"),
    [
        ([], 1),
        ([(3, RejectionReason.NOT_IN_COHORT)], 2),
        ([(2, RejectionReason.NOT_IN_COHORT)], 1),
        ([(3, RejectionReason.NOT_FINITE)], 1),  # the contract knows nothing of that: it had another reason
    ],
    ids=["none", "one of two", "another client's", "another kind"],
)
def test_an_update_that_was_refused_and_is_not_on_record_is_found(tmp_path, records, times):
    with_a_revert(tmp_path, records, times)
    with pytest.raises(VerificationError, match="round 1: an update was refused by the contract and is not on record"):
        audit_chain(tmp_path)


def test_an_update_that_was_refused_and_is_on_record_is_as_it_should_be(tmp_path):
    with_a_revert(tmp_path, [(3, RejectionReason.NOT_IN_COHORT)])
    found = audit_chain(tmp_path).rounds[0]
    assert (found.count, found.refused) == (1, 1)


def test_a_block_of_nothing_but_refused_updates_is_paid_for_in_its_round(tmp_path):
    cost = with_a_revert(tmp_path, [(3, RejectionReason.NOT_IN_COHORT)])
    assert audit_chain(tmp_path).rounds[0].gas == cost.gas


def append_block(ledger, directory, *calls):
    append_record(files_of(directory).blocks, ledger._engine.seal_block(calls, strict=False).raw)


def test_a_transaction_that_is_not_for_the_contract_is_found(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    append_block(ledger, tmp_path, Call(ledger.network.admin.key, ledger.network.addresses[0], b"", 100_000))
    with pytest.raises(VerificationError, match="block 3 holds a transaction that is not for the contract"):
        audit_chain(tmp_path)


def test_a_second_deployment_is_found(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    append_block(ledger, tmp_path, Call(ledger.network.admin.key, b"", load_contract().bytecode, BATCH_GAS))
    with pytest.raises(VerificationError, match="block 3 holds a transaction that is not for the contract"):
        audit_chain(tmp_path)


def test_a_round_under_another_configuration_is_found(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    ledger._config_hash = RESULTS
    play_round(ledger, 1)
    with pytest.raises(VerificationError, match="block 3 opens a round under another configuration"):
        audit_chain(tmp_path)


def test_a_block_without_transactions_tells_nothing(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    append_block(ledger, tmp_path)
    cost = play_round(ledger, 1)
    audit = audit_chain(tmp_path)
    assert (audit.blocks, audit.rounds[0].gas, audit.rounds[0].blocks) == (5, cost.gas, (4, 5, 5))


def test_every_change_of_the_registry_is_counted_by_its_event():
    """A function that a later contract brings is not forgotten."""
    from bofl_jax.ledger.audit.replay import REGISTRY

    names = {entry["name"] for entry in load_contract().artefact["abi"] if entry["type"] == "event"}
    assert {name for name in names if name.startswith("Client")} == REGISTRY
    assert len(REGISTRY) == len(AFTER)
