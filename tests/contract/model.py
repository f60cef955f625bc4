"""A plain Python model of the contract, written from its documentation."""

from dataclasses import dataclass, field

ADMIN, AGGREGATOR, AUDITOR = 1, 2, 4
OUT = {"Unknown": "NotRegistered", "Suspended": "Suspended", "Revoked": "Revoked"}


class RejectedError(Exception):
    """A call that the contract must revert; the text is the name of its error."""


def require(holds: bool, error: str) -> None:
    if not holds:
        raise RejectedError(error)


@dataclass
class Round:
    size: int
    quorum: int
    members: frozenset[str] | None
    state: str = "Open"
    accepted: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    published: int = 0
    count: int = 0

    @property
    def submitted(self) -> int:
        return self.published + len(self.accepted - self.withdrawn)


@dataclass
class Request:
    client: str
    label: int
    amount: int
    state: str
    round: int = 0


@dataclass
class Governance:
    """The state of the contract. Accounts are names; a client's name is also its key in the registry."""

    roles: dict[str, int]
    clients: dict[str, str] = field(default_factory=dict)
    rounds: dict[int, Round] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    approvals: list[Request] = field(default_factory=list)
    used: dict[tuple[str, int], int] = field(default_factory=dict)
    in_round: dict[tuple[str, int, int], int] = field(default_factory=dict)
    batches: set[int] = field(default_factory=set)
    policy: tuple[int, int, int, int, int, bool] = (0, 0, 0, 0, 0, False)
    paused: bool = False
    version: int = 0
    registry: int = 0
    published: set[int] = field(default_factory=set)

    def require_role(self, who: str, role: int) -> None:
        require(bool(self.roles.get(who, 0) & role), "MissingRole")

    def require_unpaused(self) -> None:
        require(not self.paused, "IsPaused")

    def round_in(self, number: int, state: str) -> Round:
        require(number in self.rounds and self.rounds[number].state == state, "WrongRoundState")
        return self.rounds[number]

    @property
    def latest(self) -> int:
        return max(self.rounds, default=0)

    @property
    def active(self) -> int:
        return sum(state == "Active" for state in self.clients.values())

    # ---- registry
    def pause(self, who: str, value: bool) -> None:
        self.require_role(who, ADMIN)
        require(self.paused != value, "PauseUnchanged")
        self.paused = value

    def register(self, who: str, client: str) -> None:
        self.require_role(who, ADMIN)
        require(client not in self.clients, "AlreadyRegistered")
        self.clients[client] = "Active"
        self.registry += 1

    def move(self, who: str, client: str, allowed: tuple[str, ...], after: str) -> None:
        self.require_role(who, ADMIN)
        require(self.clients.get(client) in allowed, "WrongClientState")
        self.clients[client] = after
        self.registry += 1

    # ---- rounds
    def open(
        self, who: str, number: int, registry: int, size: int, quorum: int, members: frozenset[str] | None
    ) -> None:
        self.require_role(who, AGGREGATOR)
        self.require_unpaused()
        require(number == self.latest + 1, "NotNextRound")
        require(not self.rounds or self.rounds[self.latest].state in ("Finalised", "Aborted"), "RoundUnfinished")
        require(registry == self.registry, "RegistryChanged")
        require(size > 0, "EmptyCohort")
        require(size <= self.active, "CohortTooLarge")
        require(quorum <= size, "BadQuorum")
        require(members is None or members <= self.clients.keys(), "UnknownMember")
        require(members is None or len(members) == size, "CohortMiscounted")
        self.rounds[number] = Round(size, quorum, members)

    def check_update(self, entry: Round, client: str) -> str:
        state = self.clients.get(client, "Unknown")
        if state != "Active":
            return OUT[state]
        if client not in (entry.members or ()):
            return "NotInCohort"
        return "Duplicate" if client in entry.accepted else "None"

    def submit(self, who: str, number: int) -> None:
        self.require_unpaused()
        entry = self.round_in(number, "Open")
        require(entry.members is not None, "CohortNotListed")
        require(self.check_update(entry, who) == "None", "UpdateNotAccepted")
        entry.accepted.add(who)

    def relay(self, who: str, number: int, clients: list[str]) -> list[str]:
        self.require_role(who, AGGREGATOR)
        self.require_unpaused()
        entry = self.round_in(number, "Open")
        require(entry.members is not None, "CohortNotListed")
        verdicts = []
        for client in clients:
            verdicts.append(self.check_update(entry, client))
            if verdicts[-1] == "None":
                entry.accepted.add(client)
        return verdicts

    def publish(self, who: str, number: int, count: int) -> None:
        self.require_role(who, AGGREGATOR)
        self.require_unpaused()
        entry = self.round_in(number, "Open")
        require(entry.members is None, "CountIsNotSubmitted")
        require(entry.published + count <= entry.size, "CountAboveCohort")
        entry.published += count

    def withdraw(self, who: str, number: int, client: str) -> None:
        self.require_role(who, AGGREGATOR)
        self.require_unpaused()
        entry = self.round_in(number, "Open")
        if client in entry.accepted:
            require(client not in entry.withdrawn, "AlreadyWithdrawn")
            entry.withdrawn.add(client)

    def commit(self, who: str, number: int, count: int) -> None:
        self.require_role(who, AGGREGATOR)
        self.require_unpaused()
        entry = self.round_in(number, "Open")
        require(count <= entry.size, "CountAboveCohort")
        require(count >= entry.quorum, "QuorumMissed")
        tied = entry.members is not None or entry.submitted > 0
        require(not tied or count == entry.submitted, "CountIsNotSubmitted")
        entry.state, entry.count = "Committed", count

    def finalise(self, who: str, number: int) -> None:
        self.require_role(who, AUDITOR)
        self.require_unpaused()
        self.round_in(number, "Committed").state = "Finalised"
        self.version += 1

    def abort(self, who: str, number: int) -> None:
        self.require_role(who, AUDITOR | ADMIN)
        require(number in self.rounds and self.rounds[number].state in ("Open", "Committed"), "WrongRoundState")
        self.rounds[number].state = "Aborted"

    def results(self, who: str, version: int) -> None:
        self.require_role(who, AUDITOR)
        self.require_unpaused()
        require(0 < version <= self.version, "UnknownVersion")
        require(version not in self.published, "ResultsAlreadyPublished")
        self.published.add(version)

    # ---- synthetic data
    def rule(self, who: str, policy: tuple[int, int, int, int, int, bool]) -> None:
        self.require_role(who, ADMIN)
        self.policy = policy

    def over_quota(self, client: str, label: int, amount: int) -> str:
        _, round_quota, total_quota, _, cooldown, _ = self.policy
        mine = [request for request in self.approvals if (request.client, request.label) == (client, label)]
        if self.in_round.get((client, label, self.latest), 0) + amount > round_quota:
            return "RoundQuota"
        if self.used.get((client, label), 0) + amount > total_quota:
            return "TotalQuota"
        return "Cooldown" if mine and self.latest < mine[-1].round + cooldown else "None"

    def approve(self, entry: Request) -> None:
        entry.state, entry.round = "Approved", self.latest
        self.approvals.append(entry)
        self.charge(entry, entry.amount)

    def charge(self, entry: Request, amount: int) -> None:
        place = (entry.client, entry.label)
        self.used[place] = self.used.get(place, 0) + amount
        self.in_round[*place, entry.round] = self.in_round.get((*place, entry.round), 0) + amount

    def request(self, who: str, label: int, amount: int, counts: list[int]) -> None:
        self.require_unpaused()
        require(self.clients.get(who) == "Active", "WrongClientState")
        require(amount > 0, "EmptyRequest")
        require(label < len(counts), "UnknownClass")
        threshold, _, _, most, _, manual = self.policy
        rare = sum(counts) > 0 and counts[label] * 10_000 < sum(counts) * threshold
        entry = self.requests[len(self.requests) + 1] = Request(who, label, amount, "Rejected")
        if amount <= most and rare and self.over_quota(who, label, amount) == "None":
            if manual:
                entry.state = "Pending"
            else:
                self.approve(entry)

    def decide(self, who: str, number: int, approve: bool) -> None:
        self.require_role(who, AUDITOR | ADMIN)
        self.require_unpaused()
        require(number in self.requests and self.requests[number].state == "Pending", "WrongRequestState")
        entry = self.requests[number]
        require(entry.client != who, "RequesterCannotDecide")
        if not approve:
            entry.state = "Rejected"
            return
        require(self.clients[entry.client] == "Active", "WrongClientState")
        require(self.over_quota(entry.client, entry.label, entry.amount) == "None", "PolicyForbids")
        self.approve(entry)

    def log(self, who: str, number: int, used: int, batch: int) -> None:
        self.require_unpaused()
        require(self.clients.get(who) == "Active", "WrongClientState")
        require(number in self.requests and self.requests[number].client == who, "NotTheRequester")
        entry = self.requests[number]
        require(entry.state == "Approved", "WrongRequestState")
        require(used <= entry.amount, "MoreThanApproved")
        require(batch not in self.batches, "BatchAlreadyLogged")
        self.batches.add(batch)
        entry.state = "Logged"
        self.charge(entry, used - entry.amount)

    def cancel(self, who: str, number: int) -> None:
        state = self.requests[number].state if number in self.requests else "None"
        require(state in ("Pending", "Approved"), "WrongRequestState")
        entry = self.requests[number]
        require(entry.client == who or bool(self.roles.get(who, 0) & ADMIN), "NotTheRequester")
        entry.state = "Cancelled"
        if state == "Approved":
            self.charge(entry, -entry.amount)
