"""Markdown tables."""

from collections.abc import Iterable, Sequence


def markdown_row(cells: Iterable[str]) -> str:
    """One line of a table.

    >>> markdown_row(["arm", "macro-F1"])
    '| arm | macro-F1 |'
    """
    return f"| {' | '.join(cells)} |"


def markdown_table(head: Iterable[str], rule: str, body: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table.

    Args:
        head: titles of the columns.
        rule: line below the titles, which aligns the columns: ``|---|---:|``.
        body: cells of each row.
    """
    return [markdown_row(head), rule, *map(markdown_row, body)]


def with_interval(mean: float, interval: Sequence[float], sign: str = "") -> str:
    """A number and its interval, three digits each.

    Args:
        mean: the number.
        interval: its low and high end.
        sign: ``+`` prints the sign of positive numbers too.

    >>> with_interval(0.0123, [-0.004, 0.03], "+")
    '+0.012 [-0.004, +0.030]'
    """
    low, high = interval
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"
