"""Texts that captions and tables share: numbers, sample sizes, names of the intervals."""

import math
from collections.abc import Sequence

import numpy as np

from bofl_jax.results import RunResults

PERSON_INTERVALS = (
    "95 % percentile intervals of the bootstrap over people (2,000 draws of whole people, never of single samples)"
)
SEED_INTERVALS = "95 % Student intervals of the mean over seeds"


def format_number(value: float, digits: int = 3) -> str:
    """A number with fixed digits, "" where it is undefined.

    Args:
        value: the number.
        digits: after the decimal point.

    >>> format_number(0.12345), format_number(float("nan"))
    ('0.123', '')
    """
    return f"{value:.{digits}f}" if math.isfinite(value) else ""


def format_interval(low: float, high: float, digits: int = 3) -> str:
    """An interval as tables print it, "" where it is undefined.

    Args:
        low: lower end.
        high: upper end.
        digits: after the decimal point.
    """
    return f"[{low:.{digits}f}, {high:.{digits}f}]" if math.isfinite(low) and math.isfinite(high) else ""


def format_with_interval(value: float, low: float, high: float) -> str:
    """A number and its interval.

    Args:
        value: the number.
        low: lower end of its interval.
        high: upper end of its interval.

    >>> format_with_interval(0.5, 0.25, 0.75), format_with_interval(0.5, float("nan"), 0.75)
    ('0.500 [0.250, 0.750]', '0.500')
    """
    return f"{format_number(value)} {format_interval(low, high)}".strip()


def sample_sizes(run: RunResults) -> str:
    """The sample sizes of a run, for a caption."""
    people = len(np.unique(run.predictions.person))
    return (
        f"One seed, {format_count(len(run.clients.name), 'client')}, {format_count(people, 'person', 'people')} and "
        f"{format_count(len(run.predictions.label), 'sample')} in the test."
    )


def format_count(count: int, one: str, many: str = "") -> str:
    """A number with its noun.

    Args:
        count: the number.
        one: the noun in the singular.
        many: the noun in the plural; the singular with an s if it is left out.

    >>> format_count(1, "person", "people"), format_count(2000, "seed")
    ('1 person', '2,000 seeds')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def format_count_range(counts: Sequence[int], one: str, many: str = "") -> str:
    """A range of numbers with their noun.

    Args:
        counts: the numbers.
        one: the noun in the singular.
        many: the noun in the plural, as for `format_count`.

    >>> format_count_range([3, 3], "seed"), format_count_range([1, 3], "seed")
    ('3 seeds', '1 to 3 seeds')
    """
    low, high = min(counts), max(counts)
    return format_count(high, one, many) if low == high else f"{low:,} to {format_count(high, one, many)}"


def join_words(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> join_words(["recall", "precision"]), join_words(["recall", "precision", "F1"])
    ('recall and precision', 'recall, precision and F1')
    """
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), *words[-1:]])


def capitalise(text: str) -> str:
    """A text with a capital letter at its beginning; the other letters stay as they are.

    >>> capitalise("macro-F1")
    'Macro-F1'
    """
    return text[:1].upper() + text[1:]
