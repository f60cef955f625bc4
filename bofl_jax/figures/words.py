"""Words that captions and tables share: numbers, sample sizes, what the intervals are."""

import math
from collections.abc import Sequence

import numpy as np

from bofl_jax.results import Run

BY_SUBJECT = (
    "95 % percentile intervals of the bootstrap over people (2,000 draws of whole people, never of single samples)"
)
BY_SEED = "95 % Student intervals of the mean over seeds"


def rounded(value: float, digits: int = 3) -> str:
    """A number with fixed digits, "" where it is undefined.

    >>> rounded(0.12345), rounded(float("nan"))
    ('0.123', '')
    """
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def ranged(low: float, high: float, digits: int = 3) -> str:
    """An interval as a table prints it, "" where it is undefined."""
    return f"[{low:.{digits}f}, {high:.{digits}f}]" if math.isfinite(low) and math.isfinite(high) else ""


def with_range(value: float, low: float, high: float) -> str:
    """A number and its interval.

    >>> with_range(0.5, 0.25, 0.75), with_range(0.5, float("nan"), 0.75)
    ('0.500 [0.250, 0.750]', '0.500')
    """
    return f"{rounded(value)} {ranged(low, high)}".strip()


def sizes(run: Run) -> str:
    """Sample sizes of a run, for a caption."""
    people = len(np.unique(run.predictions.person))
    return (
        f"One seed, {counted(len(run.clients.name), 'client')}, {counted(people, 'person', 'people')} and "
        f"{counted(len(run.predictions.label), 'sample')} in the test."
    )


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things.

    >>> counted(1, "person", "people"), counted(2000, "seed")
    ('1 person', '2,000 seeds')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def spanned(counts: Sequence[int], one: str, many: str = "") -> str:
    """How many things each of several has.

    >>> spanned([3, 3], "seed"), spanned([1, 3], "seed")
    ('3 seeds', '1 to 3 seeds')
    """
    low, high = min(counts), max(counts)
    return counted(high, one, many) if low == high else f"{low:,} to {counted(high, one, many)}"
