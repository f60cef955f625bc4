"""The genesis block: the proof-of-authority signers and the configuration of a chain. Its hash identifies the chain."""

from typing import Any, NamedTuple

CHAIN_ID = 1337
GENESIS_TIMESTAMP = 1_700_000_000
BLOCK_GAS_LIMIT = 10**12
ETH_CALL_GAS = 10**8
BLOCK_SECONDS = 12
VANITY_BYTES = 32
ADDRESS_BYTES = 20
SEAL_BYTES = 65


class Genesis(NamedTuple):
    """The variable content of block 0; everything else follows from the constants above.

    Attributes:
        config_hash: 32 bytes, SHA-256 of the run's resolved configuration; every header repeats it.
        signers: addresses of the k proof-of-authority signers, 20 bytes each, ascending; block n is sealed by signer
            n modulo k.
    """

    config_hash: bytes
    signers: tuple[bytes, ...]

    @property
    def extra_data(self) -> bytes:
        """The header field ``extraData`` of block 0: the configuration hash and the signers' addresses."""
        return self.config_hash + b"".join(self.signers)


def parse_extra_data(extra: bytes) -> Genesis:
    """The inverse of `Genesis.extra_data`. Raises ValueError if the bytes are not well formed."""
    rest = extra[VANITY_BYTES:]
    addresses = tuple(rest[i : i + ADDRESS_BYTES] for i in range(0, len(rest), ADDRESS_BYTES))
    if not addresses or len(rest) % ADDRESS_BYTES or list(addresses) != sorted(set(addresses)):
        raise ValueError("extraData must be 32 bytes and then ascending 20-byte addresses")
    return Genesis(extra[:VANITY_BYTES], addresses)


class NetworkGenesis(NamedTuple):
    """Identifies the network and configuration of a run that has no chain of its own.

    Attributes:
        config_hash: 32 bytes, SHA-256 of the run's resolved configuration.
        chain_id: id of the network's chain.
        block_hash: 32 bytes, hash of the network's block 0.
    """

    config_hash: bytes
    chain_id: int
    block_hash: bytes


def genesis_fields(genesis: Genesis, block_hash: bytes) -> dict[str, Any]:
    """The JSON fields that describe a genesis block.

    Args:
        genesis: content of block 0.
        block_hash: 32 bytes, hash of block 0.
    """
    return {
        "chainId": CHAIN_ID,
        "timestamp": GENESIS_TIMESTAMP,
        "gasLimit": BLOCK_GAS_LIMIT,
        "extraData": "0x" + genesis.extra_data.hex(),
        "hash": "0x" + block_hash.hex(),
    }
