"""Contribution proofs: true ones are verified from their file alone, and every forgery is rejected by name."""

import json
import os
import random
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
import rlp
from eth.vm.forks.prague.blocks import PragueBlockHeader
from trie import HexaryTrie

import bofl_jax
from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger import merkle
from bofl_jax.ledger.audit.proof import EVENTS, Claim, prove, verify_proof, write_proof
from bofl_jax.ledger.chain.accounts import Account, derive_account
from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.chain.genesis import Genesis
from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain
from bofl_jax.ledger.chain.py_evm.proof_of_authority import seal_header
from bofl_jax.ledger.chain.transactions import contract_address
from bofl_jax.ledger.contract.artefact import AGGREGATOR, AUDITOR, load_contract
from bofl_jax.ledger.storage.genesis_file import write_genesis

CONFIG = sha256(b"config").digest()
CONTRACT = load_contract()
REGISTRY = 1  # its version after one registration
OUTSIDER = derive_account(99, "authority", 0)


class Deployment(NamedTuple):
    """A contract and the accounts that have its roles."""

    address: bytes
    admin: Account
    aggregator: Account
    auditor: Account

    def call(self, role, function, *args):
        return TransactionRequest(
            getattr(self, role).key, self.address, CONTRACT.encode_call(function, *args), 10_000_000
        )

    def open_round(self, number, size, config=CONFIG):
        cohort = sha256(b"cohort").digest()
        return self.call("aggregator", "openRound", number, REGISTRY, config, cohort, size, 0, [])

    def commit(self, number, leaves):
        samples = sum(leaf.samples for leaf in leaves)
        return self.call("aggregator", "commitRound", number, merkle.root(leaves), len(leaves), samples, 10**6)

    def finalise(self, number):
        return self.call("auditor", "finaliseRound", number, model_digest(number))

    def setup_calls(self, clients):
        return [
            self.call("admin", "grantRole", self.aggregator.address, AGGREGATOR),
            self.call("admin", "grantRole", self.auditor.address, AUDITOR),
            self.call("admin", "registerClients", clients),
        ]


class World:
    """A chain with the contract; the contributors of every round are the first clients of the registry."""

    def __init__(self, clients, signers=2, bytecode=CONTRACT.bytecode):
        accounts = sorted((derive_account(0, "authority", i) for i in range(signers)), key=lambda each: each.address)
        admin, *others = (derive_account(0, role, 0) for role in ("admin", "aggregator", "auditor"))
        self.clients = [derive_account(0, "client", i).address for i in range(clients)]
        self.genesis = Genesis(CONFIG, tuple(account.address for account in accounts))
        self.chain = PyEvmChain(self.genesis, accounts)
        self.deployment = Deployment(contract_address(admin.address, 0), admin, *others)
        self.blocks = []
        self.leaves = {}
        self.seal(TransactionRequest(admin.key, b"", bytecode, 5_000_000))
        self.seal(*self.deployment.setup_calls(self.clients))

    def seal(self, *calls, strict=True):
        self.blocks.append(self.chain.seal_block(calls, strict=strict).raw)

    def record(self, number, count, deployment=None, noise=()):
        """A block that opens the round, and a block that closes it after the ``noise`` transactions."""
        deployment = deployment or self.deployment
        leaves = [leaf_of(number, client) for client in self.clients[:count]]
        self.leaves[number] = leaves
        self.seal(deployment.open_round(number, len(self.clients)))
        self.seal(*noise, deployment.commit(number, leaves), deployment.finalise(number))

    def prove(self, number, place, **changes):
        leaves = self.leaves[number]
        arguments = {
            "genesis": self.genesis,
            "address": self.deployment.address,
            "blocks": self.blocks,
            "receipts": self.chain.encoded_receipts,
            "leaf": leaves[place],
            "index": place,
            "path": merkle.proof(merkle.levels(leaves), place),
        }
        return prove(**(arguments | changes))

    def claim(self, number, index, version, end):
        """The expected claim about a round that block ``end`` finalises."""
        leaf = self.leaves[number][index]
        return Claim(
            genesis_hash=PyEvmChain(self.genesis).head_hash,
            head_hash=header_of(self.blocks[end - 1]).hash,
            contract=self.deployment.address,
            config_hash=CONFIG,
            round=number,
            version=version,
            model_digest=model_digest(number),
            count=len(self.leaves[number]),
            index=index,
            client=leaf.client,
            update_digest=leaf.update_digest,
            samples=leaf.samples,
            metric=leaf.metric,
        )


