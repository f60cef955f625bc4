"""The same work in this package: its own networks for windows of a signal, and a network written here for images.

    python benchmarks/peers/ours.py --protocol 1000x1x16
    python benchmarks/peers/ours.py --protocol cifar10 --device cuda --tune

A setting is the section ``[engine]`` of a configuration, "auto" on a CPU. For images it has ``convolution`` too:
"patches" (patches times a matrix, which stays a matrix product under ``vmap``) or "lax".
"""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from work import Data, Outcome, Protocol, Setting, load, main, peer_parser

from bofl_jax import Samples, algorithms, load_config, models
from bofl_jax.engine import (
    FederatedProblem,
    MethodParts,
    TracedHyperparameters,
    build_problem,
    initial_state,
    train,
)
from bofl_jax.models.layers import relu_max_pool
from bofl_jax.parallel import EngineOptions, configure_devices, resolve_plan

KEEP_OF_256 = (192, 128)  # units of 256 that the two dropouts keep: rates 0.25 and 0.5


def samples_of(protocol: Protocol, data: Data) -> Samples:
    """The protocol's samples, with images as ``[height * width, channels]``.

    Samples at time 0 are training samples. Each client has one test sample, at 120 s.

    Args:
        protocol: the protocol.
        data: its data.
    """
    clients, each = protocol.clients, protocol.samples + 1
    x = np.concatenate([data.x, data.x[:, :1]], axis=1).reshape(clients * each, -1, protocol.shape[-1])
    return Samples(
        x=x,
        features=np.zeros((len(x), 0), np.float32),
        y=np.concatenate([data.y, data.y[:, :1]], axis=1).astype(np.int32).ravel(),
        subject=np.repeat(np.arange(clients, dtype=np.int32), each),
        time=np.tile(np.r_[np.zeros(protocol.samples), 120.0], clients),
        classes=tuple(f"class {number}" for number in range(protocol.classes)),
        subjects=tuple(map(str, range(clients))),
        fs=360.0,
    )


def configuration(protocol: Protocol, engine: Setting) -> dict[str, Any]:
    """The configuration of the work. For images the network that it names is replaced.

    Args:
        protocol: the protocol.
        engine: the section ``[engine]``.
    """
    return {
        "data": {"source": "simulator"},
        "partition": {"scheme": "patient", "train_minutes": 1.0},
        "model": {"name": "cnn1d", "channels": [16, 32], "kernels": [7, 7], "strides": [2, 2], "pool": True}
        | {"head": "flatten", "hidden": 64},
        "federation": {
            "algorithm": "fedavg",
            "cohort": protocol.cohort,
            "local_steps": protocol.steps,
            "batch_size": protocol.batch,
            "sampling": "shuffle",
        },
        "optimizer": {"lr": protocol.lr},
        "ledger": {"mode": "off"},
        "engine": engine,
    }


def patches_of(x: jax.Array) -> jax.Array:
    """``[B, H, W, C] -> [B, H - 2, W - 2, 9 * C]``: the patch of each output of a 3 x 3 convolution."""
    height, width = x.shape[1] - 2, x.shape[2] - 2
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)


