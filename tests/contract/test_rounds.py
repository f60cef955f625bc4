"""The round state machine: its one path, its events, and every step off the path."""

import pytest

CONFIG, COHORT, ROOT, MODEL = (bytes([value]) * 32 for value in (1, 2, 3, 4))
STEPS = {
    "open": ("openRound", (CONFIG, COHORT, 20)),
    "commit": ("commitRound", (ROOT, 18)),
    "finalise": ("finaliseRound", (MODEL,)),
}
STATES = ("None", "Open", "Committed", "Finalised")


def step(world, name, number):
    function, args = STEPS[name]
    return world.do(function, number, *args)


def refusal(world, name, number):
    function, args = STEPS[name]
    return world.refusal(world.admin, function, number, *args)


def bring_to(world, state, number=1):
    for name in list(STEPS)[: STATES.index(state)]:
        step(world, name, number)


def test_a_round_is_told_in_events(staffed):
    told = [event for name in STEPS for event in staffed.events(step(staffed, name, 1))]
    assert [(event.name, event.args) for event in told] == [
        ("RoundOpened", {"round": 1, "configHash": CONFIG, "cohortDigest": COHORT, "cohortSize": 20}),
        ("RoundCommitted", {"round": 1, "root": ROOT, "count": 18}),
        ("RoundFinalised", {"round": 1, "modelDigest": MODEL}),
    ]
    assert staffed.read("rounds", 1) == (3, 20, 18, ROOT, MODEL)
    assert staffed.read("latestRound") == 1


def test_rounds_follow_one_another(staffed):
    for number in (1, 2, 3):
        bring_to(staffed, "Finalised", number)
    assert staffed.read("latestRound") == 3


@pytest.mark.parametrize(
    ("state", "name", "number", "reason"),
    [
        ("None", "open", 0, "NotNextRound(given=0, expected=1)"),
        ("None", "open", 2, "NotNextRound(given=2, expected=1)"),
        ("None", "commit", 1, "WrongRoundState(round=1, actual=None, required=Open)"),
        ("None", "finalise", 1, "WrongRoundState(round=1, actual=None, required=Committed)"),
        ("Open", "open", 1, "NotNextRound(given=1, expected=2)"),
        ("Open", "open", 2, "WrongRoundState(round=1, actual=Open, required=Finalised)"),
        ("Open", "commit", 2, "WrongRoundState(round=2, actual=None, required=Open)"),
        ("Open", "finalise", 1, "WrongRoundState(round=1, actual=Open, required=Committed)"),
        ("Committed", "open", 1, "NotNextRound(given=1, expected=2)"),
        ("Committed", "open", 2, "WrongRoundState(round=1, actual=Committed, required=Finalised)"),
        ("Committed", "commit", 1, "WrongRoundState(round=1, actual=Committed, required=Open)"),
        ("Committed", "finalise", 2, "WrongRoundState(round=2, actual=None, required=Committed)"),
        ("Finalised", "open", 1, "NotNextRound(given=1, expected=2)"),
        ("Finalised", "open", 3, "NotNextRound(given=3, expected=2)"),
        ("Finalised", "commit", 1, "WrongRoundState(round=1, actual=Finalised, required=Open)"),
        ("Finalised", "finalise", 1, "WrongRoundState(round=1, actual=Finalised, required=Committed)"),
    ],
)
def test_every_step_off_the_path_is_refused(staffed, state, name, number, reason):
    bring_to(staffed, state)
    before = staffed.read("rounds", 1)
    assert refusal(staffed, name, number) == reason
    assert staffed.read("rounds", 1) == before


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((1, bytes(32), COHORT, 20), "EmptyDigest()"),
        ((1, CONFIG, bytes(32), 20), "EmptyDigest()"),
        ((1, CONFIG, COHORT, 0), "EmptyCohort()"),
        ((1, CONFIG, COHORT, 21), "CohortTooLarge(cohortSize=21, activeClients=20)"),
    ],
)
def test_a_round_is_not_opened_with_bad_values(staffed, args, reason):
    assert staffed.refusal(staffed.admin, "openRound", *args) == reason


def test_suspended_clients_do_not_count_towards_a_cohort(staffed):
    staffed.do("setClientActive", staffed.clients[0], False)
    assert refusal(staffed, "open", 1) == "CohortTooLarge(cohortSize=20, activeClients=19)"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((1, ROOT, 21), "CountAboveCohort(count=21, cohortSize=20)"),
        ((1, ROOT, 0), "RootAndCountDisagree()"),
        ((1, bytes(32), 20), "RootAndCountDisagree()"),
    ],
)
def test_a_round_is_not_committed_with_bad_values(staffed, args, reason):
    bring_to(staffed, "Open")
    assert staffed.refusal(staffed.admin, "commitRound", *args) == reason


def test_a_round_without_an_accepted_update_can_be_closed(staffed):
    bring_to(staffed, "Open")
    staffed.do("commitRound", 1, bytes(32), 0)
    staffed.do("finaliseRound", 1, MODEL)


def test_a_model_digest_is_never_empty(staffed):
    bring_to(staffed, "Committed")
    assert staffed.refusal(staffed.admin, "finaliseRound", 1, bytes(32)) == "EmptyDigest()"


def test_no_value_can_be_sent(staffed):
    payable = [entry for entry in staffed.contract.artefact["abi"] if entry.get("stateMutability") == "payable"]
    assert payable == []
