"""Attributions against finite differences, loops and closed forms; windows around R; the share inside them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.attribution import Inputs, gradient, integrated_gradients, saliency, smooth_grad
from bofl_jax.metrics.explanation import attribution_share, p_window, qrs_window, window_around
from bofl_jax.metrics.occlusion import occlusion

N, T, L, F, K = 6, 20, 2, 3, 4
RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((N, T, L)), jnp.float32)
FEATURES = jnp.asarray(RNG.standard_normal((N, F)), jnp.float32)
LABEL = jnp.asarray(RNG.integers(0, K, N), jnp.int32)
FIRST = jnp.asarray(RNG.standard_normal((T * L + F, 12)) / 6, jnp.float32)
LAST = jnp.asarray(RNG.standard_normal((12, K)), jnp.float32)
SLOPES = jnp.asarray(RNG.standard_normal((T * L + F, K)), jnp.float32)


def smooth(x, features):
    return jnp.tanh(jnp.concatenate([x.ravel(), features]) @ FIRST) @ LAST


def linear(x, features):
    return jnp.concatenate([x.ravel(), features]) @ SLOPES + 0.5


def float64_logit(sample, label):
    """The same network in NumPy, so that finite differences are not drowned in rounding."""
    return np.tanh(sample @ np.asarray(FIRST, np.float64)) @ np.asarray(LAST, np.float64)[:, label]


def flat(x, features):
    return np.concatenate([np.asarray(x, np.float64).ravel(), np.asarray(features, np.float64)])


def test_saliency_is_the_size_of_the_finite_difference():
    found = jax.jit(partial(saliency, smooth))(X, FEATURES, LABEL)
    for n in range(N):
        sample, step = flat(X[n], FEATURES[n]), 1e-6
        moved = sample + step * np.vstack([np.eye(len(sample)), -np.eye(len(sample))])
        up, down = np.split(float64_logit(moved, LABEL[n]), 2)
        # central differences in float64 err by about 1e-10, the gradient by some float32 roundings
        np.testing.assert_allclose(flat(found.x[n], found.features[n]), abs(up - down) / (2 * step), atol=1e-6)


def test_integrated_gradients_are_exact_on_a_linear_network():
    """a_i = w_i (x_i - b_i), to the rounding of 64 added terms."""
    baseline = Inputs(jnp.full((T, L), 0.3), jnp.array([0.1, -0.2, 0.0]))
    found = jax.jit(partial(integrated_gradients, linear))(X, FEATURES, LABEL, baseline)
    for n in range(N):
        expected = (flat(X[n], FEATURES[n]) - flat(*baseline)) * np.asarray(SLOPES)[:, LABEL[n]]
        np.testing.assert_allclose(flat(found.x[n], found.features[n]), expected, rtol=1e-5, atol=1e-6)
    assert found.completeness_error.max() < 2e-5


def test_integrated_gradients_add_up_on_a_smooth_network():
    """The goal is 1 %; the midpoint rule errs by O(m^-2), and few steps must err more."""
    many, few = (
        jax.jit(partial(integrated_gradients, smooth, steps=steps))(3 * X, FEATURES, LABEL).completeness_error
        for steps in (64, 2)
    )
    assert many.max() < 0.01
    assert few.max() > 10 * many.max()


def test_more_steps_are_taken_where_too_few_left_an_error():
    """A network with kinks errs by O(1 / m); samples that were good enough keep their bits."""

    def kinked(x, features):
        return jax.nn.relu(smooth(x, features) - 0.3) + 0.1 * smooth(x, features)

    explain = partial(integrated_gradients, kinked, 3 * X, FEATURES, LABEL, steps=4)
    once, within = jax.jit(explain)(), jax.jit(partial(explain, tolerance=0.01))()
    bad = np.asarray(once.completeness_error > 0.01)
    assert 0 < bad.sum() < N
    assert within.completeness_error.max() <= 0.01
    np.testing.assert_array_equal(within.x[~bad], once.x[~bad])
    assert (within.x[bad] != once.x[bad]).any()


def test_the_error_reported_is_the_error_made():
    found = jax.jit(partial(integrated_gradients, smooth, steps=3))(3 * X, FEATURES, LABEL)
    for n in range(N):
        gained = float64_logit(flat(3 * X[n], FEATURES[n]), LABEL[n]) - float64_logit(np.zeros(T * L + F), LABEL[n])
        error = abs(flat(found.x[n], found.features[n]).sum() - gained) / abs(gained)
        assert found.completeness_error[n] == pytest.approx(error, rel=1e-3, abs=1e-5)  # a difference of float32 sums


def test_a_sample_that_is_the_baseline_has_no_relative_error():
    found = integrated_gradients(linear, X[:1], FEATURES[:1], LABEL[:1], Inputs(X[0], FEATURES[0]), steps=2)
    assert not found.x.any()
    assert np.isnan(found.completeness_error[0])


def test_smooth_grad_is_the_gradient_of_the_smoothed_logit():
    """For f = sum x^3 the gradient's mean over x + e, e ~ N(0, s^2), is 3 (x^2 + s^2)."""
    draws, noise = 4000, 0.1
    found = jax.jit(lambda *samples: smooth_grad(cubic, *samples, jax.random.key(0), noise, draws))(X, FEATURES, LABEL)
    spread = noise * np.ptp(np.asarray(X), axis=(1, 2))[:, None, None]
    expected = 3 * (np.asarray(X) ** 2 + spread**2)
    # sd of one draw's 3 (x + e)^2 is at most 3 sqrt(4 x^2 s^2 + 2 s^4); 5 standard errors over 240 numbers
    error = 3 * np.sqrt(4 * np.asarray(X) ** 2 * spread**2 + 2 * spread**4) / np.sqrt(draws)
    assert (abs(found.x - expected) < 5 * error).all()
    assert (abs(expected - 3 * np.asarray(X) ** 2) > 5 * error).any()  # the smoothing is seen at all
    np.testing.assert_allclose(found.features, 1.0, rtol=1e-5)


