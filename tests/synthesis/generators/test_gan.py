"""The GAN: what it learns, and that its critic is held to a slope of one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.synthesis.base import ClientSamples, SampleShape
from bofl_jax.synthesis.generators.gan import GanOptions, Perceptron, gan

SHAPE = SampleShape(window=1, leads=3, features=1, classes=("survived", "died"), fs=1.0)
MEAN = np.array([[80.0, 120.0, 37.0, 5.0], [110.0, 90.0, 38.0, 3.0]])
SD = np.array([[10.0, 15.0, 0.5, 1.0], [5.0, 10.0, 1.0, 0.5]])
RHO = -0.6
OPTIONS = GanOptions(hidden=(32, 32), noise=8, rounds=2, steps=800, batch=64, lr=2e-3, average=0.99)


def vitals(n=2000, seed=0):
    """Four columns a class; the first two have the correlation RHO."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n).astype(np.int32)
    noise = rng.normal(size=(n, 4))
    noise[:, 1] = RHO * noise[:, 0] + np.sqrt(1 - RHO**2) * noise[:, 1]
    vectors = jnp.float32(MEAN[y] + SD[y] * noise)
    return ClientSamples(vectors[:, None, :3], vectors[:, 3:], jnp.asarray(y), jnp.int32(n))


@pytest.fixture(scope="module")
def state():
    generator = gan(SHAPE, OPTIONS)
    state = generator.init(jax.random.key(0))
    for stage in generator.stages:
        work = jax.jit(stage.client_update)
        for number in range(stage.rounds):
            state, _ = work(state, vitals(), jax.random.key(number))
    return state


@pytest.mark.parametrize("label", [0, 1])
def test_samples_of_a_class_have_its_means_deviations_and_correlation(state, label):
    """Tolerances leave room for a training of seconds; where both rates fall, means are off by .6."""
    generator = gan(SHAPE, OPTIONS)
    drawn = generator.sample(generator.finalize(state), jax.random.key(1), jnp.int32(label), 2000)
    vectors = np.concatenate([drawn.x[:, 0], drawn.features], axis=1)
    np.testing.assert_allclose((vectors.mean(axis=0) - MEAN[label]) / SD[label], 0, atol=0.35)
    np.testing.assert_allclose(vectors.std(axis=0) / SD[label], 1, atol=0.3)
    np.testing.assert_allclose(np.corrcoef(vectors.T)[0, 1], RHO, atol=0.25)


def test_the_critic_has_a_slope_of_one_between_real_and_drawn(state):
    """The penalty keeps it near 1: an untrained critic of this size has about .3, one without a penalty far more."""
    critic = Perceptron(OPTIONS.hidden, 2, 1)
    z = jax.random.normal(jax.random.key(2), (500, 4))
    y = jax.random.randint(jax.random.key(3), (500,), 0, 2)
    steep = jax.grad(lambda z: critic.apply(state.critic.params, z, y).sum())(z)
    assert 0.5 < np.linalg.norm(steep, axis=1).mean() < 1.3


def test_the_critic_steps_more_often_than_the_generator(state):
    steps = {name: float(getattr(state, name).opt_state[0].count) for name in ("generator", "critic")}
    assert steps == {"generator": 1600, "critic": 8000}
    assert state.step == 1600


@pytest.mark.parametrize("name", ["noise", "critic_steps", "steps"])
def test_impossible_options_are_rejected(name):
    with pytest.raises(ValidationError, match=f"{name}\n.*greater than or equal to 1"):
        GanOptions(**{name: 0})
