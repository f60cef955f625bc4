"""``report``: writes one HTML file about a run directory or the folder of a sweep."""

from pathlib import Path

from bofl_jax.core.errors import BoflError
from bofl_jax.figures.registry import kind_of
from bofl_jax.pages.fill import render_page

_NO_PAGE = {"study": "a study's results", "benchmarks": "the results of benchmarks"}


def report(directory: Path, out: Path | None = None) -> Path:
    """Write a page about a run or a sweep that opens in any browser, without a network or a server.

    A run with a chain of its own is audited first: the page shows only a ledger that was replayed and verified. The
    page contains no time and no path, so that the same files give the same bytes.

    Args:
        directory: a run directory, or a folder with a ``sweep.csv``.
        out: the file to write; ``directory/report.html`` when left out.

    Returns:
        The file that was written.

    Raises:
        BoflError: if a result file is missing or damaged (nothing is written then), if the directory holds a study or
            benchmarks, which have no page, or if ``out`` cannot be written.
        VerificationError: if the audit of the run fails.
    """
    directory = Path(directory)
    out = directory / "report.html" if out is None else Path(out)
    kind = kind_of(directory)
    if kind in _NO_PAGE:
        raise BoflError(f"{directory} holds {_NO_PAGE[kind]}, which have no page: bofl figures {directory} shows them")
    if kind == "sweep":
        from bofl_jax.pages.sweep import page_data
    else:
        from bofl_jax.pages.run import page_data
    return _write(out, render_page(page_data(directory)))


def _write(out: Path, text: str) -> Path:
    partial = out.with_name(out.name + ".partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.is_dir():
            raise BoflError(f"the report cannot be written to {out}, a folder: name a file, for example report.html")
        partial.write_text(text, encoding="ascii", newline="\n")
        partial.replace(out)
    except OSError as error:
        raise BoflError(f"the report cannot be written to {out} ({error.strerror}): name another --out") from error
    return out
