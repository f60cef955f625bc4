"""Ways to tamper with a finished run, and trials of whether the audit finds them.

What a forger has: every file of the run directory; the keys of whoever is named to be dishonest, all of which follow
from the seed in this simulation; and the will to make the rest fit, so that all blocks that follow a forged one are
sealed anew by all authorities together, and ``summary.json`` names the new head. What no audit of a directory can find
by itself is a whole other history that all its keepers agree on: those are in `AGREED`, apart from `KINDS`, and it
takes the head hash that somebody noted.
"""

import csv
import functools
import json
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import rlp
from eth.db.trie import make_trie_root_and_nodes
from eth_keys import keys
from eth_keys.constants import SECPK1_N

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.federate import audit
from bofl_jax.federate.batches import path_of, save_batch
from bofl_jax.federate.checkpoint import Checkpoints
from bofl_jax.federate.results import read_toml, results_digest
from bofl_jax.federate.round import TrainState
from bofl_jax.ledger import Ledger, create_ledger, merkle
from bofl_jax.ledger.accounts import Account, account
from bofl_jax.ledger.authority import in_turn, seal
from bofl_jax.ledger.base import Call
from bofl_jax.ledger.blocklog import read_blocks
from bofl_jax.ledger.chain import PyEvmEngine, _GovernedVM
from bofl_jax.ledger.contract import load_contract
from bofl_jax.ledger.folder import files_of, network, read_contract, write_contract
from bofl_jax.ledger.genesis import BLOCK_SECONDS, CHAIN_ID, TIMESTAMP, Genesis, read_genesis, write_genesis
from bofl_jax.ledger.leaves import RoundLeaves, append_leaves, read_leaves
from bofl_jax.ledger.merkle import Leaf
from bofl_jax.ledger.synthetic import Policy, SyntheticDesk
from bofl_jax.ledger.typed import domain_separator, sign_update
from tests.federate.tiny import biggest_file, conduct, flip, read_rounds, write_arrays

Kind = Callable[[random.Random, Path], None]
Counts = dict[str, dict[str, int]]
CLIENTS, ROUNDS, DRAWS = 6, 4, 50
EVERY, FIRST, LAST, FINALISED = slice(None), slice(1), slice(-1, None), slice(1, None)  # round 1 is aborted
CONTRACT = load_contract()
EVENTFUL = {
    "ledger.registered": 5,
    "ledger.changes": [
        {"round": 2, "action": "register", "client": 5},
        {"round": 3, "action": "suspend", "client": 1},
        {"round": 4, "action": "readmit", "client": 1},
    ],
    "federation.cohort": 4,
    "federation.rounds": ROUNDS,
    "engine.checkpoint_every": 1,
    "personalise.method": "none",
    "adversary.uninvited": 1,
    "adversary.duplicates": 1,
}
"""Clients that come and go, intruders and duplicates: blocks of every kind."""
MODES = {
    "signed": {"ledger.mode": "signed"},
    "merkle": {"ledger.mode": "merkle"},
}
ALTERING = {"adversary.channel": "bit-flip", "adversary.altered": 0.2}
"""A channel that alters updates takes long to compile: it is in one of the four runs only."""


# ------------------------------------------------------------------------------------------------- the runs


def conduct_governed(directory: Path, arrays: Path, overrides: dict[str, Any]) -> Path:
    """A finished run on whose chain there is everything: an aborted round and synthetic batches too."""
    with mock.patch("bofl_jax.federate.run.create_ledger", _create_busy_ledger):
        return conduct(directory, arrays, EVENTFUL | overrides).directory


def conduct_all(folder: Path) -> Path:
    """The runs that are tampered with, ``signed`` and ``merkle``, and ``other-...``, of another seed; the folder."""
    arrays = write_arrays(folder / "own.npz")
    for mode, overrides in MODES.items():
        conduct_governed(folder / mode, arrays, overrides | (ALTERING if mode == "signed" else {}))
        conduct_governed(folder / f"other-{mode}", arrays, overrides | {"seed": 1})
    return folder


def other_run(run: Path) -> Path:
    """The run with another seed that lies beside a run."""
    return run.parent / f"other-{_configuration(run)['ledger']['mode']}"


def _create_busy_ledger(options: Any, directory: Path, clients: int, seed: int, config_hash: bytes) -> Ledger:
    """The run's ledger after a round that was aborted, with requests for synthetic samples before and in rounds."""
    ledger: Any = create_ledger(options, directory, clients, seed, config_hash)
    desk, open_round = SyntheticDesk(ledger), ledger.open_round
    ledger.standing(1)
    ledger.open_round(1, np.arange(3))
    ledger.abort_round(1)
    desk.set_policy(Policy(rare_threshold=500, round_quota=100, total_quota=250, max_batch=80))
    for client in (0, 2):
        desk.request(client, 1, 50, [960, 40, 0])
    batch = {"x": np.random.default_rng(seed).normal(size=(50, 32, 1)).astype(np.float32), "y": np.ones(50, np.int32)}
    desk.log(0, 1, 50, save_batch(directory, 1, batch), sha256(b"generator").digest(), [9000, 8000])

    def open_with_requests(round: int, cohort: np.ndarray) -> None:
        open_round(round, cohort)
        if round == 3:
            desk.request(0, 0, 10, [960, 40, 0])  # refused: class 0 is not rare
            desk.log(2, 2, 0, sha256(b"bad").digest(), sha256(b"generator").digest())  # not used, hence refunded

    ledger.open_round = open_with_requests
    return ledger


# ------------------------------------------------------------------------------------------------- the forger's tools


