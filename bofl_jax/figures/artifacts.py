"""Results of figure builders: a drawing, a table, or the reason why there is neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

Row = Mapping[str, Any]
"""Column -> number or word; the unit is part of the column's name."""


@dataclass(frozen=True)
class Unavailable:
    """The reason why a directory has no such figure or table."""

    reason: str


@dataclass(frozen=True)
class Drawing:
    """A figure, its caption, and the numbers that it shows."""

    figure: Figure
    caption: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Table:
    """A table as it is printed, its caption, and the numbers before rounding.

    Attributes:
        caption: text below the table.
        header: the printed columns.
        body: printed cells, one tuple for each row, as long as the header.
        rows: the numbers.
    """

    caption: str
    header: tuple[str, ...]
    body: Sequence[tuple[str, ...]]
    rows: Sequence[Row]


Artifact = Drawing | Table
BuilderResult = Artifact | Unavailable | Mapping[str, Artifact]
"""Result of a figure builder; several artifacts have the parts of their file names as keys."""
