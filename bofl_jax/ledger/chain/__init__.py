"""Ethereum chains that execute the contract: py-evm, ethereum-execution (EELS), or a node over JSON-RPC."""
