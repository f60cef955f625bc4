"""Boxes with words in them and arrows between them, laid out in rows and columns; all lengths are inches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox

from bofl_jax.figures.style import PAGE

Point = tuple[float, float]

TITLE, SMALL = 7.5, 6.5  # points
COLUMN_GAP, ROW_GAP, MARGIN, PAD = 0.66, 0.5, 0.08, 0.06
_LINE = {TITLE: 0.15, SMALL: 0.118}


@dataclass(frozen=True)
class Fact:
    """One thing that is said of a component."""

    name: str
    value: Any  # the number or word behind the text
    text: str


@dataclass(frozen=True)
class Box:
    """One component."""

    title: str
    facts: tuple[Fact, ...]
    row: int
    column: int
    thick: bool = False

    def lines(self, width: float) -> list[str]:
        """What stands under the title of a box that is so wide."""
        return [line for fact in self.facts for line in wrapped(fact.text, width - 2 * PAD)]


@dataclass(frozen=True)
class Arrow:
    """A line with right angles from box to box, and the words at it."""

    path: tuple[Point, ...]
    label: str
    at: Point
    align: tuple[str, str] = ("center", "bottom")


def place(boxes: Sequence[Box]) -> dict[str, Bbox]:
    """Where the boxes stand, by their titles: columns of equal width over the page, rows as high as they need."""
    columns = 1 + max(box.column for box in boxes)
    width = (PAGE - 2 * MARGIN - COLUMN_GAP * (columns - 1)) / columns
    heights = [max(_height(box, width) for box in boxes if box.row == row) for row in sorted({b.row for b in boxes})]
    bottoms = [MARGIN + sum(heights[row + 1 :]) + ROW_GAP * (len(heights) - 1 - row) for row in range(len(heights))]
    return {
        box.title: Bbox.from_bounds(
            MARGIN + box.column * (width + COLUMN_GAP), bottoms[box.row], width, heights[box.row]
        )
        for box in boxes
    }


def _height(box: Box, width: float) -> float:
    return 2 * PAD + _LINE[TITLE] + _LINE[SMALL] * len(box.lines(width))


def wrapped(text: str, width: float) -> list[str]:
    """A text of `SMALL` points, cut between words into lines that are at most so wide; a longer word stays whole.

    >>> wrapped("one Merkle root a round", 0.8)
    ['one Merkle root a', 'round']
    """
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        lines[-1:] = [longer] if not lines or _width(longer) <= width else [lines[-1], word]
    return lines


def _width(text: str) -> float:
    font = FontProperties(family="DejaVu Sans", size=SMALL)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def at(box: Bbox, x: float, y: float) -> Point:
    """A point of a box; (0, 0) is its lower left corner and (1, 1) its upper right one."""
    return float(box.x0 + x * box.width), float(box.y0 + y * box.height)


def across(start: Bbox, end: Bbox, label: str, height: float = 0.5) -> Arrow:
    """An arrow to a box of the same row, to the right or to the left."""
    forward = start.x0 < end.x0
    path = (at(start, float(forward), height), at(end, float(not forward), height))
    return Arrow(path, label, ((path[0][0] + path[1][0]) / 2, path[0][1] + 0.03))


def along(start: Bbox, end: Bbox, label: str, share: float = 0.6) -> Arrow:
    """An arrow to a box of the same column, above or below."""
    down = start.y0 > end.y0
    path = (at(start, share, float(not down)), at(end, share, float(down)))
    return Arrow(path, label, (path[0][0] + 0.05, (path[0][1] + path[1][1]) / 2), ("left", "center"))


def draw(boxes: Sequence[Box], places: Mapping[str, Bbox], arrows: Iterable[Arrow]) -> Figure:
    """The figure, as wide as a page, on an Agg canvas of its own.

    Args:
        boxes: of which each has a title of its own.
        places: what `place` made of them.
        arrows: between them.
    """
    height = max(box.y1 for box in places.values()) + MARGIN
    figure = Figure(figsize=(PAGE, height))
    figure.set_layout_engine("none")  # places are fixed; layout="none" would be forgotten while a file is written
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, PAGE), ylim=(0, height))
    axis.axis("off")
    for box in boxes:
        _draw_box(axis, box, places[box.title])
    for arrow in arrows:
        _draw_arrow(axis, arrow)
    return figure


def _draw_box(axis: Axes, box: Box, place: Bbox) -> None:
    width = 1.6 if box.thick else 0.8
    frame = FancyBboxPatch(place.p0, place.width, place.height, "round,pad=0,rounding_size=0.05", fc="white", lw=width)
    axis.add_patch(frame)
    middle, top = (place.x0 + place.x1) / 2, place.y1 - PAD
    axis.text(middle, top, box.title, size=TITLE, weight="bold", ha="center", va="top")
    for number, line in enumerate(box.lines(place.width)):
        axis.text(middle, top - _LINE[TITLE] - _LINE[SMALL] * number, line, size=SMALL, ha="center", va="top")


def _draw_arrow(axis: Axes, arrow: Arrow) -> None:
    axis.add_patch(FancyArrowPatch(path=Path(arrow.path), arrowstyle="-|>", mutation_scale=6, lw=0.8, fc="black"))
    horizontal, vertical = arrow.align
    axis.text(*arrow.at, arrow.label, size=SMALL, style="italic", ha=horizontal, va=vertical, linespacing=1.1)