def cubic(x, features):
    return jnp.full(K, (x**3).sum() + features.sum())


def test_smooth_grad_of_a_sample_does_not_depend_on_the_others():
    both = smooth_grad(cubic, X[:2], FEATURES[:2], LABEL[:2], jax.random.key(1), draws=3)
    one = smooth_grad(cubic, X[:1], FEATURES[:1], LABEL[:1], jax.random.key(1), draws=3)
    np.testing.assert_allclose(both.x[0], one.x[0], rtol=1e-6)


@pytest.mark.parametrize(("width", "stride"), [(5, 3), (4, 4), (20, 1), (1, 1)])
def test_occlusion_is_a_loop(width, stride):
    """Where (T - width) is no multiple of the stride, a last piece ends with the window."""
    baseline = Inputs(jnp.full((T, L), 0.2), jnp.full(F, -0.1))
    explain = jax.jit(partial(occlusion, smooth, width=width, stride=stride))
    found = explain(X[:2], FEATURES[:2], LABEL[:2], baseline=baseline)
    starts = list(range(0, T - width + 1, stride))
    starts += [T - width] if starts[-1] != T - width else []
    for n in range(2):
        whole, falls = float64_logit(flat(X[n], FEATURES[n]), LABEL[n]), [[] for _ in range(T)]
        for start in starts:
            covered = np.array(X[n])
            covered[start : start + width] = 0.2
            for t in range(start, start + width):
                falls[t].append(whole - float64_logit(flat(covered, FEATURES[n]), LABEL[n]))
        np.testing.assert_allclose(found.x[n, :, 0], [np.mean(fall) for fall in falls], atol=2e-6)  # float32 logits
        for f in range(F):
            features = np.array(FEATURES[n])
            features[f] = -0.1
            fall = whole - float64_logit(flat(X[n], features), LABEL[n])
            assert found.features[n, f] == pytest.approx(fall, abs=2e-6)


def test_windows_hold_the_samples_of_their_milliseconds():
    """At 180 Hz a sample is 5.6 ms; at 250 Hz the ends -60, 60, -80 and -250 ms lie on or between samples."""
    for fs, peak, window in ((180.0, 64, 128), (360.0, 128, 256), (250.0, 90, 180), (100.0, 30, 60)):
        ms = [round(1000 * (t - peak) / fs, 6) for t in range(window)]
        assert qrs_window(window, peak, fs).tolist() == [-60 <= m <= 60 for m in ms]
        assert p_window(window, peak, fs).tolist() == [-250 <= m <= -80 for m in ms]


def test_share_is_exact():
    attribution = jnp.asarray([[[1.0, -1.0], [2.0, 0.0], [0.0, -4.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    share = attribution_share(attribution, jnp.array([True, False, True]))
    assert share[0] == 0.75
    assert np.isnan(share[1])
    own = attribution_share(attribution, jnp.array([[False, True, False], [True, True, True]]))
    assert own[0] == 0.25


def test_share_of_integrated_gradients_finds_where_a_network_looks():
    """A network that reads 60 ms around R alone has all its attribution there."""
    mask = qrs_window(T, 10, 50.0)

    def looks_at_qrs(x, features):
        return jnp.tanh((x[:, 0] * mask).sum() + features.sum() + jnp.arange(K))

    found = integrated_gradients(looks_at_qrs, X, FEATURES, LABEL, steps=4)
    np.testing.assert_array_equal(attribution_share(found.x, mask), 1.0)
    np.testing.assert_array_equal(attribution_share(found.x, ~mask), 0.0)


def test_one_program_serves_all_parameters():
    traces = []

    def predict(weights, x, features):
        traces.append(None)
        return jnp.tanh(x.ravel() @ weights + features.sum())

    explain = jax.jit(lambda weights, *samples: gradient(partial(predict, weights), *samples))
    for scale in (1.0, 2.0):
        explain(scale * jnp.ones((T * L, K)), X, FEATURES, LABEL)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gradient(linear, X[0], FEATURES, LABEL), r"x\[N, T, L\]"),
        (lambda: gradient(linear, X, FEATURES[1:], LABEL), r"x\[N, T, L\]"),
        (lambda: gradient(linear, X, FEATURES, LABEL[:, None]), r"x\[N, T, L\]"),
        (lambda: integrated_gradients(linear, X, FEATURES, LABEL, steps=0), "at least one step"),
        (lambda: integrated_gradients(linear, X, FEATURES, LABEL, Inputs(X[0, 1:], FEATURES[0])), "does not fit"),
        (lambda: smooth_grad(linear, X, FEATURES, LABEL, jax.random.key(0), draws=0), "at least one noisy copy"),
        (lambda: occlusion(linear, X, FEATURES, LABEL, width=3, stride=4), "does not cover"),
        (lambda: occlusion(linear, X, FEATURES, LABEL, width=T + 1), "does not cover"),
        (lambda: window_around(10, 10, 180.0, -60, 60), "outside of a window"),
        (lambda: window_around(10, 5, 180.0, -250, -80), "no time sample lies between"),
        (lambda: attribution_share(X, jnp.ones(T + 1, bool)), r"attribution\[N, T, L\]"),
    ],
)
def test_bad_arguments_are_rejected(call, words):
    with pytest.raises(BoflError, match=words):
        call()
