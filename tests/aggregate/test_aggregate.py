"""Reductions and server optimisers in closed form, and against the pseudo-code of their papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax import aggregate
from bofl_jax.aggregate import ReducedUpdate, StackedUpdates
from bofl_jax.aggregate.spectral import k_means, spectral_clusters
from bofl_jax.algorithms import fednova_server, scaffold_server

SHARED = {"w": jnp.array([1.0, 2.0])}
UPDATES = [np.array([0.5, -1.0]), np.array([0.1, 0.0]), np.array([-0.3, 2.0])]


def rounds(optimizer, updates=UPDATES):
    """What the server shares after some rounds."""
    state, shared = optimizer.init(SHARED), SHARED
    for update in updates:
        received = ReducedUpdate({"w": jnp.asarray(update, jnp.float32)}, jnp.float32(1))
        state, shared = optimizer.step(state, shared, received)
    return np.asarray(shared["w"])


@pytest.mark.parametrize("rate", [1.0, 0.5, 2.0])
def test_sgd_moves_by_its_rate_times_the_mean_update(rate):
    np.testing.assert_allclose(rounds(aggregate.sgd(rate)), SHARED["w"] + rate * sum(UPDATES), rtol=1e-6)


def test_momentum_remembers():
    w, m = np.asarray(SHARED["w"], float), np.zeros(2)
    for update in UPDATES:
        m = 0.8 * m + update
        w = w + 0.5 * m
    np.testing.assert_allclose(rounds(aggregate.momentum(0.5, 0.8)), w, rtol=1e-6)
    np.testing.assert_allclose(rounds(aggregate.momentum(0.5, 0.0)), rounds(aggregate.sgd(0.5)), rtol=1e-6)


SECOND = {
    "adagrad": lambda v, u: v + u**2,
    "adam": lambda v, u: 0.95 * v + 0.05 * u**2,
    "yogi": lambda v, u: v - 0.05 * u**2 * np.sign(v - u**2),
}


@pytest.mark.parametrize("name", SECOND)
def test_adaptive_servers_follow_the_paper(name):
    betas = {"beta1": 0.8} if name == "adagrad" else {"beta1": 0.8, "beta2": 0.95}
    w, m, v = np.asarray(SHARED["w"], float), np.zeros(2), np.full(2, 0.01**2)
    for update in UPDATES:
        m, v = 0.8 * m + 0.2 * update, SECOND[name](v, update)
        w = w + 0.3 * m / (np.sqrt(v) + 0.01)
    np.testing.assert_allclose(rounds(getattr(aggregate, name)(0.3, tau=0.01, **betas)), w, rtol=1e-5)


def test_fednova_is_mean_steps_times_mean_direction():
    received = {"direction": {"w": jnp.array([0.1, -0.2])}, "steps": jnp.float32(6)}
    _, shared = fednova_server(0.5).step((), SHARED, ReducedUpdate(received, jnp.float32(1)))
    np.testing.assert_allclose(shared["w"], [1.3, 1.4], rtol=1e-6)


def test_scaffold_moves_the_variate_by_the_share_that_took_part():
    shared = {"params": SHARED, "variate": {"w": jnp.array([1.0, 0.0])}}
    update = {"params": {"w": jnp.array([2.0, 2.0])}, "variate": {"w": jnp.array([-4.0, 8.0])}}
    _, after = scaffold_server(0.5).step((), shared, ReducedUpdate(update, jnp.float32(0.25)))
    np.testing.assert_allclose(after["params"]["w"], [2, 3])
    np.testing.assert_allclose(after["variate"]["w"], [0, 2])


def planted(groups=3, each=7, noise=0.05, seed=0):
    """Points around far centres, and their true groups."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(groups), each))
    return rng.standard_normal((groups, 12))[truth] + noise * rng.standard_normal((groups * each, 12)), truth


def same_grouping(ours, theirs):
    return (np.equal.outer(ours, ours) == np.equal.outer(theirs, theirs)).all()


