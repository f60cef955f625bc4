"""The fitted simulator: it recovers known waves and draws beats by the rules or from own beats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.algorithms import Batch
from bofl_jax.balancing.fit import FitInputs, fit
from bofl_jax.core.errors import BoflError
from bofl_jax.data import MitbihOptions, load
from bofl_jax.data.ecg.features import FEATURE_NAMES, rr_features
from bofl_jax.data.ecg.morphology import CENTRE_S, WIDTH_S, S, V, Waves, wave_sum
from bofl_jax.parallel.clients import ExecutionPlan
from bofl_jax.partition import pack
from bofl_jax.synthesis.base import ClientSamples, SampleShape
from bofl_jax.synthesis.ecg.beat_fit import fit_beat, wave_train
from bofl_jax.synthesis.ecg.beat_rules import BeatTiming, draw_timing, draw_variates, rr_inputs
from bofl_jax.synthesis.ecg.mechanistic import MechanisticOptions, mechanistic, window_time

CLASSES = ("N", "S", "V", "F", "Q")
SHAPE = SampleShape(window=128, leads=1, features=7, classes=CLASSES, fs=180.0)
GENERATOR = mechanistic(SHAPE, MechanisticOptions())
TIME = np.asarray(window_time(SHAPE))
KEY = jax.random.key(0)
RR = 0.8
MOVED_S = np.array([0.02, 0.002, 0, 0.004, -0.02])
WAVES = Waves(
    *(jnp.asarray(part, jnp.float32) for part in ([0.6, -0.5, 5.0, -1.2, 1.1], CENTRE_S + MOVED_S, 1.15 * WIDTH_S))
)


def beats(n=60, seed=0, label=0, waves=WAVES, pre=None):
    """N beats of one class with waves that are known, a little noise and RR inputs of a steady rhythm."""
    rng = np.random.default_rng(seed)
    gain = 1 + 0.05 * rng.standard_normal((n, 1))
    x = gain * np.asarray(wave_train(waves, jnp.asarray(TIME), jnp.float32(RR))) + 0.03 * rng.standard_normal((n, 128))
    features = rr_features(np.cumsum(RR + 0.03 * rng.standard_normal(n)))
    if pre is not None:
        features[:, FEATURE_NAMES.index("pre/local")] = pre
    return x[:, :, None].astype(np.float32), features, np.full(n, label, np.int32)


def make_samples(*groups, padding=0, filler=0.0):
    """The groups of beats one after another, and rows of padding after them."""
    x, features, y = (np.concatenate(parts) for parts in zip(*groups, strict=True))
    full = [np.concatenate([a, np.full_like(a, filler, shape=(padding, *a.shape[1:]))]) for a in (x, features, y)]
    return ClientSamples(*map(jnp.asarray, full), jnp.int32(len(y)))


@jax.jit
def fitted(own):
    return GENERATOR.finalize(GENERATOR.stages[0].client_update(GENERATOR.init(KEY), own, KEY)[0])


@jax.jit
def fit_once(mean, interval):
    return fit_beat(mean, jnp.asarray(TIME), interval, 40)


sample = jax.jit(GENERATOR.sample, static_argnums=3)


def draw(model, label, key=KEY, n=200):
    drawn = sample(model, key, jnp.int32(CLASSES.index(label)), n)
    return np.asarray(drawn.x[..., 0]), np.asarray(drawn.features)


@pytest.fixture(scope="module")
def normal_only():
    return fitted(make_samples(beats()))


@pytest.fixture(scope="module")
def drawn(normal_only):
    return {name: draw(normal_only, name) for name in CLASSES}


def width_ms(beat):
    """Time around the R peak during which a beat is above half of its height there."""
    above = beat * np.sign(beat[64]) > abs(beat[64]) / 2
    left, right = 64 - np.argmin(above[64::-1]), 64 + np.argmin(above[64:])
    return (right - left) / SHAPE.fs * 1000


def test_the_fit_recovers_known_waves():
    """Within 2 % of the R peak everywhere; R, P and T, which nothing covers, within 10 % and 5 ms.

    The exact waves are not the best fit: steps away from the standard beat cost something.
    """
    mean = wave_train(WAVES, jnp.asarray(TIME), jnp.float32(RR)) + 0.1
    beat = fit_once(mean, jnp.float32(RR))
    assert np.abs(beat.detail).max() < 0.02 * 5.0
    for wave in (0, 2, 4):
        assert beat.waves.amplitude[wave] == pytest.approx(float(WAVES.amplitude[wave]), rel=0.1)
        assert beat.waves.centre[wave] == pytest.approx(float(WAVES.centre[wave]), abs=0.005)
        assert beat.waves.width[wave] == pytest.approx(float(WAVES.width[wave]), rel=0.1)
    assert beat.level == pytest.approx(0.1, abs=0.05)


def test_the_fit_follows_wide_and_inverted_beats():
    for factor, sign in ((2.5, 1.0), (1.0, -1.0)):
        wide = WAVES.width.at[1:4].multiply(factor)
        mean = sign * wave_train(WAVES._replace(width=wide), jnp.asarray(TIME), jnp.float32(RR))
        beat = fit_once(mean, jnp.float32(RR))
        assert np.abs(beat.detail).max() < 0.04 * 5.0
        assert beat.waves.amplitude[2] * sign > 2.5


def test_at_a_high_heart_rate_the_neighbours_are_in_the_window():
    """At 120 beats a minute the T wave before R stands a quarter of a second ahead of it and is not taken for P."""
    interval = jnp.float32(0.5)
    mean = wave_train(WAVES, jnp.asarray(TIME), interval)
    assert mean[int(np.argmin(np.abs(TIME + 0.25)))] > 0.9
    beat = fit_once(mean, interval)
    assert np.abs(beat.detail).max() < 0.02 * 5.0
    assert beat.waves.amplitude[0] == pytest.approx(0.6, rel=0.15)
    assert beat.waves.amplitude[4] == pytest.approx(1.1, rel=0.15)


def test_intervals_are_recovered(normal_only):
    found = normal_only.normal.intervals
    assert found.usual == pytest.approx(RR, abs=0.01)
    assert found.record == pytest.approx(RR, abs=0.01)
    assert found.jitter == pytest.approx(0.03 / RR, rel=0.25)  # 60 intervals


@pytest.mark.parametrize("label", ["N", "V"])
def test_padding_changes_nothing(label):
    plain, padded = (
        fitted(make_samples(beats(), beats(8, label=2), padding=20, filler=filler)) for filler in (0.0, 3.0)
    )
    jax.tree.map(np.testing.assert_array_equal, plain, padded)
    np.testing.assert_allclose(padded.trust, [60 / 65, 0, 8 / 13, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(draw(plain, label)[0], draw(padded, label)[0])


def test_vmap_over_clients_equals_one_by_one():
    """To what is left over after the fit within .01 of x (R is 5): the solver rounds in another order."""
    clients = [make_samples(beats(seed=seed), padding=0) for seed in range(3)]
    together = jax.jit(jax.vmap(fitted))(jax.tree.map(lambda *parts: jnp.stack(parts), *clients))
    for number, own in enumerate(clients):
        alone, row = fitted(own), jax.tree.map(lambda leaf, number=number: leaf[number], together)
        np.testing.assert_allclose(row.normal.beat.detail, alone.normal.beat.detail, atol=0.01)
        for mine, theirs in zip(draw(row, "V"), draw(alone, "V"), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=0.02)


def test_every_leaf_is_float32(normal_only):
    start = GENERATOR.init(KEY)
    after, _ = GENERATOR.stages[0].client_update(start, make_samples(beats()), KEY)
    made = sample(normal_only, KEY, jnp.int32(2), 200)
    for tree in (start, after, normal_only, made):
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} == {jnp.dtype("float32")}


def test_the_same_key_gives_the_same_bits(normal_only):
    one, same, other = (draw(normal_only, "V", jax.random.key(key)) for key in (1, 1, 2))
    for mine, theirs in zip(one, same, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert np.abs(one[0] - other[0]).max() > 0.1


def test_normal_beats_resemble_those_of_the_client(drawn):
    x, features = drawn["N"]
    np.testing.assert_allclose(x.mean(axis=0), beats()[0].mean(axis=(0, 2)), atol=0.12)
    np.testing.assert_allclose(features.mean(axis=0), beats()[1].mean(axis=0), atol=0.12)


def test_a_ventricular_beat_is_wide_without_p_and_early(drawn):
    """Twice as wide as N in the median (the reference measured 2.2); no P; pre/local near its .73, post near 1.28."""
    x, features = drawn["V"]
    ratio = np.median([width_ms(beat) for beat in x]) / np.median([width_ms(beat) for beat in drawn["N"][0]])
    assert 1.6 < ratio < 2.8
    at_p = np.abs(TIME - float(WAVES.centre[0])) < 0.01
    assert drawn["N"][0][:, at_p].mean() > 0.4
    pre, post = (0.25 * features[:, FEATURE_NAMES.index(f"{name}/local")] + 1 for name in ("pre", "post"))
    late = pre > 0.75  # then the T wave of the beat before lies ahead of where P would be
    assert np.median(x[late][:, at_p]) < 0.3
    assert np.median(pre) == pytest.approx(0.73, abs=0.05)
    assert np.median(post) == pytest.approx(1.28, abs=0.1)


def test_ventricular_beats_point_both_ways_and_t_against_them(drawn):
    x = drawn["V"][0]
    assert 0.1 < np.mean(x[:, 64] < 0) < 0.5
    late = (TIME > 0.2) & (TIME < 0.29)
    assert np.corrcoef(x[:, 60:75].mean(axis=1), x[:, late].mean(axis=1))[0, 1] < -0.3


def test_a_supraventricular_beat_is_early_and_narrow(drawn):
    x, features = drawn["S"]
    pre = 0.25 * features[:, FEATURE_NAMES.index("pre/local")] + 1
    assert np.median(pre) == pytest.approx(0.8, abs=0.06)
    assert np.median(0.25 * features[:, 0] + 0.8) < 0.7
    assert np.median([width_ms(beat) for beat in x]) == np.median([width_ms(beat) for beat in drawn["N"][0]])
    near = np.abs(TIME) < 0.025
    np.testing.assert_allclose(np.median(x, axis=0)[near], drawn["N"][0].mean(axis=0)[near], atol=0.3)


def test_the_t_wave_before_an_early_beat_overlaps_with_it(normal_only):
    """Where the fitted model has no T wave, S beats are lower ahead of R, by about the height of one."""
    silent = normal_only.normal.beat.waves
    silent = silent._replace(amplitude=silent.amplitude.at[4].set(0.0))
    beat = normal_only.normal.beat._replace(waves=silent)
    without = normal_only._replace(normal=normal_only.normal._replace(beat=beat))
    ahead = (TIME > -0.34) & (TIME < -0.1)
    change = (draw(normal_only, "S")[0] - draw(without, "S")[0])[:, ahead].max(axis=1)
    assert np.median(change) > 0.5 * 1.1


def test_a_fusion_beat_is_between_a_normal_and_a_ventricular_beat(drawn):
    widths = [np.median([width_ms(beat) for beat in drawn[name][0]]) for name in "NFV"]
    assert widths[0] < widths[1] < widths[2]
    assert np.std(drawn["F"][0][:, 64]) < np.std(drawn["V"][0][:, 64])


def test_a_paced_beat_is_wide_and_on_time(drawn):
    x, features = drawn["Q"]
    assert np.median([width_ms(beat) for beat in x]) > 1.5 * np.median([width_ms(beat) for beat in drawn["N"][0]])
    assert abs(np.median(features[:, FEATURE_NAMES.index("pre/local")])) < 0.1


OWN = Waves(*(jnp.array(part, jnp.float32) for part in ([-4.0, 2.0], [0.0, 0.25], [0.04, 0.06])))


@pytest.fixture(scope="module")
def with_own():
    return fitted(make_samples(beats(), beats(45, seed=1, label=2, waves=OWN, pre=-2.0)))


def test_a_client_with_own_ventricular_beats_draws_from_these(with_own):
    """45 own beats: with k = 5 nine in ten are drawn from them."""
    x, features = draw(with_own, "V")
    near = np.abs(x - np.asarray(wave_sum(OWN, jnp.asarray(TIME)))).mean(axis=1) < 0.3
    assert np.mean(near) == pytest.approx(0.9, abs=0.06)
    assert np.mean(np.abs(features[near, FEATURE_NAMES.index("pre/local")] + 2) < 0.3) > 0.9


def test_a_fusion_beat_is_a_fusion_of_own_beats(with_own):
    x = draw(with_own, "F")[0]
    own = np.asarray(wave_sum(OWN, jnp.asarray(TIME))), np.asarray(wave_sum(WAVES, jnp.asarray(TIME)))
    share = (x - own[0]) @ (own[1] - own[0]) / np.sum((own[1] - own[0]) ** 2)
    left = np.abs(x - own[0] - share[:, None] * (own[1] - own[0])).mean(axis=1)
    assert np.mean((left < 0.3) & (share > 0.25) & (share < 0.75)) > 0.8


@pytest.mark.parametrize("own", [0, 4])
def test_too_few_own_beats_are_not_drawn_from(normal_only, own):
    model = fitted(make_samples(beats(), *([beats(own, label=2, waves=OWN)] if own else [])))
    assert model.trust[2] == 0
    assert normal_only.trust[0] == pytest.approx(60 / 65)


def test_beats_with_causal_inputs():
    shape = SHAPE._replace(features=4)
    generator = mechanistic(shape, MechanisticOptions())
    x, _, y = beats()
    features = rr_features(np.cumsum(RR + 0.03 * np.random.default_rng(0).standard_normal(60)), causal=True)
    own = ClientSamples(*map(jnp.asarray, (x, features, y)), jnp.int32(60))
    model = jax.jit(
        lambda one: generator.finalize(generator.stages[0].client_update(generator.init(KEY), one, KEY)[0])
    )(own)
    made = jax.jit(generator.sample, static_argnums=3)(model, KEY, jnp.int32(2), 100)
    assert made.features.shape == (100, 4)
    assert np.median(made.features[:, 2]) == pytest.approx((0.73 - 1) / 0.25, abs=0.25)


def test_the_inputs_of_a_beat_equal_those_of_the_loader():
    """Ten intervals: the beat's own is the last of the ten that local is the mean of."""
    times = np.cumsum([0.5, *[0.8] * 9, 0.5, 1.1])
    last = rr_features(times)[-2]
    mean = np.diff(times).mean()
    one = BeatTiming(*(jnp.array([value]) for value in (0.5, 1.1, (9 * 0.8 + 0.5) / 10)))
    np.testing.assert_allclose(rr_inputs(one, mean, FEATURE_NAMES)[0], last, atol=1e-5)


