"""``evaluate.explain``: attributions in closed form for a linear network, which samples, and what it leaves alone."""

import numpy as np
import pytest

from bofl_jax.engine.problem import build_problem
from bofl_jax.evaluation.explanations import _qrs_shares
from bofl_jax.runs import audit
from tests.conftest import make_samples
from tests.support.methods import PLANS, configure
from tests.support.tiny import exact_results, run_tiny, write_arrays

LINEAR = {"model.name": "linear"}
COUNT = 14


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def run(arrays, tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("explain") / "run", arrays, LINEAR | {"evaluate.explain": COUNT})


def read(run, name="explanations.npz"):
    with np.load(run.directory / name) as held:
        return {name: held[name] for name in held.files}


def places(found, samples):
    """Which samples of the pool were explained."""
    return np.array([np.flatnonzero((samples.x == x).all(axis=(1, 2)))[0] for x in found["x"]])


def test_the_file_has_its_shapes(run, samples):
    found = read(run)
    shapes = {name: (array.dtype.str, array.shape) for name, array in found.items() if array.dtype.kind != "U"}
    assert shapes == {
        "x": ("<f4", (COUNT, 32, 1)),
        "attribution": ("<f4", (COUNT, 32, 1)),
        "features_attribution": ("<f4", (COUNT, 2)),
        "completeness_error": ("<f4", (COUNT,)),
        "label": ("<i4", (COUNT,)),
        "predicted": ("<i4", (COUNT,)),
        "probability": ("<f4", (COUNT, 3)),
        "sample_rate": ("<f8", ()),
    }
    assert found["classes"].tolist() == ["N", "S", "V"]
    assert found["sample_rate"] == samples.fs
    rows = places(found, samples)
    np.testing.assert_array_equal(found["label"], samples.y[rows])
    assert found["client"].tolist() == [samples.subjects[subject] for subject in samples.subject[rows]]


def test_probabilities_are_those_of_the_test(run, samples):
    found, tested = read(run), read(run, "predictions.npz")
    rows = [int(np.flatnonzero(tested["sample"] == place)[0]) for place in places(found, samples)]
    np.testing.assert_array_equal(found["probability"], tested["personalised_probability"][rows])
    np.testing.assert_array_equal(found["predicted"], found["probability"].argmax(axis=1))


@pytest.mark.parametrize("personal", [True, False])
def test_a_linear_network_is_explained_by_its_weights_times_the_inputs(personal, run, arrays, samples, tmp_path):
    """Each client's own weights where it has some; a gradient that does not change has no error of the rule."""
    if not personal:
        run = run_tiny(tmp_path / "run", arrays, LINEAR | {"personalise.method": "none", "evaluate.explain": COUNT})
    found = read(run)
    for row, place in enumerate(places(found, samples)):
        kernel = np.asarray((run.personal_params if personal else run.params)["Dense_0"]["kernel"])
        kernel = (kernel[samples.subject[place]] if personal else kernel)[:, found["predicted"][row]]
        np.testing.assert_allclose(found["attribution"][row, :, 0], kernel[:-2] * samples.x[place, :, 0], atol=2e-6)
        np.testing.assert_allclose(found["features_attribution"][row], kernel[-2:] * samples.features[place], atol=2e-6)
    assert np.nanmax(found["completeness_error"]) < 1e-3
    assert run.summary["explanation"]["completeness_error_median"] < 1e-5


def test_samples_are_spread_over_classes_and_clients(run):
    found = read(run)
    assert sorted(np.bincount(found["label"])) == [4, 5, 5]
    assert len(set(found["client"].tolist())) >= 5
    assert sorted(found["label"][:3].tolist()) == [0, 1, 2]


def test_the_summary_says_how_true_it_is(run):
    written = run.summary["explanation"]
    assert list(run.summary)[-1] == "explanation"
    assert written["samples"] == COUNT
    assert written["deletion"] < written["deletion_random"]
    assert written["insertion"] > written["insertion_random"]
    assert (written["qrs_share"], written["qrs_share_even"]) == (None, None)  # the R peak is unknown


def test_explaining_changes_nothing_else(run, arrays, tmp_path):
    plain = run_tiny(tmp_path / "run", arrays, LINEAR)
    one, other = exact_results(plain.directory), exact_results(run.directory)
    for name in ("test", "fairness", "predictions", "clients"):
        assert one[name] == other[name], name
    assert one["ledger"]["accepted"] == other["ledger"]["accepted"]  # bytes may differ: seals of other headers
    assert plain.summary["safety"] == run.summary["safety"]
    assert "explanation" not in plain.summary
    assert not (plain.directory / "explanations.npz").exists()
    audit(run.directory)


def test_two_runs_explain_the_same_to_the_bit_and_another_seed_other_samples(run, arrays, tmp_path):
    same = run_tiny(tmp_path / "same", arrays, LINEAR | {"evaluate.explain": COUNT})
    assert {name: array.tobytes() for name, array in read(same).items()} == {
        name: array.tobytes() for name, array in read(run).items()
    }
    assert same.summary["explanation"] == run.summary["explanation"]
    other = run_tiny(tmp_path / "other", arrays, LINEAR | {"evaluate.explain": COUNT, "seed": 1})
    assert not np.array_equal(read(other)["x"], read(run)["x"])


def test_more_than_there_are_explains_all(arrays, tmp_path):
    found = read(run_tiny(tmp_path / "run", arrays, LINEAR | {"evaluate.explain": 1000, "ledger.mode": "off"}))
    assert len(found["x"]) == 120
    assert len({x.tobytes() for x in found["x"]}) == 120


def test_explained_beats_have_a_share_in_the_qrs_complex():
    """Simulated beats at 180 Hz: R is sample 64 of 128, and 60 ms are 10.8 samples on each side."""
    setting = build_problem(configure("fedavg"), PLANS["shard"], make_samples(each=4, window=128))
    attribution = np.random.default_rng(0).standard_normal((5, 128, 1)).astype(np.float32)
    attribution[3] = 0  # says nothing
    size = np.abs(attribution[:, :, 0])
    share = size[:, 54:75].sum(axis=1)[[0, 1, 2, 4]] / size.sum(axis=1)[[0, 1, 2, 4]]
    found = _qrs_shares(setting, attribution)
    assert found["qrs_share"] == pytest.approx(share.mean(), abs=1e-6)
    assert found["qrs_share_even"] == pytest.approx(21 / 128)
    assert _qrs_shares(setting, attribution[3:4])["qrs_share"] is None
