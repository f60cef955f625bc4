"""Blocks that a chain must reject: forged by an outsider, or made by a dishonest signer.

A dishonest signer has its own key and may execute what it likes, so most blocks here are consistent in themselves and
correctly sealed. Each block is given to a chain with the blocks before it; afterwards the valid block must be accepted.
"""
# ruff: noqa: ARG005

import pytest
import rlp
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.db.trie import make_trie_root_and_nodes
from eth_keys import keys
from eth_keys.constants import SECPK1_N

from bofl_jax.core.errors import VerificationError
from bofl_jax.ledger.chain.accounts import derive_account, derive_accounts
from bofl_jax.ledger.chain.base import TransactionRequest, TransactionRevertedError
from bofl_jax.ledger.chain.genesis import CHAIN_ID, Genesis
from bofl_jax.ledger.chain.py_evm.chain import ProofOfAuthorityVM, PyEvmChain
from bofl_jax.ledger.chain.py_evm.proof_of_authority import in_turn_signer, seal_hash, seal_header
from bofl_jax.ledger.chain.transactions import contract_address
from bofl_jax.ledger.contract.artefact import AGGREGATOR, AUDITOR, load_contract

ACCOUNTS = derive_accounts(0, 3, 4)
GENESIS = ACCOUNTS.genesis(bytes(range(32)))
KEYS = {signer.address: signer for signer in ACCOUNTS.signers}
ADMIN = ACCOUNTS.admin
CONTRACT = load_contract()
ADDRESS = contract_address(ADMIN.address, 0)
OUTSIDER = derive_account(99, "authority", 0)


def call(function, *args, key=ADMIN.key):
    return TransactionRequest(key, ADDRESS, CONTRACT.encode_call(function, *args), 1_000_000)


SETUP = [
    call("grantRole", ACCOUNTS.aggregator.address, AGGREGATOR),
    call("grantRole", ACCOUNTS.auditor.address, AUDITOR),
    call("registerClients", ACCOUNTS.client_addresses),
]
OPEN = call("openRound", 1, 1, b"\1" * 32, b"\2" * 32, 4, 0, [], key=ACCOUNTS.aggregator.key)
CLOSE = (
    call("commitRound", 1, b"\3" * 32, 4, 400, 10**6, key=ACCOUNTS.aggregator.key),
    call("finaliseRound", 1, b"\4" * 32, key=ACCOUNTS.auditor.key),
)


@pytest.fixture(scope="module")
def blocks():
    """Four valid blocks: deployment, registration, opening of a round, closing of the round."""
    chain = PyEvmChain(GENESIS, ACCOUNTS.signers)
    calls = (
        [TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 5_000_000)],
        SETUP,
        [OPEN],
    )
    return [chain.seal_block(group).raw for group in (*calls, CLOSE)]


@pytest.fixture
def chain(blocks):
    """A chain without keys that has the first three blocks."""
    chain = PyEvmChain(GENESIS)
    for raw in blocks[:3]:
        chain.import_block(raw)
    return chain


def decode(raw):
    return rlp.decode(raw, sedes=ProofOfAuthorityVM.get_block_class())


def signer_of(block):
    return KEYS[in_turn_signer(GENESIS, block.number)]


def resealed(block, transactions=None, **fields):
    """The block with other header fields (and transactions), sealed again by the in-turn signer."""
    block = decode(rlp.encode(block))
    if transactions is not None:
        fields.setdefault("transaction_root", make_trie_root_and_nodes(transactions)[0])
        block = block.copy(transactions=transactions)
    return rlp.encode(block.copy(header=seal_header(block.header.copy(**fields), signer_of(block))))


def with_header(block, **fields):
    return rlp.encode(block.copy(header=block.header.copy(**fields)))


def with_seal(block, signature):
    return with_header(block, extra_data=block.header.extra_data[:32] + signature)


def sealed_by(block, signer):
    return rlp.encode(block.copy(header=seal_header(block.header, signer)))


def assert_rejected(chain, raw, match):
    before = chain.head_hash
    with pytest.raises(VerificationError, match=f"^block {chain.height + 1} does not hold: .*{match}"):
        chain.import_block(raw)
    assert chain.head_hash == before


def signature_of(block):
    return keys.Signature(block.header.extra_data[-65:])


def malleated(block):
    signature = signature_of(block)
    mirrored = keys.Signature(vrs=(1 - signature.v, signature.r, SECPK1_N - signature.s))
    assert mirrored.recover_public_key_from_msg_hash(seal_hash(block.header)).to_canonical_address() in KEYS
    return with_seal(block, mirrored.to_bytes())


