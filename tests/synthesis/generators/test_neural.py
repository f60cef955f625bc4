"""What the neural generators share, and what both must do: one suite over the two."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bofl_jax.synthesis.base import Examples, Shape
from bofl_jax.synthesis.generators.diffusion import DiffusionSettings, diffusion
from bofl_jax.synthesis.generators.gan import GanSettings, gan
from bofl_jax.synthesis.generators.neural import (
    FLOOR,
    averageable,
    checked,
    decode,
    draw_rows,
    encode,
    ladder,
    lens,
    run_steps,
    scale_stages,
    start_scale,
)

SHAPE = Shape(window=5, leads=2, features=1, classes=2, fs=10.0)
KEY = jax.random.key(0)


def examples(n=300, padding=0, filler=0.0, seed=0):
    """Two classes of correlated windows far from zero, then padding."""
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=n) < 0.3).astype(np.int32)
    x = np.cumsum(rng.normal(size=(n, 5, 2)), axis=1) * [3.0, 0.1] + [80.0, -2.0] + y[:, None, None]
    features = rng.normal(size=(n, 1)) * 7 + 5 - y[:, None]
    padded = (np.concatenate([part, np.full((padding, *part.shape[1:]), filler)]) for part in (x, features, y))
    x, features, y = padded
    return Examples(jnp.float32(x), jnp.float32(features), jnp.asarray(y).astype(jnp.int32), jnp.int32(n))


class Only:
    """A state that has a scale and nothing else."""

    def __init__(self, scale):
        self.scale = scale

    def _replace(self, scale):
        return Only(scale)


def measured(given, scaling):
    state = Only(start_scale(SHAPE, scaling))
    for stage in scale_stages(SHAPE, scaling):
        state, loss = stage.work(state, given, KEY)
        assert loss == 0
    return state.scale


def vectors(given, scaling):
    return np.asarray(encode(lens(measured(given, scaling), SHAPE), given.x, given.features))


def test_channels_come_to_mean_0_and_deviation_1():
    given = examples()
    z = vectors(given, "channels")
    leads = z[:, :10].reshape(-1, 5, 2)
    np.testing.assert_allclose(leads.mean(axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(leads.std(axis=(0, 1)), 1, atol=1e-3)
    np.testing.assert_allclose([z[:, 10].mean(), z[:, 10].std()], [0, 1], atol=1e-3)


def test_whitened_entries_are_what_earlier_ones_do_not_tell():
    given = examples()
    z = vectors(given, "whiten")
    np.testing.assert_allclose(np.cov(z.T, ddof=0), np.eye(11), atol=2e-3)
    x = np.concatenate([np.asarray(given.x).reshape(300, -1), np.ones((300, 1))], axis=1)
    told, *_ = np.linalg.lstsq(x[:, [*range(6), 10]], x[:, 6], rcond=None)
    assert np.corrcoef(x[:, 6] - x[:, [*range(6), 10]] @ told, z[:, 6])[0, 1] > 0.9999


@pytest.mark.parametrize("scaling", ["none", "channels", "whiten"])
def test_samples_come_back_from_vectors(scaling):
    given = examples()
    glass = lens(measured(given, scaling), SHAPE)
    back = decode(glass, encode(glass, given.x, given.features), SHAPE)
    np.testing.assert_allclose(back.x, given.x, atol=2e-3)
    np.testing.assert_allclose(back.features, given.features, atol=2e-3)
    if scaling == "none":
        np.testing.assert_array_equal(back.x, given.x)


def test_long_smooth_windows_whose_covariance_float32_cannot_factor_are_whitened_all_the_same():
    shape = Shape(window=180, leads=1, features=0, classes=1, fs=360.0)
    rng = np.random.default_rng(0)
    waves = np.sin(np.linspace(0, 6, 180)[:, None] * np.arange(1, 7))
    x = jnp.float32(rng.normal(size=(400, 6)) @ waves.T)[:, :, None]
    given = Examples(x, jnp.zeros((400, 0)), jnp.zeros(400, jnp.int32), jnp.int32(400))
    state = Only(start_scale(shape, "whiten"))
    for stage in scale_stages(shape, "whiten"):
        state, _ = stage.work(state, given, KEY)
    covariance = state.scale.product - jnp.outer(state.scale.entry, state.scale.entry)
    assert jnp.isnan(jnp.linalg.cholesky(covariance + FLOOR * jnp.eye(180))).any()
    glass = lens(state.scale, shape)
    z = encode(glass, given.x, given.features)
    assert 0.1 < jnp.abs(z).max() < 10
    np.testing.assert_allclose(decode(glass, z, shape).x, given.x, atol=0.05)


def test_a_scale_that_is_no_number_stays_so():
    broken = start_scale(SHAPE, "whiten")._replace(product=jnp.full((11, 11), jnp.nan))
    assert jnp.isnan(lens(broken, SHAPE).factor).any()


def test_a_channel_that_never_changes_stays_as_it_is():
    given = examples()
    given = given._replace(x=given.x.at[:, :, 1].set(36.6))
    glass = lens(measured(given, "channels"), SHAPE)
    back = decode(glass, jnp.zeros((1, 11)), SHAPE)
    np.testing.assert_allclose(back.x[0, :, 1], 36.6, rtol=1e-6)
    assert glass.sd[1] == 1


@pytest.mark.parametrize("scaling", ["channels", "whiten"])
def test_the_weighted_mean_of_clients_is_the_pooled_scale(scaling):
    whole = examples()
    parts = [Examples(*(part[rows] for part in whole[:3]), n) for rows, n in ((slice(70), 70), (slice(70, 300), 230))]
    state = Only(start_scale(SHAPE, scaling))
    for stage in scale_stages(SHAPE, scaling):
        one, other = (stage.work(state, part, KEY)[0].scale for part in parts)
        state = Only(jax.tree.map(lambda a, b: (70 * a + 230 * b) / 300, one, other))
    pooled = measured(whole, scaling)
    for ours, theirs in zip(state.scale, pooled, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scaling", ["channels", "whiten"])
def test_padding_is_not_measured(scaling):
    bare, padded = measured(examples(padding=9), scaling), measured(examples(padding=9, filler=np.nan), scaling)
    jax.tree.map(np.testing.assert_array_equal, bare, padded)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), bare, measured(examples(), scaling)
    )


def test_an_averageable_adam_is_adam():
    rule = optax.adam(optax.cosine_decay_schedule(0.1, 30))
    ours = averageable(rule)
    params = {"w": jnp.arange(3.0)}
    theirs_state, state = rule.init(params), ours.init(params)
    theirs_params = params
    for _ in range(7):
        change, theirs_state = rule.update(jax.tree.map(jnp.sin, theirs_params), theirs_state)
        theirs_params = optax.apply_updates(theirs_params, change)
        change, state = ours.update(jax.tree.map(jnp.sin, params), state)
        params = optax.apply_updates(params, change)
        state = jax.tree.map(lambda leaf: (0.3 * leaf + 0.7 * leaf) * (1 - 1e-6), state)
    np.testing.assert_allclose(params["w"], theirs_params["w"], rtol=1e-4)
    assert [float(leaf) for leaf in jax.tree.leaves(state) if leaf.ndim == 0] == pytest.approx([7, 7], abs=1e-3)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)])
def test_rows_are_drawn_by_class_and_never_from_padding(balance, share):
    y = jnp.r_[jnp.zeros(90), jnp.ones(10), jnp.full(50, 1)].astype(jnp.int32)
    given = Examples(jnp.zeros((150, 5, 2)), jnp.zeros((150, 1)), y, jnp.int32(100))
    rows = np.asarray(draw_rows(KEY, ladder(given, 2, balance), given.size, 20_000))
    assert set(rows) == set(range(100))
    # Four standard errors of a share of 20 000 draws.
    np.testing.assert_allclose((rows >= 90).mean(), share, atol=4 * np.sqrt(0.25 / 20_000))
    each = np.bincount(rows[rows >= 90] - 90)
    np.testing.assert_allclose(each / each.sum(), 0.1, atol=4 * np.sqrt(0.09 / each.sum()))


def test_a_client_without_samples_leaves_the_state():
    given = examples(n=0, padding=4, filler=1.0)
    state, loss = run_steps(lambda state, _: (state + 1, jnp.nan), jnp.zeros(2), given, KEY, 3)
    np.testing.assert_array_equal(state, 0)
    assert loss == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_reaches_the_loss(bad):
    assert np.isnan(checked(jnp.ones(()), {"fine": jnp.ones(3), "bad": jnp.array([0, bad])}))
    assert checked(jnp.ones(()), {"fine": jnp.ones(3), "empty": jnp.zeros(0)}) == 1


SMALL = {
    "diffusion": diffusion(SHAPE, DiffusionSettings(width=8, depth=1, frame=2, draws=4, rounds=2, steps=3)),
    "gan": gan(SHAPE, GanSettings(hidden=(8,), noise=3, critic_steps=2, rounds=2, steps=3)),
}


@pytest.fixture(params=SMALL)
def generator(request):
    return SMALL[request.param]


@pytest.fixture(scope="module")
def works():
    """The compiled stages of both."""
    return {name: [jax.jit(stage.work) for stage in generator.stages] for name, generator in SMALL.items()}


def trained(generator, works, given, key=KEY):
    state, losses = generator.start(key), []
    for work in works[generator.name]:
        state, loss = work(state, given, key)
        losses.append(float(loss))
    return state, losses


SAMPLES = {name: jax.jit(generator.sample, static_argnums=3) for name, generator in SMALL.items()}


def drawn(generator, state, key=KEY, n=6):
    return SAMPLES[generator.name](generator.finish(state), key, jnp.int32(1), n)


def test_a_state_is_of_float32_and_keeps_its_shapes(generator, works):
    before = generator.start(KEY)
    after, _ = trained(generator, works, examples(padding=8))
    assert {leaf.dtype for leaf in jax.tree.leaves((before, after))} == {jnp.dtype("float32")}
    assert jax.tree.map(jnp.shape, before) == jax.tree.map(jnp.shape, after)


def test_padding_changes_no_bit(generator, works):
    zero, full = (trained(generator, works, examples(padding=8, filler=filler))[0] for filler in (0.0, np.nan))
    jax.tree.map(np.testing.assert_array_equal, zero, full)
    shorter = examples(padding=8)._replace(size=jnp.int32(250))
    assert any(
        np.any(a != b)
        for a, b in zip(*map(jax.tree.leaves, (zero, trained(generator, works, shorter)[0])), strict=True)
    )


def test_the_same_key_gives_the_same_bits_and_another_one_others(generator, works):
    given = examples(padding=8)
    first, again = (trained(generator, works, given)[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    one, same, other = drawn(generator, first), drawn(generator, again), drawn(generator, first, jax.random.key(9))
    np.testing.assert_array_equal(one.x, same.x)
    assert np.abs(one.x - other.x).min() > 0
    assert one.x.shape == (6, 5, 2)
    assert one.features.shape == (6, 1)


def test_the_mean_of_two_clients_can_go_on(generator, works):
    ours, theirs = examples(padding=8), examples(padding=8, seed=1)
    state = trained(generator, works, ours)[0]
    one, other = (works[generator.name][-1](state, given, KEY)[0] for given in (ours, theirs))
    mean = jax.tree.map(lambda a, b: (100 * a + 230 * b) / 330, one, other)
    after, loss = works[generator.name][-1](mean, ours, KEY)
    assert np.isfinite(loss)
    np.testing.assert_allclose(after.done, 9, rtol=1e-6)
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (mean, after)), strict=True))


@pytest.mark.parametrize("place", ["x", "features"])
def test_nan_reaches_the_loss(generator, works, place):
    given = examples(padding=8)
    broken = given._replace(**{place: getattr(given, place).at[3].set(np.nan)})
    assert np.isnan(trained(generator, works, broken)[1]).all()
    state = trained(generator, works, given)[0]
    broken = given._replace(**{place: jnp.full_like(getattr(given, place), np.nan)})
    assert np.isnan(works[generator.name][-1](state, broken, KEY)[1])


def test_clients_side_by_side_are_clients_one_by_one(generator, works):
    """To rounding: products of another width round differently, and Adam's first steps magnify that."""
    given = [examples(seed=seed, padding=8) for seed in (0, 1)]
    state = trained(generator, works, given[0])[0]
    keys = jax.random.split(KEY, 2)
    both, losses = jax.jit(jax.vmap(generator.stages[-1].work, in_axes=(None, 0, 0)))(
        state, jax.tree.map(lambda *parts: jnp.stack(parts), *given), keys
    )
    for client in (0, 1):
        alone, loss = works[generator.name][-1](state, given[client], keys[client])
        np.testing.assert_allclose(losses[client], loss, rtol=1e-3)
        jax.tree.map(lambda a, b, c=client: np.testing.assert_allclose(a[c], b, atol=1e-3), both, alone)
