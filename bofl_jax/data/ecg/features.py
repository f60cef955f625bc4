"""Inputs of a network from a conditioned record and its R peaks: scaled windows and RR features."""

import numpy as np

from bofl_jax.core.errors import BoflError

FEATURE_NAMES = ("pre", "post", "local", "pre/local", "post/local", "pre/mean", "post/mean")
CAUSAL_FEATURE_NAMES = ("pre", "local", "pre/local", "pre/mean")

LOCAL_BEATS = 10
CENTRE_S, SCALE_S = 0.8, 0.25
CENTRE_RATIO, SCALE_RATIO = 1.0, 0.25
CLIP = 4.0


def cut_windows(
    signal: np.ndarray, peaks: np.ndarray, half_window: int, decimate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the window ``[R - half_window, R + half_window)`` around every R peak, and keep every ``decimate``-th sample.

    Args:
        signal: float[n].
        peaks: int[N], sample index of each R peak.
        half_window: samples on each side of the peak.
        decimate: factor; 1 keeps all samples.

    Returns:
        ``float[M, T]``, the M windows that lie inside the record, and ``bool[N]``, true for the peaks of those windows.
    """
    fits = (peaks >= half_window) & (peaks + half_window <= len(signal))
    offsets = np.arange(-half_window, half_window, decimate)
    return signal[peaks[fits][:, None] + offsets], fits


def scale_windows(windows: np.ndarray) -> np.ndarray:
    """Divide the windows of a record, float[M, T], by their common standard deviation; returns float32[M, T].

    Raises:
        BoflError: if the windows are constant.
    """
    scale = windows.std()
    if not scale > 0:
        raise BoflError("the signal is flat in every beat window: choose another lead")
    scaled: np.ndarray = (windows / scale).astype(np.float32)
    return scaled


def rr_features(times: np.ndarray, causal: bool = False) -> np.ndarray:
    """Compute the RR features of every beat of one record.

    With ``pre_i = t_i - t_(i-1)`` and ``post_i = t_(i+1) - t_i`` (the first ``pre`` and the last ``post`` repeat their
    neighbour), ``local`` the mean of the last 10 ``pre`` up to the current one, and ``mean`` that of the whole record:
    ``pre, post, local`` as ``(s - .8) / .25`` and ``pre/local, post/local, pre/mean, post/mean`` as
    ``(ratio - 1) / .25``, all clipped to +-4.

    Args:
        times: float[N], R peaks in seconds, increasing.
        causal: leave out ``post``, which needs the next beat, and compute ``mean`` over the beats so far only.

    Returns:
        float32[N, 7] with the columns ``FEATURE_NAMES``, or float32[N, 4] with ``CAUSAL_FEATURE_NAMES``.

    Raises:
        BoflError: if the record has fewer than two beats, and therefore no RR interval.
    """
    if len(times) < 2:
        raise BoflError(f"RR intervals need at least 2 beats, and the record has {len(times)}: leave the record out")
    rr = np.diff(times)
    pre, post = np.concatenate([rr[:1], rr]), np.concatenate([rr, rr[-1:]])
    local = trailing_mean(pre, LOCAL_BEATS)
    mean = trailing_mean(pre, len(pre)) if causal else rr.mean()
    seconds = [pre, local] if causal else [pre, post, local]
    ratios = [pre / local, pre / mean] if causal else [pre / local, post / local, pre / mean, post / mean]
    columns = [(s - CENTRE_S) / SCALE_S for s in seconds] + [(r - CENTRE_RATIO) / SCALE_RATIO for r in ratios]
    features: np.ndarray = np.clip(np.stack(columns, axis=1), -CLIP, CLIP).astype(np.float32)
    return features


def trailing_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Average the last ``width`` values up to each value, or fewer at the start.

    Args:
        values: float[N].
        width: number of values.

    Returns:
        float64[N].

    >>> trailing_mean(np.array([1.0, 3.0, 5.0]), 2)
    array([1., 2., 4.])
    """
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - width, 0)
    mean: np.ndarray = (total[end] - total[start]) / (end - start)
    return mean
