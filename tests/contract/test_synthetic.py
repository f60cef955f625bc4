"""Requests for synthetic samples: rules, decisions, logs and refunds."""

import pytest

from bofl_jax.ledger.contract.artefact import ENUMS

RULES = {"rareThreshold": 500, "roundQuota": 100, "totalQuota": 250, "maxBatch": 80, "cooldown": 0, "manual": False}
COUNTS = [960, 40, 0]  # class 1 has 4 %, class 2 nothing
BATCH, GENERATOR = bytes([8]) * 32, bytes([9]) * 32
REJECTIONS, STATES = ENUMS["Rejection"], ENUMS["RequestState"]


def rule(world, **changes):
    return world.do("setPolicy", tuple((RULES | changes).values()))


@pytest.fixture
def ruled(staffed):
    """Automatic rules hold."""
    rule(staffed)
    return staffed


@pytest.fixture
def manual(staffed):
    """A person decides."""
    rule(staffed, manual=True)
    return staffed


def ask(world, amount=50, kind=1, client=0, counts=COUNTS):
    return world.events(world.must(world.members[client], "requestSynthetic", kind, amount, counts))


def outcome(events):
    """What the contract decided at once."""
    last = events[-1]
    return REJECTIONS[last.args["reason"]] if last.name == "SyntheticRejected" else last.name


def log(world, request=1, used=50, batch=BATCH, client=0):
    args = (request, used, batch, GENERATOR, [9000, 8000])
    return world.events(world.must(world.members[client], "logSynthetic", *args))


def state(world, request=1):
    return STATES[world.read("requests", request)[1]]


def used(world, kind=1, client=0):
    return world.read("usage", world.clients[client], kind)[:2]


def next_round(world):
    number = world.read("latestRound") + 1
    world.open(number)
    world.do("abortRound", number)


def test_the_policy_is_announced(staffed):
    told = staffed.events(rule(staffed, cooldown=3, manual=True))
    assert [(e.name, e.args["policy"]) for e in told] == [("PolicyChanged", (500, 100, 250, 80, 3, True))]
    assert staffed.read("policy") == (500, 100, 250, 80, 3, True)


def test_a_rare_class_within_its_quota_is_approved(ruled):
    told = ask(ruled)
    client = "0x" + ruled.clients[0].hex()
    asked = {"request": 1, "client": client, "class": 1, "amount": 50, "classCounts": tuple(COUNTS)}
    assert [(e.name, e.args) for e in told] == [
        ("SyntheticRequested", asked),
        ("SyntheticApproved", {"request": 1, "round": 0}),
    ]
    assert (state(ruled), used(ruled)) == ("Approved", (50, 50))


def test_without_a_policy_nothing_is_approved(staffed):
    assert outcome(ask(staffed, amount=1)) == "BatchTooLarge"


@pytest.mark.parametrize(
    ("counts", "kind", "expected"),
    [
        ([951, 49], 1, "SyntheticApproved"),
        ([950, 50], 1, "NotRare"),  # exactly the threshold is not below it
        ([1000, 0], 1, "SyntheticApproved"),
        ([1000, 0], 0, "NotRare"),
        ([0, 0], 1, "NotRare"),
        ([2**32 - 1, 2**32 - 1, 1], 2, "SyntheticApproved"),
    ],
)
def test_a_class_is_rare_below_the_threshold(ruled, counts, kind, expected):
    assert outcome(ask(ruled, kind=kind, counts=counts)) == expected


def test_the_rules_in_order(ruled):
    assert outcome(ask(ruled, amount=81, kind=0)) == "BatchTooLarge"
    assert outcome(ask(ruled, amount=80, kind=0)) == "NotRare"
    assert outcome(ask(ruled, amount=80)) == "SyntheticApproved"
    assert outcome(ask(ruled, amount=21)) == "RoundQuota"
    assert outcome(ask(ruled, amount=20)) == "SyntheticApproved"
    assert outcome(ask(ruled, amount=1, kind=2)) == "SyntheticApproved"  # another class, another quota
    assert outcome(ask(ruled, amount=80, client=1)) == "SyntheticApproved"  # another client too
    next_round(ruled)
    assert [outcome(ask(ruled, amount=amount)) for amount in (80, 20)] == ["SyntheticApproved"] * 2
    next_round(ruled)
    assert [outcome(ask(ruled, amount=amount)) for amount in (51, 50)] == ["TotalQuota", "SyntheticApproved"]
    assert state(ruled, 1) == "Rejected"


def test_the_cooldown_is_counted_in_rounds(staffed):
    rule(staffed, cooldown=2)
    assert outcome(ask(staffed, amount=1)) == "SyntheticApproved"
    found = []
    for _ in range(3):
        found.append(outcome(ask(staffed, amount=1)))
        next_round(staffed)
    assert found == ["Cooldown", "Cooldown", "SyntheticApproved"]
    assert outcome(ask(staffed, amount=1, kind=2)) == "SyntheticApproved"


@pytest.mark.parametrize(
    ("kind", "amount", "reason"), [(1, 0, "EmptyRequest()"), (3, 1, "UnknownClass(class=3, classes=3)")]
)
def test_a_request_makes_sense(ruled, kind, amount, reason):
    assert ruled.refusal(ruled.members[0], "requestSynthetic", kind, amount, COUNTS) == reason


