"""Partition schemes: which client has which samples, one file a scheme."""

from typing import TYPE_CHECKING

# The order of these imports is the order of the schemes in messages and in the key reference.
from bofl_jax.partition.patient import PatientOptions  # isort: skip
from bofl_jax.partition.iid import IidOptions  # isort: skip
from bofl_jax.partition.dirichlet import DirichletOptions, divide_classes  # isort: skip
from bofl_jax.partition.base import ClientIndices, Population, Tiles, pack, tile
from bofl_jax.partition.heterogeneity import class_counts, label_divergence
from bofl_jax.partition.registry import SCHEMES, Assignment, Scheme, by_subject, numbered_clients, partition
from bofl_jax.partition.split import SplitIndices, SplitOptions

if TYPE_CHECKING:
    PartitionOptions = SplitOptions
else:
    PartitionOptions = SCHEMES.section_type()
"""The ``[partition]`` section of a configuration."""

__all__ = [
    "SCHEMES",
    "Assignment",
    "ClientIndices",
    "DirichletOptions",
    "IidOptions",
    "PartitionOptions",
    "PatientOptions",
    "Population",
    "Scheme",
    "SplitIndices",
    "SplitOptions",
    "Tiles",
    "by_subject",
    "class_counts",
    "divide_classes",
    "label_divergence",
    "numbered_clients",
    "pack",
    "partition",
    "tile",
]
