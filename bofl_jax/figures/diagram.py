"""Diagrams of boxes with text and arrows between them, in rows and columns; all lengths are inches."""

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

from bofl_jax.figures.style import PAGE_WIDTH

Point = tuple[float, float]

TITLE, SMALL = 7.5, 6.5  # points
COLUMN_GAP, ROW_GAP, MARGIN, PAD = 0.66, 0.5, 0.08, 0.06
_LINE = {TITLE: 0.15, SMALL: 0.118}


@dataclass(frozen=True)
class Fact:
    """One fact about a component."""

    name: str
    value: Any  # the number or word in the text
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
        """The lines below the title of a box of this width."""
        return [line for fact in self.facts for line in wrap_text(fact.text, width - 2 * PAD)]


@dataclass(frozen=True)
class Arrow:
    """A line with right angles from box to box, and its label."""

    path: tuple[Point, ...]
    label: str
    label_at: Point
    align: tuple[str, str] = ("center", "bottom")


def layout_boxes(boxes: Sequence[Box]) -> dict[str, Bbox]:
    """Positions of the boxes by their titles: columns of equal width, rows as high as their highest box."""
    columns = 1 + max(box.column for box in boxes)
    width = (PAGE_WIDTH - 2 * MARGIN - COLUMN_GAP * (columns - 1)) / columns
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


def wrap_text(text: str, width: float) -> list[str]:
    """Wrap a text of `SMALL` points into lines of at most this width; longer words are not split.

    Args:
        text: words with spaces between them.
        width: in inches.

    >>> wrap_text("one Merkle root a round", 0.8)
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


def point_in(box: Bbox, x: float, y: float) -> Point:
    """A point of a box; (0, 0) is its lower left corner and (1, 1) its upper right corner.

    Args:
        box: position of the box.
        x: as a share of its width.
        y: as a share of its height.
    """
    return float(box.x0 + x * box.width), float(box.y0 + y * box.height)


def horizontal_arrow(start: Bbox, end: Bbox, label: str, height: float = 0.5) -> Arrow:
    """An arrow to a box of the same row, to the right or to the left.

    Args:
        start: the first box.
        end: the second box.
        label: of the arrow.
        height: of the arrow, as a share of the boxes' height.
    """
    forward = start.x0 < end.x0
    path = (point_in(start, float(forward), height), point_in(end, float(not forward), height))
    return Arrow(path, label, ((path[0][0] + path[1][0]) / 2, path[0][1] + 0.03))


def vertical_arrow(start: Bbox, end: Bbox, label: str, share: float = 0.6) -> Arrow:
    """An arrow to a box of the same column, above or below.

    Args:
        start: the first box.
        end: the second box.
        label: of the arrow.
        share: horizontal position of the arrow, as a share of the boxes' width.
    """
    down = start.y0 > end.y0
    path = (point_in(start, share, float(not down)), point_in(end, share, float(down)))
    return Arrow(path, label, (path[0][0] + 0.05, (path[0][1] + path[1][1]) / 2), ("left", "center"))


def draw_diagram(boxes: Sequence[Box], positions: Mapping[str, Bbox], arrows: Iterable[Arrow]) -> Figure:
    """Draw a diagram, as wide as a page, on its own Agg canvas.

    Args:
        boxes: with different titles.
        positions: of the boxes by title, from `layout_boxes`.
        arrows: between them.
    """
    height = max(box.y1 for box in positions.values()) + MARGIN
    figure = Figure(figsize=(PAGE_WIDTH, height))
    figure.set_layout_engine("none")  # positions are fixed; layout="none" would be lost while a file is written
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, PAGE_WIDTH), ylim=(0, height))
    axis.axis("off")
    for box in boxes:
        _draw_box(axis, box, positions[box.title])
    for arrow in arrows:
        _draw_arrow(axis, arrow)
    return figure


def _draw_box(axis: Axes, box: Box, position: Bbox) -> None:
    width = 1.6 if box.thick else 0.8
    frame = FancyBboxPatch(
        position.p0, position.width, position.height, "round,pad=0,rounding_size=0.05", fc="white", lw=width
    )
    axis.add_patch(frame)
    middle, top = (position.x0 + position.x1) / 2, position.y1 - PAD
    axis.text(middle, top, box.title, size=TITLE, weight="bold", ha="center", va="top")
    for number, line in enumerate(box.lines(position.width)):
        axis.text(middle, top - _LINE[TITLE] - _LINE[SMALL] * number, line, size=SMALL, ha="center", va="top")


def _draw_arrow(axis: Axes, arrow: Arrow) -> None:
    axis.add_patch(FancyArrowPatch(path=Path(arrow.path), arrowstyle="-|>", mutation_scale=6, lw=0.8, fc="black"))
    horizontal, vertical = arrow.align
    axis.text(*arrow.label_at, arrow.label, size=SMALL, style="italic", ha=horizontal, va=vertical, linespacing=1.1)
