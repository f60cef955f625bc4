"""How batches are drawn and augmented."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax import algorithms
from tests.algorithms.quadratics import DIM, LR, RNG


def sampler(sampling="replacement", batch=5, scale=0.0, noise=0.0):
    return algorithms.Sampler(batch, sampling, scale, noise)


def test_batches_with_replacement_are_uniform_over_the_real_rows():
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: sampler().positions(key, jnp.int32(0), jnp.int32(4), None))(keys)
    counts = np.bincount(np.asarray(drawn).ravel(), minlength=8)
    assert counts[4:].sum() == 0
    assert np.abs(counts[:4] / 20000 - 0.25).max() < 0.015


def test_shuffled_batches_visit_every_row_once_an_epoch():
    drawer = sampler("shuffle", batch=3)
    order = drawer.order(jax.random.key(1), jnp.int32(6), 10)
    seen = [drawer.positions(jax.random.key(0), jnp.int32(step), jnp.int32(6), order).tolist() for step in range(4)]
    assert sorted(seen[0] + seen[1]) == list(range(6))
    assert seen[2] + seen[3] == seen[0] + seen[1]


def test_augmentation_has_the_stated_size_and_none_is_none():
    batch = algorithms.Batch(jnp.ones((2000, 8, 1)), jnp.zeros((2000, 0)), jnp.zeros(2000, jnp.int32))
    np.testing.assert_array_equal(sampler().augment(jax.random.key(0), batch).x, batch.x)
    scaled = np.asarray(sampler(scale=0.2).augment(jax.random.key(0), batch).x)
    assert 0.8 <= scaled.min() < 0.81
    assert 1.19 < scaled.max() <= 1.2
    assert np.ptp(scaled, axis=1).max() == 0
    noisy = np.asarray(sampler(noise=0.1).augment(jax.random.key(0), batch).x)
    assert (noisy - 1).std() == pytest.approx(0.1, rel=0.03)


def client_task(steps, size=4, capacity=6, fill=0, seed=0):
    index = jnp.arange(capacity).at[size:].set(fill)
    return algorithms.ClientTask(index, jnp.int32(size), jnp.int32(steps), jax.random.key(seed))


POOL = algorithms.Batch(
    jnp.zeros((6, 1, 1)), jnp.asarray(RNG.standard_normal((6, DIM)), jnp.float32), jnp.zeros(6, jnp.int32)
)


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
class TestData:
    """What a client's stream of batches promises."""

    def batches(self, task, sampling, part=0):
        data = algorithms.local_data(sampler(sampling, 4), POOL, task, jnp.float32(LR))
        return np.stack([data.batch(jnp.int32(step), part).features for step in range(5)])

    def test_padding_never_matters(self, sampling):
        np.testing.assert_array_equal(
            self.batches(client_task(5, fill=3), sampling), self.batches(client_task(5, fill=5), sampling)
        )

    def test_a_client_without_samples_is_harmless(self, sampling):
        assert np.isfinite(self.batches(client_task(0, size=0), sampling)).all()

    def test_parts_are_streams_of_their_own(self, sampling):
        first, second = (self.batches(client_task(5), sampling, part) for part in (0, 1))
        assert (first != second).any()
        assert set(map(tuple, second.reshape(-1, DIM))) <= set(map(tuple, np.asarray(POOL.features[:4])))

    def test_steps_run_in_order_and_none_without_work(self, sampling):
        def step(seen, batch):
            return seen * 10 + batch.features[0, 0], batch.features[1, 0]

        for steps in (0, 3):
            data = algorithms.local_data(sampler(sampling, 4), POOL, client_task(steps), jnp.float32(LR))
            seen, info = jax.jit(lambda data=data: data.run(step, jnp.float32(0)))()
            expected = self.batches(client_task(5), sampling)[:steps]
            by_hand = 0.0
            for batch in expected:
                by_hand = by_hand * 10 + batch[0, 0]
            assert float(seen) == pytest.approx(by_hand, rel=1e-5)
            assert float(info.loss) == pytest.approx(expected[:, 1, 0].mean() if steps else 0, rel=1e-5)
            assert int(info.examples) == 4 * steps
            _, more = data.run(step, jnp.float32(0), part=1, steps=2)
            assert int(more.examples) == (8 if steps else 0)
