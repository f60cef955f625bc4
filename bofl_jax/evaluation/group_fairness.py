"""Whether a run's models serve groups of people alike: recall by group and class, and the equal-opportunity gap.

Everything follows from the test predictions and the group of each sample, which ``predictions.npz`` holds.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.metrics import equal_opportunity_gap, group_confusions, recall
from bofl_jax.metrics.report import json_number
from bofl_jax.results.predictions import MODELS
from bofl_jax.results.records import flatten

TOLERANCE = 1e-5
"""Largest difference of a number between machines."""


class GroupMembership(NamedTuple):
    """Which person and which of G groups of people each of N test samples belongs to."""

    attribute: str  # by which people are grouped
    names: tuple[str, ...]  # of the groups
    group: np.ndarray  # int32[N], index into names; -1: in none
    person: np.ndarray  # str[N], the same for all records of one person


class GroupRecalls(NamedTuple):
    """Recalls of one model by group; NaN where a number is undefined."""

    samples: jax.Array  # int32[G, K], of each class
    recall: jax.Array  # float32[G, K]
    gap: jax.Array  # float32[K], equal-opportunity gap


@functools.partial(jax.jit, static_argnames="groups")
def group_recalls(
    probability: jax.Array, label: jax.Array, mask: jax.Array, group: jax.Array, groups: int
) -> GroupRecalls:
    """Compare the recalls of G groups.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N], False for padding and for samples of people in no group.
        group: int32[N], ``0 <= group < G`` where ``mask`` holds.
        groups: G.
    """
    matrices = group_confusions(probability, label, group, groups, mask)
    gap = equal_opportunity_gap(probability, label, mask, group, groups)
    return GroupRecalls(jnp.sum(matrices, axis=2), recall(matrices), gap)


def group_summary(
    probability: np.ndarray, label: np.ndarray, classes: Sequence[str], members: GroupMembership
) -> dict[str, Any]:
    """One model's ``fairness.<model>.groups`` in ``summary.json``; None where a number is undefined.

    Args:
        probability: float32[N, K].
        label: int32[N].
        classes: the K class names.
        members: person and group of each sample.

    >>> p, y = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]], np.float32), np.array([0, 0, 1], np.int32)
    >>> group, person = np.array([0, 1, 1], np.int32), np.array(["100", "101", "101"])
    >>> found = group_summary(p, y, ("N", "V"), GroupMembership("sex", ("F", "M"), group, person))
    >>> found["equal_opportunity_gap"], found["by_group"]["M"]["per_class"]["V"]
    ({'N': 1.0, 'V': None}, {'people': 1, 'samples': 1, 'recall': 1.0})
    """
    size, grouped = bucket_size(len(label)), members.group >= 0
    columns = (probability, label, grouped, np.where(grouped, members.group, 0))
    measured = jax.device_get(group_recalls(*(pad_to(column, size) for column in columns), len(members.names)))
    return {
        "attribute": members.attribute,
        "samples_in_no_group": int((~grouped).sum()),
        "equal_opportunity_gap": dict(zip(classes, map(json_number, measured.gap), strict=True)),
        "by_group": {
            name: _one_group(measured, index, label, classes, members) for index, name in enumerate(members.names)
        },
    }


def _one_group(
    measured: GroupRecalls, group: int, label: np.ndarray, classes: Sequence[str], members: GroupMembership
) -> dict[str, Any]:
    inside = members.group == group
    return {
        "people": len(np.unique(members.person[inside])),
        "samples": int(inside.sum()),
        "per_class": {
            name: {
                "people": len(np.unique(members.person[inside & (label == index)])),
                "samples": int(measured.samples[group, index]),
                "recall": json_number(measured.recall[group, index]),
            }
            for index, name in enumerate(classes)
        },
    }


def groups_from_predictions(arrays: Mapping[str, np.ndarray], attribute: str) -> dict[str, Any]:
    """Compute ``groups`` of the summary again from ``predictions.npz``.

    Args:
        arrays: of the file.
        attribute: ``evaluate.groups`` of the run.

    Returns:
        Model -> its groups; nothing for the attribute "none".

    Raises:
        KeyError: if an array is missing.
    """
    if attribute == "none":
        return {}
    names, classes = (tuple(map(str, arrays[name])) for name in ("group_names", "classes"))
    members = GroupMembership(attribute, names, arrays["group"], arrays["person_names"][arrays["subject"]])
    models = [model for model in MODELS if f"{model}_probability" in arrays]
    return {
        model: {"groups": group_summary(arrays[f"{model}_probability"], arrays["label"], classes, members)}
        for model in models
    }


def first_group_difference(stated: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """Find the first stated number that differs from what the predictions give, up to rounding.

    Args:
        stated: the summary's groups, by model.
        expected: from `groups_from_predictions`.

    Returns:
        The dotted name of the number; "a key" if the keys differ, "" if there is no difference.

    >>> first_group_difference({"gap": {"N": 0.5, "V": None}}, {"gap": {"N": 0.5, "V": 0.1}})
    'gap.V'
    """
    numbers, found = flatten(stated), flatten(expected)
    if numbers.keys() != found.keys():
        return "a key"
    return next((name for name, value in found.items() if not _agrees(numbers[name], value)), "")


def _agrees(stated: Any, expected: Any) -> bool:
    if isinstance(stated, float) and isinstance(expected, float):
        return abs(stated - expected) <= TOLERANCE
    return type(stated) is type(expected) and bool(stated == expected)
