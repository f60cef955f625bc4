"""Kinds of tampering that replace the history: executed again, on another chain, or with another contract."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.ledger import merkle
from bofl_jax.ledger.chain.accounts import Account, derive_account
from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.chain.genesis import CHAIN_ID, Genesis
from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update
from bofl_jax.ledger.merkle import Leaf
from bofl_jax.ledger.storage.block_log import read_blocks
from bofl_jax.ledger.storage.contract_file import read_contract, write_contract
from bofl_jax.ledger.storage.genesis_file import write_genesis
from bofl_jax.ledger.storage.layout import ledger_files
from bofl_jax.ledger.storage.leaves import read_leaves
from tests.runs.tampering.blocks import on_chain
from tests.runs.tampering.forger import (
    Forger,
    decode_block,
    edit_summary,
    other_bytes,
    rewrite_leaves,
    update_sums,
    update_times,
    with_new_root,
    write_rounds,
)
from tests.runs.tampering.runs import CONTRACT, EVERY, FINALISED, ROUNDS, Kind, other_run
from tests.support.tiny import read_rounds


def with_calls(change: Callable[[random.Random, Forger, list[list[TransactionRequest]]], Any]) -> Kind:
    """A kind that alters the calls of the run; everything is signed, executed and sealed again."""

    def edit(rng: random.Random, f: Forger) -> None:
        calls = f.calls()
        change(rng, f, calls)
        f.execute(calls)

    return on_chain(edit)


def with_changed_call(function: str, *changes: Callable[[random.Random, list[Any]], Any], among: slice = EVERY) -> Kind:
    """A kind that changes the arguments of one call of a function of the contract."""

    def edit(rng: random.Random, f: Forger, calls: list[list[TransactionRequest]]) -> None:
        i, j = rng.choice(f.find_calls(function)[among])
        args = _arguments(function, calls[i][j].data)
        rng.choice(changes)(rng, args)
        calls[i][j] = calls[i][j]._replace(data=CONTRACT.encode_call(function, *args))

    return with_calls(edit)


def _arguments(function: str, data: bytes) -> list[Any]:
    from eth_abi import decode

    entry = next(e for e in CONTRACT.artefact["abi"] if e.get("name") == function)
    return list(decode([item["type"] for item in entry["inputs"]], data[4:]))


def other_digest(place: int) -> Callable[[random.Random, list[Any]], None]:
    def change(rng: random.Random, args: list[Any]) -> None:
        args[place] = other_bytes(rng, args[place])

    return change


def other_count(place: int) -> Callable[[random.Random, list[Any]], None]:
    def change(rng: random.Random, args: list[Any]) -> None:
        args[place] += rng.randint(1, 9)

    return change


def sign_another_update(rng: random.Random, f: Forger, calls: list[list[TransactionRequest]]) -> None:
    """A client signs another update than the one under the root; in half of the trials, the leaves have it too."""
    records = [(k, record) for k, record in enumerate(read_leaves(f.files.leaves)) if len(record.leaves)]
    k, record = rng.choice(records)
    row = rng.randrange(len(record.leaves))
    old = merkle.unpack_leaf(record.leaves, row)
    new = old._replace(update_digest=other_bytes(rng, old.update_digest), samples=old.samples + rng.randrange(3))
    for i, j in f.find_calls("submitSignedUpdates"):
        round = int.from_bytes(calls[i][j].data[4:36])
        updates = CONTRACT.decode_last_argument(calls[i][j].data, "submitSignedUpdates")
        if round == record.round:
            signed = [_signed(f, old), _signed(f, new)]
            updates = [signed[1] if _same(update, signed[0]) else update for update in updates]
            calls[i][j] = calls[i][j]._replace(data=CONTRACT.encode_call("submitSignedUpdates", round, updates))
    if rng.random() < 0.5:
        leaves = record.leaves.copy()
        leaves[row] = np.frombuffer(b"\0" + _packed(new), merkle.LEAF_DTYPE)[0]
        rewrite_leaves(f.run, lambda all: [*all[:k], with_new_root(record, leaves), *all[k + 1 :]])


def _packed(leaf: Leaf) -> bytes:
    number, samples, metric = leaf.round.to_bytes(4), leaf.samples.to_bytes(4), leaf.metric.to_bytes(8)
    return number + leaf.client + leaf.update_digest + samples + metric


def _signed(f: Forger, leaf: Leaf) -> tuple[Any, ...]:
    key = next(client.key for client in f.network.clients if client.address == leaf.client)
    return (*leaf[1:], *sign_update(key, domain_separator(CHAIN_ID, f.address), leaf))


def _same(update: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two updates are equal; their first part is an address, in one of two forms."""
    return update[1:] == other[1:]


