"""The engine on a node against the engine in the process: anvil executes the same transactions with the same results.

anvil comes from the npm package that ``tests/node`` pins; where it cannot be had these tests are skipped.
"""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest
import rlp
from eth_hash.auto import keccak

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.chain.accounts import derive_account, derive_accounts
from bofl_jax.ledger.chain.base import TransactionRequest, TransactionRevertedError
from bofl_jax.ledger.chain.genesis import CHAIN_ID
from bofl_jax.ledger.chain.node.chain import NodeChain
from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain
from bofl_jax.ledger.chain.transactions import contract_address
from bofl_jax.ledger.contract.artefact import AGGREGATOR, AUDITOR, load_contract
from bofl_jax.ledger.contract.eip712 import domain_separator, sign_update
from bofl_jax.ledger.merkle import Leaf

pytest.importorskip("web3", reason="web3 is not installed")

NODE = Path(__file__).parents[2] / "node"
INSTALL = ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier", "--loglevel=error")
NO_FEES = (
    *("--chain-id", str(CHAIN_ID), "--timestamp", "1700000000", "--hardfork", "prague"),
    *("--base-fee", "0", "--gas-price", "0", "--no-mining", "--order", "fifo"),
)
FREE = (*NO_FEES, "--gas-limit", "1000000000000")
PRICED = ("--chain-id", "31337")
RICH = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first account

CONTRACT, NETWORK = load_contract(), derive_accounts(0, 1, 200)
ADMIN, AGGREGATE, AUDIT = NETWORK.admin, NETWORK.aggregator, NETWORK.auditor
STRANGER = derive_account(0, "stranger", 0)
CLIENTS = NETWORK.clients[:20]  # those who train; all 200 are registered
ADDRESS = contract_address(ADMIN.address, 0)
DIGEST, UPDATE = b"\6" * 32, (b"\6" * 32, 100, 10**6)
DEPLOY = TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 6_000_000)


def call(who, function, *args, gas=1_000_000):
    return TransactionRequest(who.key, ADDRESS, CONTRACT.encode_call(function, *args), gas)


def open_round(number, members=(), size=20):
    """Registry 1 is the one after the clients' registration."""
    return call(AGGREGATE, "openRound", number, 1, b"\1" * 32, b"\2" * 32, size, 0, members)


def close_round(number, accepted):
    totals = (b"\3" * 32, accepted, 100 * accepted, 10**6)
    return [call(AGGREGATE, "commitRound", number, *totals), call(AUDIT, "finaliseRound", number, b"\4" * 32)]


def staff():
    return [
        call(ADMIN, "grantRole", AGGREGATE.address, AGGREGATOR),
        call(ADMIN, "grantRole", AUDIT.address, AUDITOR),
        call(ADMIN, "registerClients", NETWORK.client_addresses, gas=12_000_000),
    ]


def signed_updates(number):
    domain = domain_separator(CHAIN_ID, ADDRESS)
    updates = [
        (client.address, *UPDATE, *sign_update(client.key, domain, Leaf(number, client.address, *UPDATE)))
        for client in CLIENTS
    ]
    return call(AGGREGATE, "submitSignedUpdates", number, [*updates, updates[0]], gas=5_000_000)


def synthetic():
    client, log = CLIENTS[0], (b"\x08" * 32, b"\x09" * 32, [9000, 8000, 7000])
    request = call(client, "requestSynthetic", 1, 50, [960, 40, 0])
    return [
        call(ADMIN, "setPolicy", (500, 1000, 10_000, 1000, 0, False)),
        *(request, call(client, "requestSynthetic", 0, 50, [960, 40, 0])),
        call(client, "logSynthetic", 1, 20, *log),
        call(ADMIN, "setPolicy", (500, 1000, 10_000, 1000, 0, True)),
        *(request, request),
        *(call(AUDIT, "decideSynthetic", 3, True), call(client, "decideSynthetic", 4, True)),
        call(client, "cancelSynthetic", 3),
    ]