def leaf_of(number, client):
    digest = sha256(b"%d" % number + client).digest()
    return merkle.Leaf(number, client, digest, 10 + client[0], 1000 + client[1])


def model_digest(number):
    return sha256(b"model %d" % number).digest()


def header_of(raw):
    return rlp.decode(rlp.encode(rlp.decode(raw)[0]), sedes=PragueBlockHeader)


def nodes_of(items, index):
    """A Merkle-Patricia proof as the file contains it."""
    trie = HexaryTrie({})
    for position, item in enumerate(items):
        trie[rlp.encode(position)] = item
    return ["0x" + rlp.encode(node).hex() for node in trie.get_proof(rlp.encode(index))]


@pytest.fixture(scope="module")
def small():
    """Five clients: blocks 3-4 are round 1, 5-6 the aborted round 2, 7-8 round 3, 9-10 round 4 with one contributor.

    Block 5 also contains a reverted call.
    """
    world = World(5)
    world.record(1, 5)
    world.seal(world.deployment.open_round(2, 5), world.deployment.open_round(2, 5), strict=False)
    world.seal(world.deployment.call("auditor", "abortRound", 2))
    world.record(3, 5)
    world.record(4, 1)
    return world


@pytest.fixture(scope="module")
def large():
    """300 clients and one round, closed at the end of a block of 132 transactions."""
    world = World(300, signers=1)
    noise = [world.deployment.call("admin", "grantRole", OUTSIDER.address, AUDITOR)] * 130
    world.record(1, 300, noise=noise)
    return world


@pytest.fixture(scope="module")
def text(small):
    """The proof of client 1's update in round 3."""
    return small.prove(3, 1)


@pytest.fixture
def document(text):
    """The same proof as a document that a test may forge."""
    return json.loads(text)


@pytest.fixture
def assert_rejected(tmp_path):
    """A function that checks that a file, given as text or as a document, is rejected."""

    def check(forged, match=None, **options):
        path = tmp_path / "forged.json"
        path.write_text(forged if isinstance(forged, str) else json.dumps(forged, indent=1) + "\n")
        with pytest.raises(VerificationError, match=match) as caught:
            verify_proof(path, **options)
        assert "\n" not in str(caught.value)

    return check


# --------------------------------------------------------------------------------------------------- proofs that hold


