"""Figures and tables of a run, a sweep, a study or benchmarks, made from its result files alone.

``draw(directory)`` writes every entry of ``FIGURES`` that the directory has data for; same files, same bytes.
"""

from bofl_jax.figures.artifacts import Drawing, Table, Unavailable
from bofl_jax.figures.base import draw
from bofl_jax.figures.registry import FIGURES

__all__ = ["FIGURES", "Drawing", "Table", "Unavailable", "draw"]
