"""Two EVMs that share no code agree on every block, and EELS rejects blocks that do not follow from their parent.

py-evm makes the blocks. A long chain contains successful and reverted calls of every function that a run uses. A short
chain is falsified field by field by a dishonest signer.
"""
# ruff: noqa: ARG005

import subprocess
import sys
from hashlib import sha256

import pytest
import rlp
from eth.db.trie import make_trie_root_and_nodes
from eth_keys import keys
from eth_keys.constants import SECPK1_N

from bofl_jax.core.errors import VerificationError
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.chain.accounts import derive_account
from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.chain.genesis import CHAIN_ID, Genesis
from bofl_jax.ledger.chain.py_evm.chain import ProofOfAuthorityVM, PyEvmChain
from bofl_jax.ledger.chain.py_evm.proof_of_authority import in_turn_signer, seal_header
from bofl_jax.ledger.chain.transactions import contract_address
from bofl_jax.ledger.contract.artefact import AGGREGATOR, AUDITOR, load_contract
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update
from bofl_jax.ledger.merkle import Leaf, levels, proof, root

pytest.importorskip("ethereum", reason="EELS comes with bofl_jax[audit], for Python < 3.13")
from bofl_jax.ledger.chain import eels
from bofl_jax.ledger.chain.eels import EelsChain

SIGNERS = [derive_account(0, "authority", index) for index in range(3)]
KEYS = {signer.address: signer for signer in SIGNERS}
GENESIS = Genesis(bytes(range(32)), tuple(sorted(KEYS)))
ADMIN, AGGREGATOR_ACCOUNT, AUDITOR_ACCOUNT, STRANGER = (
    derive_account(0, role, 0) for role in ("admin", "aggregator", "auditor", "stranger")
)
BUILDER = derive_account(0, "builder", 0)
MEMBERS = [derive_account(0, "client", index) for index in range(200)]
CONTRACT = load_contract()
ADDRESS, PROBE = contract_address(ADMIN.address, 0), contract_address(BUILDER.address, 0)
CONFIG, COHORT, MODEL, BATCH = (bytes([value]) * 32 for value in (1, 2, 4, 8))
REGISTRY = 1  # the clients are registered in one go
COUNTS = [960, 40, 0]  # class 1 has 4 %


def call(who, function, *args, gas=10_000_000):
    return TransactionRequest(who.key, ADDRESS, CONTRACT.encode_call(function, *args), gas)


def open_round(number, size, members=()):
    """Open a round; ``members`` is the cohort's bitmap, empty if the cohort is not stored."""
    return call(AGGREGATOR_ACCOUNT, "openRound", number, REGISTRY, CONFIG, COHORT, size, 0, members)


def leaf(number, client):
    return Leaf(number, MEMBERS[client].address, sha256(b"%d-%d" % (number, client)).digest(), 100 + client, 10**6)


LEAVES = [leaf(1, client) for client in range(5)]


def close_round(number, count, committed=b"\3" * 32):
    return [
        call(AGGREGATOR_ACCOUNT, "commitRound", number, committed, count, 100 * count, 10**6 * count),
        call(AUDITOR_ACCOUNT, "finaliseRound", number, MODEL),
    ]


def submit(number, client, **options):
    entry = leaf(number, client)
    return call(MEMBERS[client], "submitUpdate", number, *entry[2:], **options)


def signed(number, client, key=None):
    entry = leaf(number, client)
    signature = sign_update(key or MEMBERS[client].key, domain_separator(CHAIN_ID, ADDRESS), entry)
    return (*entry[1:], *signature)


def rejected(number, client):
    return (MEMBERS[client].address, leaf(number, client).update_digest, int(RejectionReason.NOT_FINITE))


# Opcodes that read the environment, one word each: accounts, the call, the block, other blocks.
ACCOUNTS = ["30", "32", "33", "47", "3331", "4131", "303b", "303f", "333f"]
CALLED = ["34", "36", "38", "3a", "3d", "58", "59"]
BLOCK = ["41", "42", "43", "44", "45", "46", "48", "4a"]
OTHERS = ["5f40", "6003430340", "6001430340", "4340"]
COUNT, GAS_LEFT = "5f54600101805f55", "5a"
READ_OPCODES = [*ACCOUNTS, *CALLED, *BLOCK, *OTHERS, COUNT, GAS_LEFT]


