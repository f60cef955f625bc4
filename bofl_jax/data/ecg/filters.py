"""Signal conditioning of an ECG record at 360 Hz: baseline removal and low-pass."""

import numpy as np

FS = 360.0
"""Sampling rate in Hz. The filters have fixed lengths in samples, so every ECG source resamples to this rate."""

MEDIAN_SAMPLES = (71, 215)
"""Lengths of the two median filters: about 0.2 s removes the QRS complex, 0.6 s the T wave."""


def remove_baseline(signal: np.ndarray) -> np.ndarray:
    """Subtract the baseline that two median filters in a row estimate; the ends are extended by their last value.

    Args:
        signal: float[n], mV at 360 Hz.

    Returns:
        float64[n], mV.

    References:
        de Chazal, O'Dwyer, Reilly: Automatic classification of heartbeats using ECG morphology and heartbeat interval
        features. IEEE Transactions on Biomedical Engineering, 2004.
    """
    from scipy.ndimage import median_filter

    baseline = np.asarray(signal, np.float64)
    for length in MEDIAN_SAMPLES:
        baseline = median_filter(baseline, length, mode="nearest")
    return signal - baseline


def lowpass(signal: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Apply a Butterworth low-pass of order 3 forwards and backwards, so that no wave is shifted.

    Args:
        signal: float[n] at 360 Hz.
        cutoff_hz: frequency at which one pass halves the power; both passes together leave a quarter of it.

    Returns:
        float64[n].
    """
    from scipy.signal import butter, filtfilt

    numerator, denominator = butter(3, cutoff_hz, fs=FS)
    filtered: np.ndarray = filtfilt(numerator, denominator, signal)
    return filtered


def condition(signal: np.ndarray, cutoff_hz: float) -> np.ndarray:
    """Remove the baseline, then apply the low-pass.

    Args:
        signal: float[n], mV at 360 Hz.
        cutoff_hz: of the low-pass.

    Returns:
        float64[n], mV.
    """
    return lowpass(remove_baseline(signal), cutoff_hz)
