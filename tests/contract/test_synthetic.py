"""Requests for synthetic samples: rules, decisions, logs and refunds."""

import pytest

from bofl_jax.ledger.contract.artefact import ENUMS

RULES = {"rareThreshold": 500, "roundQuota": 100, "totalQuota": 250, "maxBatch": 80, "cooldown": 0, "manual": False}
COUNTS = [960, 40, 0]  # class 1 has 4 %, class 2 nothing
BATCH, GENERATOR = bytes([8]) * 32, bytes([9]) * 32
REJECTIONS, STATES = ENUMS["Rejection"], ENUMS["RequestState"]


def set_policy(world, **changes):
    return world.transact("setPolicy", tuple((RULES | changes).values()))


@pytest.fixture
def with_policy(registered):
    """The contract under a policy without manual decisions."""
    set_policy(registered)
    return registered


@pytest.fixture
def manual(registered):
    """The contract under a policy with manual decisions."""
    set_policy(registered, manual=True)
    return registered


def request(world, amount=50, label=1, client=0, counts=COUNTS):
    return world.events(world.transact_as(world.members[client], "requestSynthetic", label, amount, counts))


def outcome(events):
    """The immediate decision of the contract."""
    last = events[-1]
    return REJECTIONS[last.args["reason"]] if last.name == "SyntheticRejected" else last.name


def log(world, request=1, used=50, batch=BATCH, client=0):
    args = (request, used, batch, GENERATOR, [9000, 8000])
    return world.events(world.transact_as(world.members[client], "logSynthetic", *args))


def state(world, request=1):
    return STATES[world.call("requests", request)[1]]


def used(world, label=1, client=0):
    return world.call("usage", world.clients[client], label)[:2]


def next_round(world):
    number = world.call("latestRound") + 1
    world.open(number)
    world.transact("abortRound", number)


def test_the_policy_is_announced(registered):
    events = registered.events(set_policy(registered, cooldown=3, manual=True))
    assert [(e.name, e.args["policy"]) for e in events] == [("PolicyChanged", (500, 100, 250, 80, 3, True))]
    assert registered.call("policy") == (500, 100, 250, 80, 3, True)


def test_a_rare_class_within_its_quota_is_approved(with_policy):
    events = request(with_policy)
    client = "0x" + with_policy.clients[0].hex()
    asked = {"request": 1, "client": client, "class": 1, "amount": 50, "classCounts": tuple(COUNTS)}
    assert [(e.name, e.args) for e in events] == [
        ("SyntheticRequested", asked),
        ("SyntheticApproved", {"request": 1, "round": 0}),
    ]
    assert (state(with_policy), used(with_policy)) == ("Approved", (50, 50))


def test_without_a_policy_nothing_is_approved(registered):
    assert outcome(request(registered, amount=1)) == "BatchTooLarge"


@pytest.mark.parametrize(
    ("counts", "label", "expected"),
    [
        ([951, 49], 1, "SyntheticApproved"),
        ([950, 50], 1, "NotRare"),  # exactly the threshold is not below it
        ([1000, 0], 1, "SyntheticApproved"),
        ([1000, 0], 0, "NotRare"),
        ([0, 0], 1, "NotRare"),
        ([2**32 - 1, 2**32 - 1, 1], 2, "SyntheticApproved"),
    ],
)
def test_a_class_is_rare_below_the_threshold(with_policy, counts, label, expected):
    assert outcome(request(with_policy, label=label, counts=counts)) == expected


def test_the_rules_in_order(with_policy):
    assert outcome(request(with_policy, amount=81, label=0)) == "BatchTooLarge"
    assert outcome(request(with_policy, amount=80, label=0)) == "NotRare"
    assert outcome(request(with_policy, amount=80)) == "SyntheticApproved"
    assert outcome(request(with_policy, amount=21)) == "RoundQuota"
    assert outcome(request(with_policy, amount=20)) == "SyntheticApproved"
    assert outcome(request(with_policy, amount=1, label=2)) == "SyntheticApproved"  # another class, another quota
    assert outcome(request(with_policy, amount=80, client=1)) == "SyntheticApproved"  # another client too
    next_round(with_policy)
    assert [outcome(request(with_policy, amount=amount)) for amount in (80, 20)] == ["SyntheticApproved"] * 2
    next_round(with_policy)
    assert [outcome(request(with_policy, amount=amount)) for amount in (51, 50)] == ["TotalQuota", "SyntheticApproved"]
    assert state(with_policy, 1) == "Rejected"


def test_the_cooldown_is_counted_in_rounds(registered):
    set_policy(registered, cooldown=2)
    assert outcome(request(registered, amount=1)) == "SyntheticApproved"
    found = []
    for _ in range(3):
        found.append(outcome(request(registered, amount=1)))
        next_round(registered)
    assert found == ["Cooldown", "Cooldown", "SyntheticApproved"]
    assert outcome(request(registered, amount=1, label=2)) == "SyntheticApproved"


@pytest.mark.parametrize(
    ("label", "amount", "reason"), [(1, 0, "EmptyRequest()"), (3, 1, "UnknownClass(class=3, classes=3)")]
)
def test_an_invalid_request_is_reverted(with_policy, label, amount, reason):
    assert with_policy.reverts_as(with_policy.members[0], "requestSynthetic", label, amount, COUNTS) == reason


