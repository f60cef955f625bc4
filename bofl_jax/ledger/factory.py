"""Starting a ledger, and taking it up again where a run stopped."""

from pathlib import Path
from typing import TYPE_CHECKING

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.base import Applied, Call, Engine, Ledger
from bofl_jax.ledger.off import OffLedger
from bofl_jax.ledger.options import LedgerOptions

if TYPE_CHECKING:
    from bofl_jax.ledger.folder import Files, Network

SETUP_BLOCKS = 2
BATCH = 200
DEPLOY_GAS = 5_000_000


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
        return OffLedger()
    from bofl_jax.ledger import folder
    from bofl_jax.ledger.chain import PyEvmEngine
    from bofl_jax.ledger.genesis import write_genesis
    from bofl_jax.ledger.governed import GovernedLedger

    _check_config_hash(config_hash)
    if clients < 1:
        raise BoflError("a ledger needs at least one client to register")
    files = folder.files_of(directory)
    _make_room(files)
    network = folder.network(seed, options.authorities, clients)
    genesis = network.genesis(config_hash)
    engine = PyEvmEngine(genesis, network.authorities)
    write_genesis(files.genesis, genesis, engine.head_hash)
    address = _set_up(engine, network, files)
    folder.write_contract(files.contract, address)
    return GovernedLedger(options, engine, network, address, config_hash, directory)


def resume_ledger(
    options: LedgerOptions, directory: Path, clients: int, seed: int, config_hash: bytes, rounds: int
) -> Ledger:
    """The ledger of an interrupted run after ``rounds`` finalised rounds, ready for the next one.

    The chain is replayed up to there with all checks; blocks and leaves behind it, which a crash may have left without
    the checkpoint knowing them, are cut off the files.

    Raises:
        BoflError: if a file is missing or damaged, or belongs to another configuration.
    """
    if options.mode == "off":
        return OffLedger()
    from bofl_jax.ledger import folder
    from bofl_jax.ledger.governed import GovernedLedger

    _check_config_hash(config_hash)
    files = folder.files_of(directory)
    network = folder.network(seed, options.authorities, clients)
    try:
        address = folder.read_contract(files.contract)
        engine, size = _replay(files, network, config_hash, rounds)
        _check_progress(engine, address, clients, rounds)
        _cut(files, size, rounds)
    except VerificationError as error:
        raise BoflError(f"the ledger cannot be resumed: {error}") from error
    return GovernedLedger(options, engine, network, address, config_hash, directory, rounds=rounds)


def _check_config_hash(config_hash: bytes) -> None:
    if len(config_hash) != 32 or not any(config_hash):
        raise BoflError(f"the ledger needs a SHA-256 of the configuration: 32 bytes, not {len(config_hash)}")


def _make_room(files: "Files") -> None:
    existing = [path for path in files if path.exists()]
    if existing:
        raise BoflError(f"{existing[0]} exists already: resume that run or choose another directory")
    files.genesis.parent.mkdir(parents=True, exist_ok=True)
    files.leaves.touch()


def _set_up(engine: Engine, network: "Network", files: "Files") -> bytes:
    """Deploy, hand out the roles and register; returns the contract's address."""
    from bofl_jax.ledger.blocklog import append_block
    from bofl_jax.ledger.contract import AGGREGATOR, AUDITOR, deployed_address, load_contract
    from bofl_jax.ledger.governed import seal_steps
    from bofl_jax.ledger.modes import BATCH_GAS, Step

    admin = network.admin
    deployment = engine.seal_block([Call(admin.key, b"", load_contract().bytecode, DEPLOY_GAS)])
    append_block(files.blocks, deployment.raw)
    address = deployed_address(admin.address, 0)
    batches = [network.addresses[start : start + BATCH] for start in range(0, len(network.clients), BATCH)]
    roles = ((network.aggregator, AGGREGATOR), (network.auditor, AUDITOR))
    grants = [Step(admin, "grantRole", (account.address, role)) for account, role in roles]
    registrations = [Step(admin, "registerClients", (batch,), BATCH_GAS) for batch in batches]
    seal_steps(engine, files.blocks, address, "registering the clients", [*grants, *registrations])
    return address


def _replay(files: "Files", network: "Network", config_hash: bytes, rounds: int) -> tuple[Engine, int]:
    """Import the log up to the block that finalised ``rounds``; returns the engine and how many bytes that takes."""
    from bofl_jax.ledger.blocklog import read_blocks
    from bofl_jax.ledger.chain import PyEvmEngine
    from bofl_jax.ledger.genesis import read_genesis

    expected = network.genesis(config_hash)
    genesis, block_hash = read_genesis(files.genesis)
    engine = PyEvmEngine(expected, network.authorities)
    if genesis != expected or block_hash != engine.head_hash:
        raise VerificationError("genesis.json belongs to another configuration, seed or number of authorities")
    size = 0
    for raw in read_blocks(files.blocks):
        block = engine.import_block(raw)
        size += len(raw)
        if _finalised(block) == rounds and engine.height >= SETUP_BLOCKS:
            return engine, size
    raise VerificationError(
        f"blocks.rlp ends at block {engine.height}, before round {rounds} is finalised: restore it from a copy"
    )


def _finalised(block: Applied) -> int | None:
    """The version of the global model that stands after a block; None while a round is under way."""
    from bofl_jax.ledger.contract import load_contract

    contract = load_contract()
    events = [contract.decode_log(topics, data) for outcome in block.outcomes for _, topics, data in outcome.logs]
    if any(event.name == "ClientRegistered" for event in events):
        return 0
    return next((event.args["version"] for event in events if event.name == "RoundFinalised"), None)


def _check_progress(engine: Engine, address: bytes, clients: int, rounds: int) -> None:
    for function, expected in (("latestVersion", rounds), ("activeClients", clients)):
        found = _read_number(engine, address, function)
        if found != expected:
            raise VerificationError(f"the contract says {function} is {found}, the run says {expected}")


def _read_number(engine: Engine, address: bytes, function: str) -> int:
    from bofl_jax.ledger.contract import load_contract

    contract = load_contract()
    success, output = engine.view(address, contract.encode(function))
    if not success or not output:
        raise VerificationError("there is no contract at the address in contract.json")
    return contract.decode_output(function, output)[0]


def _cut(files: "Files", size: int, rounds: int) -> None:
    from bofl_jax.ledger.blocklog import cut_log
    from bofl_jax.ledger.leaves import keep_leaves

    keep_leaves(files.leaves, rounds)
    cut_log(files.blocks, size)
