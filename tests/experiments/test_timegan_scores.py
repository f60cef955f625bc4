"""The scores of the TimeGAN paper: what they must say of windows that are alike, and of such as are not."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "published"
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def scores():
    sys.path.insert(0, str(FOLDER))
    import timegan_scores

    yield timegan_scores
    sys.path.remove(str(FOLDER))
    sys.modules.pop("timegan_scores", None)


def sines(n, seed):
    rng = np.random.default_rng(seed)
    f, p = rng.uniform(0, 0.3, (2, n, 1, 4))
    return ((np.sin(f * np.arange(12)[:, None] + p) + 1) / 2).astype(np.float32)


def test_a_reader_is_tensorflows_gru(scores):
    """Against the cell written out for one row; float32 sums in another order."""
    params = scores.reader(KEY, 4, 3)
    x = sines(1, 0)[0]
    h, outputs = np.zeros(3), []
    for row in x:
        gates = 1 / (1 + np.exp(-(np.concatenate([row, h]) @ params.gates + params.gates_bias)))
        r, u = gates[:3], gates[3:]
        c = np.tanh(np.concatenate([row, r * h]) @ params.candidate + params.candidate_bias)
        h = u * h + (1 - u) * c
        outputs.append(h @ params.out[:, 0] + params.out_bias[0])
    np.testing.assert_allclose(scores.read(params, jnp.asarray(x)[..., None])[:, 0], outputs, atol=1e-5)


def test_what_is_alike_cannot_be_told_apart_and_what_is_not_can(scores):
    """1000 test windows: three standard errors of the accuracy are .05."""
    real, alike = sines(2500, 0), sines(2500, 1)
    assert scores.discriminative_score(real, alike, KEY, 200) < 0.05
    assert scores.discriminative_score(real, np.clip(alike - 0.5, 0, 1), KEY, 400) > 0.3


def test_windows_that_are_alike_predict_and_others_do_not(scores):
    real, alike = sines(500, 0), sines(500, 1)
    shuffled = np.random.default_rng(2).permuted(alike, axis=0)[:, ::-1] ** 4
    good, bad = (float(scores.predictive_score(real, made, KEY, 600)) for made in (alike, shuffled))
    assert good < bad
    middle = np.abs(real[:, 1:, -1] - np.median(real[:, 1:, -1])).mean()
    assert good < middle < bad


def test_repeats_are_single_runs_side_by_side(scores, monkeypatch):
    monkeypatch.setattr(scores, "DISCRIMINATIVE_STEPS", 20)
    monkeypatch.setattr(scores, "PREDICTIVE_STEPS", 20)
    real, made = sines(200, 0), sines(200, 1)
    found = scores.repeated(real, made, KEY, repeats=2)
    keys = jax.random.split(KEY, (2, 2))
    # One test window of 80 is .0125.
    np.testing.assert_allclose(
        found["discriminative"]["each"], [scores.discriminative(real, made, key) for key in keys[0]], atol=0.013
    )
    np.testing.assert_allclose(
        found["predictive"]["each"], [scores.predictive(real, made, key) for key in keys[1]], atol=1e-3
    )
    assert found["predictive"]["mean"] == pytest.approx(np.mean(found["predictive"]["each"]), abs=1e-4)
