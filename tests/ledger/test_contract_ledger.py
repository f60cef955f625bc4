"""The ledger on a chain: costs, determinism, rejected arguments, and resuming after a crash."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger import (
    LedgerOptions,
    RejectionReason,
    VerdictDiffersError,
    audit_chain,
    create_ledger,
    resume_ledger,
)
from bofl_jax.ledger.base import NO_COST
from tests.ledger.conftest import CLIENTS, CONFIG, MODEL, SEED, opened, row, submissions

GOLDEN = Path(__file__).parents[1] / "golden" / "ledger.json"


def resume(directory, rounds, **changes):
    arguments = {"options": LedgerOptions(), "clients": CLIENTS, "seed": SEED, "config_hash": CONFIG} | changes
    return resume_ledger(directory=directory, rounds=rounds, **arguments)


def test_the_ledger_is_as_in_the_golden_file(tmp_path, new_ledger, rounds):
    """The same head hash and costs on every Python, in every process: nothing depends on clocks or hash seeds."""
    ledger = new_ledger(tmp_path)
    costs = rounds(ledger, 1, 3)
    found = {"head_hash": ledger.head_hash, "gas": [c.gas for c in costs], "bytes": [c.bytes for c in costs]}
    if os.environ.get("BOFL_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(GOLDEN.read_text())
    assert ledger.blocks == 2 + 3 * 3


def test_costs_count_verdicts_and_time(tmp_path, new_ledger, rounds):
    costs = rounds(new_ledger(tmp_path), 1, 2)
    assert [(cost.accepted, cost.rejected) for cost in costs] == [(3, 1), (3, 1)]
    assert all(0 < cost.cpu_ms < 1000 for cost in costs)


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_head_hash_does_not_depend_on_the_hash_seed(tmp_path, hash_seed):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import conftest; from pathlib import Path\n"
        "from bofl_jax.ledger import LedgerOptions, create_ledger\n"
        "ledger = create_ledger(LedgerOptions(), Path(sys.argv[2]), conftest.CLIENTS, conftest.SEED, conftest.CONFIG)\n"
        "conftest.record_rounds(ledger, 1, 3); print(ledger.head_hash)"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(Path(__file__).parent), str(tmp_path)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == json.loads(GOLDEN.read_text())["head_hash"]


def test_importing_the_ledger_does_not_import_the_evm():
    script = "import sys, bofl_jax.ledger; sys.exit('eth' in sys.modules or 'eth_keys' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("change", ["seed", "config", "clients", "authorities"])
def test_the_head_hash_depends_on_everything_that_defines_a_run(tmp_path, change):
    options = LedgerOptions(authorities=4 if change == "authorities" else 3)
    clients, seed = CLIENTS + (change == "clients"), SEED + (change == "seed")
    config = MODEL if change == "config" else CONFIG
    heads = {
        create_ledger(options, tmp_path / "a", clients, seed, config).head_hash,
        create_ledger(LedgerOptions(), tmp_path / "b", CLIENTS, SEED, CONFIG).head_hash,
    }
    assert len(heads) == 2


def test_the_order_of_submissions_does_not_matter(tmp_path, new_ledger):
    heads = set()
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        ledger = new_ledger(tmp_path / name)
        opened(ledger, 1, [0, 1, 2])
        ledger.close_round(1, submissions(*(row(client) for client in order)), MODEL)
        heads.add(ledger.head_hash)
    assert len(heads) == 1


def test_a_round_may_end_without_an_accepted_update(tmp_path, new_ledger):
    ledger = new_ledger(tmp_path)
    opened(ledger, 1, [0, 1])
    cost = ledger.close_round(1, submissions(row(0, rejection=RejectionReason.NOT_FINITE)), MODEL)
    assert (cost.accepted, cost.rejected) == (0, 1)
    assert audit_chain(tmp_path).rounds[0].count == 0


def test_many_clients_are_registered_in_batches(tmp_path):
    ledger = create_ledger(LedgerOptions(authorities=1), tmp_path, 450, 0, CONFIG)
    opened(ledger, 1, range(450))
    ledger.close_round(1, submissions(*(row(i, digest=b"\1" * 32) for i in range(450))), MODEL)
    assert audit_chain(tmp_path).clients == 450


def test_mode_off_writes_nothing(tmp_path):
    for ledger in (
        create_ledger(LedgerOptions(mode="off"), tmp_path, CLIENTS, SEED, CONFIG),
        resume(tmp_path, 4, options=LedgerOptions(mode="off")),
    ):
        opened(ledger, 1, [0, 1])
        cost = ledger.close_round(1, submissions(row(0), row(1, rejection=RejectionReason.NOT_FINITE)), MODEL)
        ledger.close()
        assert (ledger.mode, ledger.head_hash, ledger.blocks) == ("off", "", 0)
        assert cost == NO_COST._replace(accepted=1, rejected=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"mode": "on"}, {"authorities": 0}, {"authorities": 17}, {"signers": 3}])
def test_invalid_options_are_rejected(options):
    with pytest.raises(ValidationError):
        LedgerOptions(**options)


@pytest.mark.parametrize(
    ("number", "cohort", "message"),
    [
        (2, [0], "round 2 cannot be opened: the next one to be finalised is 1"),
        (-1, [0], "round -1 cannot be opened"),
        (1, [], "round 1: no client may contribute"),
        (1, [5], "names client 5, but clients are 0..4"),
        (1, [-1], "names client -1"),
        (1, [1, 1], "names a client twice"),
    ],
)
def test_a_round_with_an_invalid_cohort_is_not_opened(tmp_path, new_ledger, number, cohort, message):
    ledger = new_ledger(tmp_path)
    before = ledger.head_hash
    with pytest.raises(BoflError, match=message):
        opened(ledger, number, cohort)
    assert ledger.head_hash == before
    opened(ledger, 1, [0, 1])


@pytest.mark.parametrize(
    ("number", "rows", "model", "message"),
    [
        (2, [row(0)], MODEL, "round 2 was not opened"),
        (1, [row(0), row(0)], MODEL, "two updates of one client were accepted"),
        (1, [row(3)], MODEL, "an update of client 3 was accepted, which was not invited"),
        (1, [row(0, digest=bytes(31))], MODEL, "32-byte digests"),
        (1, [row(0, samples=-1)], MODEL, "samples in"),
        (1, [row(0, samples=2**32)], MODEL, "samples in"),
        (1, [row(0, metric=-1)], MODEL, "a metric >= 0"),
        (1, [row(0)], bytes([1]) * 31, "model digest of round 1 has 31 bytes"),
    ],
)
def test_invalid_submissions_are_rejected_and_change_nothing(tmp_path, new_ledger, number, rows, model, message):
    ledger = opened(new_ledger(tmp_path), 1, [0, 1])
    before = ledger.head_hash
    with pytest.raises(BoflError, match=message):
        ledger.close_round(number, submissions(*rows), model)
    assert ledger.head_hash == before
    ledger.close_round(1, submissions(row(0)), MODEL)
    assert audit_chain(tmp_path).rounds[0].count == 1


def test_a_round_that_the_contract_rejects_is_aborted_on_chain_and_leaves_no_gap(tmp_path, new_ledger):
    ledger = opened(new_ledger(tmp_path), 1, [0, 1])
    message = (
        r"round 1 was aborted on chain: the contract rejected finaliseRound while closing round 1: EmptyDigest\(\)"
    )
    with pytest.raises(VerdictDiffersError, match=message):
        ledger.close_round(1, submissions(row(0)), bytes(32))
    opened(ledger, 1, [0, 1])
    ledger.close_round(1, submissions(row(0)), MODEL)
    audit = audit_chain(tmp_path)
    assert (audit.aborted, [(r.round, r.version) for r in audit.rounds]) == ([1], [(2, 1)])


def test_resuming_keeps_a_round_that_was_aborted(tmp_path, new_ledger, rounds):
    ledger = new_ledger(tmp_path)
    rounds(ledger, 1, 2)
    opened(ledger, 3, [0, 1])
    ledger.abort_round(3)
    head = ledger.head_hash
    opened(ledger, 3, [0, 1])
    resumed = resume(tmp_path, 2)
    assert resumed.head_hash == head
    rounds(resumed, 3, 3)
    audit = audit_chain(tmp_path)
    assert (audit.aborted, [(r.round, r.version) for r in audit.rounds]) == ([3], [(1, 1), (2, 2), (4, 3)])


def test_an_existing_ledger_is_not_overwritten(finished, new_ledger):
    with pytest.raises(BoflError, match="exists already"):
        new_ledger(finished)


def test_a_ledger_needs_a_client(tmp_path):
    with pytest.raises(BoflError, match="at least one client"):
        create_ledger(LedgerOptions(), tmp_path, 0, SEED, CONFIG)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("config", [b"", bytes(32), bytes(31)])
def test_a_ledger_needs_a_configuration_hash(tmp_path, config):
    with pytest.raises(BoflError, match="SHA-256 of the configuration"):
        create_ledger(LedgerOptions(), tmp_path, CLIENTS, SEED, config)


@pytest.mark.parametrize("known", [0, 1, 2, 3])
def test_a_resumed_ledger_equals_an_uninterrupted_one(finished, tmp_path, new_ledger, rounds, known):
    uninterrupted = new_ledger(tmp_path / "whole")
    rounds(uninterrupted, 1, 4)
    resumed = resume(finished, known)
    assert resumed.blocks == 2 + 3 * known
    rounds(resumed, known + 1, 4)
    assert resumed.head_hash == uninterrupted.head_hash
    for path in (tmp_path / "whole" / "ledger").iterdir():
        assert path.read_bytes() == (finished / "ledger" / path.name).read_bytes()


def test_incomplete_records_left_by_a_crash_are_truncated(finished):
    head = audit_chain(finished).head_hash
    for name, rest in (("blocks.rlp", b"\xf9\x03\x00half a block"), ("leaves.rlp", b"\xf8\x90half a record")):
        with (finished / "ledger" / name).open("ab") as file:
            file.write(rest)
    assert resume(finished, 3).head_hash == head
    assert audit_chain(finished).head_hash == head


def test_a_round_left_open_is_truncated(tmp_path, new_ledger, rounds):
    ledger = new_ledger(tmp_path)
    rounds(ledger, 1, 2)
    head = ledger.head_hash
    opened(ledger, 3, [0, 1])
    assert resume(tmp_path, 2).head_hash == head


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 4}, "blocks.rlp ends at block 11, before round 4 is finalised"),
        ({"seed": 8}, "belongs to another configuration"),
        ({"config_hash": MODEL}, "belongs to another configuration"),
        ({"options": LedgerOptions(authorities=4)}, "belongs to another configuration"),
        ({"clients": 6}, "registeredClients is 5, the run says 6"),
    ],
)
def test_resuming_with_other_arguments_is_rejected(finished, changes, message):
    before = {path.name: path.read_bytes() for path in (finished / "ledger").iterdir()}
    with pytest.raises(BoflError, match=message) as caught:
        resume(finished, **{"rounds": 3} | changes)
    assert not isinstance(caught.value, VerificationError)  # exit code 2: the request cannot be carried out
    assert "\n" not in str(caught.value)
    assert before == {path.name: path.read_bytes() for path in (finished / "ledger").iterdir()}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("genesis.json", "contract.json", "blocks.rlp", "leaves.rlp")
        for damage in ("missing", "empty", "flipped", "cut")
        if (name, damage) != ("leaves.rlp", "flipped")  # resuming does not prove every leaf; the audit does
    ],
)
def test_resuming_a_damaged_ledger_is_rejected(finished, name, damage):
    path = finished / "ledger" / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"empty": b"", "flipped": flipped, "cut": content[:-1]}[damage])
    with pytest.raises(BoflError, match="the ledger cannot be resumed") as caught:
        resume(finished, 3)
    assert "\n" not in str(caught.value)