def test_a_batch_is_logged_and_the_rest_refunded(ruled):
    ask(ruled)
    told = log(ruled, used=30)
    logged = {"request": 1, "used": 30, "batchDigest": BATCH, "generatorDigest": GENERATOR, "scores": (9000, 8000)}
    assert [(e.name, e.args) for e in told] == [
        ("SyntheticLogged", logged),
        ("QuotaRefunded", {"request": 1, "amount": 20}),
    ]
    assert (state(ruled), used(ruled)) == ("Logged", (30, 30))


def test_a_batch_that_failed_its_gates_is_refunded_whole(ruled):
    ask(ruled)
    assert [e.name for e in log(ruled, used=0)] == ["SyntheticLogged", "QuotaRefunded"]
    assert used(ruled) == (0, 0)


def test_a_full_batch_refunds_nothing(ruled):
    ask(ruled)
    assert [e.name for e in log(ruled)] == ["SyntheticLogged"]


def test_a_late_refund_leaves_the_new_rounds_quota_alone(ruled):
    ask(ruled)
    next_round(ruled)
    ask(ruled, amount=10)
    log(ruled, used=0)
    assert used(ruled) == (10, 10)


def test_nobody_logs_what_was_not_approved(ruled):
    ask(ruled, amount=81)
    ask(ruled)
    mine, other = ruled.members[0], ruled.members[1]
    good = (2, 50, BATCH, GENERATOR, [])
    assert ruled.refusal(mine, "logSynthetic", 1, *good[1:]) == "WrongRequestState(request=1, actual=Rejected)"
    assert ruled.refusal(other, "logSynthetic", *good).startswith("NotTheRequester")
    assert ruled.refusal(other, "logSynthetic", 7, *good[1:]).startswith("NotTheRequester")
    assert ruled.refusal(mine, "logSynthetic", 2, 51, *good[2:]) == "MoreThanApproved(used=51, approved=50)"
    assert ruled.refusal(mine, "logSynthetic", 2, 50, bytes(32), GENERATOR, []) == "EmptyDigest()"
    assert ruled.refusal(mine, "logSynthetic", 2, 50, BATCH, bytes(32), []) == "EmptyDigest()"
    log(ruled, 2)
    assert ruled.refusal(mine, "logSynthetic", *good) == "WrongRequestState(request=2, actual=Logged)"
    ask(ruled)
    again = f"BatchAlreadyLogged(batchDigest=0x{BATCH.hex()})"
    assert ruled.refusal(mine, "logSynthetic", 3, *good[1:]) == again


def test_a_manual_request_waits_for_its_decision(manual):
    assert [e.name for e in ask(manual)] == ["SyntheticRequested"]
    assert (state(manual), used(manual)) == ("Pending", (0, 0))
    assert manual.names(manual.do("decideSynthetic", 1, True)) == ["SyntheticApproved"]
    assert (state(manual), used(manual)) == ("Approved", (50, 50))


def test_a_manual_request_can_be_rejected(manual):
    ask(manual)
    assert outcome(manual.events(manual.must(manual.admin, "decideSynthetic", 1, False))) == "Discretion"
    assert manual.refused("decideSynthetic", 1, True) == "WrongRequestState(request=1, actual=Rejected)"


def test_the_rules_hold_for_manual_decisions_too(manual):
    assert outcome(ask(manual, amount=81)) == "BatchTooLarge"
    for _ in range(3):
        ask(manual)
    manual.do("decideSynthetic", 2, True)
    manual.do("decideSynthetic", 3, True)
    assert manual.refused("decideSynthetic", 4, True) == "PolicyForbids(reason=RoundQuota)"
    manual.do("decideSynthetic", 4, False)


@pytest.mark.parametrize("role", [1, 4])
def test_the_requester_never_decides(manual, role):
    """Not even where it is admin or auditor as well."""
    ask(manual)
    manual.do("grantRole", manual.clients[0], role)
    for approve in (True, False):
        assert manual.refusal(manual.members[0], "decideSynthetic", 1, approve) == "RequesterCannotDecide()"


def test_no_approval_for_a_client_that_is_out(manual):
    ask(manual)
    manual.do("suspendClient", manual.clients[0])
    assert manual.refused("decideSynthetic", 1, True).endswith("actual=Suspended)")


def test_a_request_can_be_cancelled(ruled):
    ask(ruled)
    told = ruled.names(ruled.must(ruled.members[0], "cancelSynthetic", 1))
    assert (told, state(ruled), used(ruled)) == (["SyntheticCancelled", "QuotaRefunded"], "Cancelled", (0, 0))
    again = ruled.refusal(ruled.members[0], "cancelSynthetic", 1)
    assert again == "WrongRequestState(request=1, actual=Cancelled)"
    reason = ruled.refusal(ruled.members[0], "logSynthetic", 1, 1, BATCH, GENERATOR, [])
    assert reason == "WrongRequestState(request=1, actual=Cancelled)"


def test_a_pending_request_has_nothing_to_refund(manual):
    ask(manual)
    assert manual.names(manual.must(manual.admin, "cancelSynthetic", 1)) == ["SyntheticCancelled"]


def test_others_do_not_cancel(ruled):
    ask(ruled)
    for who in (ruled.members[1], ruled.auditor, ruled.aggregator):
        assert ruled.refusal(who, "cancelSynthetic", 1).startswith("NotTheRequester")