def test_a_batch_is_logged_and_the_rest_refunded(with_policy):
    request(with_policy)
    events = log(with_policy, used=30)
    logged = {"request": 1, "used": 30, "batchDigest": BATCH, "generatorDigest": GENERATOR, "scores": (9000, 8000)}
    assert [(e.name, e.args) for e in events] == [
        ("SyntheticLogged", logged),
        ("QuotaRefunded", {"request": 1, "amount": 20}),
    ]
    assert (state(with_policy), used(with_policy)) == ("Logged", (30, 30))


def test_a_batch_that_failed_its_gates_is_refunded_completely(with_policy):
    request(with_policy)
    assert [e.name for e in log(with_policy, used=0)] == ["SyntheticLogged", "QuotaRefunded"]
    assert used(with_policy) == (0, 0)


def test_a_full_batch_refunds_nothing(with_policy):
    request(with_policy)
    assert [e.name for e in log(with_policy)] == ["SyntheticLogged"]


def test_a_late_refund_does_not_change_the_new_rounds_quota(with_policy):
    request(with_policy)
    next_round(with_policy)
    request(with_policy, amount=10)
    log(with_policy, used=0)
    assert used(with_policy) == (10, 10)


def test_only_an_approved_batch_can_be_logged(with_policy):
    request(with_policy, amount=81)
    request(with_policy)
    mine, other = with_policy.members[0], with_policy.members[1]
    good = (2, 50, BATCH, GENERATOR, [])
    assert with_policy.reverts_as(mine, "logSynthetic", 1, *good[1:]) == "WrongRequestState(request=1, actual=Rejected)"
    assert with_policy.reverts_as(other, "logSynthetic", *good).startswith("NotTheRequester")
    assert with_policy.reverts_as(other, "logSynthetic", 7, *good[1:]).startswith("NotTheRequester")
    assert with_policy.reverts_as(mine, "logSynthetic", 2, 51, *good[2:]) == "MoreThanApproved(used=51, approved=50)"
    assert with_policy.reverts_as(mine, "logSynthetic", 2, 50, bytes(32), GENERATOR, []) == "EmptyDigest()"
    assert with_policy.reverts_as(mine, "logSynthetic", 2, 50, BATCH, bytes(32), []) == "EmptyDigest()"
    log(with_policy, 2)
    assert with_policy.reverts_as(mine, "logSynthetic", *good) == "WrongRequestState(request=2, actual=Logged)"
    request(with_policy)
    again = f"BatchAlreadyLogged(batchDigest=0x{BATCH.hex()})"
    assert with_policy.reverts_as(mine, "logSynthetic", 3, *good[1:]) == again


def test_a_manual_request_is_pending_until_its_decision(manual):
    assert [e.name for e in request(manual)] == ["SyntheticRequested"]
    assert (state(manual), used(manual)) == ("Pending", (0, 0))
    assert manual.names(manual.transact("decideSynthetic", 1, True)) == ["SyntheticApproved"]
    assert (state(manual), used(manual)) == ("Approved", (50, 50))


def test_a_manual_request_can_be_rejected(manual):
    request(manual)
    assert outcome(manual.events(manual.transact_as(manual.admin, "decideSynthetic", 1, False))) == "Discretion"
    assert manual.reverts("decideSynthetic", 1, True) == "WrongRequestState(request=1, actual=Rejected)"


def test_the_rules_hold_for_manual_decisions_too(manual):
    assert outcome(request(manual, amount=81)) == "BatchTooLarge"
    for _ in range(3):
        request(manual)
    manual.transact("decideSynthetic", 2, True)
    manual.transact("decideSynthetic", 3, True)
    assert manual.reverts("decideSynthetic", 4, True) == "PolicyForbids(reason=RoundQuota)"
    manual.transact("decideSynthetic", 4, False)


@pytest.mark.parametrize("role", [1, 4])
def test_the_requester_never_decides(manual, role):
    """Not even if it is also admin or auditor."""
    request(manual)
    manual.transact("grantRole", manual.clients[0], role)
    for approve in (True, False):
        assert manual.reverts_as(manual.members[0], "decideSynthetic", 1, approve) == "RequesterCannotDecide()"


def test_a_request_of_a_suspended_client_is_not_approved(manual):
    request(manual)
    manual.transact("suspendClient", manual.clients[0])
    assert manual.reverts("decideSynthetic", 1, True).endswith("actual=Suspended)")


def test_a_request_can_be_cancelled(with_policy):
    request(with_policy)
    events = with_policy.names(with_policy.transact_as(with_policy.members[0], "cancelSynthetic", 1))
    assert (events, state(with_policy), used(with_policy)) == (
        ["SyntheticCancelled", "QuotaRefunded"],
        "Cancelled",
        (0, 0),
    )
    again = with_policy.reverts_as(with_policy.members[0], "cancelSynthetic", 1)
    assert again == "WrongRequestState(request=1, actual=Cancelled)"
    reason = with_policy.reverts_as(with_policy.members[0], "logSynthetic", 1, 1, BATCH, GENERATOR, [])
    assert reason == "WrongRequestState(request=1, actual=Cancelled)"


def test_a_pending_request_has_nothing_to_refund(manual):
    request(manual)
    assert manual.names(manual.transact_as(manual.admin, "cancelSynthetic", 1)) == ["SyntheticCancelled"]


def test_other_accounts_cannot_cancel_a_request(with_policy):
    request(with_policy)
    for who in (with_policy.members[1], with_policy.auditor, with_policy.aggregator):
        assert with_policy.reverts_as(who, "cancelSynthetic", 1).startswith("NotTheRequester")
