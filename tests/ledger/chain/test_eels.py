"""Two EVMs that share no code tell the same about every block, and the second refuses what does not follow.

The blocks are made by py-evm. One long chain takes every function that a run uses through success and revert; one short
chain is falsified field by field by an authority that signs whatever it likes.
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

AUTHORITIES = [derive_account(0, "authority", index) for index in range(3)]
KEYS = {authority.address: authority for authority in AUTHORITIES}
GENESIS = Genesis(bytes(range(32)), tuple(sorted(KEYS)))
ADMIN, OFFICE, JUDGE, STRANGER = (derive_account(0, role, 0) for role in ("admin", "aggregator", "auditor", "stranger"))
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
    """Open a round; ``members`` is the cohort's bit map, empty for one that is not listed."""
    return call(OFFICE, "openRound", number, REGISTRY, CONFIG, COHORT, size, 0, members)


def leaf(number, client):
    return Leaf(number, MEMBERS[client].address, sha256(b"%d-%d" % (number, client)).digest(), 100 + client, 10**6)


LEAVES = [leaf(1, client) for client in range(5)]


def close_round(number, count, committed=b"\3" * 32):
    return [
        call(OFFICE, "commitRound", number, committed, count, 100 * count, 10**6 * count),
        call(JUDGE, "finaliseRound", number, MODEL),
    ]


def submit(number, client, **options):
    entry = leaf(number, client)
    return call(MEMBERS[client], "submitUpdate", number, *entry[2:], **options)


def signed(number, client, key=None):
    entry = leaf(number, client)
    signature = sign_update(key or MEMBERS[client].key, domain_separator(CHAIN_ID, ADDRESS), entry)
    return (*entry[1:], *signature)


def refused(number, client):
    return (MEMBERS[client].address, leaf(number, client).update_digest, int(RejectionReason.NOT_FINITE))


# Opcodes with which a contract asks the chain, a word each: for accounts, the call, the block, other blocks.
ACCOUNTS = ["30", "32", "33", "47", "3331", "4131", "303b", "303f", "333f"]
CALLED = ["34", "36", "38", "3a", "3d", "58", "59"]
BLOCK = ["41", "42", "43", "44", "45", "46", "48", "4a"]
OTHERS = ["5f40", "6003430340", "6001430340", "4340"]
COUNT, GAS_LEFT = "5f54600101805f55", "5a"
ASKED = [*ACCOUNTS, *CALLED, *BLOCK, *OTHERS, COUNT, GAS_LEFT]


def probe():
    """Init code of a contract that counts its calls, logs the words `ASKED`, and returns them but for the last.

    That is the gas left, in which views differ: which addresses are warm is a matter of transactions.
    """
    words = (bytes.fromhex(opcodes) + push(32 * index) + b"\x52" for index, opcodes in enumerate(ASKED))
    size = 32 * len(ASKED)
    code = b"".join(words) + push(size) + bytes.fromhex("5fa0") + push(size - 32) + bytes.fromhex("5ff3")
    return push(len(code)) + bytes.fromhex("80600a5f395ff3") + code


def push(number):
    return b"\x61" + number.to_bytes(2, "big")


