"""Functions of JAX that have no type annotations, under the types that they have."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import jax
from jax.sharding import PartitionSpec

T = TypeVar("T")


class BlockUntilReady(Protocol):
    """Type of `jax.block_until_ready`."""

    def __call__(self, tree: T, /) -> T:
        """Wait until the devices have computed a pytree, and return it."""


block_until_ready: BlockUntilReady = jax.block_until_ready
update_config: Callable[[str, object], None] = jax.config.update
clear_caches: Callable[[], None] = jax.clear_caches
partition_spec: Callable[..., PartitionSpec] = PartitionSpec
