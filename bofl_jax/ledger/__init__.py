"""The governance ledger: records every round of a run on a chain with a contract, and audits the record.

The folders, from the bottom: `chain` executes and seals blocks, `contract` encodes calls of the governance contract,
`storage` reads and writes the ledger's files, `audit` checks them. Importing this package does not import py-evm;
creating, resuming or auditing a ledger does.
"""

from bofl_jax.core.digest import digest, digest_rows
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.ledger.audit.chain_audit import SecondEngine, audit_chain
from bofl_jax.ledger.audit.records import AuditedRound, ChainAudit
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
