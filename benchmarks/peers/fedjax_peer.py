"""Federated averaging with FedJAX: its algorithm, its client data sets and its backends.

    python benchmarks/peers/fedjax_peer.py --protocol 1000x1x16 --setting '{"backend": "pmap", "devices": 2}'

A setting has ``backend`` ("jit": client after client; "pmap": one client on each of ``devices``), ``eigen_threads``
(whether XLA's products may use several threads) and ``copies`` (runs at the same time, each with its share of the
clients, as if averaging between them cost nothing: `run.py` starts them).
"""

import os
import time

import fedjax
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from fedjax.algorithms import fed_avg
from work import Data, Outcome, Protocol, Setting, cohorts, load, main, peer_parser


def windows_network(x: jax.Array, classes: int) -> jax.Array:
    """The reference network: ``[B, T, L] -> [B, K]``.

    Args:
        x: float32[B, T, L].
        classes: K.
    """
    for channels in (16, 32):
        x = jax.nn.relu(hk.Conv1D(channels, 7, stride=2, padding="SAME")(x))
        x = hk.MaxPool((2, 1), (2, 1), "VALID")(x)
    return hk.nets.MLP([64, classes])(hk.Flatten()(x))


def images_network(x: jax.Array, classes: int, training: bool) -> jax.Array:
    """pfl-research's network for CIFAR10: ``[B, H, W, C] -> [B, K]``.

    Args:
        x: float32[B, H, W, C].
        classes: K.
        training: whether units are dropped.
    """
    glorot = hk.initializers.VarianceScaling(1.0, "fan_avg", "uniform")
    for channels in (32, 64):
        x = jax.nn.relu(hk.Conv2D(channels, 3, padding="VALID", w_init=glorot)(x))
    x = hk.Flatten()(hk.MaxPool((2, 2, 1), (2, 2, 1), "VALID")(x))
    x = hk.dropout(hk.next_rng_key(), 0.25, x) if training else x
    x = jax.nn.relu(hk.Linear(128, w_init=glorot)(x))
    x = hk.dropout(hk.next_rng_key(), 0.5, x) if training else x
    return hk.Linear(classes, w_init=glorot)(x)


def model_of(protocol: Protocol) -> fedjax.Model:
    """The protocol's network as a FedJAX model."""

    def forward(batch: dict, training: bool = False) -> jax.Array:
        if protocol.images:
            return images_network(batch["x"], protocol.classes, training)
        return windows_network(batch["x"], protocol.classes)

    def loss(batch: dict, logits: jax.Array) -> jax.Array:
        return -jnp.sum(jax.nn.one_hot(batch["y"], protocol.classes) * jax.nn.log_softmax(logits), axis=-1)

    return fedjax.create_model_from_haiku(
        transformed_forward_pass=hk.transform(forward),
        sample_batch={"x": jnp.zeros((1, *protocol.shape)), "y": jnp.zeros(1, jnp.int32)},
        train_loss=loss,
        train_kwargs={"training": True},
    )


def probe_loss(model: fedjax.Model, params: dict, data: Data) -> float:
    """The loss on samples that nobody trains on.

    Args:
        model: the model.
        params: its parameters.
        data: the protocol's data.
    """
    batch = {"x": jnp.asarray(data.probe_x), "y": jnp.asarray(data.probe_y)}
    return float(jnp.mean(model.train_loss(batch, model.apply_for_eval(params, batch))))


def simulate(protocol: Protocol, setting: Setting, device: str, rounds: int) -> Outcome:
    """Federated averaging; see `work`."""
    del device
    several = setting.get("eigen_threads", False)
    os.environ["XLA_FLAGS"] = (
        f"--xla_force_host_platform_device_count={setting.get('devices', 1)} "
        f"--xla_cpu_multi_thread_eigen={str(several).lower()}"
    )  # read when JAX is first used
    jax.config.update("jax_pmap_no_rank_reduction", False)  # the default of the JAX that FedJAX was written for
    data, model = load(protocol), model_of(protocol)
    clients = [fedjax.ClientDataset({"x": x, "y": y.astype(np.int32)}) for x, y in zip(data.x, data.y, strict=True)]
    with fedjax.for_each_client_backend(setting["backend"]):
        algorithm = fed_avg.federated_averaging(
            grad_fn=fedjax.model_grad(model),
            client_optimizer=fedjax.optimizers.sgd(protocol.lr),
            server_optimizer=fedjax.optimizers.sgd(1.0),
            client_batch_hparams=fedjax.ShuffleRepeatBatchHParams(
                batch_size=protocol.batch, num_epochs=None, num_steps=protocol.steps, drop_remainder=True
            ),
        )
    state = algorithm.init(model.init(jax.random.PRNGKey(0)))
    before, drawn, ends = probe_loss(model, state.params, data), cohorts(protocol), [time.time()]
    for number in range(rounds):
        keys = np.asarray(jax.random.split(jax.random.PRNGKey(number), protocol.cohort))
        cohort = next(drawn)
        state, _ = algorithm.apply(state, [(int(c), clients[c], key) for c, key in zip(cohort, keys, strict=True)])
        jax.block_until_ready(state.params)
        ends.append(time.time())
    parameters = sum(leaf.size for leaf in jax.tree_util.tree_leaves(state.params))
    loss = (before, probe_loss(model, state.params, data))
    return Outcome(ends, parameters, loss, ("fedjax", "jax", "dm-haiku", "numpy"))


def settings(protocol: Protocol, device: str) -> list[Setting]:
    """Settings that are tried, the most promising first; see `work`."""
    del protocol, device
    return [
        {"backend": "jit", "copies": 2},
        {"backend": "pmap", "devices": 2},
        {"backend": "jit"},
        {"backend": "jit", "eigen_threads": True},
    ]


if __name__ == "__main__":
    main("fedjax", settings, simulate, peer_parser(__doc__).parse_args())
