"""``evaluate.contribution``: against a plain loop and exact Shapley values; rejected configurations; equal training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

import bofl_jax as bofl
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.compile import compile_round, digest_location
from bofl_jax.engine.problem import build_problem
from bofl_jax.engine.state import initial_state
from bofl_jax.evaluation.client_contribution import ContributionEstimator, utility, valuation_samples
from bofl_jax.ledger import RejectionReason
from bofl_jax.metrics.contribution import round_value, shapley
from bofl_jax.parallel.clients import resolve_plan
from bofl_jax.runs import audit
from bofl_jax.runs.directory import RunDirectory
from bofl_jax.runs.open_run import open_run
from bofl_jax.sweep import Axis, sweep
from tests.support.tiny import ROUNDS, exact_results, read_clients, read_rounds, run_tiny, tiny_config, write_arrays

LINEAR = {"model.name": "linear"}
LOO = LINEAR | {"evaluate.contribution": "leave-one-out"}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def run(arrays, tmp_path_factory):
    return run_tiny(tmp_path_factory.mktemp("contribution") / "run", arrays, LOO | {"evaluate.contribution_every": 2})


class Round:
    """The first round of a run, by hand."""

    def __init__(self, arrays, overrides):
        config = bofl.load_config(tiny_config(arrays), overrides)
        self.setting = build_problem(config, resolve_plan(config.engine))
        state = initial_state(self.setting)
        self.before = state.params
        self.cohort = draw_cohort(
            config.federation, self.setting.training, self.setting.root, 1, None, config.adversary
        )
        program = compile_round(self.setting, state, self.cohort, digest_location(self.setting))
        after, self.info = program(state, self.cohort, 1, self.setting.lr[0])
        self.after = after.params

    def value(self, members):
        """Minus the balanced log-loss of the model of some rows, in NumPy and scikit-learn."""
        setting, rows = self.setting, valuation_samples(self.setting)
        weight = self.cohort.weight[members]
        lr = setting.config.optimizer.server_lr
        mean = jax.tree.map(lambda u: np.average(np.asarray(u)[members], axis=0, weights=weight), self.info.updates)
        layer = jax.tree.map(lambda leaf, u: np.asarray(leaf, float) + lr * u, self.before, mean)["Dense_0"]
        samples = setting.samples
        inputs = np.concatenate([samples.x[rows].reshape(len(rows), -1), samples.features[rows]], axis=1)
        odds = np.exp(inputs @ layer["kernel"] + layer["bias"])
        label = samples.y[rows]
        balanced = 1 / np.bincount(label)[label]
        probability = odds / odds.sum(axis=1, keepdims=True)
        return -log_loss(label, probability, sample_weight=balanced, labels=[0, 1, 2])

    def left_out(self, rows):
        whole = self.value(rows)
        return [whole - self.value(rows[rows != row]) for row in rows]

    def contributions(self):
        return ContributionEstimator(self.setting).value_round(1, self.cohort, self.info, self.before)


@pytest.mark.parametrize("server_lr", [1.0, 0.5])
def test_leaving_one_out_is_the_plain_loop(server_lr, arrays):
    first = Round(arrays, LOO | {"optimizer.server_lr": server_lr})
    clients, worth = first.contributions()
    assert clients.tolist() == list(range(6))
    np.testing.assert_allclose(worth, first.left_out(np.arange(6)), atol=1e-6)  # float32 losses near 1
    assert np.abs(worth).max() > 1e-4


def test_the_coalition_of_all_is_the_model_of_the_round(arrays):
    first = Round(arrays, LOO)
    value = utility(first.setting)
    assert float(value(first.after)) == pytest.approx(first.value(np.arange(6)), abs=1e-6)


def test_a_rejected_update_takes_no_part_in_the_game(arrays):
    first = Round(arrays, LOO)
    bad = jax.tree.map(lambda leaf: leaf.at[2].set(jnp.nan), first.info.updates)
    verdict = np.where(np.arange(6) == 2, RejectionReason.NOT_FINITE, RejectionReason.NONE)
    first.info = first.info._replace(updates=bad, verdict=verdict)
    clients, worth = first.contributions()
    assert clients.tolist() == [0, 1, 3, 4, 5]
    np.testing.assert_allclose(worth, first.left_out(np.array([0, 1, 3, 4, 5])), atol=1e-6)
    first.info = first.info._replace(verdict=np.full(6, RejectionReason.NOT_FINITE))
    assert [len(part) for part in first.contributions()] == [0, 0]


def test_gtg_is_close_to_shapley(arrays):
    """What is cut short near the end of an order is at most its tolerance; sampling errs by some per cent."""
    first = Round(arrays, LINEAR | {"evaluate.contribution": "gtg", "optimizer.lr": 1.0})
    _, worth = first.contributions()
    exactly = shapley(
        round_value(utility(first.setting), first.before, first.info.updates, jnp.asarray(first.cohort.weight)), 6
    )
    assert exactly.sum() > 0.01  # the round is not passed over
    np.testing.assert_allclose(worth, exactly, atol=0.1 * np.abs(exactly).max())
    again = first.contributions()[1]
    np.testing.assert_array_equal(worth, again)


def test_the_samples_are_those_that_were_trained_on_unless_there_are_better(arrays, samples):
    setting = Round(arrays, LOO).setting
    assert sorted(valuation_samples(setting)) == sorted(setting.population.train.flat()[0])
    held_out = {"partition.test_subjects": ["s0", "s3"], "partition.adapt_minutes": 0.8}
    config = bofl.load_config(tiny_config(arrays), LOO | held_out)
    rows = valuation_samples(build_problem(config, resolve_plan(config.engine)))
    assert sorted(rows) == np.flatnonzero(np.isin(samples.subject, (0, 3)) & (samples.time < 48)).tolist()


def test_rounds_and_clients_hold_the_contributions(run):
    lines = read_rounds(run.directory)
    assert [line["round"] for line in lines if "contribution" in line] == [2, 4]
    total = np.zeros(6)
    for line in lines:
        if "contribution" in line:
            assert line["contributors"] == list(range(6))
            total += line["contribution"]
    np.testing.assert_allclose([float(row["contribution"]) for row in read_clients(run.directory)], total, atol=1e-12)
    assert list(read_clients(run.directory)[0])[-1] == "contribution"
    audit(run.directory)


def test_a_run_values_what_it_trained(arrays, tmp_path):
    """The run's first round is the one by hand; a cohort of four, of which two updates are altered on their way."""
    overrides = LOO | {"federation.rounds": 1, "federation.cohort": 4}
    overrides |= {"adversary.channel": "sign-flip", "adversary.altered": 0.5}
    (line,) = read_rounds(run_tiny(tmp_path / "run", arrays, overrides).directory)
    clients, worth = Round(arrays, overrides).contributions()
    assert (line["contributors"], len(clients)) == (clients.tolist(), 2)
    np.testing.assert_allclose(line["contribution"], worth, atol=1e-7)


