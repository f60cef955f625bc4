"""Trials: tamper with a copy of a run, and see whether the audit finds it."""

import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.runs import audit
from tests.runs.tampering.kinds import BAD_REQUESTS, KINDS, SIGNED_ONLY
from tests.runs.tampering.runs import DRAWS, MODES, Counts, Kind


def tamper_with(kind: Kind, rng: random.Random, run: Path, folder: Path) -> Path:
    """Tamper with a copy of a run, ``folder/run``; a change without effect is drawn again."""
    for _ in range(DRAWS):
        shutil.rmtree(folder / "run", ignore_errors=True)
        copy = Path(shutil.copytree(run, folder / "run"))
        kind(rng, copy)
        if _contents(copy) != _contents(run):
            return copy
    raise AssertionError("a kind of tampering that never changes anything")


def audit_error(run: Path) -> Exception | None:
    """The error that the audit of a run raises, of any type, or None."""
    try:
        audit(run)
    except Exception as error:
        return error
    return None


def is_found(name: str, error: Exception | None) -> bool:
    """Whether an error is one line of a failed verification or, for some kinds, of a bad request."""
    if not isinstance(error, BoflError) or not str(error) or "\n" in str(error):
        return False
    return isinstance(error, VerificationError) or (name in BAD_REQUESTS and error.exit_code == 2)


def modes_for(name: str) -> tuple[str, ...]:
    """The ledger modes to which a kind applies."""
    return ("signed",) if name in SIGNED_ONLY else tuple(MODES)


def run_trials(runs: Path, trials: int, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> Counts:
    """Tamper at random, with one kind after another, and audit.

    Args:
        runs: the folder of `make_runs`.
        trials: number of trials, over all kinds.
        seed: seed of all random choices.
        kinds: names in `KINDS`.

    Returns:
        Kind -> ``tried``, ``found`` and ``missed``.
    """
    counts = {name: {"tried": 0, "found": 0, "missed": 0} for name in kinds}
    for number in range(trials):
        name = kinds[number % len(kinds)]
        error = _try(name, random.Random(f"{seed} {number}"), runs)
        found = is_found(name, error)
        counts[name]["tried"] += 1
        counts[name]["found" if found else "missed"] += 1
        if not found:
            print(f"missed: trial {number}, {name}: {error!r}", file=sys.stderr)
    return counts


def _try(name: str, rng: random.Random, runs: Path) -> Exception | None:
    """The error of one trial, with the runs of another seed beside the copy."""
    mode = rng.choice(modes_for(name))
    with tempfile.TemporaryDirectory(dir=runs) as place:
        for other in runs.glob("other-*"):
            (Path(place) / other.name).symlink_to(other)
        return audit_error(tamper_with(KINDS[name], rng, runs / mode, Path(place)))


def _contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}
