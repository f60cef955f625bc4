"""The ledger's thread: rounds in order, and a return to the last finalised round when the contract rejects one."""

import sys
import threading

import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.ledger import VerdictDiffersError, create_ledger
from bofl_jax.ledger.contract.calls import ContractCall
from bofl_jax.runs import audit
from tests.support.tiny import (
    ROUNDS,
    exact_results,
    read_rounds,
    run_tiny,
    write_arrays,
)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def whole(arrays, tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("whole") / "run", arrays).directory


def suspend(ledger):
    """Suspend client 1 without telling the server."""
    call = ContractCall(ledger.accounts.admin, "suspendClient", (ledger.accounts.clients[1].address,))
    ledger.transact_outside_round("suspending", [call])


@pytest.fixture
def meddle(monkeypatch):
    """Change the chain before a call of the ledger, in the first ledger that is created."""

    def arrange(method, at_round, change):
        def create(*arguments):
            ledger = create_ledger(*arguments)
            original = getattr(ledger, method)

            def changed(number, *rest):
                if number == at_round:
                    change(ledger)
                return original(number, *rest)

            setattr(ledger, method, changed)
            return ledger

        monkeypatch.setattr(sys.modules["bofl_jax.runs.session"], "create_ledger", create)

    return arrange


@pytest.mark.parametrize("mode", ["signed", "per-client"])
def test_a_differing_verdict_aborts_the_round_and_returns_to_the_one_before(mode, meddle, arrays, tmp_path):
    """Client 1 is suspended while round 3 is under way: the contract rejects the update that the server accepted."""
    meddle("close_round", 3, suspend)
    message = r"round 3 was aborted on chain: client 1 is rejected \(suspended\)"
    with pytest.raises(VerdictDiffersError, match=message) as error:
        run_tiny(tmp_path / "run", arrays, {"ledger.mode": mode})
    assert "the run is back at round 2" in str(error.value)
    assert "\n" not in str(error.value)
    found = audit(tmp_path / "run")
    assert (found.aborted, len(found.rounds)) == ([3], 2)
    assert len(read_rounds(tmp_path / "run")) == 2
    assert not (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize("method", ["eligibility", "open_round"])
def test_a_registry_that_changed_before_a_round_is_seen_at_its_opening(method, meddle, arrays, tmp_path):
    meddle(method, 3, suspend)
    message = "client 1 is suspended by the contract, and was taken for active|RegistryChanged"
    with pytest.raises(BoflError, match=message):
        run_tiny(tmp_path / "run", arrays)
    assert len(read_rounds(tmp_path / "run")) == 2


def test_a_run_that_the_contract_stopped_can_be_resumed(meddle, arrays, tmp_path):
    meddle("close_round", 3, suspend)
    with pytest.raises(VerdictDiffersError):
        run_tiny(tmp_path / "run", arrays, {"ledger.mode": "signed"})
    run = run_tiny(tmp_path / "run", arrays, {"ledger.mode": "signed"}, resume=True)
    found = audit(run.directory)
    assert (found.aborted, [r.version for r in found.rounds]) == ([3], list(range(1, ROUNDS + 1)))
    assert [r.count for r in found.rounds] == [6, 6, 5, 5, 5]  # the suspension stands


def test_the_ledger_is_called_from_one_thread_that_does_not_train(meddle, arrays, tmp_path):
    threads = set()
    meddle("close_round", 2, lambda _: threads.add(threading.current_thread().name))
    run_tiny(tmp_path / "run", arrays)
    assert len(threads) == 1
    assert next(iter(threads)).startswith("ledger")


def test_rounds_are_recorded_in_order_with_their_costs(whole):
    rounds = read_rounds(whole)
    assert [line["round"] for line in rounds] == list(range(1, ROUNDS + 1))
    assert all(line["ledger"]["gas"] > 100_000 and line["ledger"]["digest_ms"] > 0 for line in rounds)


def test_changes_of_the_registry_are_seen_by_the_training(arrays, tmp_path):
    changes = [{"round": 2, "action": "suspend", "client": 0}, {"round": 4, "action": "readmit", "client": 0}]
    run = run_tiny(tmp_path / "run", arrays, {"ledger.changes": changes}).directory
    assert [line["clients"] for line in read_rounds(run)] == [6, 5, 5, 6, 6]
    assert [r.count for r in audit(run).rounds] == [6, 5, 5, 6, 6]


def test_a_client_that_joins_later_takes_part_from_then_on(arrays, tmp_path):
    changes = [{"round": 3, "action": "register", "client": 5}]
    run = run_tiny(tmp_path / "run", arrays, {"ledger.registered": 5, "ledger.changes": changes}).directory
    assert [line["clients"] for line in read_rounds(run)] == [5, 5, 6, 6, 6]


def test_resuming_amid_changes_equals_not_having_stopped(arrays, tmp_path):
    changes = [{"round": 2, "action": "suspend", "client": 0}, {"round": 4, "action": "readmit", "client": 0}]
    overrides = {"ledger.changes": changes, "ledger.mode": "signed"}

    def stop_after_3(record):
        if record["round"] == 3:
            raise KeyboardInterrupt

    whole = run_tiny(tmp_path / "whole", arrays, overrides).directory
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "run", arrays, overrides, on_round=stop_after_3)
    run_tiny(tmp_path / "run", arrays, overrides, resume=True)
    assert exact_results(tmp_path / "run") == exact_results(whole)  # the head hash among it
