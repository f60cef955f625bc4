"""What a figure returns when its run has nothing to draw."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skip:
    """Why there is no such figure of this run."""

    reason: str
