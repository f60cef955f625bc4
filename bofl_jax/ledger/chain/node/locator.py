"""The locator of a batch of transactions on a network: encoding it, and fetching what it refers to.

A locator is the RLP list of ``[block number, block hash, transaction hash]``, one entry per transaction.
"""

from collections.abc import Sequence

import rlp
from rlp.sedes import Binary, CountableList, List, big_endian_int

from bofl_jax.ledger.chain.node.mining import MinedTransaction, get_receipts
from bofl_jax.ledger.chain.node.rpc import JsonRpcClient, to_bytes, to_hex, to_int
from bofl_jax.ledger.chain.transactions import SignedTransaction, decode_canonical, recover_transaction

Entry = tuple[int, bytes, bytes]
LOCATOR = CountableList(List([big_endian_int, Binary.fixed_length(32), Binary.fixed_length(32)]))


def encode_locator(mined: Sequence[MinedTransaction]) -> bytes:
    """The RLP bytes of a batch's locator."""
    return bytes(rlp.encode([[each.position[0], each.block_hash, each.signed.hash] for each in mined]))


def fetch_batch(rpc: JsonRpcClient, chain_id: int, raw: bytes, last_block: int) -> list[MinedTransaction]:
    """Fetch the transactions of a locator and check that they are at the stated positions.

    Args:
        rpc: connection to the node.
        chain_id: the chain that the transactions must be signed for.
        raw: the locator.
        last_block: number of the network's last block with transactions of an earlier batch.

    Raises:
        ValueError: if a transaction, its signature or its position is not as the locator says.
    """
    entries: Sequence[Entry] = decode_canonical(raw, LOCATOR)
    transactions = _transactions(rpc, chain_id, [hash_ for _, _, hash_ in entries])
    receipts = get_receipts(rpc, transactions)
    if None in receipts:
        raise ValueError(f"the network did not execute transaction {receipts.index(None)}")
    mined = [MinedTransaction(*pair) for pair in zip(transactions, receipts, strict=True)]
    _check_positions(rpc, mined, entries, last_block)
    _check_nonces([each.signed for each in mined])
    return mined


def _check_positions(
    rpc: JsonRpcClient, mined: Sequence[MinedTransaction], entries: Sequence[Entry], last_block: int
) -> None:
    numbers = sorted({number for number, _, _ in entries})
    if numbers and numbers[0] <= last_block:
        raise ValueError(f"network block {numbers[0]} is not after block {last_block} of the batch before")
    found = rpc.call_batch([("eth_getBlockByNumber", (hex(number), False)) for number in numbers])
    blocks = dict(zip(numbers, found, strict=True))
    for each, (number, block_hash, hash_) in zip(mined, entries, strict=True):
        block = blocks[number]
        if block is None or to_bytes(block["hash"]) != block_hash:
            raise ValueError(f"0x{block_hash.hex()} is not block {number} of the network")
        if each.position[0] != number or to_bytes(block["transactions"][each.position[1]]) != hash_:
            raise ValueError(f"transaction 0x{hash_.hex()} is not in block {number} of the network")


def _check_nonces(transactions: Sequence[SignedTransaction]) -> None:
    last: dict[bytes, int] = {}
    for each in transactions:
        if each.nonce <= last.get(each.sender, -1):
            raise ValueError(f"the transactions of {to_hex(each.sender)} are not in the order of their nonces")
        last[each.sender] = each.nonce


def _transactions(rpc: JsonRpcClient, chain_id: int, hashes: Sequence[bytes]) -> list[SignedTransaction]:
    """The transactions with these hashes, rebuilt from their fields if the node does not return signed bytes."""
    responses = rpc.responses([("eth_getRawTransactionByHash", (to_hex(hash_),)) for hash_ in hashes])
    raws = [
        to_bytes(response.get("result") or "0x") or _rebuild(rpc, hash_)
        for hash_, response in zip(hashes, responses, strict=True)
    ]
    return [recover_transaction(raw, hash_, chain_id) for raw, hash_ in zip(raws, hashes, strict=True)]


def _rebuild(rpc: JsonRpcClient, hash_: bytes) -> bytes:
    fields = rpc.call("eth_getTransactionByHash", to_hex(hash_))
    if fields is None:
        raise ValueError(f"the network knows no transaction 0x{hash_.hex()}")
    nonce, price, gas, value, v, r, s = (
        to_int(fields[name]) for name in ("nonce", "gasPrice", "gas", "value", "v", "r", "s")
    )
    to, data = to_bytes(fields["to"] or "0x"), to_bytes(fields["input"])
    return bytes(rlp.encode([nonce, price, gas, to, value, data, v, r, s]))
