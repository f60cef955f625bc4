"""``draw``: everything that a directory has data for, made before the first file is written."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

from bofl_jax.core.errors import BoflError
from bofl_jax.figures.products import Drawing, Made, Product, Skip, Table
from bofl_jax.figures.registry import FIGURES, READERS, kind_of
from bofl_jax.figures.style import RC
from bofl_jax.figures.writing import files_of

CAPTIONS = "captions.md"
_OF = {"benchmarks": "a folder of benchmarks"}
_LOG = logging.getLogger(__name__)


def draw(directory: Path, out: Path | None = None, say: Callable[[str], None] = _LOG.info) -> list[Path]:
    """Make every figure and table of a run, a sweep, a study or benchmarks.

    A figure is written as PNG (200 dpi), PDF, CSV (the numbers behind it) and TXT (its caption); a table as Markdown,
    LaTeX, CSV and TXT; ``captions.md`` holds all captions. The same files give the same bytes: no time or path enters.

    Args:
        directory: a run (``summary.json``), a sweep (``sweep.csv``), a study (``results.json``) or benchmarks
            (``peers.json``).
        out: where the files go; ``directory/figures`` when left out.
        say: called with one line for each entry of ``FIGURES`` that lacks data, which says what would make it, and with
            one line that names those that another kind of directory has.

    Returns:
        The files written.

    Raises:
        BoflError: a result file is missing or damaged (nothing is written then), or ``out`` cannot be written.
    """
    directory = Path(directory)
    kind = kind_of(directory)
    read = READERS[kind](directory)
    out = directory / "figures" if out is None else Path(out)
    files: dict[str, bytes] = {}
    captions = []
    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "agg", **RC}
    with matplotlib.rc_context(settings):
        for name, entry in FIGURES.items():
            if kind not in entry.makers:
                continue
            made = _make(name, entry.makers[kind](read))
            if isinstance(made, Skip):
                say(f"{name} left out: {made.reason}; {entry.needs}")
                continue
            for full, product in made.items():
                files |= files_of(full, product)
                captions.append(f"**{full}** ({entry.title}). {product.caption}\n")
    others = [name for name, entry in FIGURES.items() if kind not in entry.makers]
    say(f"not of {_OF.get(kind, f'a {kind}')}: {', '.join(others)}; bofl figures --list says what makes them")
    return _write(out, files | ({CAPTIONS: "\n".join(captions).encode()} if captions else {}))


def _make(name: str, made: Made) -> Mapping[str, Product] | Skip:
    """The products of one entry by the names of their files."""
    if isinstance(made, Drawing | Table):
        return {name: made}
    return made if isinstance(made, Skip) else {f"{name}_{_file_name(part)}": one for part, one in made.items()}


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in text)


def _write(out: Path, files: dict[str, bytes]) -> list[Path]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_bytes(content)
    except OSError as error:
        raise BoflError(f"figures cannot be written to {out} ({error.strerror}): give a writable folder") from error
    return [out / name for name in files]
