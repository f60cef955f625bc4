"""Short runs of a ledger, without any training."""

import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bofl_jax.ledger import Ledger, LedgerOptions, RejectionReason, RoundCost, Submissions, create_ledger

OK, REJECTED = RejectionReason.NONE, {1: RejectionReason.NOT_FINITE}
CLIENTS, SEED, CONFIG = 5, 7, sha256(b"config").digest()
MODEL = sha256(b"model").digest()


def digest_of(number: int, client: int) -> bytes:
    """The digest of an invented update."""
    return sha256(b"%d-%d" % (number, client)).digest()


def submissions(*rows: tuple, received: dict[int, bytes] | None = None) -> Submissions:
    """Updates from rows ``(client, digest, samples, metric, rejection)``.

    Args:
        rows: one per update.
        received: row -> digest of an update that was altered in transit.
    """
    client, digest, samples, metric, rejection = zip(*rows, strict=True)
    arrived = [(received or {}).get(row, sent) for row, sent in enumerate(digest)]
    as_bytes = (np.frombuffer(b"".join(part), np.uint8).reshape(len(rows), -1) for part in (digest, arrived))
    return Submissions(np.array(client), *as_bytes, np.array(samples), np.array(metric), np.array(rejection, np.uint8))


def row(
    client: int, rejection: RejectionReason = OK, *, digest: bytes | None = None, samples: int = 10, metric: int = 10**6
) -> tuple:
    """A row of `submissions`; the default digest of client k is 32 times the byte k + 1."""
    return client, bytes([client + 1]) * 32 if digest is None else digest, samples, metric, rejection


def opened(ledger: Ledger, number: int, cohort: Sequence[int]) -> Ledger:
    """The ledger after opening a round."""
    ledger.eligibility(number)
    ledger.open_round(number, np.array(cohort, int))
    return ledger


def change_registry(ledger: Ledger, function: str, client: int) -> None:
    """Change a client's registry entry as the admin, without telling the server."""
    from bofl_jax.ledger.contract.calls import ContractCall

    ledger.transact(
        function, [ContractCall(ledger.accounts.admin, function, (ledger.accounts.client_addresses[client],))]
    )


def record_rounds(ledger: Ledger, first: int, last: int) -> list[RoundCost]:
    """Record rounds in which client 4 does not take part and client 1's update is rejected."""
    costs = []
    for number in range(first, last + 1):
        ledger.eligibility(number)
        ledger.open_round(number, np.array([3, 0, 1, 2]))
        updates = [
            (client, digest_of(number, client), 10 + client, 10**6, REJECTED.get(client, OK)) for client in (2, 0, 3, 1)
        ]
        costs.append(ledger.close_round(number, submissions(*updates), sha256(b"model %d" % number).digest()))
    return costs


@pytest.fixture(scope="session")
def rounds() -> Callable[[Ledger, int, int], list[RoundCost]]:
    """A function that records rounds ``first`` to ``last`` on a ledger."""
    return record_rounds


@pytest.fixture(scope="session")
def new_ledger() -> Callable[..., Ledger]:
    """A function that creates a ledger of five clients in a directory."""
    return lambda directory, **options: create_ledger(LedgerOptions(**options), directory, CLIENTS, SEED, CONFIG)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of three rounds, which no test may change."""
    directory = tmp_path_factory.mktemp("template")
    record_rounds(create_ledger(LedgerOptions(), directory, CLIENTS, SEED, CONFIG), 1, 3)
    return directory


@pytest.fixture
def finished(template: Path, tmp_path: Path) -> Path:
    """A copy of the template that a test may change."""
    return Path(shutil.copytree(template, tmp_path / "finished"))