def probe():
    """Init code of a contract that counts its calls, logs the words of `READ_OPCODES`, and returns all but the last.

    The last word is the remaining gas, which differs in calls without a transaction because of warm addresses.
    """
    words = (bytes.fromhex(opcodes) + push(32 * index) + b"\x52" for index, opcodes in enumerate(READ_OPCODES))
    size = 32 * len(READ_OPCODES)
    code = b"".join(words) + push(size) + bytes.fromhex("5fa0") + push(size - 32) + bytes.fromhex("5ff3")
    return push(len(code)) + bytes.fromhex("80600a5f395ff3") + code


def push(number):
    return b"\x61" + number.to_bytes(2, "big")


HISTORY = {
    "deployment": [TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 5_000_000)],
    "roles": [
        call(ADMIN, "grantRole", AGGREGATOR_ACCOUNT.address, AGGREGATOR),
        call(ADMIN, "grantRole", AUDITOR_ACCOUNT.address, AUDITOR),
        call(STRANGER, "grantRole", STRANGER.address, AUDITOR),
    ],
    "registration": [call(ADMIN, "registerClients", [member.address for member in MEMBERS])],
    "merkle": [open_round(1, 5), *close_round(1, 5, root(LEAVES))],
    "signed": [
        open_round(2, 4, [0b1111]),
        call(
            AGGREGATOR_ACCOUNT, "submitSignedUpdates", 2, [signed(2, 0), signed(2, 1), signed(2, 2, key=STRANGER.key)]
        ),
        call(AGGREGATOR_ACCOUNT, "submitSignedUpdates", 2, [signed(2, 1), signed(2, 3)]),
        *close_round(2, 3),
    ],
    "per-client": [
        open_round(3, 4, [0b1111]),
        submit(3, 0),
        submit(3, 1),
        submit(3, 1),
        submit(3, 9),
        submit(3, 2, gas=30_000),
        submit(3, 2),
        call(AGGREGATOR_ACCOUNT, "refuseUpdates", 3, [rejected(3, 0)]),
        *close_round(3, 2),
    ],
    "calldata": [
        open_round(4, 200),
        call(AGGREGATOR_ACCOUNT, "publishDigests", 4, [leaf(4, client).update_digest for client in range(200)]),
        *close_round(4, 200),
    ],
    "results": [call(AUDITOR_ACCOUNT, "publishResults", version, BATCH) for version in (1, 1, 9)],
    "aborted": [open_round(5, 5), call(AUDITOR_ACCOUNT, "abortRound", 5), submit(5, 0)],
    "synthetic": [
        call(ADMIN, "setPolicy", (500, 100, 250, 80, 0, False)),
        call(MEMBERS[0], "requestSynthetic", 1, 50, COUNTS),
        call(MEMBERS[0], "logSynthetic", 1, 30, BATCH, MODEL, [9000, 8000]),
        call(MEMBERS[0], "requestSynthetic", 1, 81, COUNTS),
        call(MEMBERS[0], "logSynthetic", 2, 1, BATCH, MODEL, []),
        call(ADMIN, "setPolicy", (500, 100, 250, 80, 0, True)),
        call(MEMBERS[1], "requestSynthetic", 1, 50, COUNTS),
        call(AUDITOR_ACCOUNT, "decideSynthetic", 3, True),
        call(MEMBERS[1], "cancelSynthetic", 3),
    ],
    "clients": [call(ADMIN, f"{verb}Client", MEMBERS[0].address) for verb in ("suspend", "readmit", "revoke")],
    "nothing": [],
    "probe": [
        TransactionRequest(BUILDER.key, b"", probe(), 1_000_000),
        *[TransactionRequest(BUILDER.key, PROBE, b"", 200_000)] * 2,
    ],
    "no code": [
        TransactionRequest(BUILDER.key, bytes([7]) * 20, b"\1\2", 100_000),
        TransactionRequest(BUILDER.key, b"", b"\xfe", 100_000),
    ],
}
REVERTED = {"roles": {2}, "per-client": {3, 4, 5}, "results": {1, 2}, "aborted": {2}, "synthetic": {4}, "no code": {1}}


