"""Artifacts as the bytes of files: PNG, PDF, CSV, Markdown, LaTeX. They depend on no time, path or random number."""

import csv
import io
import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from bofl_jax.figures.artifacts import Artifact, Drawing, Row, Table

_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
TABLE_START = (r"\begin{adjustbox}{max width=\linewidth}", r"\scriptsize\setlength{\tabcolsep}{2.5pt}%")
HEADER_WIDTH, TEXT_WIDTH = 12, 20
"""Letters of a line in a LaTeX table, in its header and in the text cells of its body."""
_TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
        "|": r"$|$",
        "±": r"$\pm$",
        "−": r"$-$",
        "α": r"$\alpha$",
        "ε": r"$\varepsilon$",
    }
)


def render(name: str, artifact: Artifact) -> dict[str, bytes]:
    """Render one artifact in all its formats.

    Args:
        name: file name without its ending.
        artifact: the drawing or table.

    Returns:
        File name -> content.

    >>> sorted(render("t", Table("A table.", ("a",), [("1",)], [{"a": 1.0}])))
    ['t.csv', 't.md', 't.tex', 't.txt']
    """
    files = {f"{name}.csv": csv_text(artifact.rows), f"{name}.txt": f"{artifact.caption}\n"}
    if isinstance(artifact, Table):
        files |= {f"{name}.md": markdown(artifact), f"{name}.tex": latex(artifact)}
    encoded = {file: text.encode() for file, text in files.items()}
    return {**_images(name, artifact), **encoded} if isinstance(artifact, Drawing) else encoded


def _images(name: str, drawing: Drawing) -> dict[str, bytes]:
    drawing.figure.draw_without_rendering()  # the layout is computed once, for all formats
    drawing.figure.set_layout_engine("none")
    return {f"{name}.{form}": _image(drawing.figure, form) for form in _METADATA}


def _image(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=_METADATA[form])
    return buffer.getvalue()


def csv_text(rows: Sequence[Row]) -> str:
    r"""Rows as CSV. Numbers keep all digits; an undefined number is an empty field.

    >>> csv_text([{"x": 0.1 + 0.2, "y": float("nan")}])
    'x,y\n0.30000000000000004,\n'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_value(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_value(value: Any) -> Any:
    """A Python number (NumPy prints fewer digits), or "" for an undefined one."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(value) if isinstance(value, float) else value


def markdown(table: Table) -> str:
    r"""A table in Markdown; all columns but the first are aligned to the right.

    >>> print(markdown(Table("", ("a|b", "c"), [("x", "1")], [])), end="")
    | a\|b | c |
    |---|---:|
    | x | 1 |
    """
    rule = "|---|" + "---:|" * (len(table.header) - 1)
    lines = [_markdown_row(table.header), rule, *map(_markdown_row, table.body)]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def latex(table: Table) -> str:
    r"""A table in LaTeX, for the packages `booktabs` and `adjustbox`: never wider than the line.

    Headers are wrapped, an interval stands below its number, and there is no 0 before a decimal point, so that ten
    columns of numbers with intervals fit on a page of two columns (``table*``).

    >>> print(latex(Table("", ("a_b", "long heads are wrapped"), [("50 %", "0.5 [0.1, 0.9]")], [])), end="")
    \begin{adjustbox}{max width=\linewidth}
    \scriptsize\setlength{\tabcolsep}{2.5pt}%
    \begin{tabular}{lr}
    \toprule
    a\_b & \begin{tabular}[b]{@{}r@{}}long heads\\are wrapped\end{tabular} \\
    \midrule
    50 \% & \begin{tabular}[c]{@{}r@{}}.5\\{}[.1, .9]\end{tabular} \\[2pt]
    \bottomrule
    \end{tabular}
    \end{adjustbox}
    """
    columns = "l" + "r" * (len(table.header) - 1)
    heads = [
        _stacked_lines(textwrap.wrap(text, HEADER_WIDTH, break_long_words=False), "b", at)
        for text, at in zip(table.header, columns, strict=True)
    ]
    body = [
        [_stacked_lines(_lines(cell), "c", at) for cell, at in zip(row, columns, strict=True)] for row in table.body
    ]
    lines = [*TABLE_START, rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [_latex_row(heads), r"\midrule", *(_latex_row(row, "[2pt]") for row in body)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"]) + "\n"


def _latex_row(cells: Sequence[str], space: str = "") -> str:
    return " & ".join(cells) + r" \\" + space


def _stacked_lines(lines: Sequence[str], vertical: str, align: str) -> str:
    """Lines above each other in one cell. A leading bracket must not become an option of the line break before it."""
    texts = ["{}" + line if line.startswith("[") else line for line in map(_escaped, lines)]
    if len(texts) < 2:
        return "".join(texts)
    return rf"\begin{{tabular}}[{vertical}]{{@{{}}{align}@{{}}}}" + r"\\".join(texts) + r"\end{tabular}"


def _lines(cell: str) -> list[str]:
    """The lines of a cell: text is wrapped, an interval stands below its number."""
    return [
        line
        for part in _without_leading_zeros(cell).replace(" [", "\n[").split("\n")
        for line in ([part] if any(mark in part for mark in "[±") else textwrap.wrap(part, TEXT_WIDTH))
    ]


def _without_leading_zeros(text: str) -> str:
    """Numbers below 1 without the 0 before the decimal point.

    >>> _without_leading_zeros("0.05 +0.951 -0.2 10.5 2.0.1 0")
    '.05 +.951 -.2 10.5 2.0.1 0'
    """
    return re.sub(r"(?<![\d.])0(?=\.\d)", "", text)


def _escaped(text: str) -> str:
    return text.translate(_TEX)
