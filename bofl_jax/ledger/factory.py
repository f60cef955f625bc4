"""Creates the ledger of a new run, and resumes the ledger of an interrupted one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.base import Ledger
from bofl_jax.ledger.chain.base import BlockProducer, TransactionRequest
from bofl_jax.ledger.clock import CpuClock
from bofl_jax.ledger.contract.registry import initially_registered
from bofl_jax.ledger.null import NullLedger
from bofl_jax.ledger.options import LedgerOptions

if TYPE_CHECKING:
    from bofl_jax.ledger.chain.accounts import RunAccounts
    from bofl_jax.ledger.contract_client import ContractClient
    from bofl_jax.ledger.storage.layout import LedgerFiles

SETUP_BLOCKS = 2
CLIENTS_PER_CALL = 200
DEPLOY_GAS = 6_000_000
SECRET_VARIABLE = "BOFL_LEDGER_SECRET"


def create_ledger(options: LedgerOptions, directory: Path, clients: int, seed: int, config_hash: bytes) -> Ledger:
    """Create a ledger under ``directory/ledger``: block 1 deploys the contract, block 2 registers the clients.

    Args:
        options: the ``[ledger]`` section.
        directory: the run directory; mode ``off`` writes nothing.
        clients: C, number of clients, at least 1.
        seed: the run's seed, from which all accounts are derived.
        config_hash: 32 bytes, SHA-256 of the resolved configuration.

    Raises:
        BoflError: if the directory has a ledger already, or the contract rejects a call.
    """
    if options.mode == "off":
        return NullLedger(options, clients)
    from bofl_jax.ledger.chain.accounts import derive_accounts
    from bofl_jax.ledger.contract_client import ContractClient
    from bofl_jax.ledger.contract_ledger import ContractLedger
    from bofl_jax.ledger.storage.contract_file import write_contract
    from bofl_jax.ledger.storage.layout import ledger_files

    _check_config_hash(config_hash)
    if clients < 1:
        raise BoflError("a ledger needs at least one client to register")
    registered = initially_registered(options, clients)
    files, clock = ledger_files(directory), CpuClock()
    accounts = derive_accounts(seed, options.authorities, clients, _secret(options))
    chain = _new_chain(options, accounts, config_hash, files, clock)
    contract = ContractClient(chain, files.blocks, _deploy(chain, accounts, files))
    _register(contract, accounts, registered)
    write_contract(files.contract, contract.address)
    clock.reset()
    return ContractLedger(options, contract, accounts, config_hash, files, clock)


def resume_ledger(
    options: LedgerOptions, directory: Path, clients: int, seed: int, config_hash: bytes, rounds: int
) -> Ledger:
    """Resume the ledger of an interrupted run after its last checkpoint.

    The chain is replayed to that point with all checks. Later blocks and leaves, which a crash may have left, are
    truncated, but rounds that were aborted right after that point are kept.

    Args:
        options: the ``[ledger]`` section.
        directory: the run directory.
        clients: C, number of clients.
        seed: the run's seed.
        config_hash: 32 bytes, SHA-256 of the resolved configuration.
        rounds: number of finalised rounds at the checkpoint.

    Raises:
        BoflError: if a file is missing or damaged, or belongs to another configuration.
    """
    if options.mode == "off":
        return NullLedger(options, clients)
    from bofl_jax.ledger.chain.accounts import derive_accounts
    from bofl_jax.ledger.contract_client import ContractClient
    from bofl_jax.ledger.contract_ledger import ContractLedger
    from bofl_jax.ledger.storage.contract_file import read_contract
    from bofl_jax.ledger.storage.layout import ledger_files

    _check_config_hash(config_hash)
    files, clock = ledger_files(directory), CpuClock()
    accounts = derive_accounts(seed, options.authorities, clients, _secret(options))
    try:
        address = read_contract(files.contract)
        if options.node:
            chain = _fetch_chain(options.node, files, config_hash, rounds)
        else:
            chain = _replay_chain(files, accounts, config_hash, rounds, clock)
        contract = ContractClient(chain, files.blocks, address)
        _check_progress(contract, options, clients, rounds)
    except VerificationError as error:
        raise BoflError(f"the ledger cannot be resumed: {error}") from error
    clock.reset()
    ledger = ContractLedger(options, contract, accounts, config_hash, files, clock, rounds=rounds)
    ledger.abort_unfinished()
    return ledger


def _secret(options: LedgerOptions) -> str:
    """A text that keeps the keys of a run on a network secret from everybody who knows its seed."""
    return os.environ.get(SECRET_VARIABLE, "") if options.node else ""


def _check_config_hash(config_hash: bytes) -> None:
    if len(config_hash) != 32 or not any(config_hash):
        raise BoflError(f"the ledger needs a SHA-256 of the configuration: 32 bytes, not {len(config_hash)}")


def _new_chain(
    options: LedgerOptions, accounts: "RunAccounts", config_hash: bytes, files: "LedgerFiles", clock: CpuClock
) -> BlockProducer:
    """An empty chain; writes ``genesis.json``."""
    from bofl_jax.ledger.chain.genesis import NetworkGenesis
    from bofl_jax.ledger.storage.genesis_file import write_genesis, write_network_genesis

    if options.node:
        from bofl_jax.ledger.chain.node.chain import connect_node

        node = connect_node(options.node)
        _prepare_directory(files)
        write_network_genesis(files.genesis, NetworkGenesis(config_hash, node.chain_id, node.head_hash))
        return node
    from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain

    _prepare_directory(files)
    genesis = accounts.genesis(config_hash)
    chain = PyEvmChain(genesis, accounts.signers, clock)
    write_genesis(files.genesis, genesis, chain.head_hash)
    return chain


def _prepare_directory(files: "LedgerFiles") -> None:
    existing = [path for path in files if path.exists()]
    if existing:
        raise BoflError(f"{existing[0]} exists already: resume that run or choose another directory")
    files.genesis.parent.mkdir(parents=True, exist_ok=True)
    files.leaves.touch()


def _deploy(chain: BlockProducer, accounts: "RunAccounts", files: "LedgerFiles") -> bytes:
    """Deploy the contract; returns its address."""
    from bofl_jax.ledger.contract.artefact import load_contract
    from bofl_jax.ledger.storage.block_log import append_record

    request = TransactionRequest(accounts.admin.key, b"", load_contract().bytecode, DEPLOY_GAS)
    deployment = chain.seal_block([request])
    append_record(files.blocks, deployment.raw)
    return deployment.receipts[0].logs[0].address  # the contract's address emits the event of the constructor


def _register(contract: "ContractClient", accounts: "RunAccounts", registered: int) -> None:
    """Grant the roles and register the first clients."""
    from bofl_jax.ledger.contract.artefact import AGGREGATOR, AUDITOR
    from bofl_jax.ledger.contract.calls import BATCH_GAS, ContractCall

    admin, addresses = accounts.admin, accounts.client_addresses[:registered]
    roles = ((accounts.aggregator, AGGREGATOR), (accounts.auditor, AUDITOR))
    calls = [ContractCall(admin, "grantRole", (account.address, role)) for account, role in roles]
    for start in range(0, registered, CLIENTS_PER_CALL):
        batch = addresses[start : start + CLIENTS_PER_CALL]
        calls.append(ContractCall(admin, "registerClients", (batch,), BATCH_GAS))
    contract.transact("registering the clients", calls)


def _replay_chain(
    files: "LedgerFiles", accounts: "RunAccounts", config_hash: bytes, rounds: int, clock: CpuClock
) -> BlockProducer:
    """The chain of the block log up to the end of round ``rounds``; truncates the files to the same point."""
    from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain
    from bofl_jax.ledger.storage.block_log import truncate_file
    from bofl_jax.ledger.storage.genesis_file import read_genesis
    from bofl_jax.ledger.storage.leaves import truncate_leaves

    expected = accounts.genesis(config_hash)
    genesis, block_hash = read_genesis(files.genesis)
    chain = PyEvmChain(expected, accounts.signers, clock)
    if genesis != expected or block_hash != chain.head_hash:
        raise VerificationError("genesis.json belongs to another configuration, seed or number of authorities")
    kept = _blocks_to_keep(files.blocks, rounds)
    for raw in kept:
        chain.import_block(raw)
    truncate_leaves(files.leaves, rounds)
    truncate_file(files.blocks, sum(map(len, kept)))
    return chain


def _fetch_chain(node: str, files: "LedgerFiles", config_hash: bytes, rounds: int) -> BlockProducer:
    """The network's chain, with the run's transactions checked; transactions on a network cannot be truncated."""
    from bofl_jax.ledger.chain.node.chain import connect_node
    from bofl_jax.ledger.storage.block_log import read_blocks
    from bofl_jax.ledger.storage.genesis_file import read_network_genesis
    from bofl_jax.ledger.storage.leaves import truncate_leaves

    chain = connect_node(node)
    if read_network_genesis(files.genesis) != (config_hash, chain.chain_id, chain.head_hash):
        raise VerificationError(f"the node at {node} is on another network, or the configuration is another")
    for raw in read_blocks(files.blocks):
        chain.import_block(raw)
    truncate_leaves(files.leaves, rounds)
    return chain


def _blocks_to_keep(path: Path, rounds: int) -> list[bytes]:
    """The blocks up to the end of round ``rounds``, and those of rounds that were aborted right after it.

    The bytes behind them, left by a crash, need not be a whole block.
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
    """The contract functions that a block's transactions call."""
    import rlp

    from bofl_jax.ledger.contract.artefact import load_contract

    try:
        names = {load_contract().function_name(transaction[5]) for transaction in rlp.decode(raw)[1]}
    except (rlp.DecodingError, IndexError, TypeError) as error:
        raise VerificationError(f"the block log contains a record that is not a block ({error})") from error
    return {name for name in names if name}


def _check_progress(contract: "ContractClient", options: LedgerOptions, clients: int, rounds: int) -> None:
    """Check that the contract has finalised ``rounds`` rounds and registered the planned clients."""
    version, registered = (contract.call(name) for name in ("latestVersion", "registeredClients"))
    if version != rounds:
        hint = "; on a node, only a run with engine.checkpoint_every = 1 can be resumed" if options.node else ""
        raise VerificationError(f"the contract says latestVersion is {version}, the run says {rounds}{hint}")
    joined = sum(change.action == "register" and change.round <= rounds for change in options.changes)
    expected = initially_registered(options, clients) + joined
    if not expected <= registered <= clients:
        raise VerificationError(f"the contract says registeredClients is {registered}, the run says {expected}")
