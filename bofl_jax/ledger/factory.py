"""Starting a ledger, and taking it up again where a run stopped."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.base import Ledger
from bofl_jax.ledger.chain.base import Call, Engine
from bofl_jax.ledger.clock import Clock
from bofl_jax.ledger.contract.registry import at_start
from bofl_jax.ledger.null import OffLedger
from bofl_jax.ledger.options import LedgerOptions

if TYPE_CHECKING:
    from bofl_jax.ledger.chain.accounts import Network
    from bofl_jax.ledger.chain.node import NodeEngine
    from bofl_jax.ledger.storage.layout import Files

SETUP_BLOCKS = 2
BATCH = 200
DEPLOY_GAS = 6_000_000


def create_ledger(options: LedgerOptions, directory: Path, clients: int, seed: int, config_hash: bytes) -> Ledger:
    """A new ledger under ``directory/ledger``: block 1 deploys the contract, block 2 registers the clients.

    Args:
        options: the ``[ledger]`` section.
        directory: the run directory; mode ``off`` writes nothing.
        clients: C, at least 1.
        seed: the run's seed, from which all accounts follow.
        config_hash: 32 bytes, SHA-256 of the resolved configuration.

    Raises:
        BoflError: if there is a ledger already, or the contract refuses a call.
    """
    if options.mode == "off":
        return OffLedger(options, clients)
    from bofl_jax.ledger.chain import accounts
    from bofl_jax.ledger.contract import artefact
    from bofl_jax.ledger.contract_ledger import GovernedLedger
    from bofl_jax.ledger.storage import layout

    _check_config_hash(config_hash)
    if clients < 1:
        raise BoflError("a ledger needs at least one client to register")
    registered = at_start(options, clients)
    files, clock = layout.files_of(directory), Clock()
    network = accounts.network(seed, options.authorities, clients, _secret(options))
    engine = _begin(options, network, config_hash, files, clock)
    address = _set_up(engine, network, files, registered)
    artefact.write_contract(files.contract, address)
    clock.reset()
    return GovernedLedger(options, engine, network, address, config_hash, directory, clock)


def resume_ledger(
    options: LedgerOptions, directory: Path, clients: int, seed: int, config_hash: bytes, rounds: int
) -> Ledger:
    """The ledger of an interrupted run after ``rounds`` finalised rounds, ready for the next one.

    The chain is replayed up to there with all checks; blocks and leaves behind it, which a crash may have left without
    the checkpoint knowing them, are cut off the files. Rounds that were aborted after it stay.

    Raises:
        BoflError: if a file is missing or damaged, or belongs to another configuration.
    """
    if options.mode == "off":
        return OffLedger(options, clients)
    from bofl_jax.ledger.chain import accounts
    from bofl_jax.ledger.contract import artefact
    from bofl_jax.ledger.contract_ledger import GovernedLedger
    from bofl_jax.ledger.storage import layout

    _check_config_hash(config_hash)
    files, clock = layout.files_of(directory), Clock()
    network = accounts.network(seed, options.authorities, clients, _secret(options))
    replay = _refetch if options.node else _replay
    try:
        address = artefact.read_contract(files.contract)
        engine = replay(options, files, network, config_hash, rounds, clock)
        _check_progress(engine, address, options, clients, rounds)
    except VerificationError as error:
        raise BoflError(f"the ledger cannot be resumed: {error}") from error
    clock.reset()
    ledger = GovernedLedger(options, engine, network, address, config_hash, directory, clock, rounds=rounds)
    ledger.abort_unfinished()
    return ledger


def node_engine(url: str) -> "NodeEngine":
    """An engine on an Ethereum node; ``BOFL_LEDGER_FUNDER`` may hold the key of an account that pays for gas.

    Raises:
        BoflError: if web3 is not installed, the key is none, or no node answers.
    """
    try:
        from bofl_jax.ledger.chain.node import NodeEngine
    except ImportError as error:
        raise BoflError(f"ledger.node needs web3 ({error.name} is missing): pip install 'bofl_jax[node]'") from None
    funder = os.environ.get("BOFL_LEDGER_FUNDER", "").removeprefix("0x")
    try:
        key = bytes.fromhex(funder) or None
    except ValueError:
        key = b"?"
    if key is not None and len(key) != 32:
        raise BoflError("BOFL_LEDGER_FUNDER is no private key: set it to 64 hexadecimal digits, or leave it out")
    return NodeEngine(url, key)


def _secret(options: LedgerOptions) -> str:
    """What keeps the keys of a run on a network from everyone who knows its seed."""
    return os.environ.get("BOFL_LEDGER_SECRET", "") if options.node else ""


def _begin(options: LedgerOptions, network: "Network", config_hash: bytes, files: "Files", clock: Clock) -> Engine:
    """An empty chain, and ``genesis.json`` about it."""
    from bofl_jax.ledger.chain.genesis import Anchor, write_anchor, write_genesis

    if options.node:
        node = node_engine(options.node)
        _make_room(files)
        write_anchor(files.genesis, Anchor(config_hash, node.chain_id, node.head_hash))
        return node
    from bofl_jax.ledger.chain.py_evm import PyEvmEngine

    _make_room(files)
    genesis = network.genesis(config_hash)
    engine = PyEvmEngine(genesis, network.authorities, clock)
    write_genesis(files.genesis, genesis, engine.head_hash)
    return engine


def _check_config_hash(config_hash: bytes) -> None:
    if len(config_hash) != 32 or not any(config_hash):
        raise BoflError(f"the ledger needs a SHA-256 of the configuration: 32 bytes, not {len(config_hash)}")


def _make_room(files: "Files") -> None:
    existing = [path for path in files if path.exists()]
    if existing:
        raise BoflError(f"{existing[0]} exists already: resume that run or choose another directory")
    files.genesis.parent.mkdir(parents=True, exist_ok=True)
    files.leaves.touch()


def _set_up(engine: Engine, network: "Network", files: "Files", registered: int) -> bytes:
    """Deploy, hand out the roles and register the first clients; returns the contract's address."""
    from bofl_jax.ledger.contract.artefact import AGGREGATOR, AUDITOR, load_contract
    from bofl_jax.ledger.contract.calls import BATCH_GAS, Step, seal_steps
    from bofl_jax.ledger.storage.block_log import append_record

    admin = network.admin
    deployment = engine.seal_block([Call(admin.key, b"", load_contract().bytecode, DEPLOY_GAS)])
    append_record(files.blocks, deployment.raw)
    address = deployment.outcomes[0].logs[0][0]  # the constructor's event tells where it stands
    batches = [network.addresses[start : min(start + BATCH, registered)] for start in range(0, registered, BATCH)]
    roles = ((network.aggregator, AGGREGATOR), (network.auditor, AUDITOR))
    grants = [Step(admin, "grantRole", (account.address, role)) for account, role in roles]
    registrations = [Step(admin, "registerClients", (batch,), BATCH_GAS) for batch in batches]
    seal_steps(engine, files.blocks, address, "registering the clients", [*grants, *registrations])
    return address


