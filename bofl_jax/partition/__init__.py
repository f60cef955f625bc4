"""Samples to clients."""

from bofl_jax.partition.base import ClientIndices, Population, Tiles, pack, tile
from bofl_jax.partition.heterogeneity import class_counts, label_divergence
from bofl_jax.partition.options import DirichletOptions, IidOptions, PartitionOptions, PatientOptions
from bofl_jax.partition.schemes import SCHEMES, partition

__all__ = [
    "SCHEMES",
    "ClientIndices",
    "DirichletOptions",
    "IidOptions",
    "PartitionOptions",
    "PatientOptions",
    "Population",
    "Tiles",
    "class_counts",
    "label_divergence",
    "pack",
    "partition",
    "tile",
]
