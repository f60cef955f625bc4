"""A forger of runs, who has all keys of the simulated network and all files of a run."""

import functools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rlp
from eth.db.trie import make_trie_root_and_nodes

from bofl_jax.ledger import merkle
from bofl_jax.ledger.chain.accounts import Account, derive_accounts
from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.chain.genesis import BLOCK_SECONDS, GENESIS_TIMESTAMP
from bofl_jax.ledger.chain.py_evm.chain import ProofOfAuthorityVM, PyEvmChain
from bofl_jax.ledger.chain.py_evm.proof_of_authority import in_turn_signer, seal_header
from bofl_jax.ledger.storage.block_log import read_blocks
from bofl_jax.ledger.storage.contract_file import read_contract
from bofl_jax.ledger.storage.genesis_file import read_genesis
from bofl_jax.ledger.storage.layout import ledger_files
from bofl_jax.ledger.storage.leaves import RoundLeaves, append_leaves, read_leaves
from tests.runs.tampering.runs import CLIENTS, CONTRACT, configuration
from tests.support.tiny import read_rounds


class Forger:
    """The chain of a run, and all keys to change it."""

    def __init__(self, run: Path) -> None:
        config = configuration(run)
        self.run, self.files = run, ledger_files(run)
        self.network = derive_accounts(config["seed"], config["ledger"]["authorities"], CLIENTS)
        self.genesis, self.genesis_hash = read_genesis(self.files.genesis)
        self.address = read_contract(self.files.contract)
        self.blocks = [decode_block(raw) for raw in read_blocks(self.files.blocks)]
        self.authorities: Sequence[Account] = self.network.signers

    def write(self, update_summary: bool = True) -> None:
        """Write the blocks into the log, and their head hash into the summary."""
        self.files.blocks.write_bytes(b"".join(map(rlp.encode, self.blocks)))
        if update_summary and self.blocks:
            edit_summary(self.run, lambda s: s["ledger"].update(head_hash="0x" + self.blocks[-1].hash.hex()))

    def reseal(self, index: int, **fields: Any) -> None:
        """Change fields of a header; the authority in turn seals the block."""
        block = self.blocks[index]
        header = seal_header(block.header.copy(**fields), self.in_turn(block.number))
        self.blocks[index] = block.copy(header=header)

    def reseal_from(self, start: int) -> None:
        """Seal a block and all later ones again, each as the child of its predecessor. Nothing is executed again."""
        for index in range(start, len(self.blocks)):
            number = index + 1
            self.reseal(
                index,
                parent_hash=self.blocks[index - 1].hash if index else self.genesis_hash,
                block_number=number,
                timestamp=GENESIS_TIMESTAMP + BLOCK_SECONDS * number,
                coinbase=in_turn_signer(self.genesis, number),
                extra_data=self.genesis.config_hash + bytes(65),
            )

    def replace_transactions(self, index: int, transactions: Sequence[Any]) -> None:
        """Replace the transactions of a block, and seal it and all later blocks."""
        root = make_trie_root_and_nodes(transactions)[0]
        self.blocks[index] = self.blocks[index].copy(transactions=tuple(transactions))
        self.reseal(index, transaction_root=root)
        self.reseal_from(index)

    def in_turn(self, number: int) -> Account:
        """The authority that must seal a block."""
        return {a.address: a for a in self.authorities}[in_turn_signer(self.genesis, number)]

    def calls(self) -> list[list[TransactionRequest]]:
        """The calls of every block, with the callers' keys."""
        staff = (self.network.admin, self.network.aggregator, self.network.auditor)
        keys_of = {a.address: a.key for a in (*staff, *self.network.clients)}
        return [
            [TransactionRequest(keys_of[t.sender], t.to, t.data, t.gas) for t in block.transactions]
            for block in self.blocks
        ]

    def execute(self, calls: Sequence[Sequence[TransactionRequest]]) -> None:
        """Replace the chain: sign, execute and seal these calls from block 1 on."""
        engine = PyEvmChain(self.genesis, self.authorities)
        self.blocks = [decode_block(engine.seal_block(group, strict=False).raw) for group in calls]

    def find_calls(self, function: str) -> list[tuple[int, int]]:
        """All calls of a function of the contract: indices of block and transaction."""
        return [
            (i, j)
            for i, block in enumerate(self.blocks)
            for j, transaction in enumerate(block.transactions)
            if CONTRACT.function_name(transaction.data) == function
        ]

    def any_block(self, rng: random.Random, transactions: int = 0) -> int:
        """A random block with at least this number of transactions."""
        return rng.choice([i for i, block in enumerate(self.blocks) if len(block.transactions) >= transactions])


