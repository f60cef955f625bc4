"""The same work in this package: its own rounds for windows of a signal, and for images a network written here.

    python benchmarks/peers/ours.py --protocol 1000x1x16
    python benchmarks/peers/ours.py --protocol cifar10 --device cuda --tune

A setting is the ``engine`` section of a configuration, left to "auto" on a CPU, and for images ``convolution``:
"patches" (patches times a matrix, which stays a matrix product under ``vmap``) or "lax".
"""

import dataclasses
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from work import Data, Outcome, Protocol, Setting, load, main, parser

from bofl_jax import algorithms, models
from bofl_jax.config import load_config
from bofl_jax.core.types import Samples
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.problem import FederatedProblem as Held
from bofl_jax.engine.problem import MethodParts, TracedHyperparameters, build_problem
from bofl_jax.engine.round import compile_round, initial_state
from bofl_jax.models.layers import relu_max_pool
from bofl_jax.parallel import devices
from bofl_jax.parallel.clients import resolve
from bofl_jax.parallel.options import EngineOptions

KEEP_OF_256 = (192, 128)  # what the two dropouts keep: rates 0.25 and 0.5


def samples_of(protocol: Protocol, data: Data) -> Samples:
    """The protocol's samples, one more of each client that nobody trains on, images as ``[height * width, channels]``.

    Samples at time 0 train, those at 120 s do not.
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


def configuration(protocol: Protocol, engine: Setting) -> dict:
    """The configuration of the work; an image's network replaces the one that it names."""
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


