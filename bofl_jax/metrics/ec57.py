"""Indices of beat classification by the rules of ANSI/AAMI EC57: j and jk."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.arithmetic import ratio
from bofl_jax.metrics.discrimination import precision, recall
from bofl_jax.metrics.scores import kappa

KAPPA_WEIGHT, J_WEIGHT = 1 / 2, 1 / 8
IGNORED_AS_V = ("F", "Q")
"""Classes whose beats do not count as false positives of V: fusion and unclassifiable beats."""


def ventricular_precision(matrix: jax.Array, classes: Sequence[str]) -> jax.Array:
    """Precision of class V by EC57: beats of F and Q that were predicted as V are ignored.

    Args:
        matrix: int32[K, K], true class by predicted class.
        classes: the K class names.

    Returns:
        float32[]; zero when V has samples and is never predicted, NaN when it has none.

    Raises:
        BoflError: when there is no class V, or the number of names is not K.

    ANSI/AAMI EC57, "Testing and reporting performance results of cardiac rhythm and ST segment measurement algorithms".

    >>> matrix = jnp.array([[8, 0, 1], [0, 3, 1], [0, 2, 2]])
    >>> float(ventricular_precision(matrix, ("N", "V", "F")))
    1.0
    """
    v = _index(matrix, classes, "V")
    counted = [index for index, name in enumerate(classes) if name not in IGNORED_AS_V]
    predicted = jnp.sum(matrix[jnp.array(counted), v])
    support = jnp.sum(matrix[v])
    return jnp.where(support > 0, ratio(matrix[v, v], jnp.maximum(predicted, 1)), jnp.nan)


def j_index(matrix: jax.Array, classes: Sequence[str]) -> jax.Array:
    """Sum of recall and precision of supraventricular and ventricular beats, ``Se_S + Se_V + P_S + P_V``: 0 to 4.

    The precision of V is the one of EC57.

    Args:
        matrix: int32[K, K], true class by predicted class.
        classes: the K class names, S and V among them.

    Returns:
        float32[]; NaN when S or V has no samples.

    Raises:
        BoflError: when class S or V is missing, or the number of names is not K.

    Mar et al., "Optimization of ECG classification by means of feature selection", IEEE Transactions on Biomedical
    Engineering, 2011.

    >>> float(j_index(jnp.diag(jnp.array([5, 2, 3])), ("N", "S", "V")))
    4.0
    """
    s, v = (_index(matrix, classes, name) for name in ("S", "V"))
    sensitivity = recall(matrix)
    return sensitivity[s] + sensitivity[v] + precision(matrix)[s] + ventricular_precision(matrix, classes)


def jk_index(matrix: jax.Array, classes: Sequence[str]) -> jax.Array:
    """Cohen's kappa over all beats and the j index in one number: ``kappa / 2 + j / 8``, at most 1.

    Args:
        matrix: int32[K, K], true class by predicted class.
        classes: the K class names, S and V among them.

    Returns:
        float32[]; NaN when S or V has no samples.

    Raises:
        BoflError: when class S or V is missing, or the number of names is not K.

    Mar et al., "Optimization of ECG classification by means of feature selection", IEEE Transactions on Biomedical
    Engineering, 2011.

    >>> float(jk_index(jnp.diag(jnp.array([5, 2, 3])), ("N", "S", "V")))
    1.0
    """
    return KAPPA_WEIGHT * kappa(matrix) + J_WEIGHT * j_index(matrix, classes)


def _index(matrix: jax.Array, classes: Sequence[str], name: str) -> int:
    if matrix.shape != (len(classes), len(classes)):
        raise BoflError(f"the confusion matrix has shape {matrix.shape}, but there are {len(classes)} class names")
    if name not in classes:
        raise BoflError(f"the EC57 indices need class {name}, and the classes are {', '.join(classes)}: map to AAMI")
    return list(classes).index(name)