class Forger:
    """A run's chain in the hands of somebody who has whatever keys it takes."""

    def __init__(self, run: Path) -> None:
        config = _configuration(run)
        self.run, self.files = run, files_of(run)
        self.network = network(config["seed"], config["ledger"]["authorities"], CLIENTS)
        self.genesis, self.genesis_hash = read_genesis(self.files.genesis)
        self.address = read_contract(self.files.contract)
        self.blocks = [_decoded(raw) for raw in read_blocks(self.files.blocks)]
        self.authorities: Sequence[Account] = self.network.authorities

    def write(self, tell_summary: bool = True) -> None:
        """Put the blocks into the log, and their head hash into the summary."""
        self.files.blocks.write_bytes(b"".join(map(rlp.encode, self.blocks)))
        if tell_summary and self.blocks:
            _edit_summary(self.run, lambda s: s["ledger"].update(head_hash="0x" + self.blocks[-1].hash.hex()))

    def reseal(self, index: int, **fields: Any) -> None:
        """Change a header; the authority in turn seals it."""
        block = self.blocks[index]
        header = seal(block.header.copy(**fields), self.in_turn(block.number))
        self.blocks[index] = block.copy(header=header)

    def renew(self, start: int) -> None:
        """Seal the blocks from one on once more, each as the child of the one before. Nothing is executed again."""
        for index in range(start, len(self.blocks)):
            number = index + 1
            self.reseal(
                index,
                parent_hash=self.blocks[index - 1].hash if index else self.genesis_hash,
                block_number=number,
                timestamp=TIMESTAMP + BLOCK_SECONDS * number,
                coinbase=in_turn(self.genesis, number),
                extra_data=self.genesis.config_hash + bytes(65),
            )

    def put(self, index: int, transactions: Sequence[Any]) -> None:
        """Exchange a block's transactions, and seal it and all that follow."""
        root = make_trie_root_and_nodes(transactions)[0]
        self.blocks[index] = self.blocks[index].copy(transactions=tuple(transactions))
        self.reseal(index, transaction_root=root)
        self.renew(index)

    def in_turn(self, number: int) -> Account:
        """Who seals a block."""
        return {a.address: a for a in self.authorities}[in_turn(self.genesis, number)]

    def calls(self) -> list[list[Call]]:
        """What was called in every block, with the callers' keys."""
        staff = (self.network.admin, self.network.aggregator, self.network.auditor)
        keys_of = {a.address: a.key for a in (*staff, *self.network.clients)}
        return [[Call(keys_of[t.sender], t.to, t.data, t.gas) for t in block.transactions] for block in self.blocks]

    def execute(self, calls: Sequence[Sequence[Call]]) -> None:
        """Another history: these calls, signed and executed from block 1 on, and correctly sealed."""
        engine = PyEvmEngine(self.genesis, self.authorities)
        self.blocks = [_decoded(engine.seal_block(group, strict=False).raw) for group in calls]

    def found(self, function: str) -> list[tuple[int, int]]:
        """Where a function of the contract is called: block and transaction."""
        return [
            (i, j)
            for i, block in enumerate(self.blocks)
            for j, transaction in enumerate(block.transactions)
            if CONTRACT.function_of(transaction.data) == function
        ]

    def any_block(self, rng: random.Random, transactions: int = 0) -> int:
        """A block with at least so many transactions."""
        return rng.choice([i for i, block in enumerate(self.blocks) if len(block.transactions) >= transactions])


def _decoded(raw: bytes) -> Any:
    return rlp.decode(raw, sedes=_GovernedVM.get_block_class())


def _configuration(run: Path) -> dict[str, Any]:
    return read_toml(run / "config.toml")