def verified_elsewhere(paths):
    """The claims that a new process verifies from the files alone."""
    code = "import sys; from pathlib import Path; from bofl_jax.ledger.audit.proof import verify_proof\n"
    code += "for path in sys.argv[1:]: print(verify_proof(Path(path)))"
    command = [sys.executable, "-W", "error", "-c", code, *map(str, paths)]
    environment = os.environ | {"PYTHONPATH": str(Path(bofl_jax.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=paths[0].parent, env=environment)
    return done.stdout.splitlines()


def test_a_new_process_verifies_first_middle_and_last_leaf(small, large, tmp_path):
    cases = [(small, 1, i, 1, 4) for i in (0, 2, 4)] + [(small, 3, 1, 2, 8), (small, 4, 0, 3, 10)]
    cases += [(large, 1, i, 1, 4) for i in (0, 150, 255, 256, 299)]
    paths = [tmp_path / f"{number}.json" for number in range(len(cases))]
    for (world, number, index, *_), path in zip(cases, paths, strict=True):
        write_proof(path, world.prove(number, index))
    expected = [str(world.claim(number, index, *rest)) for world, number, index, *rest in cases]
    assert verified_elsewhere(paths) == expected


def test_the_genesis_section_is_genesis_json(small, text, tmp_path):
    write_proof(tmp_path / "proof.json", text)
    write_genesis(tmp_path / "genesis.json", small.genesis, PyEvmChain(small.genesis).head_hash)
    assert json.loads(text)["genesis"] == json.loads((tmp_path / "genesis.json").read_text())
    claim = verify_proof(tmp_path / "proof.json", tmp_path / "genesis.json")
    assert claim == small.claim(3, 1, version=2, end=8)


def test_a_proof_contains_nothing_about_other_clients(small, text):
    others = [leaf for leaf in small.leaves[3] if leaf != small.leaves[3][1]]
    assert not any(leaf.client.hex() in text or leaf.update_digest.hex() in text for leaf in others)


# ------------------------------------------------------------------------------------------------------------- writing


def test_a_proof_is_never_overwritten(text, tmp_path):
    path = tmp_path / "proof.json"
    write_proof(path, text)
    with pytest.raises(BoflError, match=r"proof\.json exists already: choose another name"):
        write_proof(path, "something else")
    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_proof_that_cannot_be_written_leaves_no_file(text, tmp_path):
    with pytest.raises(BoflError, match="cannot be written"):
        write_proof(tmp_path / "nowhere" / "proof.json", text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [2, 5])
def test_a_round_without_a_model_has_no_proof(small, number):
    leaf = leaf_of(number, small.clients[0])
    with pytest.raises(BoflError, match=f"round {number} was not finalised"):
        small.prove(3, 0, leaf=leaf)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"index": 2}, "the leaf does not hold"),
        ({"path": [bytes(32)] * 3}, "the leaf does not hold"),
        ({"path": []}, "the leaf does not hold"),
        ({"leaf": leaf_of(3, bytes(20))}, "the leaf does not hold"),
        ({"leaf": merkle.Leaf(3, b"", bytes(32), 1, 1)}, "a leaf needs a 20-byte client address"),
        ({"genesis": Genesis(CONFIG, (OUTSIDER.address,))}, "the header of block 1 does not hold"),
        ({"address": bytes(20)}, "was not finalised"),
    ],
)
def test_no_proof_is_made_from_wrong_arguments(small, changes, match):
    with pytest.raises(BoflError, match=match):
        small.prove(3, 1, **changes)


def test_a_round_under_another_configuration_has_no_proof():
    world = World(5)
    leaves = world.leaves[1] = [leaf_of(1, client) for client in world.clients]
    world.seal(world.deployment.open_round(1, 5, config=bytes([1]) * 32))
    world.seal(world.deployment.commit(1, leaves), world.deployment.finalise(1))
    with pytest.raises(VerificationError, match="opened under another configuration"):
        world.prove(1, 0)


# --------------------------------------------------------------------------------------------- files that are no proof


def test_a_missing_file_is_rejected(tmp_path):
    with pytest.raises(VerificationError, match=r"proof\.json cannot be read .*: request the file again"):
        verify_proof(tmp_path / "proof.json")


@pytest.mark.parametrize("garbage", ["", "{}", "[]", "null", "7", '"proof"', "{", "[" * 100_000, '{"kind": 1}'])
def test_a_file_that_is_no_proof_is_rejected(assert_rejected, garbage):
    assert_rejected(garbage, "is not a contribution proof: request")


def test_bytes_that_are_no_text_are_rejected(tmp_path):
    path = tmp_path / "proof.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VerificationError, match="is not a contribution proof"):
        verify_proof(path)


def test_another_version_is_rejected(assert_rejected, document):
    document["version"] = 2
    assert_rejected(document, "is not a bofl_jax contribution proof of version 1")


