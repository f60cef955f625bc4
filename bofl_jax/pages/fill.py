"""One HTML file from the template, the style and the scripts of this package, and the data of one page.

The data are JSON in the page, and the scripts make text nodes of them: no word of a result file becomes markup. A
Content-Security-Policy allows the page's own script and style by their hashes, and nothing else.
"""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

import numpy as np

SCRIPTS = ("text.js", "table.js", "chart.js", "curves.js", "beats.js", "ledger.js", "run.js", "sweep.js", "start.js")


def render_page(data: Mapping[str, Any]) -> str:
    """The HTML of one page, in ASCII.

    Args:
        data: JSON values. ``kind`` is "run" or "sweep"; ``title`` and ``subtitle`` are shown without scripts too.
    """
    style, script = _file("page.css"), "".join(map(_file, SCRIPTS))
    text = Template(_file("page.html")).substitute(
        title=html.escape(data["title"]),
        subtitle=html.escape(data["subtitle"]),
        style=style,
        script=script,
        style_hash=_source_hash(style),
        script_hash=_source_hash(script),
        data=_escape_markup(json.dumps(json_value(data), allow_nan=False, separators=(",", ":"))),
    )
    return text.encode("ascii", "xmlcharrefreplace").decode()


def json_value(value: Any) -> Any:
    """The value of JSON types alone; NaN and infinity, which JSON lacks, become null.

    >>> json_value({"loss": float("nan"), "gas": np.int64(3), "classes": ("N", "S")})
    {'loss': None, 'gas': 3, 'classes': ['N', 'S']}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): json_value(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def pack_numbers(column: np.ndarray) -> str:
    """Numbers as base64 of little-endian float64, so that a page with many rows stays small and opens fast."""
    return base64.b64encode(np.asarray(column, "<f8").tobytes()).decode()


def _escape_markup(text: str) -> str:
    """JSON whose strings cannot end the script element that holds it."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _file(name: str) -> str:
    return (resources.files("bofl_jax.pages") / name).read_text(encoding="ascii")
