"""``kill -9`` while a record is being written: at most that record is lost, and the resumed run has the same bits."""

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.storage.block_log import read_records
from bofl_jax.runs import audit
from tests.support.tiny import (
    ROUNDS,
    exact_results,
    run_tiny,
    write_arrays,
)

ROOT = Path(__file__).parents[2]
SETUP, RESULTS = 2, 2 + 2 * ROUNDS + 1
LEDGER = ("blocks.rlp", "leaves.rlp", "genesis.json", "contract.json")
KILLS, WAIT_S = 20, 300
CHILD = """
import os, signal, sys
from pathlib import Path
from bofl_jax.ledger import contract_client
from bofl_jax.ledger.storage import block_log, leaves
from tests.support.tiny import run_tiny

directory, arrays, name, number, share = sys.argv[1:]
append, written = block_log.append_record, []

def append_and_die(path, raw):
    written.append(path.name)
    if path.name != name or written.count(name) < int(number):
        return append(path, raw)
    with path.open("ab") as file:
        file.write(raw[: int(float(share) * len(raw))])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

block_log.append_record = contract_client.append_record = leaves.append_record = append_and_die
run_tiny(Path(directory), Path(arrays))
"""
"""A run that kills itself in the middle of a record of one of the ledger's files."""

MOMENTS = {
    "deployment": ("blocks.rlp", 1, 0.9),
    "registration": ("blocks.rlp", SETUP, 0.5),
    "opening of the first round": ("blocks.rlp", SETUP + 1, 0.5),
    "opening of round 3": ("blocks.rlp", SETUP + 5, 0.99),
    "closing of round 3": ("blocks.rlp", SETUP + 6, 0.001),
    "closing of the last round": ("blocks.rlp", SETUP + 2 * ROUNDS, 0.5),
    "results": ("blocks.rlp", RESULTS, 0.5),
    "leaves of the first round": ("leaves.rlp", 1, 0.5),
    "leaves of round 3": ("leaves.rlp", 3, 0.9),
}
OFTEN = {"deployment", "opening of round 3", "closing of round 3", "results", "leaves of the first round"}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def whole(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is not killed."""
    return run_tiny(tmp_path_factory.mktemp("whole") / "run", arrays).directory


def start_process(run: Path, arrays: Path, name: str = "", number: int = 0, share: float = 0.0) -> subprocess.Popen:
    """A run in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(run), str(arrays), name, str(number), str(share)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def whole_records(path: Path) -> list[bytes]:
    """The whole records of a file, at whose end there may be half a record."""
    found: list[bytes] = []
    with contextlib.suppress(VerificationError):
        for record in read_records(path, "record"):
            found.append(record)
    return found


@pytest.mark.parametrize("moment", [pytest.param(m, marks=[] if m in OFTEN else pytest.mark.slow) for m in MOMENTS])
def test_a_run_killed_while_writing_loses_one_record_and_resumes(moment, whole, arrays, tmp_path):
    name, number, share = MOMENTS[moment]
    run, file = tmp_path / "run", Path("ledger") / name
    assert start_process(run, arrays, name, number, share).wait(WAIT_S) == -signal.SIGKILL
    assert not (run / "summary.json").exists()
    assert 0 < len((run / file).read_bytes()) < len((whole / file).read_bytes())
    assert (whole / file).read_bytes().startswith((run / file).read_bytes())
    assert whole_records(run / file) == whole_records(whole / file)[: number - 1]
    resumes_to_the_same_bits(run, arrays, whole)


def resumes_to_the_same_bits(run: Path, arrays: Path, whole: Path) -> None:
    run_tiny(run, arrays, resume=True)
    assert exact_results(run) == exact_results(whole)
    for name in LEDGER:
        assert (run / "ledger" / name).read_bytes() == (whole / "ledger" / name).read_bytes()
    assert audit(run).head_hash == exact_results(whole)["ledger"]["head_hash"]


@pytest.mark.slow
def test_a_run_killed_at_any_time_resumes_to_the_same_head(whole, arrays, tmp_path):
    seconds = duration_of_a_run(tmp_path / "undisturbed", arrays)
    rng, killed = random.Random(0), 0
    for number in range(KILLS):
        run = tmp_path / str(number)
        child = start_process(run, arrays)
        wait_until_begun(run, child)
        time.sleep(rng.uniform(0, seconds))
        child.kill()
        killed += child.wait(WAIT_S) == -signal.SIGKILL
        resumes_to_the_same_bits(run, arrays, whole)
    assert killed > KILLS // 2


def duration_of_a_run(run: Path, arrays: Path) -> float:
    """Seconds from the creation of the run directory to the end of the run."""
    child = start_process(run, arrays)
    wait_until_begun(run, child)
    began = time.monotonic()
    assert child.wait(WAIT_S) == 0
    return time.monotonic() - began


def wait_until_begun(run: Path, child: subprocess.Popen) -> None:
    while not (run / "environment.json").exists():
        assert child.poll() is None
        time.sleep(0.01)
