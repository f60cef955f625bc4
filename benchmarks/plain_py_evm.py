"""The speed of the published py-evm on this machine, by which times of other machines are scaled.

    python benchmarks/plain_py_evm.py GENESIS_HEADER_HEX BLOCKS_RLP

Imports every block of a block log into a chain of py-evm's own classes, with keccak from pycryptodome and signatures
from coincurve. Prints JSON: CPU ms and gas per transaction of the block with the most transactions. None of this
package's chain classes is used.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ |= {"ETH_HASH_BACKEND": "pycryptodome", "ECC_BACKEND_CLASS": "eth_keys.backends.CoinCurveECCBackend"}

import rlp
from eth.chains.base import Chain
from eth.consensus.noproof import NoProofConsensus
from eth.db.atomic import AtomicDB
from eth.vm.forks import PragueVM
from eth.vm.forks.prague.blocks import PragueBlockHeader

from bofl_jax.ledger.storage.block_log import read_blocks

CHAIN_ID = 1337


class _VM(PragueVM):
    consensus_class = NoProofConsensus
    extra_data_max_bytes = 65535


def main() -> None:
    """Import the blocks and print the result."""
    genesis = rlp.decode(bytes.fromhex(sys.argv[1]), PragueBlockHeader)
    kind = Chain.configure("PlainChain", vm_configuration=((0, _VM),), chain_id=CHAIN_ID)
    chain, largest = kind.from_genesis_header(AtomicDB(), genesis), (0, 0.0, 0.0)
    for raw in read_blocks(Path(sys.argv[2])):
        start = time.thread_time()
        block = rlp.decode(raw, sedes=_VM.get_block_class())
        chain.import_block(block)
        count = len(block.transactions)
        spent = 1e3 * (time.thread_time() - start)
        largest = max(largest, (count, spent / count, block.header.gas_used / count))
    print(json.dumps({"transactions": largest[0], "ms": round(largest[1], 2), "gas": round(largest[2])}))


if __name__ == "__main__":
    main()
