"""What the rest of the house knows of a network: two pure functions."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from bofl_jax.core.errors import BoflError
from bofl_jax.models.cnn1d import Cnn1d
from bofl_jax.models.dense import Mlp
from bofl_jax.models.lstm import Lstm
from bofl_jax.models.options import ModelOptions

Params = Any

MODELS: dict[str, type[nn.Module]] = {"cnn1d": Cnn1d, "lstm": Lstm, "mlp": Mlp, "linear": Mlp}


class Model(NamedTuple):
    """A network for one batch of one client.

    Attributes:
        init: key -> parameters.
        apply: parameters, x[B,T,L], features[B,F] -> logits[B,K].
        embed: the same -> representation[B,D], what the last layer sees.
        width: D, of a representation.
        head: names of the layers that turn the representation into logits.
        norms: names of the layers that normalise.
    """

    init: Callable[[jax.Array], Params]
    apply: Callable[[Params, jax.Array, jax.Array], jax.Array]
    embed: Callable[[Params, jax.Array, jax.Array], jax.Array]
    width: int
    head: frozenset[str]
    norms: frozenset[str]


def build(options: ModelOptions, window: int, leads: int, features: int, classes: int) -> Model:
    """Build the network that ``options`` names for windows of T time samples, L leads, F features and K classes.

    Raises:
        BoflError: if the window is too short for the network's strides and pooling.

    >>> from bofl_jax.models.options import Cnn1dOptions
    >>> model = build(Cnn1dOptions(), window=128, leads=1, features=7, classes=4)
    >>> parameters(model.init(jax.random.key(0)))
    30180
    """
    module = MODELS[options.name](options, classes)
    if window < module.shortest_window():
        raise BoflError(
            f"model.{options.name} needs windows of at least {module.shortest_window()} samples, these have {window}: "
            "use fewer layers or smaller strides, or cut longer windows"
        )

    def init(key: jax.Array) -> Params:
        return module.init(key, jnp.zeros((1, window, leads)), jnp.zeros((1, features)))["params"]

    def apply(params: Params, x: jax.Array, feats: jax.Array) -> jax.Array:
        logits = module.apply({"params": params}, x, feats)
        return cast(jax.Array, logits)

    def embed(params: Params, x: jax.Array, feats: jax.Array) -> jax.Array:
        hidden = module.apply({"params": params}, x, feats, embed=True)
        return cast(jax.Array, hidden)

    layers = jax.eval_shape(init, jax.random.key(0))
    hidden = jax.eval_shape(embed, layers, jnp.zeros((1, window, leads)), jnp.zeros((1, features)))
    dense = sorted((name for name in layers if name.startswith("Dense_")), key=lambda name: int(name[6:]))
    norms = frozenset(name for name in layers if name.startswith("GroupNorm_"))
    return Model(init, apply, embed, hidden.shape[1], frozenset(dense[-1:]), norms)


def parameters(params: Params) -> int:
    """P, the number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
