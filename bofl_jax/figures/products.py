"""What is made of a directory: a drawing, a table, or a reason why there is neither."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

Row = Mapping[str, Any]
"""Column -> number or word; a unit stands in the column's name."""


@dataclass(frozen=True)
class Skip:
    """Why there is no such figure or table of this directory."""

    reason: str


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers that it shows, and what a reader must know of it."""

    figure: Figure
    caption: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Table:
    """A table as it is printed, and the numbers that it was rounded from.

    Attributes:
        caption: what a reader must know of it.
        header: the printed columns.
        body: printed cells, a tuple a row, as long as the header.
        rows: the numbers.
    """

    caption: str
    header: tuple[str, ...]
    body: Sequence[tuple[str, ...]]
    rows: Sequence[Row]


Product = Drawing | Table
Made = Product | Skip | Mapping[str, Product]
"""What a function of the registry returns; several products go by what sets their names apart."""