def _replay(
    options: LedgerOptions, files: "Files", network: "Network", config_hash: bytes, rounds: int, clock: Clock
) -> Engine:
    """A chain with the log up to the end of round ``rounds``, and the files cut down to that."""
    from bofl_jax.ledger.chain.genesis import read_genesis
    from bofl_jax.ledger.chain.py_evm import PyEvmEngine
    from bofl_jax.ledger.storage.block_log import cut_file
    from bofl_jax.ledger.storage.leaves import keep_leaves

    del options
    expected = network.genesis(config_hash)
    genesis, block_hash = read_genesis(files.genesis)
    engine = PyEvmEngine(expected, network.authorities, clock)
    if genesis != expected or block_hash != engine.head_hash:
        raise VerificationError("genesis.json belongs to another configuration, seed or number of authorities")
    kept = _blocks_to_keep(files.blocks, rounds)
    for raw in kept:
        engine.import_block(raw)
    keep_leaves(files.leaves, rounds)
    cut_file(files.blocks, sum(map(len, kept)))
    return engine


def _refetch(
    options: LedgerOptions, files: "Files", network: "Network", config_hash: bytes, rounds: int, clock: Clock
) -> Engine:
    """The network's chain, with the run's transactions checked. What is on it cannot be cut off."""
    from bofl_jax.ledger.chain.genesis import read_anchor
    from bofl_jax.ledger.storage.block_log import read_blocks
    from bofl_jax.ledger.storage.leaves import keep_leaves

    del network, clock
    engine = node_engine(options.node or "")
    if read_anchor(files.genesis) != (config_hash, engine.chain_id, engine.head_hash):
        raise VerificationError(f"the node at {options.node} is on another network, or the configuration is another")
    for raw in read_blocks(files.blocks):
        engine.import_block(raw)
    keep_leaves(files.leaves, rounds)
    return engine


def _blocks_to_keep(path: Path, rounds: int) -> list[bytes]:
    """The blocks up to the one that finalised round ``rounds``, and those that end in an aborted round after it.

    What a crash left behind them need not be whole.
    """
    from bofl_jax.ledger.storage.block_log import read_blocks

    blocks: list[bytes] = []
    kept = finalised = 0
    try:
        for raw in read_blocks(path):
            blocks.append(raw)
            called = _functions_called(raw)
            finalised += "finaliseRound" in called
            if finalised > rounds:
                break
            at_end = not called.isdisjoint({"finaliseRound", "abortRound"}) or len(blocks) == SETUP_BLOCKS
            if finalised == rounds and at_end:
                kept = len(blocks)
    except VerificationError:
        if not kept:
            raise
    if not kept:
        raise VerificationError(
            f"{path.name} ends at block {len(blocks)}, before round {rounds} is finalised: restore it from a copy"
        )
    return blocks[:kept]


def _functions_called(raw: bytes) -> set[str]:
    """The contract's functions that a block calls."""
    import rlp

    from bofl_jax.ledger.contract.artefact import load_contract

    try:
        names = {load_contract().function_of(transaction[5]) for transaction in rlp.decode(raw)[1]}
    except (rlp.DecodingError, IndexError, TypeError) as error:
        raise VerificationError(f"the block log holds something that is no block ({error})") from error
    return {name for name in names if name}


def _check_progress(engine: Engine, address: bytes, options: LedgerOptions, clients: int, rounds: int) -> None:
    from bofl_jax.ledger.contract.calls import read_view

    version, registered = (read_view(engine, address, name) for name in ("latestVersion", "registeredClients"))
    if version != rounds:
        mend = "; on a node, only a run with engine.checkpoint_every = 1 can go on" if options.node else ""
        raise VerificationError(f"the contract says latestVersion is {version}, the run says {rounds}{mend}")
    joined = sum(change.action == "register" and change.round <= rounds for change in options.changes)
    expected = at_start(options, clients) + joined
    if not expected <= registered <= clients:
        raise VerificationError(f"the contract says registeredClients is {registered}, the run says {expected}")