def _edit_summary(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    summary = json.loads((run / "summary.json").read_text())
    change(summary)
    (run / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def _write_rounds(run: Path, records: list[dict[str, Any]]) -> None:
    (run / "rounds.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def _add_up(run: Path) -> None:
    """Make the summary say what follows from ``rounds.jsonl``, but for CPU times."""
    records = read_rounds(run)
    total = {name: sum(r["ledger"][name] for r in records) for name in ("gas", "bytes", "accepted", "rejected")}
    per_round = {"gas_total": total.pop("gas"), "bytes_total": total.pop("bytes"), "rounds": len(records), **total}
    per_round["gas_per_round"] = per_round["gas_total"] / len(records)
    _edit_summary(run, lambda summary: summary["ledger"].update(per_round))


def _add_up_times(run: Path) -> None:
    records = read_rounds(run)
    seconds = sum(record["seconds"] for record in records)
    speed = sum(record["examples"] for record in records) / seconds
    cpu = sum(record["ledger"]["cpu_ms"] for record in records) / len(records)
    _edit_summary(run, lambda s: s["timing"].update(rounds_s=seconds, samples_per_s=speed))
    _edit_summary(run, lambda s: s["ledger"].update(cpu_ms_per_round=cpu))


def _other_bytes(rng: random.Random, old: bytes) -> bytes:
    """The same with one byte changed."""
    data = bytearray(old)
    data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
    return bytes(data)


def _numbers(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all numbers and hashes in a JSON value."""
    if isinstance(content, dict):
        for name, inner in content.items():
            yield from _numbers(inner, (*path, name))
    elif isinstance(content, int | float) or (isinstance(content, str) and len(content) >= 64):
        yield path


def _change_number(content: dict[str, Any], path: Sequence[Any], rng: random.Random) -> None:
    inner = functools.reduce(lambda node, name: node[name], path[:-1], content)
    value = inner[path[-1]]
    if isinstance(value, str):
        digit = rng.randrange(2, len(value))
        inner[path[-1]] = value[:digit] + rng.choice("0123456789abcdef".replace(value[digit], "")) + value[digit + 1 :]
    elif isinstance(value, int):
        inner[path[-1]] = value + rng.choice((-1, 1)) * rng.randint(1, 9)
    else:
        inner[path[-1]] = value + rng.choice((-1, 1)) * 10.0 ** -rng.randint(1, 6)


def _rewrite_leaves(run: Path, change: Callable[[list[RoundLeaves]], list[RoundLeaves]]) -> None:
    path = files_of(run).leaves
    records = change(read_leaves(path))
    path.write_bytes(b"")
    for record in records:
        append_leaves(path, record)


def _rooted(record: RoundLeaves, leaves: np.ndarray, clients: np.ndarray | None = None) -> RoundLeaves:
    """A record of other leaves, under the root that they have."""
    return record._replace(
        leaves=leaves, root=merkle.root(leaves), clients=record.clients if clients is None else clients
    )


def _changed_leaf(rng: random.Random, record: RoundLeaves) -> np.ndarray:
    """The leaves with another number in one of them."""
    leaves = record.leaves.copy()
    leaves[rng.choice(("samples", "metric"))][rng.randrange(len(leaves))] += rng.randint(1, 1000)
    return leaves


# ------------------------------------------------------------------------------------------------- files as bytes


def _flip_in(name: str) -> Kind:
    def kind(rng: random.Random, run: Path) -> None:
        path = run / name
        flip(path, rng.randrange(path.stat().st_size), rng.randrange(1, 256))

    return kind


def _cut_off(name: str) -> Kind:
    def kind(rng: random.Random, run: Path) -> None:
        data = (run / name).read_bytes()
        (run / name).write_bytes(data[: rng.randrange(len(data))])

    return kind


def _insert_bytes(rng: random.Random, run: Path) -> None:
    path = run / "ledger" / rng.choice(("blocks.rlp", "leaves.rlp", "genesis.json", "contract.json"))
    data, place = path.read_bytes(), rng.randrange(path.stat().st_size + 1)
    path.write_bytes(data[:place] + rng.randbytes(rng.randint(1, 40)) + data[place:])


# ------------------------------------------------------------------------------------------------- blocks, resealed


def _on_chain(change: Callable[[random.Random, Forger], Any]) -> Kind:
    """A kind that alters the chain; the summary is told."""

    def kind(rng: random.Random, run: Path) -> None:
        forger = Forger(run)
        change(rng, forger)
        forger.write()

    return kind


def _drop_a_block(rng: random.Random, f: Forger) -> None:
    del f.blocks[f.any_block(rng)]


def _drop_a_block_and_reseal(rng: random.Random, f: Forger) -> None:
    index = f.any_block(rng)
    del f.blocks[index]
    f.renew(index)


def _swap_two_blocks(rng: random.Random, f: Forger) -> None:
    i, j = rng.sample(range(len(f.blocks)), 2)
    f.blocks[i], f.blocks[j] = f.blocks[j], f.blocks[i]


def _swap_two_blocks_and_reseal(rng: random.Random, f: Forger) -> None:
    index = rng.randrange(len(f.blocks) - 1)
    f.blocks[index : index + 2] = f.blocks[index : index + 2][::-1]
    f.renew(index)


def _repeat_a_block(rng: random.Random, f: Forger) -> None:
    f.blocks.insert(rng.randrange(len(f.blocks) + 1), rng.choice(f.blocks))


def _repeat_a_block_and_reseal(rng: random.Random, f: Forger) -> None:
    index = f.any_block(rng, 1)
    f.blocks.insert(index, f.blocks[index])
    f.renew(index)


def _replace_a_block_by_another_runs(rng: random.Random, f: Forger) -> None:
    others = Forger(other_run(f.run)).blocks
    index = rng.randrange(min(len(others), len(f.blocks)))
    f.blocks[index] = others[index]
    if rng.random() < 0.5:
        f.renew(index)


def _empty_a_block(rng: random.Random, f: Forger) -> None:
    f.put(f.any_block(rng, 1), ())


def _cut_whole_blocks(rng: random.Random, f: Forger) -> None:
    del f.blocks[rng.randrange(len(f.blocks)) :]


# ------------------------------------------------------------------------------------------------- transactions


def _in_a_block(at_least: int, change: Callable[[random.Random, list[Any], Forger], Any]) -> Kind:
    """A kind that alters a block's transactions, with the right root, and seals it and all that follow."""

    def edit(rng: random.Random, f: Forger) -> None:
        index = f.any_block(rng, at_least)
        transactions = list(f.blocks[index].transactions)
        change(rng, transactions, f)
        f.put(index, transactions)

    return _on_chain(edit)


def _drop_one(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    del transactions[rng.randrange(len(transactions))]


def _reorder(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    rng.shuffle(transactions)


def _repeat_one(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    transactions.insert(rng.randrange(len(transactions) + 1), rng.choice(transactions))


def _replace_one(rng: random.Random, transactions: list[Any], f: Forger) -> None:
    foreign = rng.choice([t for block in f.blocks for t in block.transactions])
    transactions[rng.randrange(len(transactions))] = foreign


def _change_a_field(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    index = rng.randrange(len(transactions))
    old = transactions[index]
    fields = {
        "data": _other_bytes(rng, old.data),
        "gas": old.gas + rng.randint(1, 1000),
        "nonce": old.nonce + 1,
        "value": 1,
        "to": rng.randbytes(20),
        "r": old.r ^ 1 << rng.randrange(250),
        "v": 2 * CHAIN_ID + 71 - old.v,
    }
    name = rng.choice(list(fields))
    transactions[index] = old.copy(**{name: fields[name]})


def _sign_as_an_outsider(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    index, outsider = rng.randrange(len(transactions)), account(rng.randrange(10**6), "outsider", 0)
    old = transactions[index]
    unsigned = _GovernedVM.create_unsigned_transaction(
        nonce=rng.choice((0, old.nonce)), gas_price=0, gas=old.gas, to=old.to, value=0, data=old.data
    )
    transactions[index] = unsigned.as_signed_transaction(keys.PrivateKey(outsider.key), chain_id=CHAIN_ID)


# ------------------------------------------------------------------------------------------------- seals and headers


def _with_a_seal(make: Callable[[random.Random, bytes], bytes]) -> Kind:
    """A kind that exchanges the seal of a block; those that follow are sealed anew."""

    def edit(rng: random.Random, f: Forger) -> None:
        index = f.any_block(rng)
        block = f.blocks[index]
        vanity, old = block.header.extra_data[:32], block.header.extra_data[32:]
        f.blocks[index] = block.copy(header=block.header.copy(extra_data=vanity + make(rng, old)))
        f.renew(index + 1)

    return _on_chain(edit)


def _malleated(_rng: random.Random, old: bytes) -> bytes:
    signature = keys.Signature(old)
    return keys.Signature(vrs=(1 - signature.v, signature.r, SECPK1_N - signature.s)).to_bytes()


def _sealed_by(whom: Callable[[random.Random, Forger, int], Account]) -> Kind:
    """A kind in which somebody else seals a block, perhaps in its own name; those that follow are sealed anew."""

    def edit(rng: random.Random, f: Forger) -> None:
        index = f.any_block(rng)
        sealer = whom(rng, f, index)
        header = f.blocks[index].header
        if rng.random() < 0.5:
            header = header.copy(coinbase=sealer.address)
        f.blocks[index] = f.blocks[index].copy(header=seal(header, sealer))
        f.renew(index + 1)

    return _on_chain(edit)


def _outsider(rng: random.Random, _f: Forger, _index: int) -> Account:
    return account(rng.randrange(10**6), "authority", rng.randrange(3))


def _out_of_turn(rng: random.Random, f: Forger, index: int) -> Account:
    return f.in_turn(index + 1 + rng.choice((1, 2)))


def _with_a_header(**makers: Callable[[random.Random, Any], Any]) -> Kind:
    """A kind in which the authority in turn seals another header, and the blocks that follow are sealed anew."""

    def edit(rng: random.Random, f: Forger) -> None:
        index, field = f.any_block(rng), rng.choice(list(makers))
        f.reseal(index, **{field: makers[field](rng, getattr(f.blocks[index].header, field))})
        f.renew(index + 1)

    return _on_chain(edit)


def _more(rng: random.Random, value: int) -> int:
    return max(0, value + rng.choice((-1, 1)) * rng.randint(1, 1000))


# ------------------------------------------------------------------------------------------------- other histories


def _executed(change: Callable[[random.Random, Forger, list[list[Call]]], Any]) -> Kind:
    """A kind that alters what was called; everything is signed, executed and sealed once more."""

    def edit(rng: random.Random, f: Forger) -> None:
        calls = f.calls()
        change(rng, f, calls)
        f.execute(calls)

    return _on_chain(edit)


def _calling(function: str, *changes: Callable[[random.Random, list[Any]], Any], among: slice = EVERY) -> Kind:
    """A kind in which whoever calls a function of the contract calls it with something else, among all the times."""

    def edit(rng: random.Random, f: Forger, calls: list[list[Call]]) -> None:
        i, j = rng.choice(f.found(function)[among])
        args = _arguments(function, calls[i][j].data)
        rng.choice(changes)(rng, args)
        calls[i][j] = calls[i][j]._replace(data=CONTRACT.encode(function, *args))

    return _executed(edit)


def _arguments(function: str, data: bytes) -> list[Any]:
    from eth_abi import decode

    entry = next(e for e in CONTRACT.artefact["abi"] if e.get("name") == function)
    return list(decode([item["type"] for item in entry["inputs"]], data[4:]))


def _other_digest(place: int) -> Callable[[random.Random, list[Any]], None]:
    def change(rng: random.Random, args: list[Any]) -> None:
        args[place] = _other_bytes(rng, args[place])

    return change


def _other_count(place: int) -> Callable[[random.Random, list[Any]], None]:
    def change(rng: random.Random, args: list[Any]) -> None:
        args[place] += rng.randint(1, 9)

    return change


def _sign_another_update(rng: random.Random, f: Forger, calls: list[list[Call]]) -> None:
    """A client signs another update than the one under the root; half of the time the leaves are changed to it."""
    records = [(k, record) for k, record in enumerate(read_leaves(f.files.leaves)) if len(record.leaves)]
    k, record = rng.choice(records)
    row = rng.randrange(len(record.leaves))
    old = merkle.leaf_at(record.leaves, row)
    new = old._replace(update_digest=_other_bytes(rng, old.update_digest), samples=old.samples + rng.randrange(3))
    for i, j in f.found("submitSignedUpdates"):
        round = int.from_bytes(calls[i][j].data[4:36])
        updates = CONTRACT.decode_call(calls[i][j].data, "submitSignedUpdates")
        if round == record.round:
            signed = [_signed(f, old), _signed(f, new)]
            updates = [signed[1] if _same(update, signed[0]) else update for update in updates]
            calls[i][j] = calls[i][j]._replace(data=CONTRACT.encode("submitSignedUpdates", round, updates))
    if rng.random() < 0.5:
        leaves = record.leaves.copy()
        leaves[row] = np.frombuffer(b"\0" + _packed(new), merkle.ROW)[0]
        _rewrite_leaves(f.run, lambda all: [*all[:k], _rooted(record, leaves), *all[k + 1 :]])


def _packed(leaf: Leaf) -> bytes:
    number, samples, metric = leaf.round.to_bytes(4), leaf.samples.to_bytes(4), leaf.metric.to_bytes(8)
    return number + leaf.client + leaf.update_digest + samples + metric


def _signed(f: Forger, leaf: Leaf) -> tuple[Any, ...]:
    key = next(client.key for client in f.network.clients if client.address == leaf.client)
    return (*leaf[1:], *sign_update(key, domain_separator(CHAIN_ID, f.address), leaf))


def _same(update: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """The first part is an address, in one of two forms."""
    return update[1:] == other[1:]


def _forget_a_registry_change(rng: random.Random, f: Forger, calls: list[list[Call]]) -> None:
    found = [f.found(name) for name in ("registerClients", "suspendClient", "readmitClient")]
    i, _ = rng.choice([place for places in found for place in places if place[0] > 1])
    del calls[i]


def _let_an_outsider_call(rng: random.Random, f: Forger, calls: list[list[Call]]) -> None:
    """Among a round's transactions: forbidden, for another contract, or a view, which nobody is kept from calling."""
    outsider, target = account(rng.randrange(10**6), "outsider", 0), f.address
    function, args = rng.choice(
        [
            ("finaliseRound", (ROUNDS, rng.randbytes(32))),
            ("commitRound", (ROUNDS, rng.randbytes(32), 1, 1, 1)),
            ("registerClients", ([outsider.address],)),
            ("latestRound", ()),
            ("", ()),
        ]
    )
    if not function:
        function, target = "latestRound", rng.randbytes(20)
    i, j = rng.choice(f.found("openRound")[FINALISED] + f.found("commitRound"))
    calls[i].insert(j, Call(outsider.key, target, CONTRACT.encode(function, *args), 500_000))


def _deploy_another_contract(rng: random.Random, _f: Forger, calls: list[list[Call]]) -> None:
    deployment = calls[0][0]
    calls[0][0] = deployment._replace(data=deployment.data + rng.randbytes(rng.randint(1, 32)))


def _never_publish(_rng: random.Random, _f: Forger, calls: list[list[Call]]) -> None:
    del calls[-1]


def _tell_another_history(rng: random.Random, run: Path) -> None:
    """All keys, a history without a flaw - and the head hash of the first one still stands in the summary."""
    f = Forger(run)
    calls = f.calls()
    if rng.random() < 0.5:
        i, j = rng.choice(f.found("finaliseRound"))
        number, model = _arguments("finaliseRound", calls[i][j].data)
        calls[i][j] = calls[i][j]._replace(data=CONTRACT.encode("finaliseRound", number, _other_bytes(rng, model)))
    else:
        calls.insert(rng.randint(2, len(calls)), [])
    f.execute(calls)
    f.write(tell_summary=False)


# ------------------------------------------------------------------------------------------------- genesis and contract


def _name_other_authorities(rng: random.Random, run: Path) -> None:
    """A sound genesis, under which block 1 has no place, or is not sealed by one in turn."""
    f = Forger(run)
    others = [*_strangers(rng)[1:], *f.network.authorities]
    _found_anew(f, Genesis(f.genesis.config_hash, tuple(sorted(a.address for a in others))))
    if rng.random() < 0.5:
        f.authorities = others
        f.genesis = f.genesis._replace(authorities=tuple(a.address for a in f.network.authorities))
        f.renew(0)
    f.write()


def _strangers(rng: random.Random) -> list[Account]:
    """Four other authorities."""
    return [account(rng.randrange(10**6), "authority", i) for i in range(4)]


def _found_anew(f: Forger, genesis: Genesis) -> None:
    f.genesis, f.genesis_hash = genesis, PyEvmEngine(genesis).head_hash
    write_genesis(f.files.genesis, f.genesis, f.genesis_hash)


def _swap_the_genesis(rng: random.Random, run: Path) -> None:
    for name in rng.choice((("genesis.json",), ("genesis.json", "blocks.rlp"), ("blocks.rlp",))):
        shutil.copy(other_run(run) / "ledger" / name, run / "ledger" / name)


def _swap_parts(rng: random.Random, run: Path) -> None:
    """Some of the files of the same run with another seed, but not all."""
    parts = ["config.toml", "ledger", "rounds.jsonl", "summary.json", "clients.csv", "predictions.npz", "checkpoints"]
    for name in rng.sample(parts, rng.randint(1, len(parts) - 1)):
        theirs, ours = other_run(run) / name, run / name
        if theirs.is_dir():
            shutil.rmtree(ours)
            shutil.copytree(theirs, ours)
        else:
            shutil.copy(theirs, ours)


def _swap_the_whole_ledger(_rng: random.Random, run: Path) -> None:
    """The ledger of the same run with another seed; rounds and summary are made to say what it says."""
    theirs = other_run(run)
    shutil.rmtree(run / "ledger")
    shutil.copytree(theirs / "ledger", run / "ledger")
    records, others = read_rounds(run), read_rounds(theirs)
    _write_rounds(run, [ours | {"ledger": other["ledger"]} for ours, other in zip(records, others, strict=True)])
    _add_up(run)
    _add_up_times(run)
    head = _decoded(list(read_blocks(run / "ledger" / "blocks.rlp"))[-1]).hash
    _edit_summary(run, lambda summary: summary["ledger"].update(head_hash="0x" + head.hex()))


def _name_another_contract(rng: random.Random, run: Path) -> None:
    path = files_of(run).contract
    write_contract(path, rng.choice((rng.randbytes(20), _other_bytes(rng, read_contract(path)))))


# ------------------------------------------------------------------------------------------------- configuration


def _change_the_configuration(rng: random.Random, run: Path) -> None:
    path = run / "config.toml"
    text = path.read_text()
    number = rng.choice(list(re.finditer(r"(?<== )\d+(\.\d+)?(?=$)", text, re.MULTILINE)))
    path.write_text(text[: number.start()] + str(rng.randint(1, 9)) + text[number.start() :])


def _change_the_configuration_and_reseal(rng: random.Random, run: Path) -> None:
    """The genesis and every header are made to fit it, and so is the summary."""
    f = Forger(run)
    _change_the_configuration(rng, run)
    digest = sha256((run / "config.toml").read_bytes()).digest()
    _found_anew(f, f.genesis._replace(config_hash=digest))
    f.renew(0)
    f.write()
    _edit_summary(run, lambda summary: summary.update(config_sha256=digest.hex()))


# ------------------------------------------------------------------------------------------------- leaves


def _in_the_leaves(change: Callable[[random.Random, RoundLeaves], RoundLeaves]) -> Kind:
    """A kind that alters one record, as a run would write it."""

    def kind(rng: random.Random, run: Path) -> None:
        records = read_leaves(files_of(run).leaves)
        k = rng.choice([k for k, record in enumerate(records) if len(record.leaves)])
        _rewrite_leaves(run, lambda all: [*all[:k], change(rng, all[k]), *all[k + 1 :]])

    return kind


def _change_a_leaf(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    return record._replace(leaves=_changed_leaf(rng, record))


def _change_a_leaf_and_its_root(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    return _rooted(record, _changed_leaf(rng, record))


def _remove_a_leaf(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    kept = np.delete(np.arange(len(record.leaves)), rng.randrange(len(record.leaves)))
    return _rooted(record, record.leaves[kept], record.clients[kept])


def _give_a_leaf_to_another_client(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    clients, cohort = record.clients.copy(), record.cohort.copy()
    if rng.random() < 0.5:
        clients[rng.randrange(len(clients))] = rng.randrange(CLIENTS)
    else:
        cohort[rng.randrange(len(cohort))] = rng.randrange(CLIENTS)
    return record._replace(clients=clients, cohort=cohort)


def _shuffle_leaf_records(rng: random.Random, run: Path) -> None:
    def change(records: list[RoundLeaves]) -> list[RoundLeaves]:
        k = rng.randrange(len(records) - 1)
        swapped = [*records[:k], records[k + 1], records[k], *records[k + 2 :]]
        return rng.choice((records[:k] + records[k + 1 :], swapped, [*records[: k + 1], *records[k:]]))

    _rewrite_leaves(run, change)


# ------------------------------------------------------------------------------------------------- results


def _in_the_summary(section: str) -> Kind:
    """A kind that changes a number of the summary; ``timing.compile_s`` is the one that nothing vouches for."""

    def kind(rng: random.Random, run: Path) -> None:
        def change(summary: dict[str, Any]) -> None:
            paths = [p for p in _numbers(summary[section], (section,)) if p[-1] != "compile_s"]
            _change_number(summary, rng.choice(paths), rng)

        _edit_summary(run, change)

    return kind


def _in_the_rounds(*, ledger: bool) -> Kind:
    """A kind that changes a number of ``rounds.jsonl``; its sums in the summary are made to fit, but for clocks."""

    def kind(rng: random.Random, run: Path) -> None:
        records = read_rounds(run)
        record = rng.choice(records)
        paths = [p for p in _numbers(record) if (p[0] == "ledger") == ledger and p[-1] != "digest_ms"]
        _change_number(record, rng.choice(paths), rng)
        _write_rounds(run, records)
        _add_up(run)

    return kind


def _shuffle_rounds(rng: random.Random, run: Path) -> None:
    records = read_rounds(run)
    k = rng.randrange(len(records) - 1)
    swapped = [*records[:k], records[k + 1], records[k], *records[k + 2 :]]
    _write_rounds(run, rng.choice((records[:k] + records[k + 1 :], swapped, [*records[: k + 1], *records[k:]])))
    _add_up(run)


def _improve_the_last_test(rng: random.Random, run: Path) -> None:
    """The same better figure in the summary and in the last line of ``rounds.jsonl``."""
    records = read_rounds(run)
    metrics = records[-1]["metrics"]
    path = rng.choice([p for p in _numbers(metrics) if isinstance(p[-1], str) and p[-1] != "support"])
    _change_number(metrics, path, rng)
    _write_rounds(run, records)
    _edit_summary(run, lambda summary: summary["test"].update({"global": metrics}))


def _change_a_row_of_clients(rng: random.Random, run: Path) -> None:
    with (run / "clients.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    i = rng.randrange(1, len(rows))
    match rng.choice(("cell", "swap", "drop")):
        case "cell":
            j = rng.randrange(2, len(rows[i]))
            rows[i][j] = repr(float(rows[i][j] or 0) + rng.random())
        case "swap":
            j = rng.randrange(1, len(rows))
            rows[i][1:], rows[j][1:] = rows[j][1:], rows[i][1:]
        case _:
            del rows[i]
    with (run / "clients.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _change_a_prediction(rng: random.Random, run: Path) -> None:
    with np.load(run / "predictions.npz") as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    name = rng.choice([name for name, array in arrays.items() if array.dtype.kind in "fi"])
    place = tuple(rng.randrange(size) for size in arrays[name].shape)
    arrays[name][place] = arrays[name][place] / 2 + 0.25 if arrays[name].dtype.kind == "f" else arrays[name][place] + 1
    np.savez_compressed(run / "predictions.npz", allow_pickle=False, **arrays)


def _remove_results(rng: random.Random, run: Path) -> None:
    for name in rng.sample(["predictions.npz", "clients.csv", "summary.json", "rounds.jsonl"], rng.randint(1, 4)):
        (run / name).unlink()


# ------------------------------------------------------------------------------------------------- rounds cut off


def _cut_rounds_off(rng: random.Random, run: Path) -> None:
    """The end of chain, leaves, rounds and checkpoints; half of the time an auditor publishes the rest as results."""
    left = ROUNDS - rng.randint(1, 3)
    f = Forger(run)
    calls = f.calls()[: f.found("finaliseRound")[left - 1][0] + 1]
    _rewrite_leaves(run, lambda records: records[:left])
    _write_rounds(run, read_rounds(run)[:left])
    _add_up(run)
    _add_up_times(run)
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))
    if rng.random() < 0.5:
        digest = results_digest(run, json.loads((run / "summary.json").read_text()))
        auditor, data = f.network.auditor, CONTRACT.encode("publishResults", left, digest)
        calls.append([Call(auditor.key, f.address, data, 500_000)])
    f.execute(calls)
    f.write()


# ------------------------------------------------------------------------------------------------- checkpoints


def _save_another_model(rng: random.Random, run: Path) -> None:
    """A sound checkpoint with another number in it."""
    leaves, layout = _last_model(run)
    leaf = leaves[rng.randrange(len(leaves))]
    leaf[tuple(rng.randrange(size) for size in leaf.shape)] += rng.choice((-1, 1)) * 10.0 ** -rng.randint(0, 3)
    _save_model(run, ROUNDS, leaves, layout)


def _save_an_older_model(_rng: random.Random, run: Path) -> None:
    """The model of the round before, as if it were the last."""
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))
    _save_model(run, ROUNDS, *_last_model(run))


def _save_a_later_model(rng: random.Random, run: Path) -> None:
    leaves, layout = _last_model(run)
    _save_model(run, ROUNDS + rng.randint(1, 5), leaves, layout)


def _leave_an_older_checkpoint(_rng: random.Random, run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))


def _lose_checkpoints(rng: random.Random, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    if rng.random() < 0.5:
        (run / "checkpoints").mkdir()


def _rename_a_checkpoint(rng: random.Random, run: Path) -> None:
    (run / "checkpoints" / str(ROUNDS)).rename(run / "checkpoints" / str(ROUNDS + rng.randint(1, 9)))


def _copy_another_runs_checkpoints(_rng: random.Random, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(other_run(run) / "checkpoints", run / "checkpoints")


def _flip_in_the_checkpoint(rng: random.Random, run: Path) -> None:
    """A byte of the file that holds the numbers; what Orbax notes beside them, nothing vouches for or depends on."""
    path = biggest_file(run / "checkpoints" / str(ROUNDS) / "state" / "d")
    flip(path, rng.randrange(path.stat().st_size), rng.randrange(1, 256))


def _last_model(run: Path) -> tuple[list[np.ndarray], str]:
    checkpoints = Checkpoints(run / "checkpoints")
    saved = checkpoints.latest()
    checkpoints.close()
    assert saved
    return [leaf.copy() for leaf in saved.leaves["params"]], saved.layout["params"]


def _save_model(run: Path, number: int, leaves: Sequence[np.ndarray], layout: str) -> None:
    """The way a run does it, so that the checkpoint's own digests are right."""
    params: dict[str, Any] = {}
    for line, leaf in zip(layout.splitlines(), leaves, strict=True):
        *folders, name = re.findall(r"\['(\w+)'\]", line)
        functools.reduce(lambda node, folder: node.setdefault(folder, {}), folders, params)[name] = leaf
    shutil.rmtree(run / "checkpoints" / str(number), ignore_errors=True)
    checkpoints = Checkpoints(run / "checkpoints")
    checkpoints.save(number, TrainState(params, (), ()))
    checkpoints.close()


# ------------------------------------------------------------------------------------------------- synthetic batches


def _change_a_batch(rng: random.Random, run: Path) -> None:
    with np.load(path_of(run, 1)) as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    name = rng.choice(list(arrays))
    arrays[name][rng.randrange(len(arrays[name]))] += 1
    save_batch(run, 1, arrays)


def _flip_in_the_batch(rng: random.Random, run: Path) -> None:
    flip(path_of(run, 1), rng.randrange(path_of(run, 1).stat().st_size), rng.randrange(1, 256))


def _lose_the_batch(rng: random.Random, run: Path) -> None:
    if rng.random() < 0.5:
        path_of(run, 1).unlink()
    else:
        path_of(run, 1).rename(path_of(run, rng.randint(2, 9)))


def _add_a_batch(rng: random.Random, run: Path) -> None:
    shutil.copy(path_of(run, 1), path_of(run, rng.randint(2, 9)))


# ------------------------------------------------------------------------------------------------- the table

KINDS: dict[str, Kind] = {
    "a byte of blocks.rlp": _flip_in("ledger/blocks.rlp"),
    "a byte of leaves.rlp": _flip_in("ledger/leaves.rlp"),
    "a byte of genesis.json": _flip_in("ledger/genesis.json"),
    "a byte of contract.json": _flip_in("ledger/contract.json"),
    "a byte of config.toml": _flip_in("config.toml"),
    "a byte of clients.csv": _flip_in("clients.csv"),
    "a byte of a checkpoint": _flip_in_the_checkpoint,
    "a byte of a synthetic batch": _flip_in_the_batch,
    "bytes inserted in a file of the ledger": _insert_bytes,
    "block log cut off anywhere": _cut_off("ledger/blocks.rlp"),
    "block log cut off between blocks": _on_chain(_cut_whole_blocks),
    "leaf file cut off": _cut_off("ledger/leaves.rlp"),
    "block dropped": _on_chain(_drop_a_block),
    "block dropped, the rest resealed": _on_chain(_drop_a_block_and_reseal),
    "blocks swapped": _on_chain(_swap_two_blocks),
    "blocks swapped and resealed": _on_chain(_swap_two_blocks_and_reseal),
    "block repeated": _on_chain(_repeat_a_block),
    "block repeated, the rest resealed": _on_chain(_repeat_a_block_and_reseal),
    "block of another run": _on_chain(_replace_a_block_by_another_runs),
    "block emptied and resealed": _on_chain(_empty_a_block),
    "transaction dropped": _in_a_block(1, _drop_one),
    "transactions reordered": _in_a_block(2, _reorder),
    "transaction repeated": _in_a_block(1, _repeat_one),
    "transaction replaced by another": _in_a_block(1, _replace_one),
    "transaction edited": _in_a_block(1, _change_a_field),
    "transaction signed by an outsider": _in_a_block(1, _sign_as_an_outsider),
    "seal changed": _with_a_seal(_other_bytes),
    "seal blank": _with_a_seal(lambda _rng, old: bytes(len(old))),
    "seal malleated": _with_a_seal(_malleated),
    "sealed by an outsider": _sealed_by(_outsider),
    "sealed out of turn": _sealed_by(_out_of_turn),
    "state root, resealed by the authority": _with_a_header(state_root=_other_bytes),
    "gas, resealed by the authority": _with_a_header(gas_used=_more),
    "other roots, resealed by the authority": _with_a_header(
        receipt_root=_other_bytes, transaction_root=_other_bytes, bloom=lambda rng, b: b ^ 1 << rng.randrange(2048)
    ),
    "time or limits, resealed by the authority": _with_a_header(
        timestamp=_more, gas_limit=_more, mix_hash=_other_bytes, parent_beacon_block_root=_other_bytes
    ),
    "history with another update of a client": _executed(_sign_another_update),
    "history without a registry change": _executed(_forget_a_registry_change),
    "history with an outsider's call": _executed(_let_an_outsider_call),
    "history of another contract": _executed(_deploy_another_contract),
    "history with another commitment": _calling("commitRound", _other_digest(1), *map(_other_count, (2, 3, 4))),
    "history with another cohort": _calling("openRound", _other_digest(3), _other_count(4), among=FINALISED),
    "history of another configuration": _calling("openRound", _other_digest(2)),
    "history with another final model": _calling("finaliseRound", _other_digest(1), among=LAST),
    "history with another synthetic batch": _calling("logSynthetic", _other_digest(2), among=FIRST),
    "history with other results": _calling("publishResults", _other_digest(1)),
    "history without results": _executed(_never_publish),
    "history of all keys under the old head": _tell_another_history,
    "genesis of other authorities": _name_other_authorities,
    "genesis or blocks of another seed": _swap_the_genesis,
    "ledger of another seed": _swap_the_whole_ledger,
    "some files of another seed": _swap_parts,
    "contract at another address": _name_another_contract,
    "configuration changed": _change_the_configuration,
    "configuration changed and resealed": _change_the_configuration_and_reseal,
    "leaf changed": _in_the_leaves(_change_a_leaf),
    "leaf changed under its own root": _in_the_leaves(_change_a_leaf_and_its_root),
    "leaf removed": _in_the_leaves(_remove_a_leaf),
    "leaf or invitation of another client": _in_the_leaves(_give_a_leaf_to_another_client),
    "leaf records dropped, swapped or repeated": _shuffle_leaf_records,
    "test figure": _in_the_summary("test"),
    "fairness figure": _in_the_summary("fairness"),
    "ledger figure": _in_the_summary("ledger"),
    "timing figure": _in_the_summary("timing"),
    "configuration hash in the summary": _in_the_summary("config_sha256"),
    "loss or metric of a round": _in_the_rounds(ledger=False),
    "cost of a round": _in_the_rounds(ledger=True),
    "rounds dropped, swapped or repeated": _shuffle_rounds,
    "last test improved everywhere": _improve_the_last_test,
    "row of clients.csv": _change_a_row_of_clients,
    "prediction": _change_a_prediction,
    "results removed": _remove_results,
    "last rounds cut off everywhere": _cut_rounds_off,
    "model parameter": _save_another_model,
    "model of an older round": _save_an_older_model,
    "model of a round that never was": _save_a_later_model,
    "older checkpoint only": _leave_an_older_checkpoint,
    "checkpoints removed": _lose_checkpoints,
    "checkpoint under another number": _rename_a_checkpoint,
    "checkpoints of another run": _copy_another_runs_checkpoints,
    "synthetic batch changed": _change_a_batch,
    "synthetic batch missing": _lose_the_batch,
    "synthetic batch added": _add_a_batch,
}
SIGNED_ONLY = {"history with another update of a client"}
"""Kinds that need updates on the chain."""
BAD_REQUESTS = {"a byte of config.toml"}
"""Kinds after which there may be no run to audit: exit code 2."""


# ------------------------------------------------------------------------------------------------- what agrees


def _found_everything_anew(rng: random.Random, run: Path) -> None:
    """Another genesis, whose authorities seal the very same transactions."""
    f = Forger(run)
    f.authorities = _strangers(rng)
    _found_anew(f, Genesis(f.genesis.config_hash, tuple(sorted(a.address for a in f.authorities))))
    f.renew(0)
    f.write()


def _publish_better_results(rng: random.Random, run: Path) -> None:
    """The auditor puts its name to changed figures."""
    _improve_the_last_test(rng, run)
    f = Forger(run)
    calls = f.calls()
    digest = results_digest(run, json.loads((run / "summary.json").read_text()))
    calls[-1][0] = calls[-1][0]._replace(data=CONTRACT.encode("publishResults", ROUNDS, digest))
    f.execute(calls)
    f.write()


def _forget_a_request(_rng: random.Random, f: Forger, calls: list[list[Call]]) -> None:
    """The last one, which was rejected."""
    del calls[f.found("requestSynthetic")[-1][0]]


def _add_an_empty_block(rng: random.Random, _f: Forger, calls: list[list[Call]]) -> None:
    calls.insert(rng.randint(2, len(calls)), [])


def _pretend_to_be_unfinished(_rng: random.Random, run: Path) -> None:
    """The last round and all results gone: a run that was stopped looks the same."""
    f = Forger(run)
    del f.blocks[f.found("finaliseRound")[ROUNDS - 2][0] + 1 :]
    f.write()
    _rewrite_leaves(run, lambda records: records[:-1])
    _write_rounds(run, read_rounds(run)[:-1])
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))
    for name in ("summary.json", "clients.csv", "predictions.npz"):
        (run / name).unlink()


AGREED: dict[str, Kind] = {
    "everything sealed by authorities of another genesis": _found_everything_anew,
    "better results, published by the auditor": _publish_better_results,
    "a rejected request left out": _executed(_forget_a_request),
    "an empty block": _executed(_add_an_empty_block),
    "another cohort of an aborted round": _calling("openRound", _other_digest(3), among=FIRST),
    "a finished run that pretends to be an unfinished one": _pretend_to_be_unfinished,
}
"""Histories without a flaw, in which all who keep them agree. They have another head hash, and that is all."""


# ------------------------------------------------------------------------------------------------- trials


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
