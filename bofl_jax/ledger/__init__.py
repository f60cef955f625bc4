"""The governance ledger: SHA-256 digests and Merkle trees, an in-process chain with a contract, its log and its audit.

Importing this does not import py-evm; creating, resuming or auditing a ledger does.
"""

from bofl_jax.core.digest import digest, digest_rows
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.audit.chain_audit import AuditedRound, ChainAudit, SecondEngine, audit_chain
from bofl_jax.ledger.base import Ledger, RoundCost, Submissions, VerdictDiffersError
from bofl_jax.ledger.factory import create_ledger, resume_ledger
from bofl_jax.ledger.merkle import Leaf
from bofl_jax.ledger.options import LedgerOptions, RegistryChange

__all__ = [
    "AuditedRound",
    "ChainAudit",
    "Leaf",
    "Ledger",
    "LedgerOptions",
    "RegistryChange",
    "RejectionReason",
    "RoundCost",
    "SecondEngine",
    "Submissions",
    "VerdictDiffersError",
    "audit_chain",
    "create_ledger",
    "digest",
    "digest_rows",
    "resume_ledger",
]
