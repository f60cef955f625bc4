"""The chain of an Ethereum node, reached over JSON-RPC. Only this package knows web3."""