def windows(x: jax.Array) -> jax.Array:
    """``[B, H, W, C] -> [B, H - 2, W - 2, 9 * C]``: what each output of a 3 x 3 convolution sees."""
    height, width = x.shape[1] - 2, x.shape[2] - 2
    return jnp.concatenate([x[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)


def convolve(x: jax.Array, layer: models.Params, how: str) -> jax.Array:
    """A 3 x 3 convolution without padding; the kernel is ``[9 * C, channels]``."""
    kernel, bias = layer["kernel"], layer["bias"]
    if how == "patches":
        seen = windows(x)
        flat = seen.reshape(-1, seen.shape[-1]) @ kernel  # one matrix: its gradient needs no copy
        return flat.reshape(*seen.shape[:3], -1) + bias
    square = kernel.reshape(3, 3, -1, kernel.shape[-1])
    return jax.lax.conv_general_dilated(x, square, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias


def pool(x: jax.Array) -> jax.Array:
    """ReLU of the maximum over 2 x 2: ``[B, H, W, C] -> [B, H // 2, W // 2, C]``."""
    batch, height, width, channels = x.shape
    across = relu_max_pool(x.reshape(batch * height, width, channels))
    return relu_max_pool(across.reshape(batch, height, -1)).reshape(batch, height // 2, width // 2, channels)


def keep(x: jax.Array, key: jax.Array | None, of_256: int) -> jax.Array:
    """Dropout of activations ``[B, D]``; none without a key."""
    if key is None:
        return x
    alive = jax.random.bits(key, x.shape, jnp.uint8) < of_256
    return jnp.where(alive, x * (256 / of_256), 0.0)


def image_logits(protocol: Protocol, how: str, params: models.Params, x: jax.Array, key: jax.Array | None) -> jax.Array:
    """pfl-research's network for CIFAR10: two convolutions, pool, dropout, dense 128, dropout, dense."""
    first, second = (None, None) if key is None else jax.random.split(key)
    h = jax.nn.relu(convolve(x.reshape(-1, *protocol.shape), params["conv_0"], how))
    h = pool(convolve(h, params["conv_1"], how))
    h = keep(h.reshape(len(h), -1), first, KEEP_OF_256[0])
    h = keep(jax.nn.relu(h @ params["dense_0"]["kernel"] + params["dense_0"]["bias"]), second, KEEP_OF_256[1])
    return h @ params["dense_1"]["kernel"] + params["dense_1"]["bias"]


def image_model(protocol: Protocol, how: str) -> models.Model:
    """The same network as the package knows networks; dropout is the business of `with_dropout`."""
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


def with_dropout(protocol: Protocol, how: str, root: jax.Array) -> algorithms.LocalAlgorithm:
    """FedAvg whose clients drop activations out: each keeps count of its rounds, which numbers its random keys."""

    def loss(params: models.Params, batch: algorithms.Batch, key: jax.Array) -> jax.Array:
        def logits(params: models.Params, x: jax.Array, _: jax.Array) -> jax.Array:
            return image_logits(protocol, how, params, x, key)

        return algorithms.cross_entropy(logits, np.ones(protocol.classes, np.float32))(params, batch)

    def train(sent, rounds, data):
        shared, client = sent
        key = jax.random.fold_in(jax.random.fold_in(root, client), rounds)

        def step(state, batch):
            params, number = state
            error, slope = jax.value_and_grad(loss)(params, batch, jax.random.fold_in(key, number))
            return (jax.tree.map(lambda p, g: p - data.lr * g, params, slope), number + 1), error

        (params, _), info = data.run(step, (shared, jnp.int32(0)))
        return algorithms.model_delta(params, shared), rounds + 1, info

    return algorithms.LocalAlgorithm(
        init=lambda *_: jnp.int32(0), train=train, download=lambda shared, client: (shared, client)
    )


def hold(protocol: Protocol, setting: Setting, data: Data) -> Held:
    """All that a run holds still, the image network put in place of the one that the configuration names."""
    engine = {name: value for name, value in setting.items() if name != "convolution"}
    config = load_config(configuration(protocol, engine))
    held = build_problem(config, resolve(config.engine), samples_of(protocol, data))
    if not protocol.images:
        return held
    how = setting.get("convolution", "patches")
    model, form = image_model(protocol, how), held.build_method

    def with_image_model(numbers: TracedHyperparameters) -> MethodParts:
        loss = algorithms.cross_entropy(model.apply, numbers.class_weights)
        return form(numbers)._replace(algorithm=with_dropout(protocol, how, numbers.root), loss=loss)

    return dataclasses.replace(held, model=model, form=with_image_model)


def play(held: Held, lr: float, rounds: int) -> Iterator[models.Params]:
    """The shared parameters before the first round and after each, when they have been computed."""
    state = initial_state(held)
    yield state.params
    one_round = None
    for number in range(1, rounds + 1):
        cohort = draw_cohort(held.config.federation, held.training, held.root, number)
        one_round = one_round or compile_round(held, state, cohort, digests="off")
        state, _ = jax.block_until_ready(one_round(state, cohort, number, lr))
        yield state.params


def prepare(device: str) -> str:
    """Set the machine up as a run does, and say which device it is: cpu or cuda.

    Raises:
        RuntimeError: if a GPU is asked for and JAX sees none.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    devices.configure_devices(EngineOptions())
    found = "cuda" if jax.default_backend() == "gpu" else "cpu"
    if device == "cuda" != found:
        raise RuntimeError("--device cuda: JAX sees no GPU")
    return found


def simulate(protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging for so many rounds."""
    prepare(device)
    data = load(protocol)
    held = hold(protocol, setting, data)
    ends, params, first = [], None, None
    for params in play(held, protocol.lr, rounds):
        first = params if first is None else first
        ends.append(time.time())
    used = jax.devices()[0]
    peak = (used.memory_stats() or {}).get("peak_bytes_in_use") if used.platform != "cpu" else None
    loss = (probe_loss(held, data, first), probe_loss(held, data, params))
    packages = ("jax", "jaxlib", "numpy", "bofl_jax")
    return Outcome(ends, models.parameters(params), loss, packages, used.device_kind, peak and round(peak / 2**20, 1))


def probe_loss(held: Held, data: Data, params: models.Params) -> float:
    """The loss of ``params`` on samples that nobody trains on."""
    x = jnp.asarray(data.probe_x.reshape(len(data.probe_y), -1, data.probe_x.shape[-1]))
    batch = algorithms.Batch(x, jnp.zeros((len(x), 0)), jnp.asarray(data.probe_y, jnp.int32))
    return float(jax.jit(held.loss)(params, batch))


def settings(protocol: Protocol, device: str) -> list[Setting]:
    """Settings worth trying, the likeliest first; what the package does by itself is among them."""
    convolutions = [{"convolution": "patches"}, {"convolution": "lax"}] if protocol.images else [{}]
    engines: list[Setting] = [{"execution": "auto"}]
    if prepare(device) == "cuda":
        engines += [{"execution": "shard", "width": width} for width in (16, 256) if width < protocol.cohort]
    return [engine | convolution for convolution in convolutions for engine in engines]


if __name__ == "__main__":
    main("ours", settings, simulate, parser(__doc__).parse_args())