@pytest.fixture(scope="module")
def history():
    """One block per entry of `HISTORY`."""
    chain = PyEvmChain(GENESIS, SIGNERS)
    return {name: chain.seal_block(calls, strict=False).raw for name, calls in HISTORY.items()}


@pytest.fixture(scope="module")
def chains():
    """A py-evm chain and an EELS chain, into which the blocks of the history are imported."""
    return PyEvmChain(GENESIS), EelsChain(GENESIS)


@pytest.fixture(scope="module")
def imported(chains, history):
    """For each block, on both chains: the executed block, height and head after it, and the probe's output."""
    return {
        name: [(chain.import_block(raw), chain.height, chain.head_hash, chain.eth_call(PROBE, b"")) for chain in chains]
        for name, raw in history.items()
    }


def test_both_have_the_same_genesis_block():
    ours, theirs = PyEvmChain(GENESIS), EelsChain(GENESIS)
    assert (ours.head_hash, ours.height, ours.chain_id) == (theirs.head_hash, theirs.height, theirs.chain_id)
    assert theirs.get_code(ADDRESS) == b""


@pytest.mark.parametrize("name", HISTORY)
def test_both_agree_on_every_block(imported, name):
    on_py_evm, on_eels = imported[name]
    assert on_py_evm == on_eels
    receipts = on_eels[0].receipts
    assert len(receipts) == len(HISTORY[name])
    assert {index for index, receipt in enumerate(receipts) if not receipt.success} == REVERTED.get(name, set())


def test_bare_digests_cost_the_floor_price_of_eip_7623(imported):
    published = imported["calldata"][1][0].receipts[1]
    zeros = published.data.count(0)
    assert published.gas_used == 21_000 + 10 * (zeros + 4 * (len(published.data) - zeros))


@pytest.mark.usefixtures("imported")
def test_both_have_the_contract(chains):
    codes = [[chain.get_code(address) for address in (ADDRESS, PROBE, STRANGER.address)] for chain in chains]
    assert codes[0] == codes[1]
    assert codes[1][0] == CONTRACT.deployed_bytecode
    assert probe().endswith(codes[1][1])
    assert [len(code) > 0 for code in codes[1]] == [True, True, False]


def included(index, entry=LEAVES[3]):
    return ("verifyInclusion", 1, index, *entry[1:], proof(levels(LEAVES), index))


