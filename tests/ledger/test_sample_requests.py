"""Requests for synthetic samples: every decision, log and refund, and that rounds do not pay for them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger import Ledger, audit_chain
from bofl_jax.ledger.contract.artefact import AUDITOR, load_contract
from bofl_jax.ledger.contract.calls import ContractCall
from bofl_jax.ledger.contract_ledger import ContractLedger
from bofl_jax.ledger.sample_requests import Decision, Policy, RequestState, SampleRequestClient
from bofl_jax.ledger.storage.block_log import read_blocks
from tests.ledger.conftest import CLIENTS, MODEL, opened, row, submissions

RULES = Policy(rare_threshold=500, round_quota=100, total_quota=250, max_batch=80)
COUNTS = np.array([960, 40, 0])  # class 1 has 4 % of the samples, class 2 has none
BATCH, OTHER, GENERATOR = bytes([8]) * 32, bytes([7]) * 32, bytes([9]) * 32
MODES = ("merkle", "calldata", "signed", "per-client")


@pytest.fixture
def ledger(tmp_path: Path, new_ledger: Callable[..., Ledger]) -> Ledger:
    return new_ledger(tmp_path)


@pytest.fixture
def requests(ledger: ContractLedger) -> SampleRequestClient:
    """A client under a policy without manual decisions."""
    requests = SampleRequestClient(ledger)
    requests.set_policy(RULES)
    return requests


@pytest.fixture
def manual(ledger: ContractLedger) -> SampleRequestClient:
    """A client under a policy with manual decisions."""
    requests = SampleRequestClient(ledger)
    requests.set_policy(RULES._replace(manual=True))
    return requests


def request(requests: SampleRequestClient, amount: int = 50, label: int = 1, client: int = 0) -> Decision:
    return requests.request(client, label, amount, COUNTS)


def usage(ledger: ContractLedger, client: int = 0, label: int = 1) -> tuple[int, int]:
    """Approved samples of a client and a class: in all, and in the round of the last approval."""
    contract, address = load_contract(), ledger.accounts.client_addresses[client]
    data = contract.encode_call("usage", address, label)
    _, output = ledger.contract.chain.eth_call(ledger.contract.address, data)
    return contract.decode_output("usage", output)[:2]


def record_round(ledger: Ledger, number: int, within: Callable[[], None] = lambda: None) -> object:
    """Record a round of clients 0 to 2; ``within`` is called while it is open."""
    opened(ledger, number, [0, 1, 2])
    within()
    return ledger.close_round(number, submissions(row(0), row(1), row(2)), MODEL)


def abort_rounds(ledger: ContractLedger, count: int) -> None:
    for _ in range(count):
        opened(ledger, 1, [0]).abort_round(1)


def events(directory: Path) -> list[tuple[str, dict]]:
    found = [event for _, event in audit_chain(directory).events]
    return [(e.name, e.args) for e in found if e.name.startswith(("Synthetic", "Quota", "Policy"))]


def test_a_rare_class_within_its_quota_is_approved(requests, ledger):
    decision = request(requests)
    assert decision == Decision(1, RequestState.APPROVED, "", decision.gas)
    assert 50_000 < decision.gas < 500_000
    assert usage(ledger) == (50, 50)
    assert request(requests, label=2).request == 2


def test_a_policy_costs_gas_and_is_announced(ledger, tmp_path):
    assert 21_000 < SampleRequestClient(ledger).set_policy(RULES._replace(cooldown=3)) < 200_000
    assert events(tmp_path) == [("PolicyChanged", {"policy": (500, 100, 250, 80, 3, False)})]


def test_without_a_policy_nothing_is_approved(ledger):
    assert request(SampleRequestClient(ledger), amount=1)[:3] == (1, RequestState.REJECTED, "BatchTooLarge")


def test_a_class_that_is_not_rare_is_rejected(requests, ledger):
    assert request(requests, label=0)[:3] == (1, RequestState.REJECTED, "NotRare")
    assert requests.request(0, 1, 50, [0, 0, 0])[:3] == (2, RequestState.REJECTED, "NotRare")
    assert usage(ledger) == (0, 0)


def test_too_large_a_batch_is_rejected(requests):
    assert request(requests, amount=81)[:3] == (1, RequestState.REJECTED, "BatchTooLarge")
    assert request(requests, amount=80).state is RequestState.APPROVED


def test_the_quotas_reject_and_count_by_client_and_class(requests, ledger):
    assert [request(requests).state for _ in range(2)] == [RequestState.APPROVED] * 2
    assert request(requests, amount=1)[1:3] == (RequestState.REJECTED, "RoundQuota")
    assert request(requests, client=1).state is RequestState.APPROVED
    assert request(requests, label=2).state is RequestState.APPROVED
    for _ in range(2):
        abort_rounds(ledger, 1)
        request(requests), request(requests)
    assert usage(ledger) == (250, 50)
    assert request(requests, amount=1)[1:3] == (RequestState.REJECTED, "TotalQuota")


def test_the_cooldown_rejects(ledger):
    requests = SampleRequestClient(ledger)
    requests.set_policy(RULES._replace(cooldown=2))
    assert request(requests).state is RequestState.APPROVED
    abort_rounds(ledger, 1)
    assert request(requests)[1:3] == (RequestState.REJECTED, "Cooldown")
    abort_rounds(ledger, 1)
    assert request(requests).state is RequestState.APPROVED


def test_a_manual_request_is_pending_until_it_is_approved(manual, ledger):
    assert request(manual)[:3] == (1, RequestState.PENDING, "")
    assert usage(ledger) == (0, 0)
    decision = manual.decide(1, approve=True)
    assert decision[:3] == (1, RequestState.APPROVED, "")
    assert decision.gas > 21_000
    assert usage(ledger) == (50, 50)


def test_a_manual_request_is_rejected_at_discretion(manual):
    request(manual)
    assert manual.decide(1, approve=False)[:3] == (1, RequestState.REJECTED, "Discretion")
    with pytest.raises(BoflError, match=r"rejected decideSynthetic while deciding on request 1: WrongRequestState\("):
        manual.decide(1, approve=True)


def test_a_request_that_a_rule_forbids_is_rejected_without_a_manual_decision(manual):
    assert request(manual, label=0)[1:3] == (RequestState.REJECTED, "NotRare")


def test_an_approval_keeps_to_the_rules_of_that_moment(manual):
    for _ in range(3):
        assert request(manual).state is RequestState.PENDING
    assert [manual.decide(number, approve=True).state for number in (1, 2)] == [RequestState.APPROVED] * 2
    with pytest.raises(BoflError, match=r"PolicyForbids\("):
        manual.decide(3, approve=True)


def test_the_requester_never_decides_even_as_an_auditor(manual, ledger):
    accounts = ledger.accounts
    grant = ContractCall(accounts.admin, "grantRole", (accounts.client_addresses[0], AUDITOR))
    ledger.transact_outside_round("making client 0 an auditor", [grant])
    assert [request(manual, client=client).request for client in (0, 1)] == [1, 2]

    def decide(request: int) -> None:
        ledger.transact_outside_round(
            "deciding", [ContractCall(accounts.clients[0], "decideSynthetic", (request, True))]
        )

    with pytest.raises(BoflError, match=r"rejected decideSynthetic while deciding: RequesterCannotDecide\(\)"):
        decide(1)
    decide(2)
    with pytest.raises(BoflError, match="WrongRequestState"):
        manual.decide(2, approve=True)
    assert manual.decide(1, approve=True).state is RequestState.APPROVED


@pytest.mark.parametrize(("used", "refund"), [(50, 0), (30, 20), (0, 50)])
def test_a_batch_is_logged_and_the_rest_refunded(used, refund, requests, ledger, tmp_path):
    request(requests)
    assert requests.log_batch(0, 1, used, BATCH, GENERATOR, [9000, 8000]) == refund
    assert usage(ledger) == (used, used)
    found = dict(events(tmp_path))
    assert found["SyntheticLogged"] == {
        "request": 1,
        "used": used,
        "batchDigest": BATCH,
        "generatorDigest": GENERATOR,
        "scores": (9000, 8000),
    }
    assert found.get("QuotaRefunded") == ({"request": 1, "amount": refund} if refund else None)


def test_an_invalid_log_is_rejected(requests, ledger):
    request(requests)
    blocks = ledger.blocks
    with pytest.raises(BoflError, match="NotTheRequester"):
        requests.log_batch(1, 1, 50, BATCH, GENERATOR)
    with pytest.raises(BoflError, match="MoreThanApproved"):
        requests.log_batch(0, 1, 51, BATCH, GENERATOR)
    with pytest.raises(BoflError, match="EmptyDigest"):
        requests.log_batch(0, 1, 50, bytes(32), GENERATOR)
    assert ledger.blocks == blocks
    assert requests.log_batch(0, 1, 50, BATCH, GENERATOR) == 0
    with pytest.raises(BoflError, match="WrongRequestState"):
        requests.log_batch(0, 1, 50, OTHER, GENERATOR)
    request(requests)
    with pytest.raises(BoflError, match="BatchAlreadyLogged"):
        requests.log_batch(0, 2, 50, BATCH, GENERATOR)


def test_a_rejected_request_cannot_be_logged(requests):
    request(requests, label=0)
    with pytest.raises(BoflError, match="WrongRequestState"):
        requests.log_batch(0, 1, 0, BATCH, GENERATOR)


def test_an_approved_request_is_cancelled_with_a_refund(requests, ledger):
    request(requests)
    assert requests.cancel(0, 1) == 50
    assert usage(ledger) == (0, 0)
    with pytest.raises(BoflError, match="while cancelling request 1: WrongRequestState"):
        requests.cancel(0, 1)


def test_a_pending_request_is_cancelled_without_a_refund(manual):
    request(manual)
    with pytest.raises(BoflError, match="NotTheRequester"):
        manual.cancel(1, 1)
    assert manual.cancel(0, 1) == 0


@pytest.mark.parametrize(
    ("label", "amount", "reason"), [(1, 0, "EmptyRequest"), (3, 1, "UnknownClass"), (300, 1, "cannot be called")]
)
def test_an_invalid_request_is_rejected(label, amount, reason, requests):
    with pytest.raises(BoflError, match=reason):
        request(requests, amount=amount, label=label)


def test_only_active_clients_can_request_samples(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path, registered=CLIENTS - 1)
    requests = SampleRequestClient(ledger)
    requests.set_policy(RULES)
    with pytest.raises(BoflError, match=r"while requesting samples for client 4: "):
        request(requests, client=CLIENTS - 1)


@pytest.mark.parametrize("mode", MODES)
def test_requests_are_not_part_of_a_rounds_cost_and_the_audit_agrees(mode, tmp_path, new_ledger):
    """Requests between and within rounds; the rounds cost the same as without them."""
    busy, quiet = new_ledger(tmp_path / "busy", mode=mode), new_ledger(tmp_path / "quiet", mode=mode)
    requests = SampleRequestClient(busy)
    requests.set_policy(RULES)

    def within() -> None:
        request(requests)
        request(requests, label=0)
        requests.log_batch(0, 2, 30, BATCH, GENERATOR)
        request(requests, label=2)
        requests.cancel(0, 4)

    request(requests, client=3)
    costs = [record_round(busy, 1, within)]
    requests.cancel(3, 1)
    costs.append(record_round(busy, 2))
    plain = [record_round(quiet, number) for number in (1, 2)]
    names = ("gas", "bytes", "transactions", "gas_by_function", "accepted", "rejected")
    assert [[getattr(c, n) for n in names] for c in costs] == [[getattr(c, n) for n in names] for c in plain]
    found = audit_chain(tmp_path / "busy")
    assert [r.gas for r in found.rounds] == [c.gas for c in costs]
    assert [r.gas for r in audit_chain(tmp_path / "quiet").rounds] == [c.gas for c in plain]
    assert found.blocks == len(list(read_blocks(tmp_path / "busy" / "ledger" / "blocks.rlp"))) == busy.blocks


def test_a_rejected_call_within_a_round_does_not_change_its_cost(ledger, requests, tmp_path):
    def within() -> None:
        with pytest.raises(BoflError, match="EmptyRequest"):
            request(requests, amount=0)

    cost = record_round(ledger, 1, within)
    assert [r.gas for r in audit_chain(tmp_path).rounds] == [cost.gas]


def test_every_step_of_a_request_has_an_event(requests, tmp_path):
    request(requests)
    request(requests, label=0)
    requests.log_batch(0, 1, 0, BATCH, GENERATOR)
    request(requests, label=2)
    requests.cancel(0, 3)
    assert [name for name, _ in events(tmp_path)] == [
        "PolicyChanged",
        *("SyntheticRequested", "SyntheticApproved"),
        *("SyntheticRequested", "SyntheticRejected"),
        *("SyntheticLogged", "QuotaRefunded"),
        *("SyntheticRequested", "SyntheticApproved"),
        *("SyntheticCancelled", "QuotaRefunded"),
    ]


def test_a_changed_block_with_a_request_is_found(requests, tmp_path):
    request(requests)
    log = tmp_path / "ledger" / "blocks.rlp"
    data = bytearray(log.read_bytes())
    data[-100] ^= 1
    log.write_bytes(data)
    with pytest.raises(VerificationError):
        audit_chain(tmp_path)
