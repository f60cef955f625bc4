"""What a round on the ledger costs: gas, bytes, transactions and CPU time, by mode and number of clients.

    python benchmarks/ledger.py --clients 10 100 1000 10000 --json benchmarks/results/ledger.json

Rounds of made-up updates, no training. Gas, bytes and transactions are deterministic; CPU times are medians over the
rounds, of the ledger's thread, in ms, by phase, with hashing of the round's tree apart. Machines differ, so
``reference`` has the time of a Python loop on this one, and what py-evm as it is published takes here to import a
client's transaction (`plain_py_evm`). Confirmation latency is not measured but modelled, from the gas of each step and
a network's block interval and gas limit: see `modelled_latency`. Prints JSON.
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
from bofl_jax.ledger.chain.genesis import read_genesis
from bofl_jax.ledger.chain.proof_of_authority import genesis_header
from bofl_jax.ledger.storage.layout import files_of

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


def play(directory: Path, mode: str, clients: int, rounds: int) -> Iterator[RoundCost]:
    """Rounds in which all clients take part."""
    rng = np.random.default_rng(0)
    everyone = np.arange(clients)
    ledger = create_ledger(LedgerOptions(mode=mode), directory, clients, 0, sha256(b"benchmark").digest())
    for number in range(1, rounds + 1):
        digests = rng.integers(1, 256, (clients, 32), np.uint8)  # without zero bytes: every round the same gas
        samples, metric = np.full(clients, 300), np.full(clients, 0x1F1F1)
        ledger.eligibility(number)
        ledger.open_round(number, everyone)
        sent = Submissions(everyone, digests, digests, samples, metric, np.zeros(clients, np.uint8))
        yield ledger.close_round(number, sent, b"\x07" * 32)


def plain_py_evm() -> dict[str, float]:
    """What py-evm without any of our classes takes for a client's transaction: see ``plain_py_evm.py``."""
    with tempfile.TemporaryDirectory() as folder:
        list(play(Path(folder), "per-client", 100, 1))
        files = files_of(Path(folder))
        genesis = rlp.encode(genesis_header(read_genesis(files.genesis)[0])).hex()
        command = [sys.executable, str(Path(__file__).with_name("plain_py_evm.py")), genesis, str(files.blocks)]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(mode: str, clients: int, rounds: int) -> dict[str, Any]:
    """One row: what a round costs after the first."""
    with tempfile.TemporaryDirectory() as folder:
        costs = list(play(Path(folder), mode, clients, rounds + 1))[1:]
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
        "gas_of": last.gas_of,
        "cpu_ms": round(cpu, 2),
        "cpu_ms_best": round(min(cost.cpu_ms for cost in costs), 2),
        "cpu_ms_per_client": round(cpu / clients, 4),
        "hash_ms": round(statistics.median(cost.hash_ms for cost in costs), 2),
        "phases_ms": {name: round(value, 2) for name, value in sorted(phases.items())},
        "latency_s": {name: modelled_latency(last, **network) for name, network in NETWORKS.items()},
    }


def modelled_latency(cost: RoundCost, interval_s: float, gas_limit: int, blocks_to_finality: int) -> dict[str, float]:
    """How long a round would take on an idle network, by a model: no propagation, no competition for block space.

    The round's steps (open, updates, commit, finalise) wait for one another. A step needs ceil(gas / limit) blocks, and
    half an interval passes on average until the first; after its last block the round is final when as many blocks as
    the network asks for have passed.
    """
    gas = [sum(cost.gas_of.get(function, 0) for function in step) for step in STEPS]
    blocks = [ceil(used / gas_limit) for used in gas if used]
    included = sum((0.5 + count - 1) * interval_s for count in blocks)
    return {"included_s": included, "final_s": included + (blocks_to_finality - 1) * interval_s}


def loop_ms() -> float:
    """The best of five: a million additions in a Python loop."""
    times = []
    for _ in range(5):
        start, total = time.thread_time(), 0
        for index in range(1_000_000):
            total += index
        times.append(1e3 * (time.thread_time() - start))
    return min(times)


def rounds_for(mode: str, clients: int, most: int) -> int:
    """Fewer rounds where one takes a minute."""
    by_client = mode in ("signed", "per-client")
    return max(1, min(most, 4000 // clients)) if by_client else most


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--rounds", type=int, default=9, help="measured rounds at most; medians count")
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
