"""The risk-coverage curve against the definition, threshold by threshold, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import aurc, coverage_at_risk, risk_coverage

SAMPLES = 400


@jax.jit
def measure(probability, label, mask):
    at_risk = [coverage_at_risk(probability, label, mask, risk) for risk in (0.01, 0.05, 0.2)]
    return risk_coverage(probability, label, mask), aurc(probability, label, mask), jnp.stack(at_risk)


def predictions(seed: int = 0, steps: int | None = None):
    """Confident predictions are mostly right."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, SAMPLES)
    probability = np.exp(1.5 * rng.normal(size=(SAMPLES, 3)) + 2 * np.eye(3)[label])
    probability /= probability.sum(1, keepdims=True)
    if steps is not None:
        probability = np.round(probability * steps) / steps
    return probability.astype(np.float32), label, rng.random(SAMPLES) < 0.8


def by_definition(probability, label):
    """A point a sample: accept all that are at least as confident."""
    confidence, wrong = probability.max(1), probability.argmax(1) != label
    accepted = [confidence >= threshold for threshold in np.sort(confidence)[::-1]]
    return np.array([which.mean() for which in accepted]), np.array([wrong[which].mean() for which in accepted])


@pytest.mark.parametrize("steps", [None, 10])
def test_equals_the_definition(steps):
    probability, label, mask = predictions(1, steps)
    curve, area, at_risk = measure(probability, label, mask)
    coverage, risk = by_definition(probability[mask], label[mask])
    there = mask.sum()
    # counts are integers on both sides, one float32 division follows
    np.testing.assert_allclose(curve.coverage[:there], coverage, rtol=1e-6)
    np.testing.assert_allclose(curve.risk[:there], risk, rtol=1e-6)
    assert np.isnan(curve.coverage[there:]).all()
    assert not curve.accepted[there:].any()
    np.testing.assert_allclose(area, risk.mean(), rtol=1e-6)
    for found, level in zip(at_risk, (0.01, 0.05, 0.2), strict=True):
        np.testing.assert_allclose(found, coverage[risk <= level + 1e-12].max(initial=0), rtol=1e-6)
    assert 0 < at_risk[1] < at_risk[2] < 1


def test_one_error_in_a_hundred_is_one_percent():
    confidence = jnp.linspace(0.99, 0.6, 200)
    label = jnp.zeros(200, int).at[jnp.array([99, 101])].set(1)
    everything = jnp.ones(200, bool)
    # 1 error among the first 100 or 101; after the second, 2 errors need 200 samples
    assert coverage_at_risk(jnp.stack([confidence, 1 - confidence], 1), label, everything) == 1.0
    assert coverage_at_risk(jnp.stack([confidence, 1 - confidence], 1), label.at[150].set(1), everything) == 0.505


def test_ends():
    label, everything = jnp.arange(SAMPLES) % 3, jnp.ones(SAMPLES, bool)
    _, area, at_risk = measure(jax.nn.one_hot(label, 3), label, everything)
    assert (float(area), at_risk.tolist()) == (0.0, [1.0] * 3)
    _, area, at_risk = measure(jax.nn.one_hot((label + 1) % 3, 3), label, everything)
    assert (float(area), at_risk.tolist()) == (1.0, [0.0] * 3)


@pytest.mark.parametrize("junk", [(np.nan, -1), (np.inf, 99), (0.9, 1)])
def test_padding_never_influences_a_result(junk):
    probability, label, mask = predictions(2)
    spoiled = np.where(mask[:, None], probability, junk[0]).astype(np.float32), np.where(mask, label, junk[1]), mask
    jax.tree.map(np.testing.assert_array_equal, measure(probability, label, mask), measure(*spoiled))


def test_vmap_over_clients_is_a_loop():
    probability, label, mask = predictions(3)
    of_group = mask & (np.random.default_rng(0).integers(0, 4, SAMPLES) == np.arange(4)[:, None])
    stacked = jax.vmap(measure, in_axes=(None, None, 0))(probability, label, of_group)
    for index in range(4):
        one = measure(probability, label, of_group[index])
        jax.tree.map(lambda a, b, i=index: np.testing.assert_allclose(a[i], b, rtol=1e-6), stacked, one)


def test_undefined():
    probability, label, mask = predictions(4)
    for found in measure(probability, label, np.zeros(SAMPLES, bool))[1:]:
        assert np.isnan(found).all()
    probability[np.flatnonzero(mask)[0]] = np.nan
    curve, *others = measure(probability, label, mask)
    assert all(np.isnan(found).all() for found in (curve.risk, *others))
    nothing = jnp.zeros((0, 2)), jnp.zeros(0, int), jnp.zeros(0, bool)
    assert np.isnan([aurc(*nothing), coverage_at_risk(*nothing)]).all()


def test_bad_arguments_are_rejected():
    with pytest.raises(BoflError, match="between 0 and 1"):
        coverage_at_risk(jnp.ones((3, 2)), jnp.zeros(3, int), jnp.ones(3, bool), risk=-0.1)
    with pytest.raises(BoflError, match="mask has shape"):
        risk_coverage(jnp.ones((3, 2)), jnp.zeros(3, int), jnp.ones(2, bool))