@pytest.mark.parametrize("mode", ["merkle", "off"])
def test_valuing_changes_no_bit_of_the_training(mode, run, arrays, tmp_path):
    """With a ledger the updates are at hand already; without one they are returned for this alone."""
    plain = exact_results(run_tiny(tmp_path / "plain", arrays, LINEAR | {"ledger.mode": mode}).directory)
    valued = exact_results(run_tiny(tmp_path / "run", arrays, LOO | {"ledger.mode": mode}).directory)
    assert all({"contributors", "contribution"} < set(line) for line in valued["rounds"])
    for line in valued["rounds"]:
        del line["contributors"], line["contribution"], line["ledger"]
    assert valued["rounds"] == [{name: v for name, v in line.items() if name != "ledger"} for line in plain["rounds"]]
    for name in ("test", "fairness", "predictions"):
        assert valued[name] == plain[name], name
    assert exact_results(run.directory)["test"] == plain["test"]


def test_a_resumed_run_adds_up_all_rounds(run, arrays, tmp_path):
    def stop(record):
        if record["round"] == 3:
            raise KeyboardInterrupt

    overrides = LOO | {"evaluate.contribution_every": 2}
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "run", arrays, overrides, on_round=stop)
    resumed = run_tiny(tmp_path / "run", arrays, overrides, resume=True)
    assert exact_results(resumed.directory) == exact_results(run.directory)
    assert len(read_rounds(resumed.directory)) == ROUNDS


def test_members_side_by_side_value_and_explain_what_they_do_alone(arrays, tmp_path):
    overrides = LOO | {"federation.rounds": 2, "evaluate.explain": 6}
    swept = sweep(
        lambda p: bofl.load_config(tiny_config(arrays), overrides | p), [Axis("seed", (0, 1))], tmp_path / "sweep"
    )
    assert not swept.failed
    for seed in (0, 1):
        alone = read_rounds(run_tiny(tmp_path / str(seed), arrays, overrides | {"seed": seed}).directory)
        member = tmp_path / "sweep" / f"seed={seed}"
        for mine, other in zip(read_rounds(member), alone, strict=True):
            np.testing.assert_allclose(mine["contribution"], other["contribution"], atol=1e-5)
        with np.load(member / "explanations.npz") as one, np.load(tmp_path / str(seed) / "explanations.npz") as other:
            np.testing.assert_array_equal(one["x"], other["x"])
            np.testing.assert_allclose(one["attribution"], other["attribution"], atol=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"federation.algorithm": "scaffold"}, "the server of federation.algorithm = 'scaffold' does more than that"),
        ({"optimizer.server": "adam"}, "the server of 'adam' does more than that"),
        ({"federation.algorithm": "local", "ledger.mode": "off", "personalise.method": "none"}, "shares no update"),
        ({"evaluate.contribution_every": 6}, "evaluate.contribution_every = 6 values none of 5 rounds: lower it"),
        ({"evaluate.contribution": "none", "evaluate.contribution_every": 2}, "contribution_every belongs to"),
        ({"evaluate.contribution": "shapley"}, "should be 'none', 'leave-one-out' or 'gtg'"),
        ({"evaluate.explain": -1}, "greater than or equal to 0"),
    ],
)
def test_configurations_without_averaged_updates_are_rejected(overrides, message):
    with pytest.raises(BoflError) as error:
        bofl.load_config(tiny_config("own.npz"), LOO | overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_methods_without_a_shared_classifier_are_rejected(arrays, tmp_path):
    with pytest.raises(BoflError, match=r"'perfedavg' ends in no model .*evaluate\.contribution .*: set it to 'none'$"):
        run_tiny(tmp_path / "run", arrays, LOO | {"federation.algorithm": "perfedavg"})


def test_several_processes_are_rejected(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(BoflError, match=r"in one process: leave --distributed out$"):
        open_run(bofl.load_config(tiny_config(arrays), LOO), RunDirectory(tmp_path / "run"))
