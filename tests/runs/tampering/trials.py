"""Trials: a copy of a run, tampered with, and whether the audit finds it."""

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


def spoil(kind: Kind, rng: random.Random, run: Path, place: Path) -> Path:
    """A copy of a run, ``place/run``, tampered with; what changed nothing is drawn again."""
    for _ in range(DRAWS):
        shutil.rmtree(place / "run", ignore_errors=True)
        copy = Path(shutil.copytree(run, place / "run"))
        kind(rng, copy)
        if _contents(copy) != _contents(run):
            return copy
    raise AssertionError("a kind of tampering that never changes anything")


def verdict(run: Path) -> Exception | None:
    """What the audit has to say against a run, or what it trips over; None if nothing."""
    try:
        audit(run)
    except Exception as error:
        return error
    return None


def is_found(name: str, refusal: Exception | None) -> bool:
    """Whether that is one line of a verdict - or, for some kinds, of what to mend in the request."""
    if not isinstance(refusal, BoflError) or not str(refusal) or "\n" in str(refusal):
        return False
    return isinstance(refusal, VerificationError) or (name in BAD_REQUESTS and refusal.exit_code == 2)


def modes_for(name: str) -> tuple[str, ...]:
    """The runs that a kind fits."""
    return ("signed",) if name in SIGNED_ONLY else tuple(MODES)


def conduct_trials(runs: Path, trials: int, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> Counts:
    """Tamper at random, with every kind in turn, and audit.

    Args:
        runs: the folder of `conduct_all`.
        trials: how many, over all kinds.
        seed: of everything that is drawn.
        kinds: names in `KINDS`.

    Returns:
        Kind -> ``tried``, ``found`` and ``missed``.
    """
    counts = {name: {"tried": 0, "found": 0, "missed": 0} for name in kinds}
    for number in range(trials):
        name = kinds[number % len(kinds)]
        refusal = _try(name, random.Random(f"{seed} {number}"), runs)
        found = is_found(name, refusal)
        counts[name]["tried"] += 1
        counts[name]["found" if found else "missed"] += 1
        if not found:
            print(f"missed: trial {number}, {name}: {refusal!r}", file=sys.stderr)
    return counts


def _try(name: str, rng: random.Random, runs: Path) -> Exception | None:
    """One trial, with the runs of another seed beside the copy, where a forger finds them."""
    mode = rng.choice(modes_for(name))
    with tempfile.TemporaryDirectory(dir=runs) as place:
        for other in runs.glob("other-*"):
            (Path(place) / other.name).symlink_to(other)
        return verdict(spoil(KINDS[name], rng, runs / mode, Path(place)))


def _contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}
