"""The scores of the TimeGAN paper, for windows of the same distribution and of different ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.published import timegan_scores as scores

KEY = jax.random.key(0)


def sines(n, seed):
    rng = np.random.default_rng(seed)
    f, p = rng.uniform(0, 0.3, (2, n, 1, 4))
    return ((np.sin(f * np.arange(12)[:, None] + p) + 1) / 2).astype(np.float32)


def test_the_network_is_the_gru_of_tensorflow():
    """Against the cell written out for one row; float32 sums in another order."""
    params = scores.init_gru(KEY, 4, 3)
    x = sines(1, 0)[0]
    h, outputs = np.zeros(3), []
    for row in x:
        gates = 1 / (1 + np.exp(-(np.concatenate([row, h]) @ params.gates + params.gates_bias)))
        r, u = gates[:3], gates[3:]
        c = np.tanh(np.concatenate([row, r * h]) @ params.candidate + params.candidate_bias)
        h = u * h + (1 - u) * c
        outputs.append(h @ params.out[:, 0] + params.out_bias[0])
    np.testing.assert_allclose(scores.apply_gru(params, jnp.asarray(x)[..., None])[:, 0], outputs, atol=1e-5)


def test_only_windows_of_another_distribution_are_told_apart():
    """1000 test windows: three standard errors of the accuracy are .05."""
    real, same = sines(2500, 0), sines(2500, 1)
    assert scores.discriminative_score(real, same, KEY, 200) < 0.05
    assert scores.discriminative_score(real, np.clip(same - 0.5, 0, 1), KEY, 400) > 0.3


def test_only_windows_of_the_same_distribution_predict():
    real, same = sines(500, 0), sines(500, 1)
    shuffled = np.random.default_rng(2).permuted(same, axis=0)[:, ::-1] ** 4
    good, bad = (float(scores.predictive_score(real, synthetic, KEY, 600)) for synthetic in (same, shuffled))
    assert good < bad
    middle = np.abs(real[:, 1:, -1] - np.median(real[:, 1:, -1])).mean()
    assert good < middle < bad


def test_repeats_agree_with_single_runs(monkeypatch):
    monkeypatch.setattr(scores, "DISCRIMINATIVE_STEPS", 20)
    monkeypatch.setattr(scores, "PREDICTIVE_STEPS", 20)
    real, synthetic = sines(200, 0), sines(200, 1)
    found = scores.repeat_scores(real, synthetic, KEY, repeats=2)
    keys = jax.random.split(KEY, (2, 2))
    # One test window of 80 is .0125.
    np.testing.assert_allclose(
        found["discriminative"]["each"], [scores.discriminative(real, synthetic, key) for key in keys[0]], atol=0.013
    )
    np.testing.assert_allclose(
        found["predictive"]["each"], [scores.predictive(real, synthetic, key) for key in keys[1]], atol=1e-3
    )
    assert found["predictive"]["mean"] == pytest.approx(np.mean(found["predictive"]["each"]), abs=1e-4)
