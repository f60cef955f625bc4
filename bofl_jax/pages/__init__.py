"""One self-contained HTML page about a run or a sweep, from its result files; nothing is trained.

``report(directory)`` writes ``directory/report.html``; the same files give the same bytes.
"""

from bofl_jax.pages.base import report

__all__ = ["report"]
