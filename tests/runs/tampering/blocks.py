"""Kinds of tampering with the block log: bytes, blocks, transactions, seals and headers."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_keys import keys
from eth_keys.constants import SECPK1_N

from bofl_jax.ledger.chain.accounts import Account, derive_account
from bofl_jax.ledger.chain.genesis import CHAIN_ID
from bofl_jax.ledger.chain.py_evm.chain import ProofOfAuthorityVM
from bofl_jax.ledger.chain.py_evm.proof_of_authority import seal_header
from tests.runs.tampering.forger import Forger, other_bytes
from tests.runs.tampering.runs import Kind, other_run
from tests.support.tiny import flip_byte


def flip_in(name: str) -> Kind:
    def kind(rng: random.Random, run: Path) -> None:
        path = run / name
        flip_byte(path, rng.randrange(path.stat().st_size), rng.randrange(1, 256))

    return kind


def cut_off(name: str) -> Kind:
    def kind(rng: random.Random, run: Path) -> None:
        data = (run / name).read_bytes()
        (run / name).write_bytes(data[: rng.randrange(len(data))])

    return kind


def insert_bytes(rng: random.Random, run: Path) -> None:
    path = run / "ledger" / rng.choice(("blocks.rlp", "leaves.rlp", "genesis.json", "contract.json"))
    data, place = path.read_bytes(), rng.randrange(path.stat().st_size + 1)
    path.write_bytes(data[:place] + rng.randbytes(rng.randint(1, 40)) + data[place:])


def on_chain(change: Callable[[random.Random, Forger], Any]) -> Kind:
    """A kind that alters the chain and writes its new head hash into the summary."""

    def kind(rng: random.Random, run: Path) -> None:
        forger = Forger(run)
        change(rng, forger)
        forger.write()

    return kind


def drop_a_block(rng: random.Random, f: Forger) -> None:
    del f.blocks[f.any_block(rng)]


def drop_a_block_and_reseal(rng: random.Random, f: Forger) -> None:
    index = f.any_block(rng)
    del f.blocks[index]
    f.reseal_from(index)


def swap_two_blocks(rng: random.Random, f: Forger) -> None:
    i, j = rng.sample(range(len(f.blocks)), 2)
    f.blocks[i], f.blocks[j] = f.blocks[j], f.blocks[i]


def swap_two_blocks_and_reseal(rng: random.Random, f: Forger) -> None:
    index = rng.randrange(len(f.blocks) - 1)
    f.blocks[index : index + 2] = f.blocks[index : index + 2][::-1]
    f.reseal_from(index)


def repeat_a_block(rng: random.Random, f: Forger) -> None:
    f.blocks.insert(rng.randrange(len(f.blocks) + 1), rng.choice(f.blocks))


def repeat_a_block_and_reseal(rng: random.Random, f: Forger) -> None:
    index = f.any_block(rng, 1)
    f.blocks.insert(index, f.blocks[index])
    f.reseal_from(index)


def replace_a_block_by_another_runs(rng: random.Random, f: Forger) -> None:
    others = Forger(other_run(f.run)).blocks
    index = rng.randrange(min(len(others), len(f.blocks)))
    f.blocks[index] = others[index]
    if rng.random() < 0.5:
        f.reseal_from(index)


def empty_a_block(rng: random.Random, f: Forger) -> None:
    f.replace_transactions(f.any_block(rng, 1), ())


def cut_whole_blocks(rng: random.Random, f: Forger) -> None:
    del f.blocks[rng.randrange(len(f.blocks)) :]


def in_a_block(at_least: int, change: Callable[[random.Random, list[Any], Forger], Any]) -> Kind:
    """A kind that alters the transactions of a block, corrects its root, and seals it and all later blocks."""

    def edit(rng: random.Random, f: Forger) -> None:
        index = f.any_block(rng, at_least)
        transactions = list(f.blocks[index].transactions)
        change(rng, transactions, f)
        f.replace_transactions(index, transactions)

    return on_chain(edit)


def drop_one(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    del transactions[rng.randrange(len(transactions))]


def reorder(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    rng.shuffle(transactions)


def repeat_one(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    transactions.insert(rng.randrange(len(transactions) + 1), rng.choice(transactions))


def replace_one(rng: random.Random, transactions: list[Any], f: Forger) -> None:
    foreign = rng.choice([t for block in f.blocks for t in block.transactions])
    transactions[rng.randrange(len(transactions))] = foreign


def change_a_field(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    index = rng.randrange(len(transactions))
    old = transactions[index]
    fields = {
        "data": other_bytes(rng, old.data),
        "gas": old.gas + rng.randint(1, 1000),
        "nonce": old.nonce + 1,
        "value": 1,
        "to": rng.randbytes(20),
        "r": old.r ^ 1 << rng.randrange(250),
        "v": 2 * CHAIN_ID + 71 - old.v,
    }
    name = rng.choice(list(fields))
    transactions[index] = old.copy(**{name: fields[name]})


def sign_as_an_outsider(rng: random.Random, transactions: list[Any], _f: Forger) -> None:
    index, outsider = rng.randrange(len(transactions)), derive_account(rng.randrange(10**6), "outsider", 0)
    old = transactions[index]
    unsigned = ProofOfAuthorityVM.create_unsigned_transaction(
        nonce=rng.choice((0, old.nonce)), gas_price=0, gas=old.gas, to=old.to, value=0, data=old.data
    )
    transactions[index] = unsigned.as_signed_transaction(keys.PrivateKey(outsider.key), chain_id=CHAIN_ID)


def with_a_seal(make: Callable[[random.Random, bytes], bytes]) -> Kind:
    """A kind that replaces the seal of a block; all later blocks are sealed again."""

    def edit(rng: random.Random, f: Forger) -> None:
        index = f.any_block(rng)
        block = f.blocks[index]
        vanity, old = block.header.extra_data[:32], block.header.extra_data[32:]
        f.blocks[index] = block.copy(header=block.header.copy(extra_data=vanity + make(rng, old)))
        f.reseal_from(index + 1)

    return on_chain(edit)


def malleate(_rng: random.Random, old: bytes) -> bytes:
    signature = keys.Signature(old)
    return keys.Signature(vrs=(1 - signature.v, signature.r, SECPK1_N - signature.s)).to_bytes()


def sealed_by(choose: Callable[[random.Random, Forger, int], Account]) -> Kind:
    """A kind in which another account seals a block, perhaps as its beneficiary; all later blocks are sealed again."""

    def edit(rng: random.Random, f: Forger) -> None:
        index = f.any_block(rng)
        sealer = choose(rng, f, index)
        header = f.blocks[index].header
        if rng.random() < 0.5:
            header = header.copy(coinbase=sealer.address)
        f.blocks[index] = f.blocks[index].copy(header=seal_header(header, sealer))
        f.reseal_from(index + 1)

    return on_chain(edit)


def outsider(rng: random.Random, _f: Forger, _index: int) -> Account:
    return derive_account(rng.randrange(10**6), "authority", rng.randrange(3))


def out_of_turn(rng: random.Random, f: Forger, index: int) -> Account:
    return f.in_turn(index + 1 + rng.choice((1, 2)))


def with_a_header(**makers: Callable[[random.Random, Any], Any]) -> Kind:
    """A kind in which the authority in turn seals another header; all later blocks are sealed again."""

    def edit(rng: random.Random, f: Forger) -> None:
        index, field = f.any_block(rng), rng.choice(list(makers))
        f.reseal(index, **{field: makers[field](rng, getattr(f.blocks[index].header, field))})
        f.reseal_from(index + 1)

    return on_chain(edit)


def changed_number(rng: random.Random, value: int) -> int:
    return max(0, value + rng.choice((-1, 1)) * rng.randint(1, 1000))
