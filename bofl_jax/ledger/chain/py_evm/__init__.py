"""The in-process chain on py-evm, sealed by proof of authority.

py-evm is archived upstream. Only this package and `bofl_jax.ledger.audit.proof` know it.
"""