@pytest.mark.parametrize("field", ["claim", "genesis", "path", "events", "deployment", "headers"])
@pytest.mark.parametrize("value", [None, 7, "0x00", [], {}, [7], ["0xzz"]])
def test_a_section_of_another_shape_is_rejected(assert_rejected, document, field, value):
    document[field] = value
    assert_rejected(document)


@pytest.mark.parametrize("value", [None, "5", [], True, 1.0, 1e400, "0x05"])
def test_a_number_must_be_a_number(assert_rejected, document, value):
    document["claim"]["index"] = value
    assert_rejected(document, "is damaged|was changed|is not a contribution proof")


def test_only_the_canonical_text_is_accepted(assert_rejected, text, document):
    for other in (text + "\n", text.rstrip(), " " + text, text.replace("\n", "\r\n"), json.dumps(document)):
        assert_rejected(other, "was changed: it is not in its canonical form")
    assert_rejected(text.replace('"index": 1', '"index": 0, "index": 1'), "was changed")
    assert_rejected({**document, "note": "trust me"}, "was changed")
    document["claim"]["client"] = document["claim"]["client"].upper().replace("X", "x")
    assert_rejected(document, "was changed")


def test_every_changed_byte_is_rejected(assert_rejected, text):
    rng = random.Random(0)
    evidence = text.index('"deployment"')  # it is long, so half of the changes are made before it
    for trial in range(300):
        position = rng.randrange(len(text) if trial % 2 else evidence)
        alphabet = "0123456789abcdef" if trial % 3 else [chr(code) for code in range(128)]
        other = rng.choice([character for character in alphabet if character != text[position]])
        assert_rejected(text[:position] + other + text[position + 1 :])


# ----------------------------------------------------------------------------------------------------------- forgeries


OTHER_VALUES = {
    "genesis_hash": "0x" + "11" * 32,
    "head_hash": "0x" + "11" * 32,
    "contract": "0x" + "11" * 20,
    "config_hash": "0x" + "11" * 32,
    "version": 3,
    "model_digest": "0x" + "11" * 32,
    "count": 4,
}


@pytest.mark.parametrize(("field", "value"), OTHER_VALUES.items())
def test_the_claim_must_be_what_the_chain_says(assert_rejected, document, field, value):
    document["claim"][field] = value
    assert_rejected(document, f"^the claim says {field} {value}, the chain says ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client", "0x" + "11" * 20),
        ("client", "0x11"),
        ("update_digest", "0x" + "11" * 32),
        ("samples", 1),
        ("samples", -1),
        ("metric", 1),
        ("metric", 2**63),
        ("index", 0),
        ("index", 5),
        ("index", -1),
    ],
)
def test_the_leaf_must_stand_under_the_committed_root(assert_rejected, document, field, value):
    document["claim"][field] = value
    assert_rejected(document, "^the leaf does not hold: ")


def test_another_round_must_be_in_the_events(assert_rejected, document):
    document["claim"]["round"] = 1
    assert_rejected(document, "^RoundOpened in block 7 does not hold: it is about round 3, not 1$")


def test_another_clients_leaf_is_rejected(small, assert_rejected, document):
    other = json.loads(small.prove(3, 2))
    leaf = {field: other["claim"][field] for field in ("client", "update_digest", "samples", "metric")}
    document["claim"] |= leaf
    assert_rejected(
        document, "^the leaf does not hold: it is not number 1 of 5 under the root that round 3 committed to$"
    )
    document["path"] = other["path"]
    assert_rejected(document, "^the leaf does not hold: ")


def test_the_same_client_in_another_round_is_rejected(small, assert_rejected, document):
    other = json.loads(small.prove(1, 1))
    document["claim"]["update_digest"] = other["claim"]["update_digest"]
    document["path"] = other["path"]
    assert_rejected(document, "^the leaf does not hold: ")


def test_an_inner_node_is_no_leaf(assert_rejected, document):
    """The parent of leaves 0 and 1 is at index 0 of a tree half as deep, but no path of another length is accepted."""
    document["path"].pop(0)
    document["claim"]["index"] = 0
    assert_rejected(document, "^the leaf does not hold: ")
    document["claim"]["count"] = 3
    assert_rejected(document, "^the claim says count 3, the chain says 5$")


