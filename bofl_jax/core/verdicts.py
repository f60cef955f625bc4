"""Reasons for rejecting an update, shared by the engine, the ledger and the contract."""

from enum import IntEnum


class RejectionReason(IntEnum):
    """Why an update does not contribute to the model. The numbers are those of the contract."""

    NONE = 0
    NOT_REGISTERED = 1
    SUSPENDED = 2
    REVOKED = 3
    NOT_IN_COHORT = 4
    DUPLICATE = 5
    BAD_SIGNATURE = 6
    DIGEST_MISMATCH = 7
    NOT_FINITE = 8
