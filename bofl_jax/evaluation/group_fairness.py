"""Whether a run's models serve groups of people alike: recall by group and class, and the equal-opportunity gap.

Everything follows from the test predictions and from who is of which group, which ``predictions.npz`` holds.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax.core.padding import bucket_size, pad_to
from bofl_jax.metrics import confusions, equal_opportunity_gap, recall
from bofl_jax.metrics.report import plain
from bofl_jax.results.writing import flat


class Membership(NamedTuple):
    """Whose the N test samples are, and of which of G groups of people."""

    attribute: str  # by which people are grouped
    names: tuple[str, ...]  # of the groups
    group: np.ndarray  # int32[N], index into names; -1: in none
    person: np.ndarray  # str[N], the same for all records of one person


class Opportunity(NamedTuple):
    """What the groups get out of one model; NaN where a number is undefined."""

    samples: jax.Array  # int32[G, K], of each class
    recall: jax.Array  # float32[G, K]
    gap: jax.Array  # float32[K]


@functools.partial(jax.jit, static_argnames="groups")
def measure_groups(
    probability: jax.Array, label: jax.Array, mask: jax.Array, group: jax.Array, groups: int
) -> Opportunity:
    """Compare the recalls of G groups.

    Args:
        probability: float32[N, K].
        label: int32[N].
        mask: bool[N], False for padding and for samples of people in no group.
        group: int32[N], ``0 <= group < G`` where ``mask`` holds.
        groups: G.
    """
    matrices = confusions(probability, label, group, groups, mask)
    gap = equal_opportunity_gap(probability, label, mask, group, groups)
    return Opportunity(jnp.sum(matrices, axis=2), jax.vmap(recall)(matrices), gap)


def of_groups(
    probability: np.ndarray, label: np.ndarray, classes: Sequence[str], members: Membership
) -> dict[str, Any]:
    """One model's ``fairness.<model>.groups`` in ``summary.json``; None where a number is undefined.

    Args:
        probability: float32[N, K].
        label: int32[N].
        classes: the K class names.
        members: whose the samples are.

    >>> p, y = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]], np.float32), np.array([0, 0, 1], np.int32)
    >>> members = Membership("sex", ("F", "M"), np.array([0, 1, 1], np.int32), np.array(["100", "101", "101"]))
    >>> found = of_groups(p, y, ("N", "V"), members)
    >>> found["equal_opportunity_gap"], found["by_group"]["M"]["per_class"]["V"]
    ({'N': 1.0, 'V': None}, {'people': 1, 'samples': 1, 'recall': 1.0})
    """
    size, grouped = bucket_size(len(label)), members.group >= 0
    columns = (probability, label, grouped, np.where(grouped, members.group, 0))
    measured = jax.device_get(measure_groups(*(pad_to(column, size) for column in columns), len(members.names)))
    return {
        "attribute": members.attribute,
        "samples_in_no_group": int((~grouped).sum()),
        "equal_opportunity_gap": dict(zip(classes, map(plain, measured.gap), strict=True)),
        "by_group": {
            name: _group(measured, place, label, classes, members) for place, name in enumerate(members.names)
        },
    }


def _group(
    measured: Opportunity, place: int, label: np.ndarray, classes: Sequence[str], members: Membership
) -> dict[str, Any]:
    inside = members.group == place
    return {
        "people": len(np.unique(members.person[inside])),
        "samples": int(inside.sum()),
        "per_class": {
            name: {
                "people": len(np.unique(members.person[inside & (label == index)])),
                "samples": int(measured.samples[place, index]),
                "recall": plain(measured.recall[place, index]),
            }
            for index, name in enumerate(classes)
        },
    }


def groups_from(arrays: Mapping[str, np.ndarray], attribute: str) -> dict[str, Any]:
    """What ``predictions.npz`` says of groups of people, by model; nothing where the attribute is "none".

    Args:
        arrays: of the file.
        attribute: ``evaluate.groups`` of the run.

    Raises:
        KeyError: if an array is missing.
    """
    if attribute == "none":
        return {}
    names, classes = (tuple(map(str, arrays[of])) for of in ("group_names", "classes"))
    members = Membership(attribute, names, arrays["group"], arrays["person_names"][arrays["subject"]])
    models = [model for model in ("global", "personalised") if f"{model}_probability" in arrays]
    return {
        model: {"groups": of_groups(arrays[f"{model}_probability"], arrays["label"], classes, members)}
        for model in models
    }


def differing_groups(stated: Mapping[str, Any], true: Mapping[str, Any]) -> str:
    """The dotted name of the first number that is not the true one, to rounding on another machine; "" for none.

    Args:
        stated: what the summary says of groups, by model.
        true: from `groups_from`.

    >>> differing_groups({"gap": {"N": 0.5, "V": None}}, {"gap": {"N": 0.5, "V": 0.1}})
    'gap.V'
    """
    said, found = flat(stated), flat(true)
    if said.keys() != found.keys():
        return "a key"
    return next((name for name, value in found.items() if not _same(said[name], value)), "")


def _same(said: Any, found: Any) -> bool:
    if isinstance(said, float) and isinstance(found, float):
        return abs(said - found) <= 1e-5
    return type(said) is type(found) and said == found