def test_runs_of_early_beats(normal_only):
    """Three in ten S beats are followed as early as they came; a V outside a run is followed by a pause."""
    draws = draw_variates(KEY, 2000, rank=1, window=1)
    each = jax.jit(jax.vmap(draw_timing, in_axes=(None, 0, None)))
    timing = [each(normal_only.normal.intervals, draws, jnp.int32(code)) for code in (S, V)]
    in_run = [np.mean(np.asarray(one.pre) == np.asarray(one.post)) for one in timing]
    np.testing.assert_allclose(in_run, [0.3, 0.15], atol=0.04)


def test_federated_training_gives_the_model_of_the_pooled_beats():
    """To rounding of the moments; the waves are not compared, as the fit may end elsewhere for another rounding."""
    x, features, y = (
        np.concatenate(parts) for parts in zip(beats(20), beats(40, seed=1), beats(12, 2, 2), strict=True)
    )
    pool, rows = Batch(*map(jnp.asarray, (x, features, y))), pack([np.arange(20), np.arange(20, 72)])
    inputs = FitInputs(ExecutionPlan("vmap", 0, 1, 1), pool, rows, y, 5, KEY)
    models = {how: fit(GENERATOR, inputs, how) for how in ("federated", "pooled", "local")}
    together, pooled = (models[how].fitted_for(0) for how in ("federated", "pooled"))
    np.testing.assert_allclose(together.own.mean, pooled.own.mean, atol=1e-4)
    for field in ("usual", "record"):
        mine, theirs = (getattr(model.normal.intervals, field) for model in (together, pooled))
        assert mine == pytest.approx(float(theirs), abs=1e-3)
    assert models["local"].can_sample(0, 2)  # it has no V beat, but 20 N beats
    assert models["local"].sample(KEY, 0, 2, 3).x.shape == (3, 128, 1)