def drop_a_registry_change(rng: random.Random, f: Forger, calls: list[list[TransactionRequest]]) -> None:
    found = [f.find_calls(name) for name in ("registerClients", "suspendClient", "readmitClient")]
    i, _ = rng.choice([place for places in found for place in places if place[0] > 1])
    del calls[i]


def add_a_call_by_an_outsider(rng: random.Random, f: Forger, calls: list[list[TransactionRequest]]) -> None:
    """Add a call to a round: a forbidden one, one of another contract, or a view, which anyone may call."""
    outsider, target = derive_account(rng.randrange(10**6), "outsider", 0), f.address
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
    i, j = rng.choice(f.find_calls("openRound")[FINALISED] + f.find_calls("commitRound"))
    calls[i].insert(j, TransactionRequest(outsider.key, target, CONTRACT.encode_call(function, *args), 500_000))


def deploy_another_contract(rng: random.Random, _f: Forger, calls: list[list[TransactionRequest]]) -> None:
    deployment = calls[0][0]
    calls[0][0] = deployment._replace(data=deployment.data + rng.randbytes(rng.randint(1, 32)))


def drop_the_publication(_rng: random.Random, _f: Forger, calls: list[list[TransactionRequest]]) -> None:
    del calls[-1]


def rewrite_history(rng: random.Random, run: Path) -> None:
    """Replace the chain by a valid history; the summary still has the head hash of the first one."""
    f = Forger(run)
    calls = f.calls()
    if rng.random() < 0.5:
        i, j = rng.choice(f.find_calls("finaliseRound"))
        number, model = _arguments("finaliseRound", calls[i][j].data)
        calls[i][j] = calls[i][j]._replace(data=CONTRACT.encode_call("finaliseRound", number, other_bytes(rng, model)))
    else:
        calls.insert(rng.randint(2, len(calls)), [])
    f.execute(calls)
    f.write(update_summary=False)


def replace_authorities(rng: random.Random, run: Path) -> None:
    """Write a valid genesis to which block 1 does not belong, or whose authority in turn did not seal it."""
    f = Forger(run)
    others = [*other_authorities(rng)[1:], *f.network.signers]
    write_new_genesis(f, Genesis(f.genesis.config_hash, tuple(sorted(a.address for a in others))))
    if rng.random() < 0.5:
        f.authorities = others
        f.genesis = f.genesis._replace(signers=tuple(a.address for a in f.network.signers))
        f.reseal_from(0)
    f.write()


def other_authorities(rng: random.Random) -> list[Account]:
    """Four other authorities."""
    return [derive_account(rng.randrange(10**6), "authority", i) for i in range(4)]


def write_new_genesis(f: Forger, genesis: Genesis) -> None:
    f.genesis, f.genesis_hash = genesis, PyEvmChain(genesis).head_hash
    write_genesis(f.files.genesis, f.genesis, f.genesis_hash)


def swap_the_genesis(rng: random.Random, run: Path) -> None:
    for name in rng.choice((("genesis.json",), ("genesis.json", "blocks.rlp"), ("blocks.rlp",))):
        shutil.copy(other_run(run) / "ledger" / name, run / "ledger" / name)


def swap_parts(rng: random.Random, run: Path) -> None:
    """Take some files, but not all, from the same run with another seed."""
    parts = ["config.toml", "ledger", "rounds.jsonl", "summary.json", "clients.csv", "predictions.npz", "checkpoints"]
    for name in rng.sample(parts, rng.randint(1, len(parts) - 1)):
        theirs, ours = other_run(run) / name, run / name
        if theirs.is_dir():
            shutil.rmtree(ours)
            shutil.copytree(theirs, ours)
        else:
            shutil.copy(theirs, ours)


def swap_the_whole_ledger(_rng: random.Random, run: Path) -> None:
    """Take the ledger of the same run with another seed, and make rounds and summary fit it."""
    theirs = other_run(run)
    shutil.rmtree(run / "ledger")
    shutil.copytree(theirs / "ledger", run / "ledger")
    records, others = read_rounds(run), read_rounds(theirs)
    write_rounds(run, [ours | {"ledger": other["ledger"]} for ours, other in zip(records, others, strict=True)])
    update_sums(run)
    update_times(run)
    head = decode_block(list(read_blocks(run / "ledger" / "blocks.rlp"))[-1]).hash
    edit_summary(run, lambda summary: summary["ledger"].update(head_hash="0x" + head.hex()))


def change_the_contract_address(rng: random.Random, run: Path) -> None:
    path = ledger_files(run).contract
    write_contract(path, rng.choice((rng.randbytes(20), other_bytes(rng, read_contract(path)))))
