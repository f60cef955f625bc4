"""The audit finds every change of a finished run: each kind of tampering a few times.

A thousand trials are in ``tests/slow/test_tampering.py`` and ``benchmarks/tampering.py``.
"""

import contextlib
import random
from pathlib import Path

import pytest

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.runs import audit
from tests.runs.tampering.kinds import AGREED, BAD_REQUESTS, KINDS, SIGNED_ONLY
from tests.runs.tampering.runs import MODES, ROUNDS, make_runs
from tests.runs.tampering.trials import audit_error, is_found, modes_for, run_trials, tamper_with

TIMES = 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def place(runs: Path, tmp_path: Path) -> Path:
    """A folder for a copy to tamper with, and the runs of another seed in it."""
    for other in runs.glob("other-*"):
        (tmp_path / other.name).symlink_to(other)
    return tmp_path


@pytest.mark.parametrize("mode", [*MODES, *(f"other-{mode}" for mode in MODES)])
def test_the_run_as_it_is_holds(mode, runs):
    found = audit(runs / mode)
    assert (found.aborted, len(found.rounds)) == ([1], ROUNDS)
    assert {indexed.event.name for indexed in found.events} >= {
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
        error = audit_error(tamper_with(KINDS[name], random.Random(f"{name} {number}"), runs / mode, place))
        assert isinstance(error, BoflError)
        assert error.exit_code == 1 or name in BAD_REQUESTS
        assert str(error)
        assert "\n" not in str(error)
        assert is_found(name, error)


@pytest.mark.parametrize("name", AGREED)
def test_a_history_that_all_its_keepers_agree_on_has_another_head(name, runs, place):
    """A directory alone cannot reveal it; a head hash that was noted before does."""
    noted = audit(runs / "signed").head_hash
    changed = tamper_with(AGREED[name], random.Random(name), runs / "signed", place)
    with contextlib.suppress(VerificationError):  # the audit may find it all the same
        assert audit(changed).head_hash != noted


def test_trials_are_counted_by_kind(runs):
    names = ("seal blank", "synthetic batch added")
    counts = run_trials(runs, 3, seed=0, kinds=names)
    assert counts == {
        names[0]: {"tried": 2, "found": 2, "missed": 0},
        names[1]: {"tried": 1, "found": 1, "missed": 0},
    }
