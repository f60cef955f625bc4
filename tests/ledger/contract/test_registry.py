"""Eligibility of clients: the configuration's plan, the contract's registry, and what happens if they differ."""

import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import LedgerOptions, RegistryChange, RejectionReason, audit_chain, create_ledger, resume_ledger
from bofl_jax.ledger.contract.registry import REASON_AFTER, planned_eligibility
from tests.ledger.conftest import CONFIG, MODEL, SEED, change_registry, opened, row, submissions

CLIENTS, REGISTERED, ROUNDS = 6, 3, 5
ALLOWED = {
    RejectionReason.NONE: ["suspend", "revoke"],
    RejectionReason.SUSPENDED: ["revoke", "readmit"],
    RejectionReason.REVOKED: ["readmit"],
}


def change(round, action, client):
    return RegistryChange(round=round, action=action, client=client)


def random_schedule(seed):
    """Random changes that the contract allows, at most one per client and round; client 0 always stays active."""
    draw, state, changes = np.random.default_rng(seed), dict.fromkeys(range(REGISTERED), RejectionReason.NONE), []
    for number in range(1, ROUNDS + 1):
        for client in draw.permutation(range(1, len(state)))[: draw.integers(0, 3)].tolist():
            changes.append(change(number, str(draw.choice(ALLOWED[state[client]])), client))
            state[client] = REASON_AFTER[changes[-1].action]
        if len(state) < CLIENTS and draw.random() < 0.5:
            changes.append(change(number, "register", len(state)))
            state[len(state)] = RejectionReason.NONE
    return LedgerOptions(registered=REGISTERED, changes=tuple(changes))


def ledger_of(options, directory):
    return create_ledger(options, directory, CLIENTS, SEED, CONFIG)


def record_round(ledger, number):
    """Record a round in which every eligible client contributes."""
    eligibility = ledger.eligibility(number)
    active = np.flatnonzero(eligibility == RejectionReason.NONE)
    ledger.open_round(number, active)
    ledger.close_round(number, submissions(*(row(client) for client in active)), MODEL)
    return eligibility


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", ["merkle", "signed"])
def test_the_contracts_eligibility_is_the_planned_one(tmp_path, seed, mode):
    options = random_schedule(seed).model_copy(update={"mode": mode})
    ledger = ledger_of(options, tmp_path)
    for number in range(1, ROUNDS + 1):
        assert record_round(ledger, number).tolist() == planned_eligibility(options, CLIENTS, number).tolist()
    audit = audit_chain(tmp_path)
    active = [
        np.flatnonzero(planned_eligibility(options, CLIENTS, n) == RejectionReason.NONE) for n in range(1, ROUNDS + 1)
    ]
    assert [found.record.clients.tolist() for found in audit.rounds] == [clients.tolist() for clients in active]
    joined = sum(change.action == "register" for change in options.changes)
    assert audit.registry == ledger.accounts.client_addresses[: REGISTERED + joined]


def test_random_schedules_use_every_action():
    assert {change.action for seed in range(6) for change in random_schedule(seed).changes} == set(REASON_AFTER)


def test_without_a_ledger_the_eligibility_is_the_planned_one(tmp_path):
    options = random_schedule(0).model_copy(update={"mode": "off"})
    ledger = ledger_of(options, tmp_path)
    for number in range(1, ROUNDS + 1):
        assert ledger.eligibility(number).tolist() == planned_eligibility(options, CLIENTS, number).tolist()


@pytest.mark.parametrize("known", range(1, ROUNDS))
def test_a_ledger_resumed_within_a_schedule_equals_an_uninterrupted_one(tmp_path, known):
    options = random_schedule(1)
    whole, cut = ledger_of(options, tmp_path / "whole"), ledger_of(options, tmp_path / "cut")
    for number in range(1, ROUNDS + 1):
        record_round(whole, number)
    for number in range(1, known + 1):
        record_round(cut, number)
    cut.eligibility(known + 1)  # the changes are on the chain, the round is not
    resumed = resume_ledger(options, tmp_path / "cut", CLIENTS, SEED, CONFIG, known)
    for number in range(known + 1, ROUNDS + 1):
        record_round(resumed, number)
    assert resumed.head_hash == whole.head_hash


def test_resuming_after_an_abort_finds_the_changes_made(tmp_path):
    options = LedgerOptions(registered=3, changes=(change(1, "register", 3), change(1, "suspend", 1)))
    ledger = opened(ledger_of(options, tmp_path), 1, [0])
    ledger.abort_round(1)
    resumed = resume_ledger(options, tmp_path, CLIENTS, SEED, CONFIG, 0)
    assert resumed.head_hash == ledger.head_hash
    assert record_round(resumed, 1).tolist() == planned_eligibility(options, CLIENTS, 1).tolist()
    assert audit_chain(tmp_path).aborted == [1]


