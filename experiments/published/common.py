"""What the scripts of this folder share: two devices, packed clients, small networks, data folders, JSON."""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=2")

import jax
import jax.numpy as jnp
import numpy as np

from bofl_jax import algorithms
from bofl_jax.models import LinearOptions, MlpOptions, Model, build
from bofl_jax.partition import ClientIndices, pack


def parse(description: str, **more: Any) -> argparse.Namespace:
    """The arguments of every script; ``more``: names and defaults of its own whole numbers."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here; it is printed too")
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def emit(result: dict[str, Any], path: Path | None, began: float) -> None:
    """Print a result with its wall time, and write it."""
    text = json.dumps(result | {"seconds": round(time.perf_counter() - began, 1)}, indent=1)
    print(text)
    if path:
        path.write_text(text + "\n")


def data_folder(name: str, holds: str) -> Path:
    """A folder under BOFL_DATA.

    Raises:
        SystemExit: if it is not there; ``holds`` says what belongs into it.
    """
    folder = Path(os.environ.get("BOFL_DATA", ".")) / name
    if not folder.is_dir():
        raise SystemExit(f"no folder {folder}: set BOFL_DATA to the folder with {name}/, which holds {holds}")
    return folder


def pool_of(x: Sequence[np.ndarray], y: Sequence[np.ndarray]) -> tuple[algorithms.Batch, ClientIndices]:
    """All clients' samples in one pool, and whose is whose."""
    ends = np.cumsum([len(part) for part in y])
    rows = pack([np.arange(end - len(part), end) for end, part in zip(ends, y, strict=True)])
    inputs = np.concatenate(x).astype(np.float32)
    labels = np.concatenate(y).astype(np.int32)
    return algorithms.Batch(jnp.asarray(inputs[..., None]), jnp.zeros((len(labels), 0)), jnp.asarray(labels)), rows


def split(rows: ClientIndices, seed: int, train: float = 0.9) -> tuple[ClientIndices, ClientIndices]:
    """Shuffle every client's rows and cut them: training, test."""
    stream = np.random.RandomState(seed)
    shuffled = [stream.permutation(rows.of(client)) for client in range(len(rows.size))]
    cuts = [int(train * len(own)) for own in shuffled]
    parts = [(own[:cut], own[cut:]) for own, cut in zip(shuffled, cuts, strict=True)]
    return pack([own for own, _ in parts]), pack([rest for _, rest in parts])


def network(inputs: int, classes: int, hidden: Sequence[int] = ()) -> Model:
    """Softmax regression, or a multilayer perceptron."""
    options = MlpOptions(hidden=tuple(hidden)) if hidden else LinearOptions()
    return build(options, window=inputs, leads=1, features=0, classes=classes)


def uniform(model: Model, key: jax.Array, bound: Callable[[tuple[int, ...]], float]) -> Any:
    """The network's parameters drawn from U(-bound, bound); ``bound`` of a layer's kernel shape."""
    layers = jax.eval_shape(model.init, key)
    filled = {}
    for number, name in enumerate(sorted(layers)):
        limit = bound(layers[name]["kernel"].shape)
        keys = dict(zip(sorted(layers[name]), jax.random.split(jax.random.fold_in(key, number)), strict=True))
        filled[name] = {
            leaf: jax.random.uniform(keys[leaf], shape.shape, minval=-limit, maxval=limit)
            for leaf, shape in layers[name].items()
        }
    return filled


def accuracy(
    model: Model,
    params: Any,
    pool: algorithms.Batch,
    rows: jax.Array,
    owner: jax.Array | None = None,
    weight: jax.Array | None = None,
) -> jax.Array:
    """Share of right answers among samples of the pool, by one model or, with ``owner`` int32[N], by each client's."""
    batch = algorithms.take(pool, rows)
    if owner is None:
        right = jnp.argmax(model.apply(params, batch.x, batch.features), axis=1) == batch.y
        return jnp.average(right, weights=weight)

    def is_right(one: tuple[algorithms.Batch, jax.Array]) -> jax.Array:
        sample, client = one
        mine = jax.tree.map(lambda leaf: leaf[client], params)
        return jnp.argmax(model.apply(mine, sample.x[None], sample.features[None])[0]) == sample.y

    return jnp.mean(jax.lax.map(is_right, (batch, owner), batch_size=1024))
