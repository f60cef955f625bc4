"""``report``: from a run directory or a sweep's folder to one HTML file."""

from pathlib import Path

from bofl_jax.core.errors import BoflError
from bofl_jax.figures.registry import kind_of
from bofl_jax.pages.fill import page

_NO_PAGE = {"study": "a study's results", "benchmarks": "the results of benchmarks"}


def report(directory: Path, out: Path | None = None) -> Path:
    """Write a page about a run or a sweep that opens in any browser, without a network or a server.

    A run with a chain of its own is audited first: what the page shows of the ledger was replayed and holds. No time
    and no path enters the page, so that the same files give the same bytes.

    Args:
        directory: a run directory, or a folder with a ``sweep.csv``.
        out: the file to write; ``directory/report.html`` when left out.

    Returns:
        The file written.

    Raises:
        BoflError: a result file is missing or damaged (nothing is written then), the directory is a study or holds
            benchmarks, which have no page, or ``out`` cannot be written.
        VerificationError: the audit of the run finds something that does not hold.
    """
    directory = Path(directory)
    out = directory / "report.html" if out is None else Path(out)
    kind = kind_of(directory)
    if kind in _NO_PAGE:
        raise BoflError(f"{directory} holds {_NO_PAGE[kind]}, which have no page: bofl figures {directory} shows them")
    if kind == "sweep":
        from bofl_jax.pages.sweep import describe
    else:
        from bofl_jax.pages.run import describe
    return _write(out, page(describe(directory)))


def _write(out: Path, text: str) -> Path:
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.is_dir():
            raise BoflError(f"the report cannot be written to {out}, a folder: name a file, for example report.html")
        partial.write_text(text, encoding="ascii")
        partial.replace(out)
    except OSError as error:
        raise BoflError(f"the report cannot be written to {out} ({error.strerror}): name another --out") from error
    return out