def convolve(x: jax.Array, layer: models.Params, how: str) -> jax.Array:
    """A 3 x 3 convolution without padding.

    Args:
        x: float32[B, H, W, C].
        layer: ``kernel`` ``[9 * C, channels]`` and ``bias`` ``[channels]``.
        how: "patches" or "lax".
    """
    kernel, bias = layer["kernel"], layer["bias"]
    if how == "patches":
        patches = patches_of(x)
        flat = patches.reshape(-1, patches.shape[-1]) @ kernel  # one matrix: its gradient needs no copy
        return flat.reshape(*patches.shape[:3], -1) + bias
    square = kernel.reshape(3, 3, -1, kernel.shape[-1])
    return jax.lax.conv_general_dilated(x, square, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias


def pool(x: jax.Array) -> jax.Array:
    """ReLU of the maximum over 2 x 2: ``[B, H, W, C] -> [B, H // 2, W // 2, C]``."""
    batch, height, width, channels = x.shape
    across = relu_max_pool(x.reshape(batch * height, width, channels))
    return relu_max_pool(across.reshape(batch, height, -1)).reshape(batch, height // 2, width // 2, channels)


def dropout(x: jax.Array, key: jax.Array | None, kept_of_256: int) -> jax.Array:
    """Dropout of activations ``[B, D]``.

    Args:
        x: the activations.
        key: random key; None for no dropout.
        kept_of_256: units of 256 that are kept.
    """
    if key is None:
        return x
    alive = jax.random.bits(key, x.shape, jnp.uint8) < kept_of_256
    return jnp.where(alive, x * (256 / kept_of_256), 0.0)


def image_logits(protocol: Protocol, how: str, params: models.Params, x: jax.Array, key: jax.Array | None) -> jax.Array:
    """pfl-research's network for CIFAR10: two convolutions, pool, dropout, dense 128, dropout, dense.

    Args:
        protocol: the protocol.
        how: "patches" or "lax".
        params: the parameters.
        x: float32[B, H * W, C].
        key: random key of the dropouts; None for no dropout.
    """
    first, second = (None, None) if key is None else jax.random.split(key)
    h = jax.nn.relu(convolve(x.reshape(-1, *protocol.shape), params["conv_0"], how))
    h = pool(convolve(h, params["conv_1"], how))
    h = dropout(h.reshape(len(h), -1), first, KEEP_OF_256[0])
    h = dropout(jax.nn.relu(h @ params["dense_0"]["kernel"] + params["dense_0"]["bias"]), second, KEEP_OF_256[1])
    return h @ params["dense_1"]["kernel"] + params["dense_1"]["bias"]


def image_model(protocol: Protocol, how: str) -> models.Model:
    """The same network as a model of the package, without dropout.

    Args:
        protocol: the protocol.
        how: "patches" or "lax".
    """
    height, width, channels = protocol.shape
    flat = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    shapes = {
        "conv_0": (9 * channels, 32),
        "conv_1": (9 * 32, 64),
        "dense_0": (flat, 128),
        "dense_1": (128, protocol.classes),
    }

    def init(key: jax.Array) -> models.Params:
        keys = jax.random.split(key, len(shapes))
        glorot = jax.nn.initializers.glorot_uniform()
        return {
            name: {"kernel": glorot(key, shape), "bias": jnp.zeros(shape[1])}
            for key, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    def apply(params: models.Params, x: jax.Array, features: jax.Array) -> jax.Array:
        del features
        return image_logits(protocol, how, params, x, None)

    return models.Model(init, apply, apply, protocol.classes, frozenset({"dense_1"}), frozenset())


def fedavg_with_dropout(protocol: Protocol, how: str, root: jax.Array) -> algorithms.LocalAlgorithm:
    """FedAvg with dropout. Each client counts its rounds, which gives it a new random key in every round.

    Args:
        protocol: the protocol.
        how: "patches" or "lax".
        root: the run's root key.
    """

    def loss(params: models.Params, batch: algorithms.Batch, key: jax.Array) -> jax.Array:
        def logits(params: models.Params, x: jax.Array, _: jax.Array) -> jax.Array:
            return image_logits(protocol, how, params, x, key)

        return algorithms.cross_entropy(logits, np.ones(protocol.classes, np.float32))(params, batch)

    def train_client(download, rounds, data):
        shared, client = download
        key = jax.random.fold_in(jax.random.fold_in(root, client), rounds)

        def step(state, batch):
            params, number = state
            value, gradient = jax.value_and_grad(loss)(params, batch, jax.random.fold_in(key, number))
            return (jax.tree.map(lambda p, g: p - data.lr * g, params, gradient), number + 1), value

        (params, _), info = data.run(step, (shared, jnp.int32(0)))
        return algorithms.model_delta(params, shared), rounds + 1, info

    return algorithms.LocalAlgorithm(
        init=lambda *_: jnp.int32(0), train=train_client, download=lambda shared, client: (shared, client)
    )


def build(protocol: Protocol, setting: Setting, data: Data, rounds: int) -> FederatedProblem:
    """The federated problem of the work; for images the network is replaced by the one of this file.

    Args:
        protocol: the protocol.
        setting: section ``[engine]`` and kind of convolution.
        data: the protocol's data.
        rounds: number of rounds.
    """
    engine = {name: value for name, value in setting.items() if name != "convolution"}
    config = load_config(configuration(protocol, engine), {"federation.rounds": rounds})
    problem = build_problem(config, resolve_plan(config.engine), samples_of(protocol, data))
    if not protocol.images:
        return problem
    how = setting.get("convolution", "patches")
    model, build_method = image_model(protocol, how), problem.build_method

    def with_image_model(hyperparameters: TracedHyperparameters) -> MethodParts:
        loss = algorithms.cross_entropy(model.apply, hyperparameters.class_weights)
        algorithm = fedavg_with_dropout(protocol, how, hyperparameters.root)
        return build_method(hyperparameters)._replace(algorithm=algorithm, loss=loss)

    return dataclasses.replace(problem, model=model, build_method=with_image_model)


def prepare(device: str) -> str:
    """Configure the devices as a run does; returns the kind of device, cpu or cuda.

    Raises:
        RuntimeError: if a GPU is asked for and JAX sees none.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    configure_devices(EngineOptions())
    found = "cuda" if jax.default_backend() == "gpu" else "cpu"
    if device == "cuda" != found:
        raise RuntimeError("--device cuda: JAX sees no GPU")
    return found


def simulate(protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging.

    Args:
        protocol: the protocol.
        setting: section ``[engine]`` and kind of convolution.
        device: cpu, cuda or auto.
        rounds: number of rounds.
    """
    prepare(device)
    data = load(protocol)
    problem = build(protocol, setting, data, rounds)
    first = initial_state(problem)
    ends = [time.time()]
    for trained in train(problem, state=first):
        params = jax.block_until_ready(trained.state.params)
        ends.append(time.time())
    used = jax.devices()[0]
    peak = (used.memory_stats() or {}).get("peak_bytes_in_use") if used.platform != "cpu" else None
    loss = (probe_loss(problem, data, first.params), probe_loss(problem, data, params))
    packages = ("jax", "jaxlib", "numpy", "bofl_jax")
    return Outcome(
        ends, models.parameter_count(params), loss, packages, used.device_kind, peak and round(peak / 2**20, 1)
    )


def probe_loss(problem: FederatedProblem, data: Data, params: models.Params) -> float:
    """The loss on samples that nobody trains on.

    Args:
        problem: the problem.
        data: the protocol's data.
        params: the parameters.
    """
    x = jnp.asarray(data.probe_x.reshape(len(data.probe_y), -1, data.probe_x.shape[-1]))
    batch = algorithms.Batch(x, jnp.zeros((len(x), 0)), jnp.asarray(data.probe_y, jnp.int32))
    return float(jax.jit(problem.loss)(params, batch))


def settings(protocol: Protocol, device: str) -> list[Setting]:
    """Settings that are tried, the most promising first; the package's default is among them; see `work`."""
    convolutions = [{"convolution": "patches"}, {"convolution": "lax"}] if protocol.images else [{}]
    engines: list[Setting] = [{"execution": "auto"}]
    if prepare(device) == "cuda":
        engines += [{"execution": "shard", "width": width} for width in (16, 256) if width < protocol.cohort]
    return [engine | convolution for convolution in convolutions for engine in engines]


if __name__ == "__main__":
    main("ours", settings, simulate, peer_parser(__doc__).parse_args())
