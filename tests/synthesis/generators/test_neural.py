"""The shared parts of the neural generators, and one suite over two of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bofl_jax.synthesis.base import ClientSamples, SampleShape
from bofl_jax.synthesis.generators.diffusion import DiffusionOptions, diffusion
from bofl_jax.synthesis.generators.gan import GanOptions, gan
from bofl_jax.synthesis.generators.neural import draw_rows, run_steps, sampling_cdf, with_float_state
from bofl_jax.synthesis.generators.standardizer import (
    VARIANCE_FLOOR,
    ScalingStatistics,
    decode,
    encode,
    initial_statistics,
    nan_unless_finite,
    scaling_stages,
    standardizer,
)

SHAPE = SampleShape(window=5, leads=2, features=1, classes=("0", "1"), fs=10.0)
KEY = jax.random.key(0)


def make_samples(n=300, padding=0, filler=0.0, seed=0):
    """Two classes of correlated windows far from zero, then padding."""
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=n) < 0.3).astype(np.int32)
    x = np.cumsum(rng.normal(size=(n, 5, 2)), axis=1) * [3.0, 0.1] + [80.0, -2.0] + y[:, None, None]
    features = rng.normal(size=(n, 1)) * 7 + 5 - y[:, None]
    padded = (np.concatenate([part, np.full((padding, *part.shape[1:]), filler)]) for part in (x, features, y))
    x, features, y = padded
    return ClientSamples(jnp.float32(x), jnp.float32(features), jnp.asarray(y).astype(jnp.int32), jnp.int32(n))


class StatisticsState(NamedTuple):
    """A state without anything to train."""

    statistics: ScalingStatistics


def measure(samples, scaling):
    state = StatisticsState(initial_statistics(SHAPE, scaling))
    for stage in scaling_stages(SHAPE, scaling):
        state, loss = stage.client_update(state, samples, KEY)
        assert loss == 0
    return state.statistics


def vectors(samples, scaling):
    return np.asarray(encode(standardizer(measure(samples, scaling), SHAPE), samples.x, samples.features))


def test_channels_have_mean_0_and_deviation_1():
    samples = make_samples()
    z = vectors(samples, "channels")
    leads = z[:, :10].reshape(-1, 5, 2)
    np.testing.assert_allclose(leads.mean(axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(leads.std(axis=(0, 1)), 1, atol=1e-3)
    np.testing.assert_allclose([z[:, 10].mean(), z[:, 10].std()], [0, 1], atol=1e-3)


def test_whitened_entries_are_residuals_of_regressions_on_earlier_entries():
    samples = make_samples()
    z = vectors(samples, "whiten")
    np.testing.assert_allclose(np.cov(z.T, ddof=0), np.eye(11), atol=2e-3)
    x = np.concatenate([np.asarray(samples.x).reshape(300, -1), np.ones((300, 1))], axis=1)
    coefficients, *_ = np.linalg.lstsq(x[:, [*range(6), 10]], x[:, 6], rcond=None)
    assert np.corrcoef(x[:, 6] - x[:, [*range(6), 10]] @ coefficients, z[:, 6])[0, 1] > 0.9999


@pytest.mark.parametrize("scaling", ["none", "channels", "whiten"])
def test_decode_inverts_encode(scaling):
    samples = make_samples()
    scaler = standardizer(measure(samples, scaling), SHAPE)
    back = decode(scaler, encode(scaler, samples.x, samples.features), SHAPE)
    np.testing.assert_allclose(back.x, samples.x, atol=2e-3)
    np.testing.assert_allclose(back.features, samples.features, atol=2e-3)
    if scaling == "none":
        np.testing.assert_array_equal(back.x, samples.x)


def test_long_smooth_windows_are_whitened_although_float32_cannot_factor_their_covariance():
    shape = SampleShape(window=180, leads=1, features=0, classes=("0",), fs=360.0)
    rng = np.random.default_rng(0)
    waves = np.sin(np.linspace(0, 6, 180)[:, None] * np.arange(1, 7))
    x = jnp.float32(rng.normal(size=(400, 6)) @ waves.T)[:, :, None]
    samples = ClientSamples(x, jnp.zeros((400, 0)), jnp.zeros(400, jnp.int32), jnp.int32(400))
    state = StatisticsState(initial_statistics(shape, "whiten"))
    for stage in scaling_stages(shape, "whiten"):
        state, _ = stage.client_update(state, samples, KEY)
    covariance = state.statistics.product - jnp.outer(state.statistics.entry, state.statistics.entry)
    assert jnp.isnan(jnp.linalg.cholesky(covariance + VARIANCE_FLOOR * jnp.eye(180))).any()
    scaler = standardizer(state.statistics, shape)
    z = encode(scaler, samples.x, samples.features)
    assert 0.1 < jnp.abs(z).max() < 10
    np.testing.assert_allclose(decode(scaler, z, shape).x, samples.x, atol=0.05)


def test_statistics_with_nan_give_a_standardizer_with_nan():
    broken = initial_statistics(SHAPE, "whiten")._replace(product=jnp.full((11, 11), jnp.nan))
    assert jnp.isnan(standardizer(broken, SHAPE).factor).any()


def test_a_constant_channel_is_not_scaled():
    samples = make_samples()
    samples = samples._replace(x=samples.x.at[:, :, 1].set(36.6))
    scaler = standardizer(measure(samples, "channels"), SHAPE)
    back = decode(scaler, jnp.zeros((1, 11)), SHAPE)
    np.testing.assert_allclose(back.x[0, :, 1], 36.6, rtol=1e-6)
    assert scaler.sd[1] == 1


@pytest.mark.parametrize("scaling", ["channels", "whiten"])
def test_the_weighted_mean_over_clients_is_the_pooled_statistics(scaling):
    whole = make_samples()
    parts = [
        ClientSamples(*(part[rows] for part in whole[:3]), n) for rows, n in ((slice(70), 70), (slice(70, 300), 230))
    ]
    state = StatisticsState(initial_statistics(SHAPE, scaling))
    for stage in scaling_stages(SHAPE, scaling):
        one, other = (stage.client_update(state, part, KEY)[0].statistics for part in parts)
        state = StatisticsState(jax.tree.map(lambda a, b: (70 * a + 230 * b) / 300, one, other))
    pooled = measure(whole, scaling)
    for ours, theirs in zip(state.statistics, pooled, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scaling", ["channels", "whiten"])
def test_padding_is_not_measure(scaling):
    bare, padded = measure(make_samples(padding=9), scaling), measure(make_samples(padding=9, filler=np.nan), scaling)
    jax.tree.map(np.testing.assert_array_equal, bare, padded)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), bare, measure(make_samples(), scaling)
    )


def test_adam_with_a_float_state_is_adam():
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 30))
    ours = with_float_state(optimizer)
    params = {"w": jnp.arange(3.0)}
    theirs_state, state = optimizer.init(params), ours.init(params)
    theirs_params = params
    for _ in range(7):
        change, theirs_state = optimizer.update(jax.tree.map(jnp.sin, theirs_params), theirs_state)
        theirs_params = optax.apply_updates(theirs_params, change)
        change, state = ours.update(jax.tree.map(jnp.sin, params), state)
        params = optax.apply_updates(params, change)
        state = jax.tree.map(lambda leaf: (0.3 * leaf + 0.7 * leaf) * (1 - 1e-6), state)
    np.testing.assert_allclose(params["w"], theirs_params["w"], rtol=1e-4)
    assert [float(leaf) for leaf in jax.tree.leaves(state) if leaf.ndim == 0] == pytest.approx([7, 7], abs=1e-3)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)])
def test_rows_are_drawn_by_class_and_never_from_padding(balance, share):
    y = jnp.r_[jnp.zeros(90), jnp.ones(10), jnp.full(50, 1)].astype(jnp.int32)
    samples = ClientSamples(jnp.zeros((150, 5, 2)), jnp.zeros((150, 1)), y, jnp.int32(100))
    rows = np.asarray(draw_rows(KEY, sampling_cdf(samples, 2, balance), samples.size, 20_000))
    assert set(rows) == set(range(100))
    # Four standard errors of a share of 20 000 draws.
    np.testing.assert_allclose((rows >= 90).mean(), share, atol=4 * np.sqrt(0.25 / 20_000))
    each = np.bincount(rows[rows >= 90] - 90)
    np.testing.assert_allclose(each / each.sum(), 0.1, atol=4 * np.sqrt(0.09 / each.sum()))


def test_a_client_without_samples_leaves_the_state():
    samples = make_samples(n=0, padding=4, filler=1.0)
    state, loss = run_steps(lambda state, _: (state + 1, jnp.nan), jnp.zeros(2), samples, KEY, 3)
    np.testing.assert_array_equal(state, 0)
    assert loss == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_makes_the_loss_nan(bad):
    assert np.isnan(nan_unless_finite(jnp.ones(()), {"fine": jnp.ones(3), "bad": jnp.array([0, bad])}))
    assert nan_unless_finite(jnp.ones(()), {"fine": jnp.ones(3), "empty": jnp.zeros(0)}) == 1


SMALL = {
    "diffusion": diffusion(SHAPE, DiffusionOptions(width=8, depth=1, frame=2, draws=4, rounds=2, steps=3)),
    "gan": gan(SHAPE, GanOptions(hidden=(8,), noise=3, critic_steps=2, rounds=2, steps=3)),
}


@pytest.fixture(params=SMALL)
def generator(request):
    return SMALL[request.param]


@pytest.fixture(scope="module")
def updates():
    """The compiled client updates of both."""
    return {name: [jax.jit(stage.client_update) for stage in generator.stages] for name, generator in SMALL.items()}


def train(generator, updates, samples, key=KEY):
    state, losses = generator.init(key), []
    for update in updates[generator.name]:
        state, loss = update(state, samples, key)
        losses.append(float(loss))
    return state, losses


SAMPLES = {name: jax.jit(generator.sample, static_argnums=3) for name, generator in SMALL.items()}


def draw(generator, state, key=KEY, n=6):
    return SAMPLES[generator.name](generator.finalize(state), key, jnp.int32(1), n)


def test_a_state_consists_of_float32_arrays_and_keeps_its_shapes(generator, updates):
    before = generator.init(KEY)
    after, _ = train(generator, updates, make_samples(padding=8))
    assert {leaf.dtype for leaf in jax.tree.leaves((before, after))} == {jnp.dtype("float32")}
    assert jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)


def test_padding_changes_no_bit(generator, updates):
    zero, full = (train(generator, updates, make_samples(padding=8, filler=filler))[0] for filler in (0.0, np.nan))
    jax.tree.map(np.testing.assert_array_equal, zero, full)
    shorter = make_samples(padding=8)._replace(size=jnp.int32(250))
    assert any(
        np.any(a != b)
        for a, b in zip(*map(jax.tree.leaves, (zero, train(generator, updates, shorter)[0])), strict=True)
    )


def test_the_same_key_gives_the_same_bits_and_another_one_others(generator, updates):
    samples = make_samples(padding=8)
    first, again = (train(generator, updates, samples)[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    one, same, other = draw(generator, first), draw(generator, again), draw(generator, first, jax.random.key(9))
    np.testing.assert_array_equal(one.x, same.x)
    assert np.abs(one.x - other.x).min() > 0
    assert one.x.shape == (6, 5, 2)
    assert one.features.shape == (6, 1)


def test_training_continues_from_the_mean_of_two_clients(generator, updates):
    ours, theirs = make_samples(padding=8), make_samples(padding=8, seed=1)
    state = train(generator, updates, ours)[0]
    one, other = (updates[generator.name][-1](state, samples, KEY)[0] for samples in (ours, theirs))
    mean = jax.tree.map(lambda a, b: (100 * a + 230 * b) / 330, one, other)
    after, loss = updates[generator.name][-1](mean, ours, KEY)
    assert np.isfinite(loss)
    np.testing.assert_allclose(after.step, 9, rtol=1e-6)
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (mean, after)), strict=True))


@pytest.mark.parametrize("place", ["x", "features"])
def test_nan_in_the_samples_makes_the_loss_nan(generator, updates, place):
    samples = make_samples(padding=8)
    broken = samples._replace(**{place: getattr(samples, place).at[3].set(np.nan)})
    assert np.isnan(train(generator, updates, broken)[1]).all()
    state = train(generator, updates, samples)[0]
    broken = samples._replace(**{place: jnp.full_like(getattr(samples, place), np.nan)})
    assert np.isnan(updates[generator.name][-1](state, broken, KEY)[1])


def test_vmap_over_clients_equals_a_loop(generator, updates):
    """To rounding: products of another width round differently, and Adam's first steps magnify that."""
    samples = [make_samples(seed=seed, padding=8) for seed in (0, 1)]
    state = train(generator, updates, samples[0])[0]
    keys = jax.random.split(KEY, 2)
    both, losses = jax.jit(jax.vmap(generator.stages[-1].client_update, in_axes=(None, 0, 0)))(
        state, jax.tree.map(lambda *parts: jnp.stack(parts), *samples), keys
    )
    for client in (0, 1):
        alone, loss = updates[generator.name][-1](state, samples[client], keys[client])
        np.testing.assert_allclose(losses[client], loss, rtol=1e-3)
        jax.tree.map(lambda a, b, c=client: np.testing.assert_allclose(a[c], b, atol=1e-3), both, alone)
