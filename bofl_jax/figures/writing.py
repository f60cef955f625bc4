"""Products as the bytes of files: PNG, PDF, CSV, Markdown, LaTeX. No time, path or chance enters them."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from bofl_jax.figures.products import Drawing, Product, Row, Table

_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
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
    r"""A table in LaTeX, for the package `booktabs`.

    >>> print(latex(Table("", ("a_b", "c"), [("50 %", "1")], [])), end="")
    \begin{tabular}{lr}
    \toprule
    a\_b & c \\
    \midrule
    50 \% & 1 \\
    \bottomrule
    \end{tabular}
    """
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(table.header), r"\midrule"]
    lines += [_latex_row(cells) for cells in table.body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(f"{{}}{text}" if text.startswith("[") else text for text in map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return text.translate(_TEX)