@pytest.mark.parametrize("seed", range(5))
def test_spectral_clusters_are_those_of_scikit_learn(seed):
    from sklearn.cluster import SpectralClustering

    points, truth = planted(noise=0.3, seed=seed)
    affinity = (1 + np.corrcoef(points)) / 2
    ours = np.asarray(jax.jit(spectral_clusters, static_argnums=1)(jnp.asarray(affinity, jnp.float32), 3))
    theirs = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(affinity)
    assert same_grouping(ours, theirs)
    assert same_grouping(ours, truth)


def test_k_means_settles_where_no_point_wants_to_move():
    points = jnp.asarray(np.random.default_rng(1).standard_normal((40, 2)), jnp.float32)
    group = np.asarray(k_means(points, 4))
    centres = np.stack([np.asarray(points)[group == g].mean(axis=0) for g in range(4)])
    gaps = np.linalg.norm(np.asarray(points)[:, None] - centres, axis=-1)
    np.testing.assert_array_equal(gaps.argmin(axis=1), group)


class TestClusterMeans:
    """The reduction of BFLN on clients whose prototypes form two clusters."""

    CLIENTS, CLASSES, WIDTH = 6, 2, 4
    TRUTH = np.array([0, 1, 0, 1, 0, 1])

    def received(self, rows, weight=None):
        rng = np.random.default_rng(3)
        kind = rng.standard_normal((2, self.CLASSES, self.WIDTH))
        prototype = kind[self.TRUTH] + 0.01 * rng.standard_normal((self.CLIENTS, self.CLASSES, self.WIDTH))
        count = np.full((self.CLIENTS, self.CLASSES), 5.0)
        update = {
            "params": {"w": np.arange(self.CLIENTS, dtype=np.float32)[:, None]},
            "prototype": 5 * prototype,
            "count": count,
        }
        weight = np.ones(self.CLIENTS) if weight is None else np.asarray(weight, float)
        picked = jax.tree.map(lambda a: jnp.asarray(a[rows], jnp.float32), update)
        return StackedUpdates(picked, jnp.asarray(weight[rows], jnp.float32), jnp.asarray(rows, jnp.int32))

    def start(self):
        reduction = aggregate.cluster_means(2, self.CLIENTS, self.CLASSES, self.WIDTH)
        shared = {"models": {"w": jnp.full((2, 1), 10.0)}, "cluster": jnp.zeros(self.CLIENTS, jnp.int32)}
        return reduction, reduction.init(shared), shared

    def test_each_cluster_gets_its_weighted_mean(self):
        reduction, state, shared = self.start()
        _, after, _ = reduction.reduce(state, shared, self.received(np.arange(6), [1, 2, 1, 1, 2, 1]))
        assert same_grouping(np.asarray(after["cluster"]), self.TRUTH)
        of_client = np.asarray(after["models"]["w"])[np.asarray(after["cluster"]), 0]
        even, odd = 10 + (0 + 2 + 2 * 4) / 4, 10 + (2 * 1 + 3 + 5) / 4
        np.testing.assert_allclose(of_client, [even, odd] * 3, rtol=1e-6)

    def test_a_rejected_update_has_no_influence(self):
        reduction, state, shared = self.start()
        received = self.received(np.arange(6), [1, 1, 1, 1, 0, 1])
        changed = jax.tree.map(lambda a: a.at[4].set(1e6), received.update)
        for one, other in zip(
            *(
                jax.tree.leaves(reduction.reduce(state, shared, received._replace(update=update)))
                for update in (received.update, changed)
            ),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)

    def test_a_client_that_takes_no_part_keeps_cluster_and_model(self):
        reduction, state, shared = self.start()
        state, shared, _ = reduction.reduce(state, shared, self.received(np.arange(6)))
        _, after, _ = reduction.reduce(state, shared, self.received(np.array([0, 2])))
        assert same_grouping(np.asarray(after["cluster"]), self.TRUTH)
        before, now = (np.asarray(s["models"]["w"])[np.asarray(s["cluster"]), 0] for s in (shared, after))
        np.testing.assert_allclose(now[1::2], before[1::2], rtol=1e-6)
        np.testing.assert_allclose(now[::2], before[0] + 1, rtol=1e-6)
