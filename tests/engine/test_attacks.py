"""Who lies has no influence: altered, uninvited and duplicate updates are refused, recorded, and change no bit."""

import dataclasses

import jax
import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.algorithms import FedAvgOptions
from bofl_jax.attacks import AdversaryOptions
from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import root_key
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.compile import compile_round, digest_location
from bofl_jax.engine.problem import build_problem
from bofl_jax.engine.state import initial_state
from bofl_jax.ledger import RejectionReason
from bofl_jax.ledger.contract.modes import MODES
from bofl_jax.partition import ClientIndices
from bofl_jax.runs import audit
from tests.support.methods import PLANS, configure
from tests.support.tiny import (
    exact_results,
    read_rounds,
    run_tiny,
    without_ledger,
    write_arrays,
)

OPTIONS = FedAvgOptions(local_steps=4)
TRAINING = ClientIndices(np.zeros((9, 5), np.int32), np.array([5, 4, 0, 3, 2, 1, 5, 5, 5], np.int32))
ROOT = root_key(0)
LIES = {
    "adversary.channel": "sign-flip",
    "adversary.altered": 0.3,
    "adversary.strength": 50.0,
    "adversary.uninvited": 2,
    "adversary.duplicates": 1,
}
CHANGES = [{"round": 2, "action": "suspend", "client": 1}, {"round": 3, "action": "revoke", "client": 4}]
GOVERNED = {"ledger.changes": CHANGES, "ledger.registered": 5, "federation.cohort": 3}


def eligibility(**reasons):
    found = np.zeros(9, np.uint8)
    for name, clients in reasons.items():
        found[clients] = RejectionReason[name.upper()]
    return found


def test_without_standing_nobody_is_invited():
    for number in range(1, 6):
        rows = draw_cohort(OPTIONS, TRAINING, ROOT, number, eligibility(suspended=[1], revoked=[4]))
        assert rows.invited.tolist() == [0, 3, 5, 6, 7, 8]
        assert rows.steps[np.isin(rows.client, [1, 4])].tolist() == [0, 0]


def test_a_drawn_cohort_is_filled_from_those_with_standing():
    options = OPTIONS.model_copy(update={"cohort": 4})
    for number in range(1, 20):
        rows = draw_cohort(options, TRAINING, ROOT, number, eligibility(suspended=[0, 1, 3]))
        assert len(rows.invited) == 4
        assert not set(rows.invited) & {0, 1, 2, 3}
    few = draw_cohort(options, TRAINING, ROOT, 1, eligibility(revoked=[0, 1, 3, 4, 5]))
    assert (few.invited.tolist(), len(few.client)) == ([6, 7, 8], 4)


def test_an_honest_draw_does_not_depend_on_the_adversary_being_there():
    options = OPTIONS.model_copy(update={"cohort": 4, "stragglers": 0.5})
    for number in range(1, 10):
        alone = draw_cohort(options, TRAINING, ROOT, number)
        among_liars = draw_cohort(options, TRAINING, ROOT, number, None, AdversaryOptions(uninvited=2, duplicates=1))
        assert [column[:4].tolist() for column in among_liars[:4]] == [column.tolist() for column in alone[:4]]


def test_every_round_has_the_same_number_of_rows_with_their_reasons():
    options = OPTIONS.model_copy(update={"cohort": 4})
    lies = AdversaryOptions(uninvited=6, duplicates=2, channel="noise", altered=0.25)
    for number in range(1, 10):
        rows = draw_cohort(options, TRAINING, ROOT, number, eligibility(suspended=[1], not_registered=[8]), lies)
        assert len(rows.client) == 4 + 6 + 2
        uninvited, duplicates = rows.client[4:10], rows.client[10:]
        assert set(uninvited[rows.sends[4:10]]) == set(np.flatnonzero(TRAINING.size)) - set(rows.invited)
        reasons = dict(zip(uninvited, rows.rejection[4:10], strict=True))
        assert (reasons[1], reasons[8]) == (RejectionReason.SUSPENDED, RejectionReason.NOT_REGISTERED)
        assert set(duplicates) <= set(rows.invited)
        assert set(rows.rejection[10:]) == {RejectionReason.DUPLICATE}
        assert rows.altered.sum() == round(0.25 * rows.sends.sum())
        assert rows.sends[rows.altered].all()


