"""The state machine of a round: its paths, its events, and every forbidden step."""

import pytest

from tests.contract.conftest import COHORT, CONFIG, MODEL, ROOT

STEPS = {
    "open": ("openRound", (1, CONFIG, COHORT, 20, 3, [])),
    "commit": ("commitRound", (ROOT, 18, 1800, 10**6)),
    "finalise": ("finaliseRound", (MODEL,)),
    "abort": ("abortRound", ()),
}
PATHS = {
    "None": (),
    "Open": ("open",),
    "Committed": ("open", "commit"),
    "Finalised": ("open", "commit", "finalise"),
    "Aborted": ("open", "abort"),
    "Aborted after commitment": ("open", "commit", "abort"),
}


def step(world, name, number=1):
    function, args = STEPS[name]
    return world.transact(function, number, *args)


def revert_reason(world, name, number=1):
    function, args = STEPS[name]
    return world.reverts(function, number, *args)


def bring_to(world, state, number=1):
    for name in PATHS[state]:
        step(world, name, number)


def test_a_round_is_told_in_events(registered):
    events = [event for name in PATHS["Finalised"] for event in registered.events(step(registered, name))]
    opened = {"round": 1, "configHash": CONFIG, "cohortDigest": COHORT, "cohortSize": 20, "quorum": 3}
    assert [(event.name, event.args) for event in events] == [
        ("RoundOpened", opened),
        ("RoundCommitted", {"round": 1, "root": ROOT, "count": 18, "samples": 1800, "metric": 10**6}),
        ("RoundFinalised", {"round": 1, "version": 1, "modelDigest": MODEL}),
    ]
    assert registered.call("rounds", 1) == (3, False, 20, 3, 0, 18, 1, ROOT, MODEL)
    assert (registered.call("latestRound"), registered.call("latestVersion")) == (1, 1)


def test_an_aborted_round_leads_to_no_version(registered):
    bring_to(registered, "Finalised", 1)
    for number, state in ((2, "Aborted"), (3, "Aborted after commitment")):
        bring_to(registered, state, number)
    finalised = registered.events((bring_to(registered, "Committed", 4), step(registered, "finalise", 4))[1])
    assert (finalised[0].args["round"], finalised[0].args["version"]) == (4, 2)


def test_rounds_follow_one_another(registered):
    for number in (1, 2, 3):
        bring_to(registered, "Finalised", number)
    assert registered.call("latestRound") == 3


