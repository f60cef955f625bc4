"""A ledger and a whole run on a node: the same training, leaves and gas as on a chain inside the process."""

import numpy as np
import pytest

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger import LedgerOptions, audit_chain, create_ledger, resume_ledger
from bofl_jax.runs import audit
from tests.ledger.chain.test_node import (
    anvil,  # noqa: F401 - a fixture
    free,  # noqa: F401 - a fixture
    running,
)
from tests.ledger.conftest import CLIENTS, CONFIG, SEED, record_rounds
from tests.support.tiny import exact_results, run_tiny, without_ledger, write_arrays


@pytest.mark.parametrize("mode", ["merkle", "calldata", "signed", "per-client"])
def test_a_ledger_on_a_node_has_the_same_gas_bytes_and_leaves(free, mode, tmp_path):  # noqa: F811
    """Rounds with a rejected update, and the audit, which queries the node."""
    costs = {}
    for name, node in (("here", None), ("there", free)):
        ledger = create_ledger(LedgerOptions(mode=mode, node=node), tmp_path / name, CLIENTS, SEED, CONFIG)
        costs[name] = [(cost.gas, cost.bytes, cost.gas_by_function) for cost in record_rounds(ledger, 1, 2)]
    assert costs["here"] == costs["there"]
    here, there = audit_chain(tmp_path / "here"), audit_chain(tmp_path / "there", node=free)
    rounds = [[(r.root, r.model_digest, r.gas) for r in chain.rounds] for chain in (here, there)]
    assert rounds[0] == rounds[1]
    assert (tmp_path / "here/ledger/leaves.rlp").read_bytes() == (tmp_path / "there/ledger/leaves.rlp").read_bytes()


def test_a_ledger_on_a_node_is_resumed_and_aborts_the_open_round(free, tmp_path):  # noqa: F811
    options = LedgerOptions(mode="signed", node=free)
    ledger = create_ledger(options, tmp_path, CLIENTS, SEED, CONFIG)
    record_rounds(ledger, 1, 2)
    ledger.eligibility(3)
    ledger.open_round(3, np.array([0, 1]))
    record_rounds(resume_ledger(options, tmp_path, CLIENTS, SEED, CONFIG, 2), 3, 3)
    found = audit_chain(tmp_path, node=free)
    assert (found.aborted, [(r.round, r.version) for r in found.rounds]) == ([3], [(1, 1), (2, 2), (4, 3)])


def test_a_node_on_another_network_is_rejected(free, anvil, tmp_path):  # noqa: F811
    create_ledger(LedgerOptions(node=free), tmp_path, CLIENTS, SEED, CONFIG)
    with (
        running(anvil, ["--chain-id", "4711"]) as other,
        pytest.raises(VerificationError, match=r"is on another network than genesis\.json says"),
    ):
        audit_chain(tmp_path, node=other)


def test_a_whole_run_on_a_node_has_the_same_results_and_passes_the_audit(free, tmp_path):  # noqa: F811
    arrays = write_arrays(tmp_path / "own.npz")
    overrides = {"ledger.mode": "per-client", "federation.rounds": 2, "adversary.uninvited": 1, "federation.cohort": 4}
    here = run_tiny(tmp_path / "here", arrays, overrides).directory
    there = run_tiny(tmp_path / "there", arrays, overrides | {"ledger.node": free}).directory
    assert without_ledger(exact_results(here)) == without_ledger(exact_results(there))
    found = [audit(directory) for directory in (here, there)]
    gas = [[r.gas for r in chain.rounds] for chain in found]
    spared = 12 * (found[0].config_hash.count(0) - found[1].config_hash.count(0))  # a zero byte costs 12 gas less
    assert gas[1] == [each + spared for each in gas[0]]
    assert found[1].engines == (free,)
