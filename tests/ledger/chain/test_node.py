"""The chain on a node against the chain in the process: anvil executes the same transactions with the same results.

anvil comes from the npm package that ``tests/node`` pins; without it these tests are skipped.
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

CONTRACT, ACCOUNTS = load_contract(), derive_accounts(0, 1, 200)
ADMIN, AGGREGATE, AUDIT = ACCOUNTS.admin, ACCOUNTS.aggregator, ACCOUNTS.auditor
STRANGER = derive_account(0, "stranger", 0)
CLIENTS = ACCOUNTS.clients[:20]  # the clients that train; all 200 are registered
ADDRESS = contract_address(ADMIN.address, 0)
DIGEST, UPDATE = b"\6" * 32, (b"\6" * 32, 100, 10**6)
DEPLOY = TransactionRequest(ADMIN.key, b"", CONTRACT.bytecode, 6_000_000)


def call(who, function, *args, gas=1_000_000):
    return TransactionRequest(who.key, ADDRESS, CONTRACT.encode_call(function, *args), gas)


def open_round(number, members=(), size=20):
    """Open a round under version 1 of the registry, after the registration of the clients."""
    return call(AGGREGATE, "openRound", number, 1, b"\1" * 32, b"\2" * 32, size, 0, members)


def close_round(number, accepted):
    totals = (b"\3" * 32, accepted, 100 * accepted, 10**6)
    return [call(AGGREGATE, "commitRound", number, *totals), call(AUDIT, "finaliseRound", number, b"\4" * 32)]


def setup_requests():
    return [
        call(ADMIN, "grantRole", AGGREGATE.address, AGGREGATOR),
        call(ADMIN, "grantRole", AUDIT.address, AUDITOR),
        call(ADMIN, "registerClients", ACCOUNTS.client_addresses, gas=12_000_000),
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
    "roles and registration": setup_requests(),
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
    return PyEvmChain(ACCOUNTS.genesis(bytes(32)), ACCOUNTS.signers)


def seal_all(chain):
    return {name: chain.seal_block(calls, strict=False) for name, calls in BLOCKS.items()}


def without_returns(receipt):
    """The receipt without the returned value, which a node reports only for reverted transactions."""
    return receipt._replace(output=b"") if receipt.success else receipt


def without_outputs(block):
    return block._replace(receipts=tuple(receipt._replace(output=b"") for receipt in block.receipts))


@pytest.fixture(scope="module")
def anvil(tmp_path_factory):
    """The path of anvil, installed from the lock file."""
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
    """The address of a new node."""
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
    """A node that forwards requests to another one: ``edit(method, params, answer)`` returns its answer."""

    def answer(body):
        requests = body if isinstance(body, list) else [body]
        answers = {item["id"]: item for item in ask(url, requests)}
        edited = [edit(request["method"], request["params"], answers[request["id"]]) for request in requests]
        return 200, edited if isinstance(body, list) else edited[0]

    return serving(answer)


def lacking(*methods):
    """An edit that removes some methods from a node."""

    def edit(method, _params, answer):
        missing = {"code": -32601, "message": "the method does not exist"}
        return {"jsonrpc": "2.0", "id": answer["id"], "error": missing} if method in methods else answer

    return edit


def changing(method, result):
    """An edit that changes the results of a method to ``result(old)``."""
    return lambda asked, _params, answer: answer | {"result": result(answer["result"])} if asked == method else answer


@pytest.fixture
def free(anvil):
    """A new node without fees, which makes blocks on request."""
    with running(anvil, FREE) as url:
        yield url


@pytest.fixture(scope="module")
def world(anvil):
    """A node with all blocks: its address, its chain, the batches; and the chain in memory with its blocks."""
    with running(anvil, FREE) as url:
        on_node, in_memory = NodeChain(url), new_chain()
        yield url, on_node, seal_all(on_node), in_memory, seal_all(in_memory)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_transaction_has_the_same_receipt_as_in_the_process(world, name):
    _, _, batches, _, blocks = world
    assert batches[name].number == blocks[name].number
    assert batches[name].receipts == tuple(without_returns(receipt) for receipt in blocks[name].receipts)
    failed = [index for index, receipt in enumerate(batches[name].receipts) if not receipt.success]
    assert failed == FAILED.get(name, [])


@pytest.mark.parametrize("name", BLOCKS)
def test_every_transaction_is_the_same_to_the_byte(world, name):
    _, _, batches, _, blocks = world
    in_process = [keccak(rlp.encode(transaction)) for transaction in rlp.decode(blocks[name].raw)[1]]
    assert [hash_ for _, _, hash_ in entries(batches[name].raw)] == in_process


def test_reasons_of_reverts_are_known_if_they_depend_on_the_same_block(world):
    _, _, batches, *_ = world
    outputs = [receipt.output for receipt in batches["round per client"].receipts if not receipt.success]
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
def test_calls_have_the_same_results(world, function):
    _, on_node, _, in_memory, _ = world
    data = CONTRACT.encode_call(*function)
    assert on_node.eth_call(ADDRESS, data) == in_memory.eth_call(ADDRESS, data)


def test_the_contract_has_the_same_address(world):
    _, on_node, _, in_memory, _ = world
    assert on_node.get_code(ADDRESS) == in_memory.get_code(ADDRESS)
    assert len(on_node.get_code(ADDRESS)) == len(CONTRACT.deployed_bytecode)
    assert on_node.get_code(STRANGER.address) == b""


def test_a_batch_is_one_block_twelve_seconds_after_its_parent(world):
    url, on_node, batches, in_memory, _ = world
    assert (on_node.chain_id, on_node.height) == (in_memory.chain_id, in_memory.height) == (CHAIN_ID, len(BLOCKS))
    for number, block in enumerate(batches.values(), 1):
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
        found = ask(url, body)["result"]
        assert int(found["timestamp"], 16) == 1_700_000_000 + 12 * number
        assert rlp.decode(block.raw) == [
            [bytes([number]), bytes.fromhex(found["hash"][2:]), bytes.fromhex(hash_[2:])]
            for hash_ in found["transactions"]
        ]


def test_a_second_chain_imports_the_same_from_the_network(world):
    url, on_node, batches, *_ = world
    importer = NodeChain(url)
    for block in batches.values():
        assert importer.import_block(block.raw) == without_outputs(block)
    assert (importer.head_hash, importer.height) == (on_node.head_hash, on_node.height)


def test_batches_are_imported_from_a_node_without_raw_transactions(world):
    url, _, batches, *_ = world
    with relay(url, lacking("eth_getRawTransactionByHash")) as poor:
        importer = NodeChain(poor)
        for block in batches.values():
            assert importer.import_block(block.raw) == without_outputs(block)


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
def test_a_changed_locator_is_rejected(world, case):
    url, _, batches, *_ = world
    good = [block.raw for block in batches.values()]
    edit, match = LOCATORS[case]
    assert_rejected(url, good[:1], rlp.encode(edit(entries(good[1]))), match)


def test_a_transaction_of_another_block_is_rejected(world):
    url, _, batches, *_ = world
    good = [block.raw for block in batches.values()]
    (number, block_hash, _), (*_, foreign) = entries(good[1])[0], entries(good[2])[0]
    assert_rejected(url, good[:1], rlp.encode([(number, block_hash, foreign)]), "is not in block 2 of the network")


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xff" * 40, b"\xc3\xc0\xc0\xc0", b"\xc0\0"])
def test_garbage_is_rejected(world, raw):
    assert_rejected(world[0], [], raw, "")


def test_an_old_batch_is_rejected(world):
    url, _, batches, *_ = world
    good = [block.raw for block in batches.values()]
    for raw in good[:2]:
        assert_rejected(url, good[:2], raw, "is not after block 2 of the batch before")


def assert_rejected(url, before, raw, match):
    chain = NodeChain(url)
    for good in before:
        chain.import_block(good)
    head = chain.head_hash
    with pytest.raises(VerificationError, match=f"^block {len(before) + 1} does not hold: .*{match}") as caught:
        chain.import_block(raw)
    assert len(str(caught.value).splitlines()) == 1
    assert (chain.head_hash, chain.height) == (head, len(before))


def test_signed_bytes_with_another_hash_are_rejected(world):
    url, _, batches, *_ = world
    with relay(url, changing("eth_getRawTransactionByHash", lambda raw: raw[:-1] + "0")) as liar:
        assert_rejected(liar, [], batches["deployment"].raw, "has another hash")


def test_fields_with_another_hash_are_rejected(world):
    url, _, batches, *_ = world
    poor = lacking("eth_getRawTransactionByHash")
    other = changing("eth_getTransactionByHash", lambda fields: fields | {"value": "0x1"})
    with relay(url, lambda method, params, answer: other(method, params, poor(method, params, answer))) as liar:
        assert_rejected(liar, [], batches["deployment"].raw, "has another hash")


def test_the_sender_comes_from_the_signature_and_not_from_the_node(world):
    url, _, batches, *_ = world
    stranger = "0x" + STRANGER.address.hex()
    with relay(url, changing("eth_getTransactionReceipt", lambda receipt: receipt | {"from": stranger})) as liar:
        assert NodeChain(liar).import_block(batches["deployment"].raw).receipts[0].sender == ADMIN.address


def test_a_transaction_that_was_not_executed_is_rejected(world):
    url, _, batches, *_ = world
    with relay(url, changing("eth_getTransactionReceipt", lambda _: None)) as other:
        assert_rejected(other, [], batches["deployment"].raw, "the network did not execute transaction 0")


def test_a_transaction_for_another_chain_is_rejected(world):
    url, _, batches, *_ = world
    with relay(url, changing("eth_chainId", lambda _: "0x1")) as other:
        assert_rejected(other, [], batches["deployment"].raw, "not a legacy transaction signed for chain 1")


def test_an_empty_batch_counts_as_a_batch(free):
    chain = NodeChain(free)
    before = chain.head_hash
    assert chain.seal_block([]).number == 1
    assert NodeChain(free).import_block(b"\xc0") == (1, b"\xc0", ())
    assert chain.head_hash == before


def test_a_strict_batch_with_a_revert_stays_on_the_network_and_does_not_count(free):
    chain = NodeChain(free)
    chain.seal_block([DEPLOY])
    before = chain.head_hash
    with pytest.raises(TransactionRevertedError) as caught:
        chain.seal_block([*setup_requests(), open_round(1), open_round(1)])
    assert caught.value.index == 4
    assert CONTRACT.describe_error(caught.value.output).startswith("NotNextRound")
    assert (chain.head_hash, chain.height) == (before, 1)
    assert chain.seal_block(close_round(1, 20)).number == 2


def test_a_call_is_repeated_on_a_node_that_cannot_trace(free):
    NodeChain(free).seal_block([DEPLOY])
    with relay(free, lacking("trace_transaction", "debug_traceTransaction")) as poor:
        chain = NodeChain(poor)
        chain.seal_block([*setup_requests(), open_round(1, [2**20 - 1])])
        late = call(STRANGER, "registerClients", [STRANGER.address])
        update = call(CLIENTS[0], "submitUpdate", 1, *UPDATE)
        receipts = chain.seal_block([late, update, update], strict=False).receipts
    assert [receipt.success for receipt in receipts] == [False, True, False]
    assert CONTRACT.describe_error(receipts[0].output).startswith("MissingRole(")
    assert CONTRACT.describe_error(receipts[2].output).endswith("reason=Duplicate)")


def test_a_batch_larger_than_a_block_fills_several(anvil):
    with running(anvil, (*NO_FEES, "--gas-limit", "8000000")) as url:
        chain = NodeChain(url)
        large = call(ADMIN, "grantRole", STRANGER.address, AUDITOR, gas=8_000_000)
        block = chain.seal_block([DEPLOY, large, large])
        assert len({number for number, *_ in entries(block.raw)}) == 3
        assert NodeChain(url).import_block(block.raw) == block


def test_a_node_without_batches_gets_single_requests(free):
    def answer(body):
        unsupported = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batches are not supported"}}
        return 200, unsupported if isinstance(body, list) else ask(free, body)

    with serving(answer) as simple:
        chain = NodeChain(simple)
        chain.seal_block([DEPLOY])
        assert [receipt.success for receipt in chain.seal_block(setup_requests()).receipts] == [True] * 3


def test_a_request_to_a_busy_node_is_repeated(free):
    turn = count()
    with serving(lambda body: (429, None) if next(turn) % 3 == 0 else (200, ask(free, body))) as busy:
        chain = NodeChain(busy)
        chain.seal_block([DEPLOY])
        assert chain.get_code(ADDRESS)


@pytest.fixture
def priced(anvil):
    """A new node with fees, which makes a block of every transaction."""
    with running(anvil, PRICED) as url:
        yield url


def test_the_funder_pays_if_gas_has_a_price(priced):
    chain = NodeChain(priced, RICH)
    batches = [chain.seal_block(calls) for calls in ([DEPLOY], setup_requests(), [open_round(1), *close_round(1, 20)])]
    assert [block.number for block in batches] == [1, 2, 3]
    success, output = chain.eth_call(ADDRESS, CONTRACT.encode_call("rounds", 1))
    assert success
    assert CONTRACT.decode_output("rounds", output)
    importer = NodeChain(priced)
    assert [importer.import_block(block.raw) for block in batches] == batches


def test_without_a_funder_one_line_names_the_account_and_the_missing_amount(priced):
    with pytest.raises(BoflError) as caught:
        NodeChain(priced).seal_block([DEPLOY])
    assert str(caught.value) == (
        f"account 0x{ADMIN.address.hex()} lacks 0.024 ETH on chain 31337 to pay for gas: "
        "set BOFL_LEDGER_FUNDER to the private key of an account that holds it"
    )


def test_a_funder_without_enough_money_is_named(priced):
    with pytest.raises(BoflError, match=f"^account 0x{STRANGER.address.hex()} lacks 0.048084 ETH on chain 31337"):
        NodeChain(priced, STRANGER.key).seal_block([DEPLOY])


def test_a_transaction_that_the_node_rejects_is_an_error_of_one_line(free):
    with pytest.raises(
        BoflError, match=r"^the node rejected transaction 0 of 1 \(.*\): check its chain, fees"
    ) as caught:
        NodeChain(free).seal_block([DEPLOY._replace(gas=10**13)])
    assert len(str(caught.value).splitlines()) == 1


def test_a_transaction_that_the_node_does_not_include_is_an_error_of_one_line(free):
    digests = call(AGGREGATE, "publishDigests", 1, [DIGEST] * 200, gas=150_000)  # below the least that its bytes cost
    with pytest.raises(BoflError, match=r"^the node includes transaction 0x\w{64} in no block: check its gas limit"):
        NodeChain(free).seal_block([digests])


def test_a_node_that_makes_no_blocks_is_an_error_of_one_line(free):
    with pytest.raises(BoflError, match=r"^transaction 0x\w{64} was not mined within 0.5 s: check that the node"):
        NodeChain(free, timeout=0.5, mine=False).seal_block([DEPLOY])


def test_a_node_that_does_not_answer_is_an_error_of_one_line():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(BoflError) as caught:
        NodeChain(url + "/secret")
    assert str(caught.value) == f"no Ethereum node answers at {url}: start one, or set ledger.node to its address"


@pytest.mark.parametrize(("status", "body"), [(404, None), (200, "hello"), (200, {})])
def test_a_server_that_is_not_a_node_is_an_error_of_one_line(status, body):
    with serving(lambda _: (status, body)) as url, pytest.raises(BoflError, match=f"node answers at {url}"):
        NodeChain(url)


@pytest.mark.parametrize("url", ["", "ws://127.0.0.1:8545", "127.0.0.1:8545", "http://", "http://[", "node.ipc"])
def test_a_url_of_another_kind_is_an_error_of_one_line(url):
    with pytest.raises(BoflError, match=r"is not the address of an Ethereum node: set ledger\.node to an http://"):
        NodeChain(url)