FORGED_SEALS = {
    "outsider": (lambda b: sealed_by(b, OUTSIDER), "not sealed by the in-turn signer"),
    "outsider as coinbase": (
        lambda b: sealed_by(b.copy(header=b.header.copy(coinbase=OUTSIDER.address)), OUTSIDER),
        "not sealed by the in-turn signer",
    ),
    "out of turn": (
        lambda b: sealed_by(b, KEYS[in_turn_signer(GENESIS, b.number + 1)]),
        "not sealed by the in-turn signer",
    ),
    "out of turn as coinbase": (
        lambda b: sealed_by(
            b.copy(header=b.header.copy(coinbase=in_turn_signer(GENESIS, b.number + 1))),
            KEYS[in_turn_signer(GENESIS, b.number + 1)],
        ),
        "not sealed by the in-turn signer",
    ),
    "missing": (lambda b: with_seal(b, b""), "the extra data is not 32 bytes and a seal"),
    "short": (lambda b: with_seal(b, signature_of(b).to_bytes()[:-1]), "the extra data is not 32 bytes and a seal"),
    "long": (lambda b: with_seal(b, signature_of(b).to_bytes() + b"\0"), "extra data"),
    "zero": (lambda b: with_seal(b, bytes(65)), "seal is not a signature"),
    "impossible parity": (lambda b: with_seal(b, signature_of(b).to_bytes()[:-1] + b"\x05"), "seal is not a signature"),
    "malleated": (malleated, "high s"),
    "header changed without a new signature": (
        lambda b: with_header(b, gas_used=1),
        "not sealed by the in-turn signer",
    ),
    "wrong coinbase": (lambda b: resealed(b, coinbase=OUTSIDER.address), "coinbase is not the signer"),
}


@pytest.mark.parametrize("case", FORGED_SEALS)
def test_a_forged_seal_is_rejected(chain, blocks, case):
    forge, match = FORGED_SEALS[case]
    assert_rejected(chain, forge(decode(blocks[3])), match)
    chain.import_block(blocks[3])


DISHONEST_HEADERS = {
    "state_root": lambda h: b"\1" * 32,
    "receipt_root": lambda h: b"\1" * 32,
    "transaction_root": lambda h: b"\1" * 32,
    "withdrawals_root": lambda h: b"\1" * 32,
    "uncles_hash": lambda h: b"\1" * 32,
    "bloom": lambda h: h.bloom ^ 1,
    "gas_used": lambda h: h.gas_used + 1,
    "requests_hash": lambda h: b"\1" * 32,
    "blob_gas_used": lambda h: 131_072,
    "excess_blob_gas": lambda h: 131_072,
    "base_fee_per_gas": lambda h: 1,
    "nonce": lambda h: b"\1" * 8,
    "difficulty": lambda h: 1,
    "block_number": lambda h: h.block_number + 3,
    "parent_hash": lambda h: b"\1" * 32,
    "mix_hash": lambda h: b"\1" * 32,
    "parent_beacon_block_root": lambda h: b"\1" * 32,
    "extra_data": lambda h: b"\1" * 32 + h.extra_data[32:],
}
DISHONEST_CHOICES = [
    ("timestamp", -12),
    ("timestamp", -13),
    ("timestamp", -1),
    ("timestamp", 1),
    ("timestamp", 10**9),
    ("gas_limit", -1),
    ("gas_limit", 1),
    ("gas_limit", 10**8),
]


@pytest.mark.parametrize("field", DISHONEST_HEADERS)
def test_a_changed_header_is_rejected_even_if_the_signer_sealed_it(chain, blocks, field):
    block = decode(blocks[3])
    assert_rejected(chain, resealed(block, **{field: DISHONEST_HEADERS[field](block.header)}), "")
    chain.import_block(blocks[3])


@pytest.mark.parametrize(("field", "difference"), DISHONEST_CHOICES)
def test_a_signer_cannot_choose_the_time_or_the_gas_limit(chain, blocks, field, difference):
    block = decode(blocks[3])
    assert_rejected(
        chain, resealed(block, **{field: getattr(block.header, field) + difference}), f"{field} is not what follows"
    )
    chain.import_block(blocks[3])


