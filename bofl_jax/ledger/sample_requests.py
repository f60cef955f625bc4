"""Asking for synthetic samples, through the contract: request, decision, log of what was made, refund.

The contract decides by the policy alone, or leaves what no rule forbids to the auditor; who asks never decides.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from bofl_jax.ledger.chain.base import Applied
from bofl_jax.ledger.contract.artefact import ENUMS, LogEvent, load_contract
from bofl_jax.ledger.contract.calls import Step
from bofl_jax.ledger.contract_ledger import GovernedLedger


class Policy(NamedTuple):
    """The rules, for one client and one class each.

    Attributes:
        rare_threshold: a class is rare below this share of a client's samples, in basis points.
        round_quota: samples in one round at most.
        total_quota: samples in the whole run at most.
        max_batch: samples in one request at most.
        cooldown: rounds between two approvals.
        manual: whether the auditor decides on what no rule forbids.
    """

    rare_threshold: int
    round_quota: int
    total_quota: int
    max_batch: int
    cooldown: int = 0
    manual: bool = False


class State(IntEnum):
    """Where a request stands; the numbers are the contract's."""

    PENDING = 1
    APPROVED = 2
    REJECTED = 3
    LOGGED = 4
    CANCELLED = 5


class Decision(NamedTuple):
    """What the contract says of a request.

    Attributes:
        request: its number, from 1.
        state: PENDING, APPROVED or REJECTED.
        reason: why it was rejected, in the contract's words (``NotRare``, ``RoundQuota`` ...); empty otherwise.
        gas: what asking or deciding cost.
    """

    request: int
    state: State
    reason: str
    gas: int


class SyntheticDesk:
    """The way to synthetic samples on a run's ledger. Every call is a block of its own, between or within rounds."""

    def __init__(self, ledger: GovernedLedger) -> None:
        self._ledger, self._contract = ledger, load_contract()

    def set_policy(self, policy: Policy) -> int:
        """Set the rules; returns the gas. Until then nothing is approved."""
        return _gas(self._call("setting the policy", Step(self._ledger.network.admin, "setPolicy", (tuple(policy),))))

    def request(self, client: int, kind: int, amount: int, class_counts: Sequence[int]) -> Decision:
        """Ask for samples.

        Args:
            client: index of the client that asks.
            kind: the class, an index into ``class_counts``.
            amount: how many samples.
            class_counts: the client's own training samples of every class.

        Raises:
            BoflError: if the contract refuses even to consider it (no active client, no amount, no such class, pause).
        """
        counts = [int(count) for count in class_counts]
        step = Step(self._ledger.network.clients[client], "requestSynthetic", (kind, amount, counts))
        return self._decision(self._call(f"requesting samples for client {client}", step))

    def decide(self, request: int, approve: bool) -> Decision:
        """The auditor's word on a pending request.

        Raises:
            BoflError: if it is not pending, or a rule forbids it by now.
        """
        step = Step(self._ledger.network.auditor, "decideSynthetic", (request, approve))
        return self._decision(self._call(f"deciding on request {request}", step))

    def log(
        self, client: int, request: int, used: int, batch: bytes, generator: bytes, scores: Sequence[int] = ()
    ) -> int:
        """Log what was made of an approval; what was not used is refunded. Returns the refunded samples.

        Args:
            client: index of the client that asked.
            request: number of the request.
            used: samples that are used; 0 where the batch failed its quality gates.
            batch: 32 bytes, digest of the batch.
            generator: 32 bytes, digest of the generator's parameters.
            scores: quality scores in basis points.

        Raises:
            BoflError: if the request is not approved, or of another client, or ``used`` exceeds it.
        """
        args = (request, used, batch, generator, list(scores))
        step = Step(self._ledger.network.clients[client], "logSynthetic", args)
        return self._refund(self._call(f"logging the batch of request {request}", step))

    def cancel(self, client: int, request: int) -> int:
        """Take back a request; returns the refunded samples."""
        step = Step(self._ledger.network.clients[client], "cancelSynthetic", (request,))
        return self._refund(self._call(f"cancelling request {request}", step))

    def _call(self, what: str, step: Step) -> Applied:
        return self._ledger.transact_apart(what, [step])

    def _events(self, applied: Applied) -> list[LogEvent]:
        return [self._contract.decode_log(topics, data) for _, topics, data in applied.outcomes[0].logs]

    def _decision(self, applied: Applied) -> Decision:
        events = {event.name: event.args for event in self._events(applied)}
        number = next(iter(events.values()))["request"]
        if "SyntheticRejected" in events:
            reason = ENUMS["Rejection"][events["SyntheticRejected"]["reason"]]
            return Decision(number, State.REJECTED, reason, _gas(applied))
        state = State.APPROVED if "SyntheticApproved" in events else State.PENDING
        return Decision(number, state, "", _gas(applied))

    def _refund(self, applied: Applied) -> int:
        return sum(event.args["amount"] for event in self._events(applied) if event.name == "QuotaRefunded")


def _gas(applied: Applied) -> int:
    return sum(outcome.gas for outcome in applied.outcomes)
