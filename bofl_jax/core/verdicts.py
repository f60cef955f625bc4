"""Why an update has no influence on the model: the one list that the engine, the ledger and the contract share."""

from enum import IntEnum


class RejectionReason(IntEnum):
    """Why an update has no influence on the model; the numbers are the contract's."""

    NONE = 0
    NOT_REGISTERED = 1
    SUSPENDED = 2
    REVOKED = 3
    NOT_IN_COHORT = 4
    DUPLICATE = 5
    BAD_SIGNATURE = 6
    DIGEST_MISMATCH = 7
    NOT_FINITE = 8