def played(samples, config_changes=None, rows_change=lambda rows: rows, plan="shard"):
    """The state after one round, and what was judged."""
    config = configure("fedavg").model_copy(update={"adversary": AdversaryOptions(**(config_changes or {}))})
    setting = build_problem(config, PLANS[plan], samples)
    state = initial_state(setting)
    rows = draw_cohort(config.federation, setting.training, setting.root, 1, None, config.adversary)
    rows = rows_change(rows)
    state, info = compile_round(setting, state, rows, digest_location(setting))(state, rows, 1, 0.1)
    return np.asarray(jax.flatten_util.ravel_pytree(state)[0]), np.asarray(info.verdict), rows


@pytest.mark.parametrize("channel", ["sign-flip", "scale", "noise", "bit-flip"])
def test_an_altered_update_is_seen_by_its_digest_and_has_no_influence(channel, samples):
    lies = {"channel": channel, "altered": 0.5} | ({} if channel == "bit-flip" else {"strength": 3.0})
    state, verdict, rows = played(samples, lies)
    assert verdict.tolist() == np.where(rows.altered, RejectionReason.DIGEST_MISMATCH, RejectionReason.NONE).tolist()
    assert rows.altered.sum() == 3
    absent = lambda rows: rows._replace(  # noqa: E731
        weight=np.where(rows.altered, 0, rows.weight).astype(np.float32), altered=np.zeros_like(rows.altered)
    )
    expected, _, _ = played(samples, lies, absent)
    np.testing.assert_array_equal(state, expected)


def test_an_update_that_is_not_altered_passes_the_channel_unchanged(samples):
    spared = lambda rows: rows._replace(altered=np.zeros_like(rows.altered))  # noqa: E731
    through, verdict, _ = played(samples, {"channel": "noise", "altered": 0.5}, spared)
    honest, _, _ = played(samples)
    np.testing.assert_array_equal(through, honest)
    assert not verdict.any()


@pytest.mark.parametrize("plan", ["vmap", "map", "shard"])
def test_refused_senders_have_no_influence_whatever_they_send(plan, samples):
    """The rows of uninvited and duplicate senders hold other data in the second run."""
    lies = {"uninvited": 2, "duplicates": 2}

    def suspended(rows):
        return rows._replace(rejection=np.where(rows.client == 3, RejectionReason.SUSPENDED, rows.rejection))

    state, verdict, rows = played(samples, lies, suspended, plan)
    assert {int(v) for v in verdict[rows.sends]} == {
        RejectionReason.NONE,
        RejectionReason.SUSPENDED,
        RejectionReason.DUPLICATE,
    }
    other = dataclasses.replace(samples, x=np.where((samples.subject == 3)[:, None, None], 7.0, samples.x))
    otherwise, _, _ = played(other, lies, suspended, plan)
    np.testing.assert_array_equal(state, otherwise)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("data") / "own.npz")


@pytest.fixture(scope="module")
def off(arrays, tmp_path_factory):
    """A run among liars, without a ledger."""
    directory = tmp_path_factory.mktemp("off") / "run"
    return run_tiny(directory, arrays, LIES | GOVERNED | {"ledger.mode": "off"}).directory


@pytest.mark.parametrize("mode", list(MODES))
def test_among_liars_training_is_the_same_to_the_bit_in_every_mode(mode, off, arrays, tmp_path):
    run = run_tiny(tmp_path / "run", arrays, LIES | GOVERNED | {"ledger.mode": mode}).directory
    assert without_ledger(exact_results(run)) == without_ledger(exact_results(off))
    verdicts = [(line["ledger"]["accepted"], line["ledger"]["rejected"]) for line in read_rounds(run)]
    assert verdicts == [(line["ledger"]["accepted"], line["ledger"]["rejected"]) for line in read_rounds(off)]
    found = audit(run)
    assert [(r.count, r.rejected) for r in found.rounds] == verdicts
    reasons = {RejectionReason(t.event.args["reason"]) for t in found.events if t.event.name == "UpdateRefused"}
    expected = ("NOT_REGISTERED", "REVOKED", "NOT_IN_COHORT", "DUPLICATE", "DIGEST_MISMATCH")  # whom the draw gave
    assert reasons >= {RejectionReason[name] for name in expected}


@pytest.mark.parametrize("overrides", [{"adversary.channel": "noise"}, {"adversary.altered": 0.5}])
def test_half_a_channel_is_refused(overrides, arrays, tmp_path):
    with pytest.raises(BoflError, match=r"needs both adversary.channel and adversary.altered"):
        run_tiny(tmp_path / "run", arrays, overrides)


def test_baselines_that_share_nothing_have_no_adversary():
    overrides = {"federation.algorithm": "local", "ledger.mode": "off", "personalise.method": "none"}
    with pytest.raises(BoflError, match=r"leave adversary\.\* out"):
        bofl.load_config("quickstart", overrides | {"adversary.duplicates": 1})