VIEWS = {
    "version": (("latestVersion",), True),
    "domain": (("domainSeparator",), True),
    "round": (("rounds", 1), True),
    "client": (("clients", MEMBERS[1].address), True),
    "states": (("clientStates", [member.address for member in MEMBERS[:3]]), True),
    "request": (("requests", 3), True),
    "inclusion": (included(3), True),
    "no inclusion": (included(2), True),
    "inclusion in a round that is not": (("verifyInclusion", 9, *included(3)[2:]), False),
    "a role for nobody": (("grantRole", STRANGER.address, AUDITOR), False),
    "an update of nobody": (("submitUpdate", 1, BATCH, 1, 1), False),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.usefixtures("imported")
def test_both_give_the_same_result_of_a_call(chains, name):
    (function, *args), success = VIEWS[name]
    results = [chain.eth_call(ADDRESS, CONTRACT.encode_call(function, *args)) for chain in chains]
    assert results[0] == results[1]
    assert results[1][0] is success


@pytest.mark.parametrize("data", [b"", b"\1\2\3\4", b"\xff" * 100])
@pytest.mark.parametrize(
    "to", [ADDRESS, STRANGER.address, bytes(19) + b"\2", PROBE], ids=["contract", "nobody", "hash", "probe"]
)
@pytest.mark.usefixtures("imported")
def test_both_give_the_same_result_of_garbage_calldata(chains, to, data):
    results = [chain.eth_call(to, data) for chain in chains]
    assert results[0] == results[1]


@pytest.mark.usefixtures("imported")
def test_a_call_without_a_transaction_changes_nothing(chains):
    results = [chain.eth_call(PROBE, b"") for chain in chains for _ in range(2)]
    assert results == results[:1] * 4
    assert int.from_bytes(results[0][1][-32:], "big") == 3


@pytest.fixture(scope="module")
def blocks():
    """Three valid blocks: deployment; roles and one client; a round opened and closed."""
    producer = PyEvmChain(GENESIS, SIGNERS)
    setup = [*HISTORY["roles"][:2], call(ADMIN, "registerClients", [MEMBERS[0].address])]
    groups = (HISTORY["deployment"], setup, [open_round(1, 1), *close_round(1, 1)])
    return [producer.seal_block(group).raw for group in groups]


@pytest.fixture
def chain(blocks):
    """An EELS chain with the first two blocks."""
    return with_blocks(EelsChain(GENESIS), blocks[:2])


def with_blocks(chain, blocks):
    for raw in blocks:
        chain.import_block(raw)
    return chain


def decode(raw):
    return rlp.decode(raw, sedes=ProofOfAuthorityVM.get_block_class())


def resealed(block, transactions=None, **fields):
    """The block with other header fields (and transactions), sealed again by the in-turn signer."""
    if transactions is not None:
        fields.setdefault("transaction_root", make_trie_root_and_nodes(transactions)[0])
        block = block.copy(transactions=transactions)
    header = seal_header(block.header.copy(**fields), KEYS[in_turn_signer(GENESIS, block.number)])
    return rlp.encode(block.copy(header=header))


def assert_rejected(chain, raw, match):
    before = (chain.head_hash, chain.height)
    with pytest.raises(VerificationError, match=f"^block {chain.height + 1} does not hold on EELS: {match}") as caught:
        chain.import_block(raw)
    assert "\n" not in str(caught.value)
    assert (chain.head_hash, chain.height) == before


DISHONEST = {
    "state_root": ("state_root", lambda value: b"\1" * 32),
    "receipt_root": ("receipt_root", lambda value: b"\1" * 32),
    "transaction_root": ("transactions_root", lambda value: b"\1" * 32),
    "gas_used": ("gas_used", lambda value: value + 1),
    "bloom": ("bloom", lambda value: value ^ 1),
    "timestamp": ("timestamp", lambda value: value + 1),
    "parent_hash": ("parent_hash", lambda value: b"\1" * 32),
    "block_number": ("number", lambda value: value + 3),
    "gas_limit": ("gas_limit", lambda value: value - 1),
    "uncles_hash": ("ommers_hash", lambda value: b"\1" * 32),
    "difficulty": ("difficulty", lambda value: 1),
    "mix_hash": ("prev_randao", lambda value: b"\1" * 32),
    "nonce": ("nonce", lambda value: b"\1" * 8),
    "base_fee_per_gas": ("base_fee_per_gas", lambda value: 1),
    "withdrawals_root": ("withdrawals_root", lambda value: b"\1" * 32),
    "blob_gas_used": ("blob_gas_used", lambda value: 131_072),
    "excess_blob_gas": ("excess_blob_gas", lambda value: 131_072),
    "parent_beacon_block_root": ("parent_beacon_block_root", lambda value: b"\1" * 32),
    "requests_hash": ("requests_hash", lambda value: b"\1" * 32),
}


@pytest.mark.parametrize("field", DISHONEST)
def test_a_changed_header_is_rejected_even_if_the_signer_sealed_it(chain, blocks, field):
    block = decode(blocks[2])
    name, change = DISHONEST[field]
    assert_rejected(chain, resealed(block, **{field: change(getattr(block.header, field))}), f"{name} is not what ")
    chain.import_block(blocks[2])


def test_every_field_but_the_seal_is_checked():
    """A field of a later version of the header is not forgotten."""
    checked = {name for name, _ in DISHONEST.values()}
    assert checked == set(eels.Header.__dataclass_fields__) - {"coinbase", "extra_data"}


def malleated(transaction):
    """The transaction with the mirror image of its signature, which has the same sender."""
    return transaction.copy(s=SECPK1_N - transaction.s, v=4 * CHAIN_ID + 71 - transaction.v)


BODIES = {
    "first dropped": (lambda t: t[1:], "transaction 0: nonce too high"),
    "last dropped": (lambda t: t[:-1], "gas_used"),
    "all dropped": (lambda t: (), "gas_used"),
    "reordered": (lambda t: t[::-1], "transaction 1: nonce too high"),
    "duplicated": (lambda t: (*t, t[-1]), "transaction 3: nonce too low"),
    "calldata edited": (lambda t: (*t[:-1], t[-1].copy(data=t[-1].data[:-1] + b"\5")), "gas_used"),
    "malleated": (lambda t: (malleated(t[0]), *t[1:]), "transaction 0: bad s"),
    "unsigned": (lambda t: (t[0].copy(r=0, s=0), *t[1:]), "transaction 0: bad r"),
}


@pytest.mark.parametrize("case", BODIES)
def test_changed_transactions_are_rejected(chain, blocks, case):
    block = decode(blocks[2])
    change, match = BODIES[case]
    assert_rejected(chain, resealed(block, change(block.transactions)), match)
    chain.import_block(blocks[2])


@pytest.mark.parametrize("cached", [0, 2])
def test_dropped_transactions_are_found_by_their_root(chain, blocks, cached):
    block = decode(blocks[2])
    raw = resealed(block, block.transactions[:cached], transaction_root=block.header.transaction_root)
    assert_rejected(chain, raw, "transactions_root is not what the transactions lead to")


class ForeignChain(PyEvmChain):
    """A chain that seals arbitrary transactions."""

    transactions = ()

    def _sign(self, calls, state):  # noqa: ARG002
        return list(self.transactions)


def foreign_block(blocks, chain_id):
    producer = with_blocks(ForeignChain(GENESIS, SIGNERS), blocks[:2])
    fields = {"nonce": 0, "gas_price": 0, "gas": 1_000_000, "to": ADDRESS, "value": 0, "data": open_round(1, 1).data}
    unsigned = ProofOfAuthorityVM.create_unsigned_transaction(**fields)
    producer.transactions = [unsigned.as_signed_transaction(keys.PrivateKey(AGGREGATOR_ACCOUNT.key), chain_id=chain_id)]
    return producer.seal_block([]).raw


@pytest.mark.parametrize("chain_id", [CHAIN_ID + 1, 1, None])
def test_a_transaction_for_another_chain_is_rejected(chain, blocks, chain_id):
    assert_rejected(
        chain, foreign_block(blocks, chain_id), "transaction 0: not a legacy transaction signed for chain 1337"
    )
    assert chain.import_block(foreign_block(blocks, CHAIN_ID)).receipts[0].success


def test_a_transaction_of_another_type_is_rejected(chain, blocks):
    header, _, *rest = rlp.decode(blocks[2])
    assert_rejected(
        chain,
        rlp.encode([header, [b"\x02\xc0"], *rest]),
        "transaction 0: not a legacy transaction signed for chain 1337",
    )


def test_ommers_and_withdrawals_are_rejected(chain, blocks):
    header, transactions, *_ = rlp.decode(blocks[2])
    withdrawal = [b"", b"", bytes(20), b"\1"]
    for rest in ([[header], []], [[], [withdrawal]]):
        assert_rejected(chain, rlp.encode([header, transactions, *rest]), "the block has ommers or withdrawals")


@pytest.mark.parametrize("number", [0, 1])
def test_an_old_block_is_rejected(chain, blocks, number):
    assert_rejected(chain, blocks[number], "parent_hash is not what follows from the parent")


def test_a_skipped_block_and_another_genesis_are_rejected(blocks):
    assert_rejected(EelsChain(GENESIS), blocks[1], "parent_hash is not what follows from the parent")
    assert_rejected(EelsChain(GENESIS._replace(config_hash=bytes(32))), blocks[0], "parent_hash is not what follows")


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\xc1\xc0", b"\x80", b"\xff" * 40, b"\xc3\xc0\xc0\xc0"])
def test_garbage_is_rejected(chain, raw):
    assert_rejected(chain, raw, "")


def test_a_second_encoding_of_a_block_is_rejected(chain, blocks):
    assert_rejected(chain, blocks[2] + b"\0", "")


def test_the_module_does_not_import_py_evm():
    """Shared code could contain the same error."""
    names = "(name for name in ('eth', 'rlp', 'trie') if name in sys.modules)"
    program = f"import sys, bofl_jax.ledger.chain.eels; print(*{names})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_analysis_of_a_code_is_cached_once():
    EelsChain(GENESIS)
    cached = eels.runtime.get_valid_jump_destinations
    EelsChain(GENESIS)
    assert eels.runtime.get_valid_jump_destinations is eels.interpreter.get_valid_jump_destinations is cached
    code = bytes.fromhex("605b5b00")
    assert cached(code) == cached.__wrapped__(code) == {eels.Uint(2)}
