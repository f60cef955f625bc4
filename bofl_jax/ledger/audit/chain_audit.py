"""The audit of a run's chain: it replays all blocks in a new EVM and checks every claim of the ledger's files.

The audit trusts nothing but this package. It has no keys, and uses from the files only what it has checked. It cannot
know whether whole rounds are missing at the end: compare its head hash with the one in the run's summary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.ledger.audit.records import ChainAudit
from bofl_jax.ledger.chain.base import BlockImporter, ExecutedBlock

if TYPE_CHECKING:
    from bofl_jax.ledger.audit.replay import ChainReplay
    from bofl_jax.ledger.chain.genesis import Genesis, NetworkGenesis

SecondEngine = Literal["eels"]
"""EVMs that can replay a chain beside py-evm."""


def audit_chain(directory: Path, second: SecondEngine | None = None, node: str | None = None) -> ChainAudit:
    """Check the ledger of a run directory.

    Blocks: encoding, seal, in-turn signer, header rules, execution, all roots. Contract: the deployed code is the
    package's. Rounds: strict order, one configuration, none left open. Leaves: each one belongs to an active client of
    the round's cohort and is under the committed root by its own proof; the contract itself checks the proofs of the
    first and the last leaf of each round.

    Args:
        directory: the run directory.
        second: a second EVM that must compute the same gas, logs and state roots.
        node: address of the Ethereum node that keeps the chain, for a run that was made on one. The node's receipts are
            trusted, but every transaction is fetched and its signature checked.

    Returns:
        The checked rounds, events and results.

    Raises:
        VerificationError: naming the first check that fails.
        BoflError: if the second EVM is not installed, or the node cannot be reached.
    """
    from bofl_jax.ledger.audit.replay import ChainReplay
    from bofl_jax.ledger.audit.round_audit import RoundAuditor
    from bofl_jax.ledger.storage.block_log import read_blocks
    from bofl_jax.ledger.storage.contract_file import read_contract
    from bofl_jax.ledger.storage.layout import ledger_files
    from bofl_jax.ledger.storage.leaves import read_leaves

    files = ledger_files(directory)
    chain: BlockImporter
    genesis: Genesis | NetworkGenesis
    chain, genesis = _network_chain(files.genesis, node) if node else _own_chain(files.genesis)
    second_chain = _second_chain(second, genesis) if second else None
    address, raw_blocks = read_contract(files.contract), list(read_blocks(files.blocks))
    replay = ChainReplay(chain, address, genesis.config_hash)
    _replay(raw_blocks, chain, second_chain, replay)
    records = read_leaves(files.leaves)
    if len(records) != len(replay.rounds):
        raise VerificationError(f"leaves.rlp has {len(records)} rounds, the chain has {len(replay.rounds)}")
    auditor = RoundAuditor(chain, address, replay.clients)
    return ChainAudit(
        blocks=chain.height,
        rounds=[auditor.audit(*pair) for pair in zip(replay.rounds, records, strict=True)],
        aborted=replay.aborted,
        head_hash="0x" + chain.head_hash.hex(),
        config_hash=genesis.config_hash,
        registry=replay.clients,
        results=replay.results,
        events=replay.events,
        engines=tuple(name for name in (node or "py-evm", second) if name),
        genesis=genesis,
        address=address,
        raw_blocks=raw_blocks,
        encoded_receipts=getattr(chain, "encoded_receipts", None),
    )


def _own_chain(path: Path) -> "tuple[BlockImporter, Genesis]":
    from bofl_jax.ledger.chain.py_evm.chain import PyEvmChain
    from bofl_jax.ledger.storage.genesis_file import read_genesis

    genesis, genesis_hash = read_genesis(path)
    chain = PyEvmChain(genesis)
    if chain.head_hash != genesis_hash:
        raise VerificationError("genesis.json does not hold: block 0 has another hash than it says")
    return chain, genesis


def _network_chain(path: Path, node: str) -> "tuple[BlockImporter, NetworkGenesis]":
    from bofl_jax.ledger.chain.node.chain import connect_node
    from bofl_jax.ledger.storage.genesis_file import read_network_genesis

    genesis, chain = read_network_genesis(path), connect_node(node)
    if (chain.chain_id, chain.head_hash) != (genesis.chain_id, genesis.block_hash):
        raise VerificationError(f"the node at {node} is on another network than genesis.json says")
    return chain, genesis


def _second_chain(name: SecondEngine, genesis: "Genesis | NetworkGenesis") -> BlockImporter:
    """An empty chain on another EVM."""
    from bofl_jax.ledger.chain.genesis import Genesis

    if not isinstance(genesis, Genesis):
        raise BoflError(f"--engine {name} replays a chain from its first block, which a run on a node does not have")
    try:
        from bofl_jax.ledger.chain.eels import EelsChain
    except ImportError as error:
        raise BoflError(
            f"the engine {name} is not installed ({error.name}): pip install 'bofl_jax[audit]' on Python 3.11 or 3.12"
        ) from None
    return EelsChain(genesis)


def _replay(
    raw_blocks: Sequence[bytes], chain: BlockImporter, second_chain: BlockImporter | None, replay: "ChainReplay"
) -> None:
    for raw in raw_blocks:
        block = chain.import_block(raw)
        if second_chain:
            _compare(block, second_chain.import_block(raw))
        replay.add_block(block)
    replay.finish()


def _compare(first: ExecutedBlock, second: ExecutedBlock) -> None:
    """Check that both EVMs agree on every receipt; each has already compared its state root with the header's."""
    for index, (ours, theirs) in enumerate(zip(first.receipts, second.receipts, strict=True)):
        if ours != theirs:
            field = next(name for name in ours._fields if getattr(ours, name) != getattr(theirs, name))
            raise VerificationError(f"block {first.number}, transaction {index}: the two EVMs differ in {field}")
