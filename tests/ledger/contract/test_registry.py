"""Who may contribute: the plan of the configuration, the contract's registry, and what happens where they part."""

import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import LedgerOptions, RegistryChange, RejectionReason, audit_chain, create_ledger, resume_ledger
from bofl_jax.ledger.contract.registry import AFTER, planned_standing
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
    """Changes that the contract allows, of each client at most one a round; client 0 always stays."""
    draw, state, changes = np.random.default_rng(seed), dict.fromkeys(range(REGISTERED), RejectionReason.NONE), []
    for number in range(1, ROUNDS + 1):
        for client in draw.permutation(range(1, len(state)))[: draw.integers(0, 3)].tolist():
            changes.append(change(number, str(draw.choice(ALLOWED[state[client]])), client))
            state[client] = AFTER[changes[-1].action]
        if len(state) < CLIENTS and draw.random() < 0.5:
            changes.append(change(number, "register", len(state)))
            state[len(state)] = RejectionReason.NONE
    return LedgerOptions(registered=REGISTERED, changes=tuple(changes))


def ledger_of(options, directory):
    return create_ledger(options, directory, CLIENTS, SEED, CONFIG)


def play_round(ledger, number):
    """Whoever may contribute does."""
    standing = ledger.eligibility(number)
    active = np.flatnonzero(standing == RejectionReason.NONE)
    ledger.open_round(number, active)
    ledger.close_round(number, submissions(*(row(client) for client in active)), MODEL)
    return standing


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", ["merkle", "signed"])
def test_the_contract_says_what_was_planned(tmp_path, seed, mode):
    options = random_schedule(seed).model_copy(update={"mode": mode})
    ledger = ledger_of(options, tmp_path)
    for number in range(1, ROUNDS + 1):
        assert play_round(ledger, number).tolist() == planned_standing(options, CLIENTS, number).tolist()
    audit = audit_chain(tmp_path)
    active = [
        np.flatnonzero(planned_standing(options, CLIENTS, n) == RejectionReason.NONE) for n in range(1, ROUNDS + 1)
    ]
    assert [found.record.clients.tolist() for found in audit.rounds] == [clients.tolist() for clients in active]
    joined = sum(change.action == "register" for change in options.changes)
    assert audit.registry == ledger.network.addresses[: REGISTERED + joined]


def test_random_schedules_use_every_action():
    assert {change.action for seed in range(6) for change in random_schedule(seed).changes} == set(AFTER)


def test_without_a_ledger_the_plan_is_taken_for_the_truth(tmp_path):
    options = random_schedule(0).model_copy(update={"mode": "off"})
    ledger = ledger_of(options, tmp_path)
    for number in range(1, ROUNDS + 1):
        assert ledger.eligibility(number).tolist() == planned_standing(options, CLIENTS, number).tolist()


@pytest.mark.parametrize("known", range(1, ROUNDS))
def test_resuming_within_a_schedule_equals_not_having_stopped(tmp_path, known):
    options = random_schedule(1)
    whole, cut = ledger_of(options, tmp_path / "whole"), ledger_of(options, tmp_path / "cut")
    for number in range(1, ROUNDS + 1):
        play_round(whole, number)
    for number in range(1, known + 1):
        play_round(cut, number)
    cut.eligibility(known + 1)  # the changes are on the chain, the round is not
    resumed = resume_ledger(options, tmp_path / "cut", CLIENTS, SEED, CONFIG, known)
    for number in range(known + 1, ROUNDS + 1):
        play_round(resumed, number)
    assert resumed.head_hash == whole.head_hash


def test_resuming_after_an_abort_finds_the_changes_made(tmp_path):
    options = LedgerOptions(registered=3, changes=(change(1, "register", 3), change(1, "suspend", 1)))
    ledger = opened(ledger_of(options, tmp_path), 1, [0])
    ledger.abort_round(1)
    resumed = resume_ledger(options, tmp_path, CLIENTS, SEED, CONFIG, 0)
    assert resumed.head_hash == ledger.head_hash
    assert play_round(resumed, 1).tolist() == planned_standing(options, CLIENTS, 1).tolist()
    assert audit_chain(tmp_path).aborted == [1]


@pytest.mark.parametrize(
    "actions",
    [["suspend"], ["revoke"], ["suspend", "readmit"], ["suspend", "revoke"], ["revoke", "readmit", "suspend"]],
)
def test_asking_twice_changes_nothing_more(tmp_path, actions):
    """A round that was aborted asks again; several changes of one client before a round are made once."""
    options = LedgerOptions(changes=tuple(change(1, action, 1) for action in actions))
    ledger = ledger_of(options, tmp_path)
    standing, head = ledger.eligibility(1), ledger.head_hash
    assert ledger.eligibility(1).tolist() == standing.tolist() == planned_standing(options, CLIENTS, 1).tolist()
    assert ledger.head_hash == head


def test_a_client_that_joins_and_leaves_before_one_round_does_so_once(tmp_path):
    options = LedgerOptions(registered=3, changes=(change(1, "register", 3), change(1, "suspend", 3)))
    ledger = ledger_of(options, tmp_path)
    head = [ledger.eligibility(1).tolist(), ledger.head_hash]
    assert head == [ledger.eligibility(1).tolist(), ledger.head_hash]


@pytest.mark.parametrize("function", ["suspendClient", "revokeClient"])
def test_a_change_behind_the_servers_back_is_refused_by_the_contract(tmp_path, function):
    ledger = ledger_of(LedgerOptions(), tmp_path)
    assert not ledger.eligibility(1).any()
    change_registry(ledger, function, 1)
    with pytest.raises(
        BoflError, match=r"refused openRound while opening round 1: RegistryChanged\(given=1, actual=2\)"
    ):
        ledger.open_round(1, np.arange(CLIENTS))


def test_after_asking_again_the_round_can_be_opened(tmp_path):
    ledger = ledger_of(LedgerOptions(), tmp_path)
    ledger.eligibility(1)
    change_registry(ledger, "suspendClient", 1)
    with pytest.raises(BoflError, match="RegistryChanged"):
        ledger.open_round(1, np.arange(CLIENTS))
    assert play_round(ledger, 1).tolist() == [0, RejectionReason.SUSPENDED, 0, 0, 0, 0]
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
def test_a_change_that_the_contract_forbids_is_refused_in_one_line(tmp_path, changes, message):
    ledger = ledger_of(LedgerOptions(registered=3, changes=changes), tmp_path)
    play_round(ledger, 1)
    with pytest.raises(BoflError, match=rf"changing the entry of client \d \(.*\): {message}") as caught:
        ledger.eligibility(2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": [change(1, "register", 3)]}, "only if ledger.registered says how many are at the start"),
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
def test_bad_options_are_refused_when_they_are_built(options, message):
    with pytest.raises(ValidationError, match=message) as caught:
        LedgerOptions(**options)
    assert len(caught.value.errors()) == 1
    assert "\n" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize("bad", [{"round": 0}, {"client": -1}, {"action": "expel"}, {"reason": "none"}])
def test_a_bad_change_is_refused_when_it_is_built(bad):
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
def test_clients_out_of_range_are_refused_before_anything_is_written(tmp_path, mode, options, message):
    with pytest.raises(BoflError, match=message) as caught:
        ledger_of(LedgerOptions(mode=mode, **options), tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
