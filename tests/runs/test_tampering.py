"""Whatever is changed in a finished run, the audit says so: every kind of tampering a few times.

A thousand trials are in ``tests/slow/test_tampering.py`` and ``benchmarks/tampering.py``.
"""

import contextlib
import random
from pathlib import Path

import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.runs import audit
from tests.runs.tampering.kinds import AGREED, BAD_REQUESTS, KINDS, SIGNED_ONLY
from tests.runs.tampering.runs import MODES, ROUNDS, conduct_all
from tests.runs.tampering.trials import conduct_trials, is_found, modes_for, spoil, verdict

TIMES = 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conduct_all(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def place(runs: Path, tmp_path: Path) -> Path:
    """Where a copy is spoilt, with the runs of another seed beside it."""
    for other in runs.glob("other-*"):
        (tmp_path / other.name).symlink_to(other)
    return tmp_path


@pytest.mark.parametrize("mode", [*MODES, *(f"other-{mode}" for mode in MODES)])
def test_the_run_as_it_is_holds(mode, runs):
    found = audit(runs / mode)
    assert (found.aborted, len(found.rounds)) == ([1], ROUNDS)
    assert {told.event.name for told in found.told} >= {
        *("ClientSuspended", "ClientReadmitted", "UpdateRefused", "RoundAborted", "ResultsPublished"),
        *("SyntheticApproved", "SyntheticRejected", "SyntheticLogged", "QuotaRefunded"),
    }


def test_there_are_many_kinds():
    assert len(KINDS) >= 24
    assert set(KINDS) >= SIGNED_ONLY | BAD_REQUESTS


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_tampering_is_found(name, runs, place):
    for number in range(TIMES):
        mode = modes_for(name)[number % len(modes_for(name))]
        refusal = verdict(spoil(KINDS[name], random.Random(f"{name} {number}"), runs / mode, place))
        assert isinstance(refusal, BoflError)
        assert refusal.exit_code == 1 or name in BAD_REQUESTS
        assert str(refusal)
        assert "\n" not in str(refusal)
        assert is_found(name, refusal)


@pytest.mark.parametrize("name", AGREED)
def test_a_history_that_all_its_keepers_agree_on_has_another_head(name, runs, place):
    """No directory can betray it by itself: it takes the head hash that somebody noted."""
    noted = audit(runs / "signed").head_hash
    spoilt = spoil(AGREED[name], random.Random(name), runs / "signed", place)
    with contextlib.suppress(VerificationError):  # the better
        assert audit(spoilt).head_hash != noted


def test_trials_are_counted_by_kind(runs):
    names = ("seal blank", "synthetic batch added")
    counts = conduct_trials(runs, 3, seed=0, kinds=names)
    assert counts == {
        names[0]: {"tried": 2, "found": 2, "missed": 0},
        names[1]: {"tried": 1, "found": 1, "missed": 0},
    }
