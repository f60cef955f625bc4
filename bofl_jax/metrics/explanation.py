"""Share of an attribution in the windows around the R peak that a cardiologist looks at."""

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.arithmetic import ratio

QRS_MS = (-60.0, 60.0)
"""The QRS complex, relative to the R peak. It is abnormal in a ventricular beat."""
P_MS = (-250.0, -80.0)
"""The P wave, relative to the R peak. It, or the RR interval, is abnormal in a supraventricular beat."""


def qrs_window(window: int, peak: int, fs: float) -> jax.Array:
    """bool[T]: the time samples within 60 ms of the R peak; arguments as those of ``window_around``.

    >>> qrs_window(window=7, peak=3, fs=50.0).tolist()
    [True, True, True, True, True, True, True]
    >>> int(qrs_window(window=128, peak=64, fs=180.0).sum())
    21
    """
    return window_around(window, peak, fs, *QRS_MS)


def p_window(window: int, peak: int, fs: float) -> jax.Array:
    """bool[T]: the time samples from 250 to 80 ms before the R peak; arguments as those of ``window_around``.

    >>> jnp.flatnonzero(p_window(window=128, peak=64, fs=180.0))[jnp.array([0, -1])].tolist()
    [19, 49]
    """
    return window_around(window, peak, fs, *P_MS)


def window_around(window: int, peak: int, fs: float, start_ms: float, end_ms: float) -> jax.Array:
    """bool[T]: the time samples from ``start_ms`` to ``end_ms`` after the R peak, both ends included.

    Args:
        window: T, time samples of a beat's window.
        peak: index of the R peak in it.
        fs: Hz.
        start_ms: ms; negative before the peak.
        end_ms: ms.

    Raises:
        BoflError: if the peak lies outside of the window, or no time sample lies between the ends.
    """
    if not 0 <= peak < window:
        raise BoflError(f"the R peak at {peak} lies outside of a window of {window} time samples: give its index there")
    # In ms times Hz, so that an end on a sample is exact; the slack is for ends that are no binary fractions.
    offset = (np.arange(window) - peak) * 1000.0
    slack = 1e-3 * fs
    inside = (offset >= start_ms * fs - slack) & (offset <= end_ms * fs + slack)
    if not inside.any():
        raise BoflError(
            f"no time sample lies between {start_ms} and {end_ms} ms from the R peak: widen the range, or cut longer "
            "windows"
        )
    return jnp.asarray(inside)


def attribution_share(attribution: jax.Array, mask: jax.Array) -> jax.Array:
    """The share of the absolute attribution that lies inside a mask.

    Args:
        attribution: float32[N, T, L], for example ``integrated_gradients(...).x``.
        mask: bool[T], or bool[N, T] with one mask for each sample.

    Returns:
        float32[N], in [0, 1]; NaN where the attribution is zero everywhere. Compare it with ``mask.mean(-1)``, the
        share of an even attribution.

    Raises:
        BoflError: when the shapes do not belong together.

    >>> attribution_share(jnp.array([[[3.0], [-1.0], [0.0]]]), jnp.array([False, True, True])).tolist()
    [0.25]
    """
    if attribution.ndim != 3 or mask.shape not in (attribution.shape[1:2], attribution.shape[:2]):
        raise BoflError(
            f"a share needs attribution[N, T, L] and mask[T] or mask[N, T], not shapes {attribution.shape} and "
            f"{mask.shape}"
        )
    size = jnp.abs(attribution).sum(-1)
    return ratio(jnp.where(mask, size, 0.0).sum(-1), size.sum(-1))