@pytest.mark.parametrize(
    ("state", "name", "number", "reason"),
    [
        ("None", "open", 0, "NotNextRound(given=0, expected=1)"),
        ("None", "open", 2, "NotNextRound(given=2, expected=1)"),
        ("None", "commit", 1, "WrongRoundState(round=1, actual=None, required=Open)"),
        ("None", "finalise", 1, "WrongRoundState(round=1, actual=None, required=Committed)"),
        ("None", "abort", 1, "WrongRoundState(round=1, actual=None, required=Open)"),
        ("Open", "open", 1, "NotNextRound(given=1, expected=2)"),
        ("Open", "open", 2, "RoundUnfinished(round=1)"),
        ("Open", "commit", 2, "WrongRoundState(round=2, actual=None, required=Open)"),
        ("Open", "finalise", 1, "WrongRoundState(round=1, actual=Open, required=Committed)"),
        ("Committed", "open", 1, "NotNextRound(given=1, expected=2)"),
        ("Committed", "open", 2, "RoundUnfinished(round=1)"),
        ("Committed", "commit", 1, "WrongRoundState(round=1, actual=Committed, required=Open)"),
        ("Committed", "finalise", 2, "WrongRoundState(round=2, actual=None, required=Committed)"),
        ("Finalised", "open", 1, "NotNextRound(given=1, expected=2)"),
        ("Finalised", "open", 3, "NotNextRound(given=3, expected=2)"),
        ("Finalised", "commit", 1, "WrongRoundState(round=1, actual=Finalised, required=Open)"),
        ("Finalised", "finalise", 1, "WrongRoundState(round=1, actual=Finalised, required=Committed)"),
        ("Finalised", "abort", 1, "WrongRoundState(round=1, actual=Finalised, required=Open)"),
        ("Aborted", "open", 1, "NotNextRound(given=1, expected=2)"),
        ("Aborted", "commit", 1, "WrongRoundState(round=1, actual=Aborted, required=Open)"),
        ("Aborted", "finalise", 1, "WrongRoundState(round=1, actual=Aborted, required=Committed)"),
        ("Aborted", "abort", 1, "WrongRoundState(round=1, actual=Aborted, required=Open)"),
    ],
)
def test_every_forbidden_step_is_reverted(registered, state, name, number, reason):
    bring_to(registered, state)
    before = registered.call("rounds", 1)
    assert revert_reason(registered, name, number) == reason
    assert registered.call("rounds", 1) == before


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((1, 0, CONFIG, COHORT, 20, 0, []), "RegistryChanged(given=0, actual=1)"),
        ((1, 2, CONFIG, COHORT, 20, 0, []), "RegistryChanged(given=2, actual=1)"),
        ((1, 1, bytes(32), COHORT, 20, 0, []), "EmptyDigest()"),
        ((1, 1, CONFIG, bytes(32), 20, 0, []), "EmptyDigest()"),
        ((1, 1, CONFIG, COHORT, 0, 0, []), "EmptyCohort()"),
        ((1, 1, CONFIG, COHORT, 21, 0, []), "CohortTooLarge(cohortSize=21, activeClients=20)"),
        ((1, 1, CONFIG, COHORT, 5, 6, []), "BadQuorum(quorum=6, cohortSize=5)"),
        ((1, 1, CONFIG, COHORT, 5, 0, [0b1111]), "CohortMiscounted(given=5, listed=4)"),
        ((1, 1, CONFIG, COHORT, 5, 0, [0b111111]), "CohortMiscounted(given=5, listed=6)"),
        ((1, 1, CONFIG, COHORT, 1, 0, [1 << 20]), "UnknownMember(index=20)"),
        ((1, 1, CONFIG, COHORT, 2, 0, [1, 1]), "UnknownMember(index=256)"),
    ],
)
def test_a_round_is_not_opened_with_bad_values(registered, args, reason):
    assert registered.reverts("openRound", *args) == reason


@pytest.mark.parametrize("function", ["suspendClient", "revokeClient"])
def test_inactive_clients_do_not_count_towards_a_cohort(registered, function):
    registered.transact(function, registered.clients[0])
    opening = (1, 2, *STEPS["open"][1][1:])
    assert registered.reverts("openRound", *opening) == "CohortTooLarge(cohortSize=20, activeClients=19)"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((1, ROOT, 21, 0, 0), "CountAboveCohort(count=21, cohortSize=20)"),
        ((1, ROOT, 2, 0, 0), "QuorumMissed(count=2, quorum=3)"),
        ((1, bytes(32), 20, 0, 0), "RootAndCountDisagree()"),
    ],
)
def test_a_round_is_not_committed_with_bad_values(registered, args, reason):
    bring_to(registered, "Open")
    assert registered.reverts("commitRound", *args) == reason


def test_a_round_without_an_accepted_update_can_be_closed_if_no_quorum_is_asked(registered):
    registered.open()
    assert registered.reverts("commitRound", 1, ROOT, 0, 0, 0) == "RootAndCountDisagree()"
    registered.commit(count=0)
    registered.finalise()


def test_a_model_digest_is_never_empty(registered):
    bring_to(registered, "Committed")
    assert registered.reverts("finaliseRound", 1, bytes(32)) == "EmptyDigest()"


def test_results_are_published_once_for_a_model_that_exists(registered):
    bring_to(registered, "Finalised")
    for version in (0, 2):
        assert registered.reverts("publishResults", version, ROOT) == f"UnknownVersion(version={version})"
    assert registered.reverts("publishResults", 1, bytes(32)) == "EmptyDigest()"
    events = registered.events(registered.transact("publishResults", 1, ROOT))
    assert [(event.name, event.args) for event in events] == [
        ("ResultsPublished", {"version": 1, "resultsDigest": ROOT})
    ]
    assert registered.call("resultsOf", 1) == ROOT
    assert registered.reverts("publishResults", 1, MODEL) == "ResultsAlreadyPublished(version=1)"


def test_the_admin_may_abort_too(registered):
    registered.open()
    assert registered.names(registered.transact_as(registered.admin, "abortRound", 1)) == ["RoundAborted"]


def test_no_value_can_be_sent(registered):
    payable = [entry for entry in registered.contract.artefact["abi"] if entry.get("stateMutability") == "payable"]
    assert payable == []
