"""The stages of an update: each group acts where the chain says, and a run without stages is as it was."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax import aggregate
from bofl_jax.aggregate import Aggregator, Reduction, ReductionInfo
from bofl_jax.core.verdicts import RejectionReason
from bofl_jax.engine.stages import Stages
from tests.support.methods import PLANS, flat, train

MAP = PLANS["map"]


def with_stages(**groups):
    """A change of a problem: these stages instead of its own."""
    return lambda problem: dataclasses.replace(problem, stages=Stages(**groups))


def change_of(state, before):
    return flat(state.params) - flat(before.params)


@pytest.fixture(scope="module")
def plain(samples):
    """One round of FedAvg without stages: before and after it, and its updates."""
    before, _ = train("fedavg", samples, MAP, rounds=0)
    after, info = train("fedavg", samples, MAP, digests="host")
    return before, after, info


def test_a_data_stage_acts_on_the_batches_that_clients_train_on(samples):
    """Shifted labels in a stage are shifted labels in the data."""

    def shift_labels(context, batch):
        del context
        return batch._replace(y=(batch.y + 1) % 3)

    shifted = dataclasses.replace(samples, y=(samples.y + 1) % 3)
    staged, _ = train("fedavg", samples, MAP, change=with_stages(data=(shift_labels,)))
    np.testing.assert_allclose(flat(staged), flat(train("fedavg", shifted, MAP)[0]), atol=1e-6)


def test_a_client_stage_acts_before_the_digest_and_is_accepted(samples, plain):
    """A malicious client signs what it sends, so the digest says nothing against it."""
    before, after, _ = plain
    reverse = with_stages(client=(lambda _, update: jax.tree.map(jnp.negative, update),))
    reversed_, info = train("fedavg", samples, MAP, digests="device", change=reverse)
    np.testing.assert_allclose(change_of(reversed_, before), -change_of(after, before), atol=1e-6)
    assert (np.asarray(info.verdict) == RejectionReason.NONE).all()


def test_a_channel_stage_acts_after_the_digest_and_is_detected(samples, plain):
    before, _, _ = plain
    reverse = with_stages(channel=(lambda _, update: jax.tree.map(jnp.negative, update),))
    altered, info = train("fedavg", samples, MAP, digests="device", change=reverse)
    np.testing.assert_array_equal(flat(altered.params), flat(before.params))
    assert (np.asarray(info.verdict) == RejectionReason.DIGEST_MISMATCH).all()


def test_stages_of_a_group_act_in_order(samples, plain):
    before, after, _ = plain
    double = lambda _, update: jax.tree.map(lambda u: 2 * u, update)  # noqa: E731
    add_one = lambda _, update: jax.tree.map(lambda u: u + 1, update)  # noqa: E731
    one_way, _ = train("fedavg", samples, MAP, change=with_stages(client=(double, add_one)))
    other_way, _ = train("fedavg", samples, MAP, change=with_stages(client=(add_one, double)))
    np.testing.assert_allclose(change_of(one_way, before), 2 * change_of(after, before) + 1, atol=1e-5)
    np.testing.assert_allclose(change_of(other_way, before), 2 * change_of(after, before) + 2, atol=1e-5)


def test_a_client_stage_knows_client_round_and_key(samples):
    """Each client adds its own index, so the mean moves by the mean index, weighted by the training samples."""

    def add_index(context, update):
        return jax.tree.map(lambda u: 0 * u + context.client * context.number, update)

    _, info = train("fedavg", samples, MAP, digests="host", change=with_stages(client=(add_index,)))
    sent = jax.tree.leaves(info.updates)[0].reshape(6, -1)[:, 0]
    np.testing.assert_array_equal(sent, np.arange(6))


def test_a_server_stage_acts_on_the_reduced_update(samples, plain):
    before, after, _ = plain

    def halve(context, reduced):
        del context
        return reduced._replace(update=jax.tree.map(lambda u: u / 2, reduced.update))

    halved, _ = train("fedavg", samples, MAP, change=with_stages(server=(halve,)))
    np.testing.assert_allclose(change_of(halved, before), change_of(after, before) / 2, atol=1e-6)


def median(state, shared, received):
    """The coordinate-wise median of the accepted updates; the distance to it is the score."""
    del shared
    accepted = received.weight > 0

    def of_leaf(leaf):
        hidden = jnp.where(accepted.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, jnp.nan)
        return jnp.nanmedian(hidden, axis=0)

    middle = jax.tree.map(of_leaf, received.update)
    gaps = jax.tree.map(lambda u, m: jnp.square(u - m).reshape(len(u), -1).sum(axis=1), received.update, middle)
    return state, middle, ReductionInfo(accepted.astype(jnp.float32), jnp.sqrt(sum(jax.tree.leaves(gaps))))


def test_a_robust_rule_goes_with_any_server_optimiser(samples, plain):
    """The median with Adam, against NumPy on the updates of the same round."""
    before, _, info = plain
    adam = aggregate.adam(0.1, beta1=0.8, beta2=0.9, tau=0.01)

    def robust(problem):
        def build_method(hyperparameters):
            parts = problem.build_method(hyperparameters)
            return parts._replace(aggregator=Aggregator(adam, Reduction(median)))

        return dataclasses.replace(problem, build_method=build_method)

    after, robust_info = train("fedavg", samples, MAP, change=robust)
    updates = np.stack([flat(jax.tree.map(lambda u, c=c: u[c], info.updates)) for c in range(6)])
    middle = np.median(updates, axis=0)
    first, second = 0.2 * middle, 0.9 * 0.01**2 + 0.1 * middle**2
    np.testing.assert_allclose(change_of(after, before), 0.1 * first / (np.sqrt(second) + 0.01), rtol=1e-3, atol=1e-6)
    scores = np.linalg.norm(updates - middle, axis=1)
    np.testing.assert_allclose(robust_info.reduction.score, scores, rtol=1e-4)