HISTORY = {
    "deployment": [TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 5_000_000)],
    "roles": [
        call(ADMIN, "grantRole", OFFICE.address, AGGREGATOR),
        call(ADMIN, "grantRole", JUDGE.address, AUDITOR),
        call(STRANGER, "grantRole", STRANGER.address, AUDITOR),
    ],
    "registration": [call(ADMIN, "registerClients", [member.address for member in MEMBERS])],
    "merkle": [open_round(1, 5), *close_round(1, 5, root(LEAVES))],
    "signed": [
        open_round(2, 4, [0b1111]),
        call(OFFICE, "submitSignedUpdates", 2, [signed(2, 0), signed(2, 1), signed(2, 2, key=STRANGER.key)]),
        call(OFFICE, "submitSignedUpdates", 2, [signed(2, 1), signed(2, 3)]),
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
        call(OFFICE, "refuseUpdates", 3, [refused(3, 0)]),
        *close_round(3, 2),
    ],
    "calldata": [
        open_round(4, 200),
        call(OFFICE, "publishDigests", 4, [leaf(4, client).update_digest for client in range(200)]),
        *close_round(4, 200),
    ],
    "results": [call(JUDGE, "publishResults", version, BATCH) for version in (1, 1, 9)],
    "aborted": [open_round(5, 5), call(JUDGE, "abortRound", 5), submit(5, 0)],
    "synthetic": [
        call(ADMIN, "setPolicy", (500, 100, 250, 80, 0, False)),
        call(MEMBERS[0], "requestSynthetic", 1, 50, COUNTS),
        call(MEMBERS[0], "logSynthetic", 1, 30, BATCH, MODEL, [9000, 8000]),
        call(MEMBERS[0], "requestSynthetic", 1, 81, COUNTS),
        call(MEMBERS[0], "logSynthetic", 2, 1, BATCH, MODEL, []),
        call(ADMIN, "setPolicy", (500, 100, 250, 80, 0, True)),
        call(MEMBERS[1], "requestSynthetic", 1, 50, COUNTS),
        call(JUDGE, "decideSynthetic", 3, True),
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
    """The blocks of `HISTORY`, one each."""
    engine = PyEvmChain(GENESIS, AUTHORITIES)
    return {name: engine.seal_block(calls, strict=False).raw for name, calls in HISTORY.items()}


@pytest.fixture(scope="module")
def engines():
    """py-evm and EELS, which follow the history as far as it is told."""
    return PyEvmChain(GENESIS), EelsChain(GENESIS)


@pytest.fixture(scope="module")
def told(engines, history):
    """What each says about a block: the block as applied, the head after it, and what the probe then finds."""
    return {
        name: [
            (engine.import_block(raw), engine.height, engine.head_hash, engine.eth_call(PROBE, b""))
            for engine in engines
        ]
        for name, raw in history.items()
    }


def test_both_begin_with_the_same_block():
    ours, theirs = PyEvmChain(GENESIS), EelsChain(GENESIS)
    assert (ours.head_hash, ours.height, ours.chain_id) == (theirs.head_hash, theirs.height, theirs.chain_id)
    assert theirs.get_code(ADDRESS) == b""


@pytest.mark.parametrize("name", HISTORY)
def test_both_tell_the_same_about_a_block(told, name):
    by_py_evm, by_eels = told[name]
    assert by_py_evm == by_eels
    outcomes = by_eels[0].receipts
    assert len(outcomes) == len(HISTORY[name])
    assert {index for index, outcome in enumerate(outcomes) if not outcome.success} == REVERTED.get(name, set())


def test_bare_digests_are_paid_at_the_floor_of_eip_7623(told):
    published = told["calldata"][1][0].receipts[1]
    zeros = published.data.count(0)
    assert published.gas == 21_000 + 10 * (zeros + 4 * (len(published.data) - zeros))


@pytest.mark.usefixtures("told")
def test_both_have_the_contract(engines):
    codes = [[engine.code(address) for address in (ADDRESS, PROBE, STRANGER.address)] for engine in engines]
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
@pytest.mark.usefixtures("told")
def test_both_answer_a_view_alike(engines, name):
    (function, *args), success = VIEWS[name]
    answers = [engine.eth_call(ADDRESS, CONTRACT.encode_call(function, *args)) for engine in engines]
    assert answers[0] == answers[1]
    assert answers[1][0] is success


@pytest.mark.parametrize("data", [b"", b"\1\2\3\4", b"\xff" * 100])
@pytest.mark.parametrize(
    "to", [ADDRESS, STRANGER.address, bytes(19) + b"\2", PROBE], ids=["contract", "nobody", "hash", "probe"]
)
@pytest.mark.usefixtures("told")
def test_both_answer_rubbish_alike(engines, to, data):
    answers = [engine.eth_call(to, data) for engine in engines]
    assert answers[0] == answers[1]


@pytest.mark.usefixtures("told")
def test_a_view_changes_nothing(engines):
    answers = [engine.eth_call(PROBE, b"") for engine in engines for _ in range(2)]
    assert answers == answers[:1] * 4
    assert int.from_bytes(answers[0][1][-32:], "big") == 3


@pytest.fixture(scope="module")
def blocks():
    """Three good blocks: deployment; roles, and a client; a round opened and closed."""
    maker = PyEvmChain(GENESIS, AUTHORITIES)
    staff = [*HISTORY["roles"][:2], call(ADMIN, "registerClients", [MEMBERS[0].address])]
    groups = (HISTORY["deployment"], staff, [open_round(1, 1), *close_round(1, 1)])
    return [maker.seal_block(group).raw for group in groups]


@pytest.fixture
def engine(blocks):
    """EELS before the third of them."""
    return following(EelsChain(GENESIS), blocks[:2])


def following(engine, blocks):
    for raw in blocks:
        engine.import_block(raw)
    return engine


def decode(raw):
    return rlp.decode(raw, sedes=ProofOfAuthorityVM.get_block_class())


def resealed(block, transactions=None, **fields):
    """The block with other header fields (and transactions), signed anew by the authority in turn."""
    if transactions is not None:
        fields.setdefault("transaction_root", make_trie_root_and_nodes(transactions)[0])
        block = block.copy(transactions=transactions)
    header = seal_header(block.header.copy(**fields), KEYS[in_turn_signer(GENESIS, block.number)])
    return rlp.encode(block.copy(header=header))


def refuse(engine, raw, match):
    before = (engine.head_hash, engine.height)
    with pytest.raises(VerificationError, match=f"^block {engine.height + 1} does not hold on EELS: {match}") as caught:
        engine.import_block(raw)
    assert "\n" not in str(caught.value)
    assert (engine.head_hash, engine.height) == before


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
def test_a_changed_header_is_refused_though_signed_by_the_authority(engine, blocks, field):
    block = decode(blocks[2])
    name, change = DISHONEST[field]
    refuse(engine, resealed(block, **{field: change(getattr(block.header, field))}), f"{name} is not what ")
    engine.import_block(blocks[2])


def test_every_field_but_the_seal_is_checked():
    """A field that a later version of the header brings is not forgotten."""
    checked = {name for name, _ in DISHONEST.values()}
    assert checked == set(eels.Header.__dataclass_fields__) - {"coinbase", "extra_data"}


def malleated(transaction):
    """The mirror image of its signature, which names the same sender."""
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
def test_changed_transactions_are_refused(engine, blocks, case):
    block = decode(blocks[2])
    change, match = BODIES[case]
    refuse(engine, resealed(block, change(block.transactions)), match)
    engine.import_block(blocks[2])


@pytest.mark.parametrize("kept", [0, 2])
def test_dropped_transactions_are_missed_in_their_root(engine, blocks, kept):
    block = decode(blocks[2])
    raw = resealed(block, block.transactions[:kept], transaction_root=block.header.transaction_root)
    refuse(engine, raw, "transactions_root is not what the transactions lead to")


class ForeignEngine(PyEvmChain):
    """An authority that seals whatever transactions it is given."""

    transactions = ()

    def _sign(self, calls, state):  # noqa: ARG002
        return list(self.transactions)


def foreign_block(blocks, chain_id):
    maker = following(ForeignEngine(GENESIS, AUTHORITIES), blocks[:2])
    fields = {"nonce": 0, "gas_price": 0, "gas": 1_000_000, "to": ADDRESS, "value": 0, "data": open_round(1, 1).data}
    unsigned = ProofOfAuthorityVM.create_unsigned_transaction(**fields)
    maker.transactions = [unsigned.as_signed_transaction(keys.PrivateKey(OFFICE.key), chain_id=chain_id)]
    return maker.seal_block([]).raw


@pytest.mark.parametrize("chain_id", [CHAIN_ID + 1, 1, None])
def test_a_transaction_for_another_chain_is_refused(engine, blocks, chain_id):
    refuse(engine, foreign_block(blocks, chain_id), "transaction 0: not a plain one signed for chain 1337")
    assert engine.import_block(foreign_block(blocks, CHAIN_ID)).receipts[0].success


def test_a_transaction_of_another_type_is_refused(engine, blocks):
    header, _, *rest = rlp.decode(blocks[2])
    refuse(engine, rlp.encode([header, [b"\x02\xc0"], *rest]), "transaction 0: not a plain one signed for chain 1337")


def test_ommers_and_withdrawals_are_refused(engine, blocks):
    header, transactions, *_ = rlp.decode(blocks[2])
    withdrawal = [b"", b"", bytes(20), b"\1"]
    for rest in ([[header], []], [[], [withdrawal]]):
        refuse(engine, rlp.encode([header, transactions, *rest]), "the block has ommers or withdrawals")


@pytest.mark.parametrize("number", [0, 1])
def test_an_old_block_is_refused(engine, blocks, number):
    refuse(engine, blocks[number], "parent_hash is not what follows from the parent")


def test_a_skipped_block_and_another_genesis_are_refused(blocks):
    refuse(EelsChain(GENESIS), blocks[1], "parent_hash is not what follows from the parent")
    refuse(EelsChain(GENESIS._replace(config_hash=bytes(32))), blocks[0], "parent_hash is not what follows")


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\xc1\xc0", b"\x80", b"\xff" * 40, b"\xc3\xc0\xc0\xc0"])
def test_rubbish_is_refused(engine, raw):
    refuse(engine, raw, "")


def test_a_second_encoding_of_a_block_is_refused(engine, blocks):
    refuse(engine, blocks[2] + b"\0", "")


def test_it_does_not_import_py_evm():
    """A shared fault would be no second opinion."""
    program = (
        "import sys, bofl_jax.ledger.eels; print(*(name for name in ('eth', 'rlp', 'trie') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_analysis_of_the_code_is_kept_once():
    EelsChain(GENESIS)
    kept = eels.runtime.get_valid_jump_destinations
    EelsChain(GENESIS)
    assert eels.runtime.get_valid_jump_destinations is eels.interpreter.get_valid_jump_destinations is kept
    code = bytes.fromhex("605b5b00")
    assert kept(code) == kept.__wrapped__(code) == {eels.Uint(2)}
