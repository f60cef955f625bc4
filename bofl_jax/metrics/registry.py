"""The registry of metrics: what each is called, how it is computed, and where it is shown.

``summary.json``, the console, figures, the HTML report and the tables of sweeps all read ``METRICS``. A metric from
outside the package is one entry in a file that a run imports (``bofl run CONFIG --import FILE``)::

    from bofl_jax.metrics import METRICS, FromConfusion, Metric, recall, specificity

    def informedness(matrix):                     # int32[K, K] -> float32[K]
        return recall(matrix) + specificity(matrix) - 1

    METRICS.register(Metric("informedness", "informedness", FromConfusion(informedness), per_class=True))
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.discrimination import confusion
from bofl_jax.metrics.protocols import MatrixMetric, NamedMatrixMetric, PredictionMetric, ResampledMetric

Section = Literal["test", "safety"]
"""Section of ``summary.json``: scores (``test``), or whether predictions can be relied on (``safety``)."""
Task = Literal["multiclass", "binary", "multilabel", "survival"]
"""Kind of prediction that a metric measures; two classes with two probabilities are "multiclass"."""

RESERVED = ("per_class", "support", "confusion", "brier_parts")
"""Keys of the summary that are no metrics."""


class Place(StrEnum):
    """Where a metric is shown, beside ``summary.json``."""

    CONSOLE = "console"  # tables that a run prints at its end
    TABLES = "tables"  # figures' tables of one run
    BARS = "bars"  # figures' bars by class, for metrics per class only
    PAGE = "page"  # HTML report of a run: a tile, or a column of the table of classes
    SWEEP_TABLE = "sweep table"  # figures' table of the points of a sweep
    SWEEP_PAGE = "sweep page"  # HTML report of a sweep: a column that is shown from the start


EVERYWHERE = frozenset(Place) - {Place.BARS}


@dataclass(frozen=True)
class FromConfusion:
    """A metric that follows from the confusion matrix; all such metrics of a program share one matrix.

    Attributes:
        function: of one confusion matrix.
        classes: names of the classes that the function reads. If there are any, the function takes the names of all
            classes as its second argument, and the metric is NaN for data that lack one of them.
    """

    function: MatrixMetric | NamedMatrixMetric
    classes: tuple[str, ...] = ()

    def of_matrix(self, matrix: jax.Array, classes: tuple[str, ...]) -> jax.Array:
        """The metric of one confusion matrix.

        Args:
            matrix: int32[K, K].
            classes: the K class names.
        """
        if not set(self.classes) <= set(classes):
            return jnp.full((), jnp.nan, jnp.float32)
        if self.classes:
            return cast(NamedMatrixMetric, self.function)(matrix, classes)
        return cast(MatrixMetric, self.function)(matrix)


@dataclass(frozen=True)
class MeanOverClasses:
    """The mean of a per-class metric over certain classes, in float64, from the numbers of the summary.

    It is undefined for data that lack one of the classes; a class where the metric is undefined is left out.

    Attributes:
        key: of the per-class metric.
        classes: names of the classes.
    """

    key: str
    classes: tuple[str, ...]

    def of_summary(self, per_class: Mapping[str, Mapping[str, float | int | None]]) -> float | None:
        """The mean, from class name -> key -> number.

        >>> MeanOverClasses("f1", ("N", "V")).of_summary({"N": {"f1": 0.5}, "V": {"f1": None}, "F": {"f1": 0.9}})
        0.5
        """
        if not set(self.classes) <= set(per_class):
            return None
        defined = [value for name in self.classes if (value := per_class[name][self.key]) is not None]
        return sum(defined) / len(defined) if defined else None


@dataclass(frozen=True)
class Metric:
    """A metric of test predictions.

    Attributes:
        key: its name in ``summary.json``, an identifier such as ``macro_f1``.
        title: its name in tables and figures.
        function: how it is computed, as a number or as one number for each class.
        per_class: whether it is one number for each class.
        task: the kind of predictions that it measures.
        better: whether a higher or a lower value is better; "neither" if it depends.
        interval: how it is computed from the confusion matrices of bootstrap draws, so that figures give its interval;
            None for no interval. ``functools.partial(map_matrices, function)`` fits any function of one matrix.
        section: where it stands in ``summary.json``.
        shown: the places where it is shown.
        long_title: its name where there is room for a long one; the title where it is empty.
    """

    key: str
    title: str
    function: PredictionMetric | FromConfusion | MeanOverClasses
    per_class: bool = False
    task: Task = "multiclass"
    better: Literal["higher", "lower", "neither"] = "higher"
    interval: ResampledMetric | None = None
    section: Section = "test"
    shown: frozenset[Place] = EVERYWHERE
    long_title: str = ""

    def __post_init__(self) -> None:
        if not self.key.isidentifier() or self.key in RESERVED:
            raise BoflError(f"a metric cannot have the key {self.key!r}: choose an identifier such as my_metric")
        if Place.BARS in self.shown and not self.per_class:
            raise BoflError(f"metric {self.key} has no bars by class: set per_class, or leave out Place.BARS")

    def compute(
        self,
        probability: jax.Array,
        label: jax.Array,
        mask: jax.Array,
        matrix: jax.Array | None = None,
        classes: tuple[str, ...] = (),
    ) -> jax.Array:
        """Measure one set of predictions, in a traced function.

        Args:
            probability: float32[N, K].
            label: int32[N].
            mask: bool[N].
            matrix: their confusion matrix int32[K, K], where it is known.
            classes: the K class names, or none.

        Returns:
            float32[] or float32[K].

        Raises:
            BoflError: for a `MeanOverClasses`, which is computed from the numbers of the summary.
        """
        if isinstance(self.function, MeanOverClasses):
            raise BoflError(f"metric {self.key} is a mean of {self.function.key}: compute that metric")
        if not isinstance(self.function, FromConfusion):
            return self.function(probability, label, mask)
        matrix = confusion(probability, label, mask) if matrix is None else matrix
        return self.function.of_matrix(matrix, classes)

    @property
    def headline(self) -> str:
        """The long title with a capital letter.

        >>> Metric("ece", "ECE", confusion, long_title="calibration error (ECE)").headline
        'Calibration error (ECE)'
        """
        name = self.long_title or self.title
        return name[:1].upper() + name[1:]


class MetricRegistry(Mapping[str, Metric]):
    """Metrics by key, in the order in which they are written and shown.

    Args:
        metrics: the first entries.
    """

    def __init__(self, metrics: Iterable[Metric] = ()) -> None:
        self._entries = {metric.key: metric for metric in metrics}

    def __getitem__(self, key: str) -> Metric:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, metric: Metric) -> Metric:
        """Add a metric after all others.

        Args:
            metric: with a key of its own.

        Returns:
            The metric.

        Raises:
            BoflError: if the key is taken, or the function returns an array of another shape than the entry says.
        """
        if metric.key in self:
            raise BoflError(f"metric {metric.key} is registered already: choose another key")
        if metric.task == "multiclass":
            _check_shape(metric)
        self._entries[metric.key] = metric
        return metric

    def select(
        self,
        section: Section | None = "test",
        place: Place | None = None,
        per_class: bool | None = None,
        task: Task = "multiclass",
    ) -> tuple[Metric, ...]:
        """The metrics that meet all conditions, in order; None stands for any.

        Args:
            section: of ``summary.json``.
            place: where they are shown.
            per_class: whether they are one number for each class.
            task: kind of prediction.
        """
        return tuple(
            metric
            for metric in self.values()
            if metric.task == task
            and section in (None, metric.section)
            and (place is None or place in metric.shown)
            and per_class in (None, metric.per_class)
        )

    def unregistered(self, measured: Mapping[str, Any]) -> tuple[str, ...]:
        """Keys of a model's part of ``test`` in ``summary.json`` that no entry has.

        >>> MetricRegistry().unregistered({"mine": 1.0, "per_class": {"N": {"support": 3, "own": 0.5}}})
        ('mine', 'own')
        """
        rows = measured.get("per_class", {}).values()
        keys = dict.fromkeys((*measured, *(key for row in rows for key in row)))
        return tuple(key for key in keys if key not in self and key not in RESERVED)

    def check_registered(self, measured: Mapping[str, Any]) -> None:
        """Reject a summary that holds metrics of a user's own file, unless that file was imported.

        Args:
            measured: a model's part of ``test`` in ``summary.json``.

        Raises:
            BoflError: naming the metrics that are not registered.
        """
        unknown = self.unregistered(measured)
        if unknown:
            raise BoflError(
                f"summary.json holds metrics that are not registered ({', '.join(unknown)}): import the file that "
                "registers them with --import FILE"
            )


def _check_shape(metric: Metric) -> None:
    """Reject a function that returns an array of another shape than its entry says. It is traced, not run."""
    if isinstance(metric.function, MeanOverClasses):
        return
    names = (*getattr(metric.function, "classes", ()), "other", "another")
    described = jax.eval_shape(partial(metric.compute, classes=names), *_sample(len(names)))
    shape = getattr(described, "shape", None)
    if shape != ((len(names),) if metric.per_class else ()):
        wanted = "one number for each class" if metric.per_class else "one number, or set per_class=True"
        raise BoflError(f"metric {metric.key} returns shape {shape} for {len(names)} classes: return {wanted}")


def _sample(classes: int) -> tuple[jax.ShapeDtypeStruct, ...]:
    shapes = ((4, classes), jnp.float32), ((4,), jnp.int32), ((4,), jnp.bool_)
    return tuple(jax.ShapeDtypeStruct(*shape) for shape in shapes)  # type: ignore[no-untyped-call]
