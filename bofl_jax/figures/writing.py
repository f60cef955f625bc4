"""Products as the bytes of files: PNG, PDF, CSV, Markdown, LaTeX. No time, path or chance enters them."""

import csv
import io
import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from bofl_jax.figures.products import Drawing, Product, Row, Table

_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
OPEN = (r"\begin{adjustbox}{max width=\linewidth}", r"\scriptsize\setlength{\tabcolsep}{2.5pt}%")
HEAD, WORDS = 12, 20
"""Letters of a line in a LaTeX table: of its head, of words in its body."""
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


def files_of(name: str, product: Product) -> dict[str, bytes]:
    """File name -> content of everything that one product is written as.

    >>> sorted(files_of("t", Table("A table.", ("a",), [("1",)], [{"a": 1.0}])))
    ['t.csv', 't.md', 't.tex', 't.txt']
    """
    files = {f"{name}.csv": csv_text(product.rows), f"{name}.txt": f"{product.caption}\n"}
    if isinstance(product, Table):
        files |= {f"{name}.md": markdown(product), f"{name}.tex": latex(product)}
    made = {file: text.encode() for file, text in files.items()}
    return {**_images(name, product), **made} if isinstance(product, Drawing) else made


def _images(name: str, drawing: Drawing) -> dict[str, bytes]:
    drawing.figure.draw_without_rendering()  # the layout is found once, for all formats
    drawing.figure.set_layout_engine("none")
    return {f"{name}.{form}": _render(drawing.figure, form) for form in _METADATA}


def _render(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=_METADATA[form])
    return buffer.getvalue()


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV; numbers keep every digit, and one that is undefined is an empty field.

    >>> csv_text([{"x": 0.1 + 0.2, "y": float("nan")}])
    'x,y\\n0.30000000000000004,\\n'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _exact(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _exact(value: Any) -> Any:
    """A plain Python number (NumPy's print with fewer digits), or "" for one that is undefined."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(value) if isinstance(value, float) else value


def markdown(table: Table) -> str:
    """A table in Markdown; all columns but the first are set to the right.

    >>> print(markdown(Table("", ("a|b", "c"), [("x", "1")], [])), end="")
    | a\\|b | c |
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

    Small, its heads wrapped, an interval under its number and no 0 before a point, so that ten columns of numbers with
    intervals can be read across a page of two columns (``table*``).

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
        _stacked(textwrap.wrap(text, HEAD, break_long_words=False), "b", at)
        for text, at in zip(table.header, columns, strict=True)
    ]
    body = [[_stacked(_lines(cell), "c", at) for cell, at in zip(row, columns, strict=True)] for row in table.body]
    lines = [*OPEN, rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [_latex_row(heads), r"\midrule", *(_latex_row(row, "[2pt]") for row in body)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}"]) + "\n"


def _latex_row(cells: Sequence[str], space: str = "") -> str:
    return " & ".join(cells) + r" \\" + space


def _stacked(lines: Sequence[str], place: str, align: str) -> str:
    """Lines above each other in one cell; a bracket that begins a line is no option of the line break before it."""
    texts = ["{}" + line if line.startswith("[") else line for line in map(_escaped, lines)]
    if len(texts) < 2:
        return "".join(texts)
    return rf"\begin{{tabular}}[{place}]{{@{{}}{align}@{{}}}}" + r"\\".join(texts) + r"\end{tabular}"


def _lines(cell: str) -> list[str]:
    """A cell's lines: words are wrapped, an interval stands under its number."""
    return [
        line
        for part in _without_zeros(cell).replace(" [", "\n[").split("\n")
        for line in ([part] if any(mark in part for mark in "[±") else textwrap.wrap(part, WORDS))
    ]


def _without_zeros(text: str) -> str:
    """Numbers below 1 without the 0 before the point.

    >>> _without_zeros("0.05 +0.951 -0.2 10.5 2.0.1 0")
    '.05 +.951 -.2 10.5 2.0.1 0'
    """
    return re.sub(r"(?<![\d.])0(?=\.\d)", "", text)


def _escaped(text: str) -> str:
    return text.translate(_TEX)
