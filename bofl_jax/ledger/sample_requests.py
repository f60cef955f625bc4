"""Requests for synthetic samples through the contract: request, decision, log of the generated batch, refund.

The contract decides by its policy alone, or leaves requests that satisfy the policy to the auditor. A requester never
decides on its own request.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from bofl_jax.ledger.chain.base import ExecutedBlock
from bofl_jax.ledger.contract.artefact import ENUMS, ContractEvent, load_contract
from bofl_jax.ledger.contract.calls import ContractCall
from bofl_jax.ledger.contract_ledger import ContractLedger


class Policy(NamedTuple):
    """The rules for the synthetic samples of one client and one class.

    Attributes:
        rare_threshold: a class is rare below this share of a client's samples, in basis points.
        round_quota: maximum number of samples in one round.
        total_quota: maximum number of samples in the whole run.
        max_batch: maximum number of samples in one request.
        cooldown: number of rounds between two approvals.
        manual: whether the auditor decides on requests that satisfy the rules.
    """

    rare_threshold: int
    round_quota: int
    total_quota: int
    max_batch: int
    cooldown: int = 0
    manual: bool = False


class RequestState(IntEnum):
    """The state of a request; the numbers are the contract's."""

    PENDING = 1
    APPROVED = 2
    REJECTED = 3
    LOGGED = 4
    CANCELLED = 5


class Decision(NamedTuple):
    """The contract's answer to a request.

    Attributes:
        request: number of the request, from 1.
        state: PENDING, APPROVED or REJECTED.
        reason: the contract's name for the reason of a rejection (``NotRare``, ``RoundQuota`` ...); empty otherwise.
        gas: gas used by the request or the decision.
    """

    request: int
    state: RequestState
    reason: str
    gas: int


class SampleRequestClient:
    """Requests synthetic samples on a run's ledger. Every call is a block of its own, between or within rounds.

    Args:
        ledger: the run's ledger.
    """

    def __init__(self, ledger: ContractLedger) -> None:
        self._ledger = ledger

    def set_policy(self, policy: Policy) -> int:
        """Set the rules; until then nothing is approved. Returns the gas used."""
        call = ContractCall(self._ledger.accounts.admin, "setPolicy", (tuple(policy),))
        return _gas_used(self._transact("setting the policy", call))

    def request(self, client: int, label: int, amount: int, class_counts: Sequence[int]) -> Decision:
        """Request samples of one class.

        Args:
            client: index of the client that requests.
            label: index of the class, an index into ``class_counts``.
            amount: number of samples.
            class_counts: int[K], number of the client's own training samples of every class.

        Raises:
            BoflError: if the contract does not consider the request, because the client is not active, the amount is
                zero, the class does not exist, or the contract is paused.
        """
        counts = [int(count) for count in class_counts]
        call = ContractCall(self._ledger.accounts.clients[client], "requestSynthetic", (label, amount, counts))
        return _decision(self._transact(f"requesting samples for client {client}", call))

    def decide(self, request: int, approve: bool) -> Decision:
        """Decide on a pending request as the auditor.

        Args:
            request: number of the request.
            approve: whether to approve it.

        Raises:
            BoflError: if the request is not pending, or a rule forbids it by now.
        """
        call = ContractCall(self._ledger.accounts.auditor, "decideSynthetic", (request, approve))
        return _decision(self._transact(f"deciding on request {request}", call))

    def log_batch(
        self,
        client: int,
        request: int,
        used: int,
        batch_digest: bytes,
        generator_digest: bytes,
        scores: Sequence[int] = (),
    ) -> int:
        """Log the batch that was generated for an approved request; the unused part of the quota is refunded.

        Args:
            client: index of the client that requested.
            request: number of the request.
            used: number of samples that are used; 0 if the batch failed its quality gates.
            batch_digest: 32 bytes, digest of the batch.
            generator_digest: 32 bytes, digest of the generator's parameters.
            scores: quality scores in basis points.

        Returns:
            Number of refunded samples.

        Raises:
            BoflError: if the request is not approved, belongs to another client, or is smaller than ``used``.
        """
        args = (request, used, batch_digest, generator_digest, list(scores))
        call = ContractCall(self._ledger.accounts.clients[client], "logSynthetic", args)
        return _refund(self._transact(f"logging the batch of request {request}", call))

    def cancel(self, client: int, request: int) -> int:
        """Cancel a request; returns the number of refunded samples.

        Args:
            client: index of the client that requested.
            request: number of the request.

        Raises:
            BoflError: if the request is neither pending nor approved, or belongs to another client.
        """
        call = ContractCall(self._ledger.accounts.clients[client], "cancelSynthetic", (request,))
        return _refund(self._transact(f"cancelling request {request}", call))

    def _transact(self, task: str, call: ContractCall) -> ExecutedBlock:
        return self._ledger.transact_outside_round(task, [call])


def _events(block: ExecutedBlock) -> list[ContractEvent]:
    return [load_contract().decode_log(log.topics, log.data) for log in block.receipts[0].logs]


def _decision(block: ExecutedBlock) -> Decision:
    events = {event.name: event.args for event in _events(block)}
    number = next(iter(events.values()))["request"]
    if "SyntheticRejected" in events:
        reason = ENUMS["Rejection"][events["SyntheticRejected"]["reason"]]
        return Decision(number, RequestState.REJECTED, reason, _gas_used(block))
    state = RequestState.APPROVED if "SyntheticApproved" in events else RequestState.PENDING
    return Decision(number, state, "", _gas_used(block))


def _refund(block: ExecutedBlock) -> int:
    return sum(event.args["amount"] for event in _events(block) if event.name == "QuotaRefunded")


def _gas_used(block: ExecutedBlock) -> int:
    return sum(receipt.gas_used for receipt in block.receipts)
