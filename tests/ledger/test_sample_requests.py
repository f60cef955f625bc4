"""The desk for synthetic samples: every decision, log and refund, apart from the cost of the rounds around them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger import Ledger, audit_chain
from bofl_jax.ledger.contract.artefact import AUDITOR
from bofl_jax.ledger.contract.calls import Step
from bofl_jax.ledger.contract_ledger import GovernedLedger
from bofl_jax.ledger.sample_requests import Decision, Policy, State, SyntheticDesk
from bofl_jax.ledger.storage.block_log import read_blocks
from tests.ledger.conftest import CLIENTS, MODEL, opened, row, submissions

RULES = Policy(rare_threshold=500, round_quota=100, total_quota=250, max_batch=80)
COUNTS = np.array([960, 40, 0])  # class 1 has 4 %, class 2 nothing
BATCH, OTHER, GENERATOR = bytes([8]) * 32, bytes([7]) * 32, bytes([9]) * 32
MODES = ("merkle", "calldata", "signed", "per-client")


@pytest.fixture
def ledger(tmp_path: Path, new_ledger: Callable[..., Ledger]) -> Ledger:
    return new_ledger(tmp_path)


@pytest.fixture
def desk(ledger: GovernedLedger) -> SyntheticDesk:
    """Automatic rules hold."""
    desk = SyntheticDesk(ledger)
    desk.set_policy(RULES)
    return desk


@pytest.fixture
def manual(ledger: GovernedLedger) -> SyntheticDesk:
    """A person decides."""
    desk = SyntheticDesk(ledger)
    desk.set_policy(RULES._replace(manual=True))
    return desk


def ask(desk: SyntheticDesk, amount: int = 50, kind: int = 1, client: int = 0) -> Decision:
    return desk.request(client, kind, amount, COUNTS)


def usage(ledger: GovernedLedger, client: int = 0, kind: int = 1) -> tuple[int, int]:
    """What of a class a client has had approved: in all, and in the latest round of an approval."""
    data = ledger._contract.encode("usage", ledger.network.addresses[client], kind)
    _, output = ledger._engine.view(ledger._address, data)
    return ledger._contract.decode_output("usage", output)[:2]


def play_round(ledger: Ledger, number: int, within: Callable[[], None] = lambda: None) -> object:
    """A round of clients 0 to 2; ``within`` happens while it is open."""
    opened(ledger, number, [0, 1, 2])
    within()
    return ledger.close_round(number, submissions(row(0), row(1), row(2)), MODEL)


def abort_rounds(ledger: GovernedLedger, count: int) -> None:
    for _ in range(count):
        opened(ledger, 1, [0]).abort_round(1)


def events(directory: Path) -> list[tuple[str, dict]]:
    told = [told.event for told in audit_chain(directory).told]
    return [(e.name, e.args) for e in told if e.name.startswith(("Synthetic", "Quota", "Policy"))]


def test_a_rare_class_within_its_quota_is_approved(desk, ledger):
    decision = ask(desk)
    assert decision == Decision(1, State.APPROVED, "", decision.gas)
    assert 50_000 < decision.gas < 500_000
    assert usage(ledger) == (50, 50)
    assert ask(desk, kind=2).request == 2


def test_a_policy_costs_gas_and_is_announced(ledger, tmp_path):
    assert 21_000 < SyntheticDesk(ledger).set_policy(RULES._replace(cooldown=3)) < 200_000
    assert events(tmp_path) == [("PolicyChanged", {"policy": (500, 100, 250, 80, 3, False)})]


def test_without_a_policy_nothing_is_approved(ledger):
    assert ask(SyntheticDesk(ledger), amount=1)[:3] == (1, State.REJECTED, "BatchTooLarge")


def test_a_class_that_is_not_rare_is_rejected(desk, ledger):
    assert ask(desk, kind=0)[:3] == (1, State.REJECTED, "NotRare")
    assert desk.request(0, 1, 50, [0, 0, 0])[:3] == (2, State.REJECTED, "NotRare")
    assert usage(ledger) == (0, 0)


def test_too_large_a_batch_is_rejected(desk):
    assert ask(desk, amount=81)[:3] == (1, State.REJECTED, "BatchTooLarge")
    assert ask(desk, amount=80).state is State.APPROVED


def test_the_quotas_reject_and_count_by_client_and_class(desk, ledger):
    assert [ask(desk).state for _ in range(2)] == [State.APPROVED] * 2
    assert ask(desk, amount=1)[1:3] == (State.REJECTED, "RoundQuota")
    assert ask(desk, client=1).state is State.APPROVED
    assert ask(desk, kind=2).state is State.APPROVED
    for _ in range(2):
        abort_rounds(ledger, 1)
        ask(desk), ask(desk)
    assert usage(ledger) == (250, 50)
    assert ask(desk, amount=1)[1:3] == (State.REJECTED, "TotalQuota")


def test_the_cooldown_rejects(ledger):
    desk = SyntheticDesk(ledger)
    desk.set_policy(RULES._replace(cooldown=2))
    assert ask(desk).state is State.APPROVED
    abort_rounds(ledger, 1)
    assert ask(desk)[1:3] == (State.REJECTED, "Cooldown")
    abort_rounds(ledger, 1)
    assert ask(desk).state is State.APPROVED


def test_a_manual_request_waits_and_is_approved(manual, ledger):
    assert ask(manual)[:3] == (1, State.PENDING, "")
    assert usage(ledger) == (0, 0)
    decision = manual.decide(1, approve=True)
    assert decision[:3] == (1, State.APPROVED, "")
    assert decision.gas > 21_000
    assert usage(ledger) == (50, 50)


def test_a_manual_request_is_rejected_at_discretion(manual):
    ask(manual)
    assert manual.decide(1, approve=False)[:3] == (1, State.REJECTED, "Discretion")
    with pytest.raises(BoflError, match=r"refused decideSynthetic while deciding on request 1: WrongRequestState\("):
        manual.decide(1, approve=True)


def test_what_a_rule_forbids_is_rejected_before_anyone_decides(manual):
    assert ask(manual, kind=0)[1:3] == (State.REJECTED, "NotRare")


def test_an_approval_keeps_to_the_rules_of_that_moment(manual):
    for _ in range(3):
        assert ask(manual).state is State.PENDING
    assert [manual.decide(number, approve=True).state for number in (1, 2)] == [State.APPROVED] * 2
    with pytest.raises(BoflError, match=r"PolicyForbids\("):
        manual.decide(3, approve=True)


def test_the_requester_never_decides_even_as_an_auditor(manual, ledger):
    network = ledger.network
    grant = Step(network.admin, "grantRole", (network.addresses[0], AUDITOR))
    ledger.transact_apart("making client 0 an auditor", [grant])
    assert [ask(manual, client=client).request for client in (0, 1)] == [1, 2]

    def decide(request: int) -> None:
        ledger.transact_apart("deciding", [Step(network.clients[0], "decideSynthetic", (request, True))])

    with pytest.raises(BoflError, match=r"refused decideSynthetic while deciding: RequesterCannotDecide\(\)"):
        decide(1)
    decide(2)
    with pytest.raises(BoflError, match="WrongRequestState"):
        manual.decide(2, approve=True)
    assert manual.decide(1, approve=True).state is State.APPROVED


@pytest.mark.parametrize(("used", "refund"), [(50, 0), (30, 20), (0, 50)])
def test_a_batch_is_logged_and_the_rest_refunded(used, refund, desk, ledger, tmp_path):
    ask(desk)
    assert desk.log(0, 1, used, BATCH, GENERATOR, [9000, 8000]) == refund
    assert usage(ledger) == (used, used)
    told = dict(events(tmp_path))
    assert told["SyntheticLogged"] == {
        "request": 1,
        "used": used,
        "batchDigest": BATCH,
        "generatorDigest": GENERATOR,
        "scores": (9000, 8000),
    }
    assert told.get("QuotaRefunded") == ({"request": 1, "amount": refund} if refund else None)


def test_a_log_that_makes_no_sense_is_refused(desk, ledger):
    ask(desk)
    blocks = ledger.blocks
    with pytest.raises(BoflError, match="NotTheRequester"):
        desk.log(1, 1, 50, BATCH, GENERATOR)
    with pytest.raises(BoflError, match="MoreThanApproved"):
        desk.log(0, 1, 51, BATCH, GENERATOR)
    with pytest.raises(BoflError, match="EmptyDigest"):
        desk.log(0, 1, 50, bytes(32), GENERATOR)
    assert ledger.blocks == blocks
    assert desk.log(0, 1, 50, BATCH, GENERATOR) == 0
    with pytest.raises(BoflError, match="WrongRequestState"):
        desk.log(0, 1, 50, OTHER, GENERATOR)
    ask(desk)
    with pytest.raises(BoflError, match="BatchAlreadyLogged"):
        desk.log(0, 2, 50, BATCH, GENERATOR)


def test_what_was_rejected_cannot_be_logged(desk):
    ask(desk, kind=0)
    with pytest.raises(BoflError, match="WrongRequestState"):
        desk.log(0, 1, 0, BATCH, GENERATOR)


def test_an_approved_request_is_taken_back_and_refunded(desk, ledger):
    ask(desk)
    assert desk.cancel(0, 1) == 50
    assert usage(ledger) == (0, 0)
    with pytest.raises(BoflError, match="while cancelling request 1: WrongRequestState"):
        desk.cancel(0, 1)


def test_a_pending_request_is_taken_back_without_a_refund(manual):
    ask(manual)
    with pytest.raises(BoflError, match="NotTheRequester"):
        manual.cancel(1, 1)
    assert manual.cancel(0, 1) == 0


@pytest.mark.parametrize(
    ("kind", "amount", "reason"), [(1, 0, "EmptyRequest"), (3, 1, "UnknownClass"), (300, 1, "cannot be called")]
)
def test_a_request_without_sense_is_refused(kind, amount, reason, desk):
    with pytest.raises(BoflError, match=reason):
        ask(desk, amount=amount, kind=kind)


def test_only_active_clients_ask(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path, registered=CLIENTS - 1)
    desk = SyntheticDesk(ledger)
    desk.set_policy(RULES)
    with pytest.raises(BoflError, match=r"while requesting samples for client 4: "):
        ask(desk, client=CLIENTS - 1)


@pytest.mark.parametrize("mode", MODES)
def test_requests_do_not_count_as_a_rounds_cost_and_the_audit_agrees(mode, tmp_path, new_ledger):
    """Between and within rounds, while the round next to them costs what it costs without them."""
    busy, quiet = new_ledger(tmp_path / "busy", mode=mode), new_ledger(tmp_path / "quiet", mode=mode)
    desk = SyntheticDesk(busy)
    desk.set_policy(RULES)

    def within() -> None:
        ask(desk)
        ask(desk, kind=0)
        desk.log(0, 2, 30, BATCH, GENERATOR)
        ask(desk, kind=2)
        desk.cancel(0, 4)

    ask(desk, client=3)
    costs = [play_round(busy, 1, within)]
    desk.cancel(3, 1)
    costs.append(play_round(busy, 2))
    plain = [play_round(quiet, number) for number in (1, 2)]
    told = ("gas", "bytes", "transactions", "gas_of", "accepted", "rejected")
    assert [[getattr(c, n) for n in told] for c in costs] == [[getattr(c, n) for n in told] for c in plain]
    found = audit_chain(tmp_path / "busy")
    assert [r.gas for r in found.rounds] == [c.gas for c in costs]
    assert [r.gas for r in audit_chain(tmp_path / "quiet").rounds] == [c.gas for c in plain]
    assert found.blocks == len(list(read_blocks(tmp_path / "busy" / "ledger" / "blocks.rlp"))) == busy.blocks


def test_a_refused_call_within_a_round_leaves_its_cost_alone(ledger, desk, tmp_path):
    def within() -> None:
        with pytest.raises(BoflError, match="EmptyRequest"):
            ask(desk, amount=0)

    cost = play_round(ledger, 1, within)
    assert [r.gas for r in audit_chain(tmp_path).rounds] == [cost.gas]


def test_everything_that_happened_is_told(desk, tmp_path):
    ask(desk)
    ask(desk, kind=0)
    desk.log(0, 1, 0, BATCH, GENERATOR)
    ask(desk, kind=2)
    desk.cancel(0, 3)
    assert [name for name, _ in events(tmp_path)] == [
        "PolicyChanged",
        *("SyntheticRequested", "SyntheticApproved"),
        *("SyntheticRequested", "SyntheticRejected"),
        *("SyntheticLogged", "QuotaRefunded"),
        *("SyntheticRequested", "SyntheticApproved"),
        *("SyntheticCancelled", "QuotaRefunded"),
    ]


def test_a_changed_block_of_a_request_is_found(desk, tmp_path):
    ask(desk)
    log = tmp_path / "ledger" / "blocks.rlp"
    data = bytearray(log.read_bytes())
    data[-100] ^= 1
    log.write_bytes(data)
    with pytest.raises(VerificationError):
        audit_chain(tmp_path)