BLOCKS = {
    "deployment": [DEPLOY],
    "roles and registration": staff(),
    "merkle round": [open_round(1), *close_round(1, 20)],
    "signed round": [open_round(2, [2**20 - 1]), signed_updates(2), *close_round(2, 20)],
    "round per client": [
        open_round(3, [2**20 - 1]),
        *(call(client, "submitUpdate", 3, *UPDATE) for client in CLIENTS),
        *(call(who, "submitUpdate", 3, *UPDATE) for who in (CLIENTS[0], STRANGER)),
        *close_round(3, 20),
    ],
    "digests": [
        open_round(4, size=200),
        call(AGGREGATE, "publishDigests", 4, [DIGEST] * 200),
        *close_round(4, 200),
    ],
    "synthetic data": synthetic(),
    "out of gas": [call(ADMIN, "setPolicy", (500, 1000, 10_000, 1000, 1, True), gas=25_000)],
    "reverted deployment": [DEPLOY._replace(data=bytes.fromhex("62abcdef5f526003601dfd"))],  # reverts with abcdef
}
FAILED = {"round per client": [21, 22], "synthetic data": [8], "out of gas": [0], "reverted deployment": [0]}


def new_chain():
    return PyEvmChain(NETWORK.genesis(bytes(32)), NETWORK.signers)


def seal_all(engine):
    return {name: engine.seal_block(calls, strict=False) for name, calls in BLOCKS.items()}


def without_returns(outcome):
    """A node tells what a transaction returned only if it was reverted."""
    return outcome._replace(output=b"") if outcome.success else outcome


def without_outputs(applied):
    return applied._replace(receipts=tuple(outcome._replace(output=b"") for outcome in applied.receipts))