@pytest.mark.parametrize(
    ("shape", "classes", "said"),
    [
        (SHAPE, ("S", "N", "V", "F", "Q"), "with N first"),
        (SHAPE, ("N", "X", "V", "F", "Q"), "N, X, V"),
        (SHAPE._replace(features=2), CLASSES, "2 inputs"),
        (SHAPE._replace(leads=2), CLASSES, "2 leads"),
    ],
)
def test_other_samples_are_rejected(shape, classes, said):
    with pytest.raises(BoflError, match=said):
        mechanistic(shape._replace(classes=classes), MechanisticOptions())


def test_a_real_patients_ventricular_beats_from_its_normal_ones(mitdb):
    """Record 119: the rules, which see none of its V beats, draw some that correlate by .8 with its mean V beat.

    Its own N beats correlate less. With the V beats of its first five minutes the draws are those.
    """
    samples = load(MitbihOptions(root=mitdb, records=("119",), cache=False, classes=CLASSES), seed=0)
    early = samples.time < 300
    mean = samples.x[~early & (samples.y == 2), :, 0].mean(axis=0)
    known, unknown = (early, early & (samples.y == 0))
    found = []
    for rows in (known, unknown):
        own = samples.x[rows], samples.features[rows], samples.y[rows]
        x, _ = draw(fitted(make_samples(own)), "V")
        found.append([np.corrcoef(beat, mean)[0, 1] for beat in x])
    normal = np.corrcoef(samples.x[early & (samples.y == 0), :, 0].mean(axis=0), mean)[0, 1]
    assert np.median(found[0]) > 0.95
    assert np.quantile(found[1], 0.9) > max(0.8, normal)
