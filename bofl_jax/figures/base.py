"""Draw all figures and tables of a directory before the first file is written."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

from bofl_jax.core.errors import BoflError
from bofl_jax.figures.artifacts import Artifact, BuilderResult, Drawing, Table, Unavailable
from bofl_jax.figures.registry import FIGURES, READERS, FigureEntry, kind_of
from bofl_jax.figures.rendering import render
from bofl_jax.figures.style import RC
from bofl_jax.metrics import METRICS
from bofl_jax.results import RunResults

Warn = Callable[[str], None]
"""A function that shows one line to the user."""
CAPTIONS = "captions.md"
_KIND_NAMES = {"benchmarks": "a folder of benchmarks"}
_LOG = logging.getLogger(__name__)


def draw(directory: Path, out: Path | None = None, warn: Warn = _LOG.info) -> list[Path]:
    """Make every figure and table of a run, a sweep, a study or benchmarks.

    A figure is written as PNG (200 dpi), PDF, CSV (the numbers behind it) and TXT (its caption); a table as Markdown,
    LaTeX, CSV and TXT; ``captions.md`` holds all captions. The same files give the same bytes: no time or path enters.

    Args:
        directory: a run (``summary.json``), a sweep (``sweep.csv``), a study (``results.json``) or benchmarks
            (``peers.json``).
        out: folder of the files; ``directory/figures`` if it is left out.
        warn: called with one line for each entry of ``FIGURES`` that lacks data, with one line for metrics that are not
            registered, and with one line that names the figures of other kinds of directories.

    Returns:
        The files written.

    Raises:
        BoflError: a result file is missing or damaged (nothing is written then), or ``out`` cannot be written.
    """
    directory = Path(directory)
    kind = kind_of(directory)
    results = READERS[kind](directory)
    if isinstance(results, RunResults):
        _warn_of_unregistered(results, warn)
    out = directory / "figures" if out is None else Path(out)
    files: dict[str, bytes] = {}
    captions = []
    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "agg", **RC}
    with matplotlib.rc_context(settings):
        for name, entry in FIGURES.items():
            if kind in entry.builders:
                for full, artifact in _build(name, entry, entry.builders[kind](results), warn).items():
                    files |= render(full, artifact)
                    captions.append(f"**{full}** ({entry.title}). {artifact.caption}\n")
    others = [name for name, entry in FIGURES.items() if kind not in entry.builders]
    warn(f"not of {_KIND_NAMES.get(kind, f'a {kind}')}: {', '.join(others)}; bofl figures --list says what makes them")
    return _write(out, files | ({CAPTIONS: "\n".join(captions).encode()} if captions else {}))


def _warn_of_unregistered(run: RunResults, warn: Warn) -> None:
    unknown = dict.fromkeys(key for measured in run.summary.test.values() for key in METRICS.unregistered(measured))
    if unknown:
        warn(f"metrics left out: {', '.join(unknown)}; import the file that registers them with --import FILE")


def _build(name: str, entry: FigureEntry, result: BuilderResult, warn: Warn) -> Mapping[str, Artifact]:
    """The artifacts of one entry by the names of their files; none if its data are missing."""
    if isinstance(result, Unavailable):
        warn(f"{name} left out: {result.reason}; {entry.how_to_make}")
        return {}
    if isinstance(result, Drawing | Table):
        return {name: result}
    return {f"{name}_{_file_name(part)}": artifact for part, artifact in result.items()}


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