@pytest.fixture(scope="module")
def anvil(tmp_path_factory):
    """The program, installed from the lock file."""
    if not shutil.which("npm"):
        pytest.skip("npm is needed to install anvil")
    folder = Path(shutil.copytree(NODE, tmp_path_factory.mktemp("anvil") / "node"))
    installed = subprocess.run(INSTALL, cwd=folder, capture_output=True, text=True, check=False)
    if installed.returncode:
        reasons = [line for line in installed.stderr.splitlines() if line.strip() and "complete log" not in line]
        pytest.skip(f"npm cannot install anvil: {reasons[-1:]}")
    programs = [*folder.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*")]
    if not programs:
        pytest.skip("anvil is not made for this machine")
    return programs[0]


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def ask(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def wait_for(url, process):
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    for _ in range(300):
        try:
            return ask(url, question)
        except OSError:
            assert process.poll() is None, "anvil has ended"
            time.sleep(0.1)
    raise AssertionError("anvil does not answer")


@contextmanager
def running(program, flags):
    """The address of a fresh node."""
    port = free_port()
    command = [program, "--silent", "--host", "127.0.0.1", "--port", str(port), *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


@contextmanager
def serving(answer):
    """The address of a server that answers a decoded JSON-RPC request with ``answer(body) -> (status, body)``."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            status, body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def relay(url, edit):
    """A node in front of a node: ``edit(method, params, answer)`` gives its answer to a request."""

    def answer(body):
        requests = body if isinstance(body, list) else [body]
        answers = {item["id"]: item for item in ask(url, requests)}
        edited = [edit(request["method"], request["params"], answers[request["id"]]) for request in requests]
        return 200, edited if isinstance(body, list) else edited[0]

    return serving(answer)


def lacking(*methods):
    """A node that does not have some methods."""

    def edit(method, _params, answer):
        missing = {"code": -32601, "message": "the method does not exist"}
        return {"jsonrpc": "2.0", "id": answer["id"], "error": missing} if method in methods else answer

    return edit


def changing(method, result):
    """A node that gives other results of a method: ``result(old)``."""
    return lambda asked, _params, answer: answer | {"result": result(answer["result"])} if asked == method else answer


@pytest.fixture
def free(anvil):
    """A fresh node without fees, which makes blocks when told."""
    with running(anvil, FREE) as url:
        yield url


@pytest.fixture(scope="module")
def world(anvil):
    """A node with all blocks of the script: its address, its engine, the batches; the same from the chain in memory."""
    with running(anvil, FREE) as url:
        engine, chain = NodeChain(url), new_chain()
        yield url, engine, seal_all(engine), chain, seal_all(chain)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_transaction_has_the_same_outcome_as_in_the_process(world, name):
    _, _, batches, _, blocks = world
    assert batches[name].number == blocks[name].number
    assert batches[name].receipts == tuple(without_returns(outcome) for outcome in blocks[name].receipts)
    failed = [index for index, outcome in enumerate(batches[name].receipts) if not outcome.success]
    assert failed == FAILED.get(name, [])


@pytest.mark.parametrize("name", BLOCKS)
def test_every_transaction_is_the_same_to_the_byte(world, name):
    _, _, batches, _, blocks = world
    in_process = [keccak(rlp.encode(transaction)) for transaction in rlp.decode(blocks[name].raw)[1]]
    assert [hash_ for _, _, hash_ in entries(batches[name].raw)] == in_process


def test_reasons_of_reverts_are_known_though_they_follow_from_the_same_block(world):
    _, _, batches, *_ = world
    outputs = [outcome.output for outcome in batches["round per client"].receipts if not outcome.success]
    assert [CONTRACT.describe_error(output) for output in outputs] == [
        f"UpdateNotAccepted(client=0x{CLIENTS[0].address.hex()}, reason=Duplicate)",
        f"UpdateNotAccepted(client=0x{STRANGER.address.hex()}, reason=NotRegistered)",
    ]
    assert batches["reverted deployment"].receipts[0].output == bytes.fromhex("abcdef")


VIEWS = [
    ("registryVersion",),
    ("rounds", 3),
    ("clients", CLIENTS[0].address),
    ("clients", STRANGER.address),
    ("requests", 3),
    ("finaliseRound", 1, DIGEST),
]


@pytest.mark.parametrize("function", VIEWS, ids=str)
def test_views_are_the_same(world, function):
    _, engine, _, chain, _ = world
    data = CONTRACT.encode_call(*function)
    assert engine.eth_call(ADDRESS, data) == chain.eth_call(ADDRESS, data)


def test_the_contract_stands_at_the_same_address(world):
    _, engine, _, chain, _ = world
    assert engine.code(ADDRESS) == chain.code(ADDRESS)
    assert len(engine.code(ADDRESS)) == len(CONTRACT.deployed_bytecode)
    assert engine.code(STRANGER.address) == b""


def test_a_batch_is_one_block_twelve_seconds_after_the_one_before(world):
    url, engine, batches, chain, _ = world
    assert (engine.chain_id, engine.height) == (chain.chain_id, chain.height) == (CHAIN_ID, len(BLOCKS))
    for number, applied in enumerate(batches.values(), 1):
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
        block = ask(url, body)["result"]
        assert int(block["timestamp"], 16) == 1_700_000_000 + 12 * number
        assert rlp.decode(applied.raw) == [
            [bytes([number]), bytes.fromhex(block["hash"][2:]), bytes.fromhex(hash_[2:])]
            for hash_ in block["transactions"]
        ]


def test_a_second_engine_reads_the_same_from_the_network(world):
    url, engine, batches, *_ = world
    reader = NodeChain(url)
    for applied in batches.values():
        assert reader.import_block(applied.raw) == without_outputs(applied)
    assert (reader.head_hash, reader.height) == (engine.head_hash, engine.height)


def test_a_node_that_gives_out_no_raw_transactions_reads_the_same(world):
    url, _, batches, *_ = world
    with relay(url, lacking("eth_getRawTransactionByHash")) as poor:
        reader = NodeChain(poor)
        for applied in batches.values():
            assert reader.import_block(applied.raw) == without_outputs(applied)


def entries(raw):
    return [tuple(entry) for entry in rlp.decode(raw)]


LOCATORS = {
    "another block hash": (lambda e: [(n, b"\1" * 32, t) for n, _, t in e], "is not block 2 of the network"),
    "another block number": (lambda e: [(b"\3", h, t) for _, h, t in e], "is not block 3 of the network"),
    "no such block": (lambda e: [(b"\x77", h, t) for _, h, t in e], "is not block 119 of the network"),
    "no such transaction": (lambda e: [(*e[0][:2], b"\1" * 32)], "the network knows no transaction 0x0101"),
    "another order": (lambda e: e[::-1], "are not in the order of their nonces"),
    "twice the same": (lambda e: e + e[-1:], "are not in the order of their nonces"),
    "a short hash": (lambda e: [(*e[0][:2], b"\1")], ""),
    "a number with leading zeros": (lambda e: [(b"\0\2", *e[0][1:])], ""),
}


@pytest.mark.parametrize("case", LOCATORS)
def test_a_changed_locator_is_refused(world, case):
    url, _, batches, *_ = world
    good = [applied.raw for applied in batches.values()]
    edit, match = LOCATORS[case]
    refuse(url, good[:1], rlp.encode(edit(entries(good[1]))), match)


def test_a_transaction_of_another_block_is_refused(world):
    url, _, batches, *_ = world
    good = [applied.raw for applied in batches.values()]
    (number, block_hash, _), (*_, foreign) = entries(good[1])[0], entries(good[2])[0]
    refuse(url, good[:1], rlp.encode([(number, block_hash, foreign)]), "is not in block 2 of the network")


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xff" * 40, b"\xc3\xc0\xc0\xc0", b"\xc0\0"])
def test_rubbish_is_refused(world, raw):
    refuse(world[0], [], raw, "")


def test_an_old_batch_is_refused(world):
    url, _, batches, *_ = world
    good = [applied.raw for applied in batches.values()]
    for raw in good[:2]:
        refuse(url, good[:2], raw, "is not after block 2 of the batch before")


def refuse(url, before, raw, match):
    engine = NodeChain(url)
    for good in before:
        engine.import_block(good)
    head = engine.head_hash
    with pytest.raises(VerificationError, match=f"^block {len(before) + 1} does not hold: .*{match}") as caught:
        engine.import_block(raw)
    assert len(str(caught.value).splitlines()) == 1
    assert (engine.head_hash, engine.height) == (head, len(before))


def test_signed_bytes_that_are_not_those_of_the_hash_are_refused(world):
    url, _, batches, *_ = world
    with relay(url, changing("eth_getRawTransactionByHash", lambda raw: raw[:-1] + "0")) as liar:
        refuse(liar, [], batches["deployment"].raw, "has another hash")


def test_fields_that_do_not_add_up_to_the_hash_are_refused(world):
    url, _, batches, *_ = world
    poor = lacking("eth_getRawTransactionByHash")
    other = changing("eth_getTransactionByHash", lambda fields: fields | {"value": "0x1"})
    with relay(url, lambda method, params, answer: other(method, params, poor(method, params, answer))) as liar:
        refuse(liar, [], batches["deployment"].raw, "has another hash")


def test_a_sender_is_recovered_and_not_believed(world):
    url, _, batches, *_ = world
    stranger = "0x" + STRANGER.address.hex()
    with relay(url, changing("eth_getTransactionReceipt", lambda receipt: receipt | {"from": stranger})) as liar:
        assert NodeChain(liar).import_block(batches["deployment"].raw).receipts[0].sender == ADMIN.address


def test_a_transaction_that_was_not_executed_is_refused(world):
    url, _, batches, *_ = world
    with relay(url, changing("eth_getTransactionReceipt", lambda _: None)) as other:
        refuse(other, [], batches["deployment"].raw, "the network did not execute transaction 0")


def test_a_transaction_for_another_chain_is_refused(world):
    url, _, batches, *_ = world
    with relay(url, changing("eth_chainId", lambda _: "0x1")) as other:
        refuse(other, [], batches["deployment"].raw, "not a plain one signed for chain 1")


def test_an_empty_batch_is_a_batch_too(free):
    engine = NodeChain(free)
    before = engine.head_hash
    assert engine.seal_block([]).number == 1
    assert NodeChain(free).import_block(b"\xc0") == (1, b"\xc0", ())
    assert engine.head_hash == before


def test_a_strict_batch_with_a_revert_stays_on_the_network_and_does_not_count(free):
    engine = NodeChain(free)
    engine.seal_block([DEPLOY])
    before = engine.head_hash
    with pytest.raises(TransactionRevertedError) as caught:
        engine.seal_block([*staff(), open_round(1), open_round(1)])
    assert caught.value.index == 4
    assert CONTRACT.describe_error(caught.value.output).startswith("NotNextRound")
    assert (engine.head_hash, engine.height) == (before, 1)
    assert engine.seal_block(close_round(1, 20)).number == 2


def test_a_node_that_cannot_trace_is_asked_to_call_again(free):
    NodeChain(free).seal_block([DEPLOY])
    with relay(free, lacking("trace_transaction", "debug_traceTransaction")) as poor:
        engine = NodeChain(poor)
        engine.seal_block([*staff(), open_round(1, [2**20 - 1])])
        late = call(STRANGER, "registerClients", [STRANGER.address])
        update = call(CLIENTS[0], "submitUpdate", 1, *UPDATE)
        outcomes = engine.seal_block([late, update, update], strict=False).receipts
    assert [outcome.success for outcome in outcomes] == [False, True, False]
    assert CONTRACT.describe_error(outcomes[0].output).startswith("MissingRole(")
    assert CONTRACT.describe_error(outcomes[2].output).endswith("reason=Duplicate)")


def test_a_batch_larger_than_a_block_fills_several(anvil):
    with running(anvil, (*NO_FEES, "--gas-limit", "8000000")) as url:
        engine = NodeChain(url)
        large = call(ADMIN, "grantRole", STRANGER.address, AUDITOR, gas=8_000_000)
        applied = engine.seal_block([DEPLOY, large, large])
        assert len({number for number, *_ in entries(applied.raw)}) == 3
        assert NodeChain(url).import_block(applied.raw) == applied


def test_a_node_without_batches_is_asked_one_by_one(free):
    def answer(body):
        refused = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batches are not supported"}}
        return 200, refused if isinstance(body, list) else ask(free, body)

    with serving(answer) as simple:
        engine = NodeChain(simple)
        engine.seal_block([DEPLOY])
        assert [outcome.success for outcome in engine.seal_block(staff()).receipts] == [True] * 3


def test_a_busy_node_is_asked_again(free):
    turn = count()
    with serving(lambda body: (429, None) if next(turn) % 3 == 0 else (200, ask(free, body))) as busy:
        engine = NodeChain(busy)
        engine.seal_block([DEPLOY])
        assert engine.get_code(ADDRESS)


@pytest.fixture
def priced(anvil):
    """A fresh node with fees, which makes a block of every transaction."""
    with running(anvil, PRICED) as url:
        yield url


def test_where_gas_has_a_price_the_funder_pays(priced):
    engine = NodeChain(priced, RICH)
    batches = [engine.seal_block(calls) for calls in ([DEPLOY], staff(), [open_round(1), *close_round(1, 20)])]
    assert [applied.number for applied in batches] == [1, 2, 3]
    success, output = engine.eth_call(ADDRESS, CONTRACT.encode_call("rounds", 1))
    assert success
    assert CONTRACT.decode_output("rounds", output)
    reader = NodeChain(priced)
    assert [reader.import_block(applied.raw) for applied in batches] == batches


def test_without_a_funder_one_line_says_who_lacks_what(priced):
    with pytest.raises(BoflError) as caught:
        NodeChain(priced).seal_block([DEPLOY])
    assert str(caught.value) == (
        f"account 0x{ADMIN.address.hex()} lacks 0.024 ETH on chain 31337 to pay for gas: "
        "set BOFL_LEDGER_FUNDER to the private key of an account that holds it"
    )


def test_a_funder_without_the_means_is_named(priced):
    with pytest.raises(BoflError, match=f"^account 0x{STRANGER.address.hex()} lacks 0.048084 ETH on chain 31337"):
        NodeChain(priced, STRANGER.key).seal_block([DEPLOY])


def test_a_transaction_that_the_node_refuses_is_one_line(free):
    with pytest.raises(
        BoflError, match=r"^the node refused transaction 0 of 1 \(.*\): check its chain, fees"
    ) as caught:
        NodeChain(free).seal_block([DEPLOY._replace(gas=10**13)])
    assert len(str(caught.value).splitlines()) == 1


def test_a_transaction_that_the_node_leaves_out_is_one_line(free):
    digests = call(AGGREGATE, "publishDigests", 1, [DIGEST] * 200, gas=150_000)  # below the least that its bytes cost
    with pytest.raises(BoflError, match=r"^the node takes transaction 0x\w{64} into no block: check its gas limit"):
        NodeChain(free).seal_block([digests])


def test_a_node_that_makes_no_blocks_is_one_line(free):
    with pytest.raises(BoflError, match=r"^transaction 0x\w{64} was in no block after 0.5 s: check that the node"):
        NodeChain(free, timeout=0.5, mine=False).seal_block([DEPLOY])


def test_a_node_that_is_not_there_is_one_line():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BoflError) as caught:
        NodeChain(url + "/secret")
    assert str(caught.value) == f"no Ethereum node answers at {url}: start one, or set ledger.node to its address"


@pytest.mark.parametrize(("status", "body"), [(404, None), (200, "hello"), (200, {})])
def test_a_server_that_is_no_node_is_one_line(status, body):
    with serving(lambda _: (status, body)) as url, pytest.raises(BoflError, match=f"node answers at {url}"):
        NodeChain(url)


@pytest.mark.parametrize("url", ["", "ws://127.0.0.1:8545", "127.0.0.1:8545", "http://", "http://[", "node.ipc"])
def test_an_address_of_another_kind_is_one_line(url):
    with pytest.raises(BoflError, match=r"is no address of an Ethereum node: set ledger\.node to an http://"):
        NodeChain(url)
