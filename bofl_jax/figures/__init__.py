"""Figures and tables of a run, a sweep, a study or benchmarks, made from its result files alone.

``draw(directory)`` writes everything in ``FIGURES`` that the directory has data for; same files, same bytes.
"""

from bofl_jax.figures.base import draw
from bofl_jax.figures.products import Drawing, Skip, Table
from bofl_jax.figures.registry import FIGURES

__all__ = ["FIGURES", "Drawing", "Skip", "Table", "draw"]