def decode_block(raw: bytes) -> Any:
    return rlp.decode(raw, sedes=ProofOfAuthorityVM.get_block_class())


def edit_summary(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    summary = json.loads((run / "summary.json").read_text())
    change(summary)
    (run / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def write_rounds(run: Path, records: list[dict[str, Any]]) -> None:
    (run / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def update_sums(run: Path) -> None:
    """Make the sums in the summary fit ``rounds.jsonl``, except CPU times."""
    records = read_rounds(run)
    total = {name: sum(r["ledger"][name] for r in records) for name in ("gas", "bytes", "accepted", "rejected")}
    per_round = {"gas_total": total.pop("gas"), "bytes_total": total.pop("bytes"), "rounds": len(records), **total}
    per_round["gas_per_round"] = per_round["gas_total"] / len(records)
    edit_summary(run, lambda summary: summary["ledger"].update(per_round))


def update_times(run: Path) -> None:
    records = read_rounds(run)
    seconds = sum(record["seconds"] for record in records)
    speed = sum(record["examples"] for record in records) / seconds
    cpu = sum(record["ledger"]["cpu_ms"] for record in records) / len(records)
    edit_summary(run, lambda s: s["timing"].update(rounds_s=seconds, samples_per_s=speed))
    edit_summary(run, lambda s: s["ledger"].update(cpu_ms_per_round=cpu))


def other_bytes(rng: random.Random, old: bytes) -> bytes:
    """The same bytes with one byte changed."""
    data = bytearray(old)
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    return bytes(data)


def number_paths(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all numbers and hashes in a JSON value."""
    if isinstance(content, dict):
        for name, inner in content.items():
            yield from number_paths(inner, (*path, name))
    elif isinstance(content, int | float) or (isinstance(content, str) and len(content) >= 64):
        yield path


def change_number(content: dict[str, Any], path: Sequence[Any], rng: random.Random) -> None:
    inner = functools.reduce(lambda node, name: node[name], path[:-1], content)
    value = inner[path[-1]]
    if isinstance(value, str):
        digit = rng.randrange(2, len(value))
        inner[path[-1]] = value[:digit] + rng.choice("0123456789abcdef".replace(value[digit], "")) + value[digit + 1 :]
    elif isinstance(value, int):
        inner[path[-1]] = value + rng.choice((-1, 1)) * rng.randint(1, 9)
    else:
        inner[path[-1]] = value + rng.choice((-1, 1)) * 10.0 ** -rng.randint(1, 6)


def rewrite_leaves(run: Path, change: Callable[[list[RoundLeaves]], list[RoundLeaves]]) -> None:
    path = ledger_files(run).leaves
    records = change(read_leaves(path))
    path.write_bytes(b"")
    for record in records:
        append_leaves(path, record)


def with_new_root(record: RoundLeaves, leaves: np.ndarray, clients: np.ndarray | None = None) -> RoundLeaves:
    """The record with other leaves and their correct root."""
    return record._replace(
        leaves=leaves, root=merkle.root(leaves), clients=record.clients if clients is None else clients
    )


def changed_leaf(rng: random.Random, record: RoundLeaves) -> np.ndarray:
    """The leaves with one number changed."""
    leaves = record.leaves.copy()
    leaves[rng.choice(("samples", "metric"))][rng.randrange(len(leaves))] += rng.randint(1, 1000)
    return leaves
