"""The registry of network architectures, and the function that builds any of them as a pair of pure functions.

An architecture is one file: the class of its options, its Flax module, and one `Architecture` that is registered in
`MODELS`.
"""

from typing import Annotated, Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from pydantic import Field

from bofl_jax.core.errors import BoflError
from bofl_jax.core.options import Options
from bofl_jax.core.registry import Registry

Params = Any
"""A pytree of parameters: layer name -> parameter name -> float32 array."""

Size = Annotated[int, Field(ge=1, le=4096)]
"""Number of units or channels of a layer."""


class ArchitectureOptions(Options):
    """Options of every architecture."""

    name: str


class BuildModule(Protocol):
    """Call signature of ``Architecture.module``."""

    def __call__(self, options: Any, classes: int, /) -> nn.Module:
        """Build the Flax module of the network.

        Args:
            options: an instance of the architecture's options.
            classes: K.

        Returns:
            A module whose call ``(x[B,T,L], features[B,F], embed=False)`` returns the logits ``[B,K]``, or, with
            ``embed=True``, the representation ``[B,D]`` that its last ``Dense`` layer reads. Its layers are named by
            Flax: the last ``Dense_i`` is the head, and all ``GroupNorm_i`` are normalisation layers.
        """
        ...


class MinWindow(Protocol):
    """Call signature of ``Architecture.min_window``."""

    def __call__(self, options: Any, /) -> int:
        """Return the fewest time samples of a window that the network accepts."""
        ...


def any_window(_: ArchitectureOptions) -> int:
    """Return 0, because the network accepts every window: the features may be its only inputs."""
    return 0


class Architecture(NamedTuple):
    """A network architecture.

    Attributes:
        options: the class of its options; the literal ``name`` is its name.
        module: builds the Flax module.
        min_window: returns the shortest window that the network accepts.
    """

    options: type[ArchitectureOptions]
    module: BuildModule
    min_window: MinWindow = any_window


MODELS: Registry[Architecture] = Registry("model", "name", Architecture, ArchitectureOptions)
"""The architectures by the value of ``model.name``."""


class InitParams(Protocol):
    """Call signature of ``Model.init``."""

    def __call__(self, key: jax.Array, /) -> Params:
        """Draw the initial parameters."""
        ...


class ApplyModel(Protocol):
    """Call signature of ``Model.apply`` and ``Model.embed``."""

    def __call__(self, params: Params, x: jax.Array, features: jax.Array, /) -> jax.Array:
        """Return the outputs ``float32[B, ...]`` for one batch.

        Args:
            params: parameters of one client.
            x: float32[B, T, L].
            features: float32[B, F].
        """
        ...


class Model(NamedTuple):
    """A network as pure functions, for one batch of one client.

    Attributes:
        init: draws the parameters.
        apply: returns the logits ``[B, K]``.
        embed: returns the representation ``[B, D]`` that the last layer reads.
        embedding_size: D.
        head_layers: names of the layers that turn the representation into logits.
        norm_layers: names of the layers that normalise.
    """

    init: InitParams
    apply: ApplyModel
    embed: ApplyModel
    embedding_size: int
    head_layers: frozenset[str]
    norm_layers: frozenset[str]


def build(options: ArchitectureOptions, window: int, leads: int, features: int, classes: int) -> Model:
    """Build the network that a ``[model]`` section names.

    Args:
        options: the section.
        window: T, time samples of a window.
        leads: L.
        features: F.
        classes: K.

    Raises:
        BoflError: if the window is too short for the network's strides and pooling.

    >>> from bofl_jax.models import Cnn1dOptions
    >>> model = build(Cnn1dOptions(), window=128, leads=1, features=7, classes=4)
    >>> parameter_count(model.init(jax.random.key(0)))
    30180
    """
    architecture = MODELS[options.name]
    needed = architecture.min_window(options)
    if window < needed:
        raise BoflError(
            f"model.{options.name} needs windows of at least {needed} samples, these have {window}: "
            "use fewer layers or smaller strides, or cut longer windows"
        )
    module = architecture.module(options, classes)

    def init(key: jax.Array) -> Params:
        return module.init(key, jnp.zeros((1, window, leads)), jnp.zeros((1, features)))["params"]

    def apply(params: Params, x: jax.Array, feats: jax.Array) -> jax.Array:
        return cast(jax.Array, module.apply({"params": params}, x, feats))

    def embed(params: Params, x: jax.Array, feats: jax.Array) -> jax.Array:
        return cast(jax.Array, module.apply({"params": params}, x, feats, embed=True))

    params = jax.eval_shape(init, jax.random.key(0))
    embedding = jax.eval_shape(embed, params, jnp.zeros((1, window, leads)), jnp.zeros((1, features)))
    dense = sorted((name for name in params if name.startswith("Dense_")), key=lambda name: int(name[6:]))
    norms = frozenset(name for name in params if name.startswith("GroupNorm_"))
    return Model(init, apply, embed, embedding.shape[1], frozenset(dense[-1:]), norms)


def parameter_count(params: Params) -> int:
    """P, the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
