"""Chains that execute the contract: py-evm, ethereum-execution, a node over JSON-RPC."""
