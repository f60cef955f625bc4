"""Short runs of a ledger, without any training."""

import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bofl_jax.ledger import Ledger, LedgerOptions, RejectionReason, RoundCost, Submissions, create_ledger

OK, REFUSED = RejectionReason.NONE, {1: RejectionReason.NOT_FINITE}
CLIENTS, SEED, CONFIG = 5, 7, sha256(b"config").digest()
MODEL = sha256(b"model").digest()


def digest_of(number: int, client: int) -> bytes:
    """The digest of a made-up update."""
    return sha256(b"%d-%d" % (number, client)).digest()


def submissions(*rows: tuple, received: dict[int, bytes] | None = None) -> Submissions:
    """Updates from rows ``(client, digest, samples, metric, refusal)``; ``received``: row -> what arrived instead."""
    client, digest, samples, metric, refusal = zip(*rows, strict=True)
    arrived = [(received or {}).get(row, sent) for row, sent in enumerate(digest)]
    as_bytes = (np.frombuffer(b"".join(part), np.uint8).reshape(len(rows), -1) for part in (digest, arrived))
    return Submissions(np.array(client), *as_bytes, np.array(samples), np.array(metric), np.array(refusal, np.uint8))


def row(
    client: int, refusal: RejectionReason = OK, *, digest: bytes | None = None, samples: int = 10, metric: int = 10**6
) -> tuple:
    """A row of `submissions`: unless told otherwise, client k sends 32 times the byte k + 1."""
    return client, bytes([client + 1]) * 32 if digest is None else digest, samples, metric, refusal


def opened(ledger: Ledger, number: int, cohort: Sequence[int]) -> Ledger:
    """The ledger with a round in hand."""
    ledger.eligibility(number)
    ledger.open_round(number, np.array(cohort, int))
    return ledger


def change_registry(ledger: Ledger, function: str, client: int) -> None:
    """What an admin does to a client's entry behind the server's back."""
    from bofl_jax.ledger.contract.calls import Step

    ledger.transact(function, [Step(ledger.network.admin, function, (ledger.network.addresses[client],))])


def play(ledger: Ledger, first: int, last: int) -> list[RoundCost]:
    """Rounds in which client 4 stays away and client 1's update is rejected."""
    costs = []
    for number in range(first, last + 1):
        ledger.eligibility(number)
        ledger.open_round(number, np.array([3, 0, 1, 2]))
        updates = [
            (client, digest_of(number, client), 10 + client, 10**6, REFUSED.get(client, OK)) for client in (2, 0, 3, 1)
        ]
        costs.append(ledger.close_round(number, submissions(*updates), sha256(b"model %d" % number).digest()))
    return costs


@pytest.fixture(scope="session")
def rounds() -> Callable[[Ledger, int, int], list[RoundCost]]:
    """Plays rounds ``first`` to ``last`` on a ledger."""
    return play


@pytest.fixture(scope="session")
def new_ledger() -> Callable[..., Ledger]:
    """Starts a ledger of five clients in a directory."""
    return lambda directory, **options: create_ledger(LedgerOptions(**options), directory, CLIENTS, SEED, CONFIG)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of three rounds, not to be touched."""
    directory = tmp_path_factory.mktemp("template")
    play(create_ledger(LedgerOptions(), directory, CLIENTS, SEED, CONFIG), 1, 3)
    return directory


@pytest.fixture
def finished(template: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(template, tmp_path / "finished"))
