"""Rounds against a plain Python loop, padding, order, rejected updates."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.digest_jax import words_to_bytes
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.core.serialization import stacked_canonical_bytes
from bofl_jax.engine.cohort import Cohort, draw_cohort
from bofl_jax.engine.compile import compile_round
from bofl_jax.engine.predict import compile_predict
from bofl_jax.engine.problem import build_problem
from bofl_jax.engine.round import mean_loss
from bofl_jax.engine.state import initial_state
from bofl_jax.ledger import RejectionReason, digest_rows
from bofl_jax.partition import pack
from tests.support.methods import CNN, PLANS, flat, personalise, train
from tests.support.methods import configure as configure_method


def configure(name, **federation):
    return configure_method(name, CNN, **federation)


def test_fedavg_is_the_weighted_mean_of_plain_sgd(samples):
    """A round by a Python loop over clients and steps, with its own sampling code."""
    config = configure("fedavg")
    setting = build_problem(config, PLANS["shard"], samples)
    params = setting.initial_params
    cohort = draw_cohort(config.federation, setting.training, setting.root, 1)
    state, info = compile_round(setting, initial_state(setting), cohort, False)(initial_state(setting), cohort, 1, 0.1)

    def loss(w, rows):
        logits = setting.model.apply(w, samples.x[rows], samples.features[rows])
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(rows)), samples.y[rows]])

    total, examples = jax.tree.map(jnp.zeros_like, params), 0
    for client in range(setting.population.clients):
        own = setting.population.train.of(client)
        key = derive(setting.root, Purpose.TRAIN, 1, client)
        w = params
        for step in range(2):
            draw_key, _ = jax.random.split(jax.random.fold_in(key, step + 1))
            rows = own[np.asarray(jax.random.randint(draw_key, (4,), 0, len(own)))]
            w = jax.tree.map(lambda a, g: a - 0.1 * g, w, jax.grad(loss)(w, rows))
        count = float(len(own))
        total = jax.tree.map(lambda t, a, p, n=count: t + n * (a - p), total, w, params)
        examples += len(own)
    expected = jax.tree.map(lambda p, t: p + t / examples, params, total)
    for ours, theirs in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert np.asarray(info.examples).tolist() == [8] * 6
    assert mean_loss(info, cohort) > 0


@pytest.mark.parametrize("name", ["fedavg", "scaffold", "bfln"])
def test_returning_the_updates_changes_no_bit(name, samples):
    without, _ = train(name, samples, PLANS["shard"])
    with_updates, info = train(name, samples, PLANS["shard"], digests="host")
    np.testing.assert_array_equal(flat(with_updates), flat(without))
    assert {len(leaf) for leaf in jax.tree.leaves(info.updates)} == {6}


def test_the_device_digests_what_the_host_would(samples):
    _, on_host = train("fedavg", samples, PLANS["shard"], digests="host")
    _, on_device = train("fedavg", samples, PLANS["shard"], digests="device")
    sent, received = map(words_to_bytes, on_device.digests)
    np.testing.assert_array_equal(sent, digest_rows(*stacked_canonical_bytes(on_host.updates)))
    np.testing.assert_array_equal(sent, received)
    assert on_device.updates == ()


def one_round(setting, cohort, plan_state=None):
    state = plan_state or initial_state(setting)
    return compile_round(setting, state, cohort, "host")(state, cohort, 1, 0.1)


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
def test_what_stands_in_the_padding_never_matters(samples, sampling):
    config = configure("fedavg", sampling=sampling)
    setting = build_problem(config, PLANS["map"], samples)
    own = [setting.population.train.of(client)[: 5 + client] for client in range(6)]
    rows = pack(own)
    other = rows._replace(sample=rows.sample.copy())
    for client in range(6):
        other.sample[client, rows.size[client] :] = 239 - client
    results = []
    for training in (rows, other):
        changed = dataclasses.replace(setting, training=training)
        cohort = draw_cohort(config.federation, training, setting.root, 1)
        results.append(flat(one_round(changed, cohort)[0]))
    np.testing.assert_array_equal(*results)


def test_a_clients_update_depends_on_nobody_else(samples):
    setting = build_problem(configure("fedavg"), PLANS["map"], samples)
    everyone = draw_cohort(setting.config.federation, setting.training, setting.root, 1)
    few = Cohort(*(field[[1, 4]] for field in everyone))
    _, all_info = one_round(setting, everyone)
    _, few_info = one_round(setting, few)
    for whole, part in zip(jax.tree.leaves(all_info.updates), jax.tree.leaves(few_info.updates), strict=True):
        np.testing.assert_array_equal(np.asarray(whole)[[1, 4]], part)


def test_an_update_that_is_not_a_number_has_no_influence(samples):
    poisoned = dataclasses.replace(samples, x=samples.x.copy())
    poisoned.x[samples.subject == 2] = 3e38
    setting = build_problem(configure("fedavg"), PLANS["shard"], poisoned)
    everyone = draw_cohort(setting.config.federation, setting.training, setting.root, 1)
    state, info = one_round(setting, everyone)
    assert np.asarray(info.verdict).tolist() == [0, 0, RejectionReason.NOT_FINITE, 0, 0, 0]
    without = everyone._replace(weight=np.where(everyone.client == 2, 0, everyone.weight).astype(np.float32))
    expected, _ = one_round(setting, without)
    np.testing.assert_array_equal(flat(state), flat(expected))
    assert np.isfinite(flat(state)).all()


def test_predictions_are_the_models_own(samples):
    setting = build_problem(configure("perfedavg"), PLANS["shard"], samples)
    params = setting.initial_params
    rows, client = setting.population.test.flat()
    common = compile_predict(setting, params, own=False)(params)
    expected = jax.nn.softmax(setting.model.apply(params, samples.x[rows], samples.features[rows]))
    np.testing.assert_allclose(common, expected, atol=1e-6)
    personal = personalise(setting, initial_state(setting), setting.config.personalise)
    own = compile_predict(setting, personal, own=True)(personal)
    mine = jax.tree.map(lambda a: a[4], personal)
    at = rows[client == 4]
    expected = jax.nn.softmax(setting.model.apply(mine, samples.x[at], samples.features[at]))
    np.testing.assert_allclose(own[client == 4], expected, atol=1e-6)


def test_held_out_patients_keep_the_shared_model(samples):
    config = configure("perfedavg")
    table = config.model_dump()
    table["partition"] = {"scheme": "patient", "test_subjects": ["s1"]}
    setting = build_problem(type(config).model_validate(table), PLANS["shard"], samples)
    params = setting.initial_params
    personal = personalise(setting, initial_state(setting), setting.config.personalise)
    np.testing.assert_array_equal(flat(jax.tree.map(lambda a: a[1], personal)), flat(params))
    assert np.abs(flat(jax.tree.map(lambda a: a[0], personal)) - flat(params)).max() > 0