@pytest.mark.parametrize("name", EVENTS)
def test_another_rounds_receipts_are_rejected(small, assert_rejected, document, name):
    document["events"][name] = json.loads(small.prove(1, 1))["events"][name]
    assert_rejected(document, f"^{name} in block [34] does not hold: it is about round 1, not 3$")


def test_another_event_is_rejected(assert_rejected, document):
    document["events"]["RoundFinalised"] = document["events"]["RoundCommitted"]
    assert_rejected(document, "^RoundFinalised in block 8 does not hold: the log is RoundCommitted$")


def test_a_reverted_transactions_receipt_is_rejected(small, assert_rejected, document):
    receipts = small.chain.encoded_receipts(5)
    document["events"]["RoundOpened"] = {"block": 5, "transaction": 1, "log": 0, "nodes": nodes_of(receipts, 1)}
    assert_rejected(document, "^RoundOpened in block 5 does not hold: transaction 1 was reverted$")


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("block", 0, "the proof has no header of that number"),
        ("block", -1, "the proof has no header of that number"),
        ("block", 9, "the proof has no header of that number"),
        ("block", 4, "its trie nodes do not start at the root in the header"),
        ("transaction", 1, "its trie nodes do not lead to index 1"),
        ("transaction", 5, "its trie nodes do not lead to index 5"),
        ("transaction", -1, "there is no index -1"),
        ("log", 1, "transaction 0 has no log 1"),
        ("log", -1, "transaction 0 has no log -1"),
    ],
)
def test_an_event_is_accepted_at_its_position_only(assert_rejected, document, field, value, match):
    document["events"]["RoundCommitted"][field] = value
    assert_rejected(document, f"^RoundCommitted in block .* does not hold: .*{match}")


def test_trie_nodes_must_be_exactly_those_on_the_path(small, assert_rejected, document):
    nodes = document["events"]["RoundCommitted"]["nodes"]
    spare = nodes_of(small.chain.encoded_receipts(8), 1)
    for other in ([], nodes[:1], nodes[1:], nodes[::-1], nodes + nodes[:1], [*nodes, spare[-1]]):
        document["events"]["RoundCommitted"]["nodes"] = other
        assert_rejected(document, "^RoundCommitted in block 8 does not hold: ")


def test_a_forged_receipt_is_rejected(small, assert_rejected, document):
    """A receipt trie of the forger under the same header."""
    root = merkle.root([leaf_of(3, OUTSIDER.address)])
    receipts = small.chain.encoded_receipts(8)
    forged = [receipts[0].replace(merkle.root(small.leaves[3]), root), receipts[1]]
    document["events"]["RoundCommitted"]["nodes"] = nodes_of(forged, 0)
    assert_rejected(
        document, "^RoundCommitted in block 8 does not hold: its trie nodes do not start at the root in the header$"
    )


def decoded(header):
    return rlp.decode(bytes.fromhex(header[2:]), sedes=PragueBlockHeader)


def encoded(header):
    return "0x" + rlp.encode(header).hex()


def test_a_header_resealed_by_an_outsider_is_rejected(assert_rejected, document):
    document["headers"][-1] = encoded(seal_header(decoded(document["headers"][-1]), OUTSIDER))
    assert_rejected(document, "^the header of block 8 does not hold: not sealed by the in-turn signer")


def test_a_changed_header_is_rejected(assert_rejected, document):
    document["headers"][-1] = encoded(decoded(document["headers"][-1]).copy(receipt_root=bytes(32)))
    assert_rejected(document, "^the header of block 8 does not hold: not sealed by the in-turn signer")


@pytest.mark.parametrize("place", range(7))
def test_a_dropped_header_is_found(assert_rejected, document, place):
    document["headers"].pop(place)
    assert_rejected(document, f"^the header of block {place + 1} does not hold: parent_hash is not what follows")


