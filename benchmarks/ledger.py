"""Cost of a round on the ledger: gas, bytes, transactions and CPU time, by mode and number of clients.

    python benchmarks/ledger.py --clients 10 100 1000 10000 --json benchmarks/results/ledger.json

The rounds record invented updates; nothing is trained. Gas, bytes and transactions are deterministic. CPU times are
those of the ledger's thread in ms, medians over the rounds, by phase; hashing of the round's Merkle tree is listed
separately. Because machines differ, ``reference`` has the time of a Python loop on this machine, and the time that the
published py-evm takes here to import a client's transaction (`plain_py_evm`). Confirmation latency is not measured but
modelled, from the gas of each step and a network's block interval and gas limit (see `modelled_latency`). Prints JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import rlp
from output import emit, machine

from bofl_jax.ledger import LedgerOptions, RoundCost, Submissions, create_ledger
from bofl_jax.ledger.chain.py_evm.proof_of_authority import genesis_header
from bofl_jax.ledger.storage.genesis_file import read_genesis
from bofl_jax.ledger.storage.layout import ledger_files

MODES = ("merkle", "calldata", "signed", "per-client")
UPDATES = ("submitUpdate", "submitSignedUpdates", "publishDigests")
STEPS = (("openRound",), UPDATES, ("commitRound",), ("finaliseRound",))
NETWORKS = {
    "proof of authority (model)": {"interval_s": 5.0, "gas_limit": 30_000_000, "blocks_to_finality": 1},
    "proof of stake (model)": {"interval_s": 12.0, "gas_limit": 36_000_000, "blocks_to_finality": 64},
}
PUBLISHED = {
    "source": "Scientific Reports 2025, s41598-025-07807-8: brain tumours, private Ethereum PoA, 5 hospitals",
    "block_s": 3.1,
    "update_end_to_end_s": 5.4,
    "transaction_latency_s_per_round": 1.2,
    "transactions_per_s": 97,
    "gas_per_update": 21_000,
    "kB_per_node_and_round": 3.8,
    "round_s_by_clients": {"10": 3.2, "50": 4.7, "100": 6.1, "200": 7.8, "500": 10.4},
    "note": "21 000 gas is the bare cost of any transaction and cannot include storing a hash; its two tables disagree "
    "on transactions per second (97 and 10)",
}


def record_rounds(directory: Path, mode: str, clients: int, rounds: int) -> Iterator[RoundCost]:
    """Record rounds in which all clients take part.

    Args:
        directory: the run directory.
        mode: the submission mode.
        clients: C, number of clients.
        rounds: number of rounds.
    """
    rng = np.random.default_rng(0)
    everyone = np.arange(clients)
    ledger = create_ledger(LedgerOptions(mode=mode), directory, clients, 0, sha256(b"benchmark").digest())
    for number in range(1, rounds + 1):
        digests = rng.integers(1, 256, (clients, 32), np.uint8)  # no zero bytes, so that every round uses the same gas
        samples, metric = np.full(clients, 300), np.full(clients, 0x1F1F1)
        ledger.eligibility(number)
        ledger.open_round(number, everyone)
        sent = Submissions(everyone, digests, digests, samples, metric, np.zeros(clients, np.uint8))
        yield ledger.close_round(number, sent, b"\x07" * 32)


def plain_py_evm() -> dict[str, float]:
    """The cost of a client's transaction on the published py-evm; see ``plain_py_evm.py``."""
    with tempfile.TemporaryDirectory() as folder:
        list(record_rounds(Path(folder), "per-client", 100, 1))
        files = ledger_files(Path(folder))
        genesis = rlp.encode(genesis_header(read_genesis(files.genesis)[0])).hex()
        command = [sys.executable, str(Path(__file__).with_name("plain_py_evm.py")), genesis, str(files.blocks)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(mode: str, clients: int, rounds: int) -> dict[str, Any]:
    """The cost of a round after the first one, as a row of the result.

    Args:
        mode: the submission mode.
        clients: C, number of clients.
        rounds: number of measured rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        costs = list(record_rounds(Path(folder), mode, clients, rounds + 1))[1:]
    last = costs[-1]
    phases = {name: statistics.median(cost.phases.get(name, 0.0) for cost in costs) for name in last.phases}
    cpu = statistics.median(cost.cpu_ms for cost in costs)
    return {
        "mode": mode,
        "clients": clients,
        "rounds": len(costs),
        "gas": last.gas,
        "gas_per_client": round(last.gas / clients, 1),
        "bytes": last.bytes,
        "transactions": last.transactions,
        "gas_of": last.gas_by_function,
        "cpu_ms": round(cpu, 2),
        "cpu_ms_best": round(min(cost.cpu_ms for cost in costs), 2),
        "cpu_ms_per_client": round(cpu / clients, 4),
        "hash_ms": round(statistics.median(cost.hash_ms for cost in costs), 2),
        "phases_ms": {name: round(value, 2) for name, value in sorted(phases.items())},
        "latency_s": {name: modelled_latency(last, **network) for name, network in NETWORKS.items()},
    }


def modelled_latency(cost: RoundCost, interval_s: float, gas_limit: int, blocks_to_finality: int) -> dict[str, float]:
    """The modelled duration of a round on an idle network, without propagation or competition for block space.

    The steps of a round (open, updates, commit, finalise) wait for one another. A step needs ceil(gas / limit) blocks,
    and on average half an interval passes until its first block. The round is final when the number of blocks that the
    network requires have followed its last block.

    Args:
        cost: the cost of the round.
        interval_s: block interval in seconds.
        gas_limit: gas limit of a block.
        blocks_to_finality: number of blocks until a transaction is final, its own included.

    Returns:
        ``included_s`` and ``final_s``, seconds until the last transaction is in a block and final.
    """
    gas = [sum(cost.gas_by_function.get(function, 0) for function in step) for step in STEPS]
    blocks = [ceil(used / gas_limit) for used in gas if used]
    included = sum((0.5 + count - 1) * interval_s for count in blocks)
    return {"included_s": included, "final_s": included + (blocks_to_finality - 1) * interval_s}


def loop_ms() -> float:
    """Time of a million additions in a Python loop in ms, the best of five."""
    times = []
    for _ in range(5):
        start, total = time.thread_time(), 0
        for index in range(1_000_000):
            total += index
        times.append(1e3 * (time.thread_time() - start))
    return min(times)


def rounds_for(mode: str, clients: int, limit: int) -> int:
    """The number of rounds to measure: fewer if a round takes a minute.

    Args:
        mode: the submission mode.
        clients: C, number of clients.
        limit: maximum number of rounds.
    """
    by_client = mode in ("signed", "per-client")
    return max(1, min(limit, 4000 // clients)) if by_client else limit


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument(
        "--rounds", type=int, default=9, help="maximum number of measured rounds; the result is their median"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows, loops, plain = [], [loop_ms()], [plain_py_evm()]
    for clients in arguments.clients:
        for mode in arguments.modes:
            rows.append(measure(mode, clients, rounds_for(mode, clients, arguments.rounds)))
            loops.append(loop_ms())
        plain.append(plain_py_evm())
    result = {
        "machine": machine(),
        "reference": {
            "million_additions_ms": round(statistics.median(loops), 1),
            "plain_py_evm": {name: statistics.median(one[name] for one in plain) for name in plain[0]},
        },
        "networks": NETWORKS,
        "published": PUBLISHED,
        "rows": rows,
    }
    emit(result, arguments.json)


if __name__ == "__main__":
    main()