BODIES = {
    "dropped": lambda t: t[:1],
    "all dropped": lambda t: (),
    "reordered": lambda t: t[::-1],
    "duplicated": lambda t: (*t, t[-1]),
    "calldata edited": lambda t: (t[0].copy(data=t[0].data[:-1] + b"\5"), t[1]),
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("corrected", [True, False], ids=["root corrected", "root kept"])
def test_changed_transactions_are_rejected(chain, blocks, case, corrected):
    block = decode(blocks[3])
    fields = {} if corrected else {"transaction_root": block.header.transaction_root}
    assert_rejected(chain, resealed(block, BODIES[case](block.transactions), **fields), "")
    chain.import_block(blocks[3])


class ForeignChain(PyEvmChain):
    """A chain that seals arbitrary transactions."""

    transactions = ()

    def _sign(self, calls, state):  # noqa: ARG002
        return list(self.transactions)


def foreign_block(blocks, chain_id):
    chain = ForeignChain(GENESIS, ACCOUNTS.signers)
    for raw in blocks[:2]:
        chain.import_block(raw)
    unsigned = ProofOfAuthorityVM.create_unsigned_transaction(
        nonce=0, gas_price=0, gas=1_000_000, to=ADDRESS, value=0, data=OPEN.data
    )
    chain.transactions = [unsigned.as_signed_transaction(keys.PrivateKey(OPEN.key), chain_id=chain_id)]
    return chain.seal_block([]).raw


@pytest.mark.parametrize("chain_id", [1338, 1, None])
def test_a_transaction_for_another_chain_is_rejected(blocks, chain_id):
    chain = PyEvmChain(GENESIS)
    for raw in blocks[:2]:
        chain.import_block(raw)
    assert_rejected(chain, foreign_block(blocks, chain_id), f"not a legacy transaction signed for chain {CHAIN_ID}")
    assert chain.import_block(foreign_block(blocks, CHAIN_ID)).receipts[0].success


@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_old_block_is_rejected(chain, blocks, number):
    assert_rejected(chain, blocks[number], "parent_hash is not what follows")


def branch(blocks, length):
    """Other blocks of the same signers after the second block."""
    chain = PyEvmChain(GENESIS, ACCOUNTS.signers)
    for raw in blocks[:2]:
        chain.import_block(raw)
    return [chain.seal_block([call("suspendClient", client)]).raw for client in ACCOUNTS.client_addresses[:length]]


def test_a_sibling_and_a_longer_branch_are_rejected(chain, blocks):
    for raw in branch(blocks, 3):
        assert_rejected(chain, raw, "parent_hash is not what follows")
    chain.import_block(blocks[3])


def test_a_skipped_block_is_rejected(blocks):
    chain = PyEvmChain(GENESIS)
    assert_rejected(chain, blocks[1], "parent_hash is not what follows")


@pytest.mark.parametrize("others", [derive_accounts(1, 3, 0), derive_accounts(0, 2, 0), derive_accounts(0, 4, 0)])
def test_another_set_of_signers_is_another_chain(blocks, others):
    chain = PyEvmChain(others.genesis(GENESIS.config_hash))
    assert_rejected(chain, blocks[0], "parent_hash is not what follows")


def test_another_configuration_is_another_chain(blocks):
    assert_rejected(PyEvmChain(Genesis(bytes(32), GENESIS.signers)), blocks[0], "parent_hash is not what follows")


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\xc1\xc0", b"\x80", b"\xff" * 40, b"\xc3\xc0\xc0\xc0"])
def test_garbage_is_rejected(chain, raw):
    assert_rejected(chain, raw, "")


def test_a_second_encoding_of_a_block_is_rejected(chain, blocks):
    assert_rejected(chain, blocks[3] + b"\0", "")


def test_a_reverted_call_drops_the_block():
    chain = PyEvmChain(GENESIS, ACCOUNTS.signers)
    chain.seal_block([TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 5_000_000)])
    before = chain.head_hash
    with pytest.raises(TransactionRevertedError) as caught:
        chain.seal_block([*SETUP, OPEN, OPEN])
    assert caught.value.index == 4
    assert CONTRACT.describe_error(caught.value.output).startswith("NotNextRound")
    assert (chain.head_hash, chain.height) == (before, 1)
    assert chain.seal_block([*SETUP, OPEN]).number == 2


def test_running_out_of_gas_drops_the_block():
    chain = PyEvmChain(GENESIS, ACCOUNTS.signers)
    with pytest.raises(TransactionRevertedError) as caught:
        chain.seal_block([TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 1_000_000)])
    assert "no reason given" in CONTRACT.describe_error(caught.value.output)


def test_a_sealed_block_is_imported_with_the_same_outcomes(blocks):
    producer, importer = PyEvmChain(GENESIS, ACCOUNTS.signers), PyEvmChain(GENESIS)
    made = producer.seal_block([TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 5_000_000)])
    read = importer.import_block(made.raw)
    assert made.raw == blocks[0] == read.raw
    assert [o._replace(output=b"") for o in made.receipts] == list(read.receipts)
    assert made.receipts[0].to == CREATE_CONTRACT_ADDRESS
    assert producer.head_hash == importer.head_hash


def with_long_prefix(payload):
    """A list whose length has one byte more than needed."""
    width = (len(payload).bit_length() + 7) // 8 + 1
    return bytes([0xF7 + width]) + len(payload).to_bytes(width, "big") + payload


def payload_of(raw):
    width = raw[0] - 0xF7
    return raw[1 + width :]


@pytest.mark.parametrize("what", ["length of the block", "a number of a transaction"])
def test_a_block_in_another_encoding_is_rejected(chain, blocks, what):
    """The decoder is strict: a block has exactly one encoding."""
    assert with_long_prefix(payload_of(blocks[3])) != blocks[3]
    header, transactions, uncles, withdrawals = rlp.decode(blocks[3])
    transactions[0][1] = b"\0"  # gas price: 0 has no bytes
    forged = {
        "length of the block": with_long_prefix(payload_of(blocks[3])),
        "a number of a transaction": rlp.encode([header, transactions, uncles, withdrawals]),
    }[what]
    assert_rejected(chain, forged, "[Ll]eading zero|[Pp]ayload|[Ll]ength|prefix|Too many bytes")
    chain.import_block(blocks[3])
