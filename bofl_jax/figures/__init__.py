"""Figures of a finished run, drawn from its result files alone.

``draw(run_dir)`` writes every figure of ``FIGURES`` as PNG and PDF; the same files give the same bytes.
"""

from bofl_jax.figures.base import FIGURES, Skip, draw

__all__ = ["FIGURES", "Skip", "draw"]
