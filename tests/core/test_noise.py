"""Noise against the cipher of JAX and against the normal distribution."""

import jax
import jax.extend as jex
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bofl_jax.core.noise import normal, threefry


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_the_cipher_is_that_of_jax(seed):
    key = jax.random.key_data(jax.random.key(seed))
    counts = jax.random.bits(jax.random.key(1), (2, 1000))
    expected = jex.random.threefry_2x32(key, counts.reshape(-1)).reshape(2, 1000)
    np.testing.assert_array_equal(threefry(key, counts), expected)


def test_noise_is_standard_normal_and_finite():
    drawn = np.asarray(normal(jax.random.key(0), (300, 1001)))
    assert drawn.dtype == np.float32
    assert drawn.shape == (300, 1001)
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(drawn.ravel()[:-1], drawn.ravel()[1:])[0, 1]) < 0.01
    assert drawn.min() < -4
    assert drawn.max() > 4


@pytest.mark.parametrize("word", [0, 2**32 - 1])
def test_the_outermost_cells_are_finite_and_opposite(word, monkeypatch):
    monkeypatch.setattr("bofl_jax.core.noise.threefry", lambda _, counts: jnp.full_like(counts, word))
    value = float(normal(jax.random.key(0), (1,))[0])
    assert np.isfinite(value)
    assert abs(value) == pytest.approx(-stats.norm.ppf(2.0**-24), rel=1e-3)


def test_every_key_draws_different_noise_and_vmap_changes_no_bit():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(lambda key: normal(key, (5, 7))))(keys)
    apart = np.stack([normal(key, (5, 7)) for key in keys])
    np.testing.assert_array_equal(together, apart)
    assert len(np.unique(together)) == together.size
