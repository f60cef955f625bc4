"""The table of figures, and ``draw``, which renders them all before it writes the first file."""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from bofl_jax.core.errors import BoflError
from bofl_jax.figures.clients import clients
from bofl_jax.figures.convergence import convergence
from bofl_jax.figures.ledger import ledger
from bofl_jax.figures.per_class import per_class
from bofl_jax.figures.reading import Run, read_run
from bofl_jax.figures.skip import Skip
from bofl_jax.figures.style import RC

FIGURES: dict[str, Callable[[Run], Figure | Skip]] = {
    "convergence": convergence,
    "per_class": per_class,
    "clients": clients,
    "ledger": ledger,
}
"""File name -> function that draws the figure, or says why there is nothing to draw."""

_METADATA: dict[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

_LOG = logging.getLogger(__name__)


def draw(run_dir: Path, out: Path | None = None, say: Callable[[str], None] = _LOG.info) -> list[Path]:
    """Draw every figure of a finished run, as PNG (200 dpi) and PDF.

    The same result files give the same bytes: no time or path enters a figure.

    Args:
        run_dir: a run directory with ``rounds.jsonl``, ``clients.csv``, ``predictions.npz`` and ``summary.json``.
        out: where the figures go; ``run_dir/figures`` when left out.
        say: called with one line for each figure that is left out (``ledger left out: ledger off``).

    Returns:
        The files written.

    Raises:
        BoflError: a result file is missing or damaged (nothing is written then), or ``out`` cannot be written.
    """
    run_dir = Path(run_dir)
    run = read_run(run_dir)
    out = run_dir / "figures" if out is None else Path(out)
    images: dict[str, bytes] = {}
    settings: dict[Any, Any] = {**matplotlib.rcParamsDefault, "backend": "agg", **RC}
    with matplotlib.rc_context(settings):
        for name, figure_of in FIGURES.items():
            figure = figure_of(run)
            if isinstance(figure, Skip):
                say(f"{name} left out: {figure.reason}")
            else:
                images |= {f"{name}.{form}": _render(figure, form) for form in _METADATA}
    return _write(out, images)


def _render(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=_METADATA[form])
    return buffer.getvalue()


def _write(out: Path, images: dict[str, bytes]) -> list[Path]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, image in images.items():
            (out / name).write_bytes(image)
    except OSError as error:
        raise BoflError(f"figures cannot be written to {out} ({error.strerror}): give a writable folder") from error
    return [out / name for name in images]
