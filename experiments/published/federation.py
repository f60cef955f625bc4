"""Clients' samples in one pool, and small networks, for the methods in this folder."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import algorithms
from bofl_jax.models import LinearOptions, MlpOptions, Model, Params, build
from bofl_jax.partition import ClientIndices, pack


def pool_clients(x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> tuple[algorithms.Batch, ClientIndices]:
    """Put all clients' samples into one pool; returns the pool and the rows of each client.

    Args:
        x: float[n, T] for each client.
        y: int[n] for each client.
    """
    ends = np.cumsum([len(labels) for labels in y])
    rows = pack([np.arange(end - len(labels), end) for end, labels in zip(ends, y, strict=True)])
    inputs = np.concatenate(x).astype(np.float32)
    labels = np.concatenate(y).astype(np.int32)
    return algorithms.Batch(jnp.asarray(inputs[..., None]), jnp.zeros((len(labels), 0)), jnp.asarray(labels)), rows


def split_clients(rows: ClientIndices, seed: int, train: float = 0.9) -> tuple[ClientIndices, ClientIndices]:
    """Shuffle every client's rows and cut them into training and test rows.

    Args:
        rows: rows of each client.
        seed: seed of the shuffling.
        train: share of the training rows.
    """
    stream = np.random.RandomState(seed)
    shuffled = [stream.permutation(rows.of(client)) for client in range(len(rows.size))]
    cuts = [int(train * len(of_client)) for of_client in shuffled]
    parts = [(of_client[:cut], of_client[cut:]) for of_client, cut in zip(shuffled, cuts, strict=True)]
    return pack([head for head, _ in parts]), pack([tail for _, tail in parts])


def network(inputs: int, classes: int, hidden: Sequence[int] = ()) -> Model:
    """Softmax regression, or a multilayer perceptron.

    Args:
        inputs: T.
        classes: K.
        hidden: units of each hidden layer.
    """
    options = MlpOptions(hidden=tuple(hidden)) if hidden else LinearOptions()
    return build(options, window=inputs, leads=1, features=0, classes=classes)


def uniform_init(model: Model, key: jax.Array, bound: Callable[[tuple[int, ...]], float]) -> Params:
    """Draw a network's parameters from U(-bound, bound).

    Args:
        model: the network.
        key: random key.
        bound: bound of a layer, from the shape of its kernel.
    """
    layers = jax.eval_shape(model.init, key)
    params = {}
    for number, name in enumerate(sorted(layers)):
        limit = bound(layers[name]["kernel"].shape)
        keys = dict(zip(sorted(layers[name]), jax.random.split(jax.random.fold_in(key, number)), strict=True))
        params[name] = {
            leaf: jax.random.uniform(keys[leaf], shape.shape, minval=-limit, maxval=limit)
            for leaf, shape in layers[name].items()
        }
    return params


def accuracy(
    model: Model,
    params: Params,
    pool: algorithms.Batch,
    rows: jax.Array,
    owner: jax.Array | None = None,
    weight: jax.Array | None = None,
) -> jax.Array:
    """Accuracy on samples of the pool, of one model or of each client's.

    Args:
        model: the network.
        params: parameters of the one model, or ``[C, ...]`` with ``owner``.
        pool: all samples.
        rows: int32[N], the samples.
        owner: int32[N], the client whose model classifies each sample; None with one model.
        weight: float32[N], weight of each sample; equal weights when left out.
    """
    batch = algorithms.take(pool, rows)
    if owner is None:
        correct = jnp.argmax(model.apply(params, batch.x, batch.features), axis=1) == batch.y
        return jnp.average(correct, weights=weight)

    def is_correct(one: tuple[algorithms.Batch, jax.Array]) -> jax.Array:
        sample, client = one
        own = jax.tree.map(lambda leaf: leaf[client], params)
        return jnp.argmax(model.apply(own, sample.x[None], sample.features[None])[0]) == sample.y

    return jnp.mean(jax.lax.map(is_correct, (batch, owner), batch_size=1024))