@pytest.mark.parametrize(
    "actions",
    [["suspend"], ["revoke"], ["suspend", "readmit"], ["suspend", "revoke"], ["revoke", "readmit", "suspend"]],
)
def test_reading_the_eligibility_twice_makes_no_further_changes(tmp_path, actions):
    """The eligibility is read again after an aborted round; several changes of one client are made once."""
    options = LedgerOptions(changes=tuple(change(1, action, 1) for action in actions))
    ledger = ledger_of(options, tmp_path)
    eligibility, head = ledger.eligibility(1), ledger.head_hash
    assert ledger.eligibility(1).tolist() == eligibility.tolist() == planned_eligibility(options, CLIENTS, 1).tolist()
    assert ledger.head_hash == head


def test_a_client_that_joins_and_leaves_before_one_round_is_changed_once(tmp_path):
    options = LedgerOptions(registered=3, changes=(change(1, "register", 3), change(1, "suspend", 3)))
    ledger = ledger_of(options, tmp_path)
    before = [ledger.eligibility(1).tolist(), ledger.head_hash]
    assert before == [ledger.eligibility(1).tolist(), ledger.head_hash]


@pytest.mark.parametrize("function", ["suspendClient", "revokeClient"])
def test_a_change_that_the_server_does_not_know_is_rejected_by_the_contract(tmp_path, function):
    ledger = ledger_of(LedgerOptions(), tmp_path)
    assert not ledger.eligibility(1).any()
    change_registry(ledger, function, 1)
    with pytest.raises(
        BoflError, match=r"rejected openRound while opening round 1: RegistryChanged\(given=1, actual=2\)"
    ):
        ledger.open_round(1, np.arange(CLIENTS))


def test_a_round_can_be_opened_after_reading_the_eligibility_again(tmp_path):
    ledger = ledger_of(LedgerOptions(), tmp_path)
    ledger.eligibility(1)
    change_registry(ledger, "suspendClient", 1)
    with pytest.raises(BoflError, match="RegistryChanged"):
        ledger.open_round(1, np.arange(CLIENTS))
    assert record_round(ledger, 1).tolist() == [0, RejectionReason.SUSPENDED, 0, 0, 0, 0]
    assert audit_chain(tmp_path).rounds[0].record.clients.tolist() == [0, 2, 3, 4, 5]


def test_a_round_cannot_be_opened_before_the_registry_was_read(tmp_path):
    ledger = ledger_of(LedgerOptions(), tmp_path)
    head = ledger.head_hash
    with pytest.raises(BoflError):
        ledger.open_round(1, np.arange(CLIENTS))
    assert ledger.head_hash == head


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((change(1, "revoke", 1), change(2, "suspend", 1)), "WrongClientState"),
        ((change(2, "readmit", 4),), "WrongClientState"),
        ((change(2, "suspend", 4),), "WrongClientState"),
    ],
    ids=["suspended after revoked", "readmitted before registered", "suspended before registered"],
)
def test_a_change_that_the_contract_forbids_is_an_error_of_one_line(tmp_path, changes, message):
    ledger = ledger_of(LedgerOptions(registered=3, changes=changes), tmp_path)
    record_round(ledger, 1)
    with pytest.raises(BoflError, match=rf"changing the entry of client \d \(.*\): {message}") as caught:
        ledger.eligibility(2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"changes": [change(1, "register", 3)]},
            "ledger.changes registers clients: set ledger.registered to the number at the start",
        ),
        ({"registered": 3, "changes": [change(1, "register", 4)]}, "in the order of their index: register 3 next"),
        (
            {"registered": 3, "changes": [change(1, "register", 4), change(2, "register", 3)]},
            "in the order of their index: register 3 next",
        ),
        (
            {"registered": 3, "changes": [change(1, "register", 3), change(2, "register", 3)]},
            "in the order of their index",
        ),
        ({"registered": 0}, "greater than or equal to 1"),
    ],
)
def test_invalid_options_are_rejected_when_they_are_built(options, message):
    with pytest.raises(ValidationError, match=message) as caught:
        LedgerOptions(**options)
    assert len(caught.value.errors()) == 1
    assert "\n" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("bad", [{"round": 0}, {"client": -1}, {"action": "expel"}, {"reason": "none"}])
def test_an_invalid_change_is_rejected_when_it_is_built(bad):
    with pytest.raises(ValidationError):
        RegistryChange(**{"round": 1, "action": "suspend", "client": 0} | bad)


def test_changes_may_be_written_in_any_order_of_rounds():
    LedgerOptions(registered=3, changes=(change(2, "register", 4), change(1, "register", 3)))


@pytest.mark.parametrize("mode", ["merkle", "off"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": [change(1, "suspend", 6)]}, r"ledger.changes names client 6, but clients are 0\.\.5"),
        ({"registered": 7}, "ledger.registered = 7, but there are only 6 clients: lower it"),
        ({"registered": 6, "changes": [change(1, "register", 6)]}, "names client 6"),
    ],
)
def test_clients_out_of_range_are_rejected_before_anything_is_written(tmp_path, mode, options, message):
    with pytest.raises(BoflError, match=message) as caught:
        ledger_of(LedgerOptions(mode=mode, **options), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