def test_the_headers_end_with_the_round(small, assert_rejected, document):
    last = document["headers"].pop()
    assert_rejected(document, "^RoundCommitted in block 8 does not hold: the proof has no header of that number$")
    document["headers"] += [last, encoded(header_of(small.blocks[8]))]
    assert_rejected(document, "^the last header is not that of the block that finalised the round$")


def test_garbage_as_a_header_is_rejected(assert_rejected, document):
    for garbage in ("0x", "0xc0", document["headers"][2] + "00"):
        document["headers"][2] = garbage
        assert_rejected(document, "^the header of block 3 does not hold: ")
    document["headers"] = []
    assert_rejected(document, "^the deployment in block 1 does not hold: the proof has no header$")


def test_another_chain_is_not_the_trusted_one(text, assert_rejected, tmp_path):
    other = Genesis(CONFIG, (OUTSIDER.address,))
    write_genesis(tmp_path / "genesis.json", other, PyEvmChain(other).head_hash)
    match = r"^the proof is about another chain: its genesis is not that of genesis\.json$"
    assert_rejected(text, match, trusted_genesis=tmp_path / "genesis.json")
    assert_rejected(text, "cannot be read", trusted_genesis=tmp_path / "missing.json")


def test_the_genesis_must_have_its_hash(assert_rejected, document):
    document["genesis"]["hash"] = document["claim"]["genesis_hash"] = "0x" + "11" * 32
    assert_rejected(document, "^the genesis does not hold: ")


def test_an_outsiders_genesis_does_not_fit_the_headers(assert_rejected, document):
    other = Genesis(CONFIG, (OUTSIDER.address,))
    block_hash = PyEvmChain(other).head_hash.hex()
    document["genesis"] |= {"extraData": "0x" + other.extra_data.hex(), "hash": "0x" + block_hash}
    assert_rejected(document, "^the header of block 1 does not hold: parent_hash is not what follows")


def rival_world():
    """An outsider deploys the same contract on the same chain in block 3, and records round 1 on it."""
    world, stranger = World(5), derive_account(0, "stranger", 0)
    deployment = Deployment(contract_address(stranger.address, 0), stranger, stranger, stranger)
    world.seal(TransactionRequest(stranger.key, b"", CONTRACT.bytecode, 5_000_000))
    world.seal(*deployment.setup_calls(world.clients))
    world.record(1, 5, deployment=deployment)
    return world, deployment


def test_events_of_another_contract_are_rejected(assert_rejected):
    world, rival = rival_world()
    rejection = f"^RoundOpened in block 5 does not hold: the log is of another contract, 0x{rival.address.hex()}$"
    with pytest.raises(VerificationError, match=rejection):
        world.prove(1, 0, address=rival.address)
    end = len(world.blocks)
    world.record(1, 5)
    document = json.loads(world.prove(1, 0))
    for name, number, transaction in zip(EVENTS, (5, 6, 6), (0, 0, 1), strict=True):
        nodes = nodes_of(world.chain.encoded_receipts(number), transaction)
        document["events"][name] = {"block": number, "transaction": transaction, "log": 0, "nodes": nodes}
    document["headers"] = document["headers"][:end]
    assert_rejected(document, rejection)
    transactions = [rlp.encode(item) for item in rlp.decode(world.blocks[2])[1]]
    document["deployment"] = nodes_of(transactions, 0)
    document["claim"]["contract"] = "0x" + rival.address.hex()
    assert_rejected(
        document, "^the deployment in block 1 does not hold: its trie nodes do not start at the root in the header$"
    )


def test_a_chain_of_another_contract_has_no_proof():
    """One more byte of code, which is never executed: the same events, but not the shipped contract."""
    world = World(5, bytecode=CONTRACT.bytecode + b"\0")
    world.record(1, 5)
    with pytest.raises(VerificationError, match="block 1 does not begin with the deployment of the contract"):
        world.prove(1, 0)
