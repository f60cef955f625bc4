"""Calibration curves, Murphy's parts, NLL and temperature against plain loops and scipy in float64.

Tolerance 1e-6 (absolute where positive and negative gaps cancel): float32 rounding of numbers of order 1.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special
from sklearn.metrics import log_loss

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics import (
    apply_temperature,
    brier,
    classwise_ece,
    classwise_reliability_diagram,
    ece,
    fit_temperature,
    murphy_decomposition,
    nll,
    reliability_diagram,
    reliability_points,
)

BINS, CLASSES = 15, 3
MEASURES = {
    "classwise_ece": classwise_ece,
    "reliability": reliability_diagram,
    "classwise_reliability": classwise_reliability_diagram,
    "murphy": murphy_decomposition,
    "nll": nll,
    "fit_temperature": fit_temperature,
}


@jax.jit
def measure(probability, label, mask):
    """Everything in one program, so that each shape is compiled once."""
    return {name: of(probability, label, mask) for name, of in MEASURES.items()}


def predictions(seed: int = 0, steps: int | None = None, samples: int = 400):
    rng = np.random.default_rng(seed)
    label = rng.choice(CLASSES, samples, p=[0.6, 0.3, 0.1]).astype(np.int32)
    probability = special.softmax(2 * rng.normal(size=(samples, CLASSES)) + np.eye(CLASSES)[label], axis=1)
    if steps is not None:
        probability = np.round(probability * steps) / steps
    return probability.astype(np.float32), label, rng.random(samples) < 0.8


def bins_of(score):
    """The rule of ``ece``, sample by sample."""
    lower = np.array([np.sum(score < value) for value in score])
    return lower * BINS // len(score)


@pytest.fixture(params=[None, 10], ids=["distinct", "ties"], scope="module")
def case(request):
    probability, label, mask = predictions(1, request.param)
    measured = jax.device_get(measure(probability, label, mask))
    return (probability, label, mask), measured, probability[mask].astype(np.float64), label[mask]


def test_classwise_error(case):
    _, measured, probability, label = case
    for k in range(CLASSES):
        score, hit, bin_of = probability[:, k], label == k, bins_of(probability[:, k])
        expected = sum(abs(np.sum((hit - score)[bin_of == b])) for b in range(BINS)) / len(label)
        np.testing.assert_allclose(measured["classwise_ece"][k], expected, atol=1e-6)


def test_curves(case):
    _, measured, probability, label = case
    scored = [(measured["reliability"], probability.max(1), probability.argmax(1) == label)]
    for k in range(CLASSES):
        of_class = jax.tree.map(lambda values, k=k: values[k], measured["classwise_reliability"])
        scored.append((of_class, probability[:, k], label == k))
    for curve, score, hit in scored:
        bin_of = bins_of(score)
        np.testing.assert_array_equal(curve.support, np.bincount(bin_of, minlength=BINS))
        for b in range(BINS):
            if curve.support[b]:
                np.testing.assert_allclose(curve.confidence[b], score[bin_of == b].mean(), rtol=1e-6)
                np.testing.assert_allclose(curve.accuracy[b], hit[bin_of == b].mean(), rtol=1e-6)
            else:
                assert np.isnan([curve.confidence[b], curve.accuracy[b]]).all()


def test_calibration_errors_are_means_of_the_curves(case):
    everything, measured, _, _ = case

    def error(curve):
        gap = np.abs(np.nan_to_num(curve.accuracy - curve.confidence))
        return (gap * curve.support).sum(-1) / curve.support.sum(-1)

    np.testing.assert_allclose(error(measured["reliability"]), ece(*everything), atol=1e-6)
    np.testing.assert_allclose(error(measured["classwise_reliability"]), measured["classwise_ece"], atol=1e-6)


def test_murphys_parts_add_up_to_the_brier_score(case):
    everything, measured, probability, label = case
    parts = measured["murphy"]
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bin
    expected = np.mean((probability - np.eye(CLASSES)[label]) ** 2, axis=0)
    np.testing.assert_allclose(total, expected, atol=1e-6)
    np.testing.assert_allclose(total.sum(), brier(*everything), atol=1e-6)
    for k in range(CLASSES):
        hit, bin_of = label == k, bins_of(probability[:, k])
        means = [
            (probability[bin_of == b, k].mean(), hit[bin_of == b].mean(), (bin_of == b).mean()) for b in set(bin_of)
        ]
        score, outcome, share = np.array(means).T
        np.testing.assert_allclose(parts.reliability[k], share @ (score - outcome) ** 2, atol=1e-6)
        np.testing.assert_allclose(parts.resolution[k], share @ (outcome - hit.mean()) ** 2, atol=1e-6)
        np.testing.assert_allclose(parts.uncertainty[k], hit.mean() * (1 - hit.mean()), atol=1e-6)


def test_bins_hide_nothing_where_every_bin_holds_one_score():
    """The classical three parts: five scores, fewer than the bins, so that a bin holds one of them."""
    rng = np.random.default_rng(2)
    score = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], 400).astype(np.float32)
    label = (rng.random(400) > score**2).astype(np.int32)
    probability = np.stack([score, 1 - score, 0 * score], axis=1)
    parts = jax.tree.map(lambda part: part[:2], measure(probability, label, np.ones(400, bool))["murphy"])
    np.testing.assert_allclose(parts.within_bin, 0, atol=1e-7)
    np.testing.assert_allclose(
        parts.reliability - parts.resolution + parts.uncertainty, np.mean((score - (label == 0)) ** 2), atol=1e-6
    )


def test_negative_log_likelihood():
    probability, label, mask = predictions(3)
    exact = probability[mask].astype(np.float64)
    # scikit-learn wants rows that add up to 1 in float64, which changes a probability by 6e-8
    expected = log_loss(label[mask], exact / exact.sum(1, keepdims=True))
    np.testing.assert_allclose(measure(probability, label, mask)["nll"], expected, rtol=1e-6)


def test_impossible_truth_costs_87_nats():
    value = nll(jnp.array([[1.0, 0.0]]), jnp.array([1]), jnp.ones(1, bool))
    np.testing.assert_allclose(value, 126 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_temperature_is_the_optimum_of_scipy(sharpness):
    probability, label, mask = predictions(4)
    logits = sharpness * np.log(probability.astype(np.float64))
    sharpened = special.softmax(logits, axis=1).astype(np.float32)
    exact, true = np.log(sharpened[mask].astype(np.float64)), label[mask]

    def loss(log_t):
        return -np.mean(special.log_softmax(exact / np.exp(log_t), axis=1)[np.arange(len(true)), true])

    best = np.exp(optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9}).x)
    found = measure(sharpened, label, mask)["fit_temperature"]
    # The bisection sees the sign of a float32 mean, exact to about 1e-7; scipy's own optimum is exact to 1e-8.
    np.testing.assert_allclose(found, best, rtol=1e-5)
    scaled = apply_temperature(sharpened[mask], found)
    np.testing.assert_allclose(nll(scaled, true, jnp.ones(len(true), bool)), loss(np.log(best)), rtol=1e-5)
    np.testing.assert_array_equal(scaled.argmax(1), sharpened[mask].argmax(1))


def test_temperature_at_its_ends():
    right = jnp.array([[0.9, 0.1], [0.2, 0.8]] * 10)
    label, everything = jnp.array([0, 1] * 10), jnp.ones(20, bool)
    assert fit_temperature(right, label, everything) == pytest.approx(0.01, rel=1e-5)
    assert fit_temperature(right, 1 - label, everything) == pytest.approx(100, rel=1e-5)


def test_applied_temperature():
    probability = predictions(5)[0]
    np.testing.assert_allclose(apply_temperature(probability, 1.0), probability, rtol=1e-5, atol=1e-7)
    powers = probability.astype(np.float64) ** (1 / 2.5)
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(apply_temperature(probability, 2.5), expected, rtol=1e-5)


@pytest.mark.parametrize("junk", [(np.nan, -1), (np.inf, 99), (0.5, 2)])
def test_padding_never_influences_a_result(case, junk):
    (probability, label, mask), measured, _, _ = case
    spoiled = np.where(mask[:, None], probability, junk[0]).astype(np.float32), np.where(mask, label, junk[1])
    jax.tree.map(np.testing.assert_array_equal, measured, jax.device_get(measure(*spoiled, mask)))


def test_vmap_over_clients_is_a_loop():
    probability, label, mask = predictions(6)
    of_group = mask & (np.random.default_rng(0).integers(0, 4, len(label)) == np.arange(4)[:, None])
    stacked = jax.device_get(jax.jit(jax.vmap(measure, in_axes=(None, None, 0)))(probability, label, of_group))
    for index in range(4):
        one = measure(probability, label, of_group[index])
        # Sums are reduced in another order: 1e-6; the temperature follows the sign of a float32 mean, as above.
        jax.tree.map(lambda a, b, i=index: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6), stacked, one)


@pytest.mark.parametrize("samples", [0, 5])
def test_no_sample_at_all_is_undefined(samples):
    nothing = jnp.full((samples, 2), 0.5), jnp.zeros(samples, int), jnp.zeros(samples, bool)
    for name, found in measure(*nothing).items():
        if "reliability" in name:
            assert not found.support.any()
        floats = [part for part in jax.tree.leaves(found) if part.dtype == np.float32]
        assert all(np.isnan(part).all() for part in floats), name


def test_a_diverged_model_is_not_calibrated():
    probability, label, mask = predictions(7)
    probability[np.flatnonzero(mask)[0]] = np.nan
    found = measure(probability, label, mask)
    undefined = [found["classwise_ece"], found["nll"], found["fit_temperature"], found["reliability"].confidence]
    undefined += [found["murphy"].reliability, found["murphy"].resolution, found["murphy"].within_bin]
    assert all(np.isnan(values).all() for values in undefined)


def test_shapes_that_do_not_belong_together_are_rejected():
    for function in MEASURES.values():
        with pytest.raises(BoflError, match=r"label has shape \(4,\): give \(3,\)"):
            function(jnp.ones((3, 2)), jnp.zeros(4, int), jnp.ones(3, bool))


def test_gaps_of_the_reliability_diagram_add_up_to_the_ece():
    rng = np.random.default_rng(0)
    for size, digits in ((7, 8), (60, 8), (60, 1)):  # with one digit there are ties, which share a bin
        probability = rng.dirichlet(np.full(3, 0.5), size).astype(np.float32).round(digits)
        label = rng.integers(0, 3, size).astype(np.int32)
        bins = reliability_points(probability, label)
        assert bins.samples.sum() == size
        gap = np.abs(bins.accuracy - bins.confidence) @ bins.samples / size
        expected = ece(jnp.asarray(probability), jnp.asarray(label), jnp.ones(size, bool))
        assert gap == pytest.approx(float(expected), abs=2e-6)  # float32 there
