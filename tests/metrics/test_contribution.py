"""Contributions: Shapley's axioms, brute force over permutations, and a small federated regression with bad labels."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from bofl_jax.core.errors import BoflError
from bofl_jax.metrics.contribution import coalition_model, leave_one_out, round_value, shapley
from bofl_jax.metrics.shapley_sampling import Sampling, gtg_shapley, sum_rounds, tmc_shapley

KEY = jax.random.key(0)
ROUNDED = {"rtol": 1e-5, "atol": 1e-6}  # values are float32, sums float64


def table_game(clients, seed):
    """A game with no structure: a random number for every coalition."""
    table = jnp.asarray(np.random.default_rng(seed).standard_normal(2**clients), jnp.float32)
    return lambda mask: table[(mask * 2 ** jnp.arange(clients)).sum()]


def by_permutations(value, clients):
    """The definition: mean gain over all orders in which the clients can come in."""
    gains, orders = np.zeros(clients), list(permutations(range(clients)))
    known = {}
    for order in orders:
        mask = np.zeros(clients, bool)
        for client in order:
            before = mask.copy()
            mask[client] = True
            for one in (before, mask):
                if one.tobytes() not in known:
                    known[one.tobytes()] = float(value(one))
            gains[client] += known[mask.tobytes()] - known[before.tobytes()]
    return gains / len(orders)


@pytest.mark.parametrize("seed", range(3))
def test_exact_values_are_those_of_all_permutations(seed):
    game = table_game(5, seed)
    np.testing.assert_allclose(shapley(game, 5), by_permutations(game, 5), **ROUNDED)


def test_a_python_game_gives_the_same_as_a_traced_one():
    game, asked = table_game(4, 0), []

    def counted(mask):
        asked.append(bytes(mask))
        return float(game(mask))

    np.testing.assert_allclose(shapley(counted, 4, traced=False), shapley(game, 4), rtol=1e-6)
    assert len(asked) == len(set(asked)) == 16
    np.testing.assert_allclose(leave_one_out(counted, 4, traced=False), leave_one_out(game, 4), rtol=1e-6)


@pytest.mark.parametrize("clients", [1, 2, 7])
def test_efficiency(clients):
    game = table_game(clients, 1)
    gained = game(np.ones(clients, bool)) - game(np.zeros(clients, bool))
    assert shapley(game, clients).sum() == pytest.approx(float(gained), abs=1e-5)


def test_symmetry_and_null_player():
    """Clients 0 and 1 are alike, client 2 adds nothing."""
    values = shapley(lambda mask: jnp.sqrt(1.0 * mask[0] + mask[1]) * (1 + 2 * mask[3]), 4)
    assert values[0] == pytest.approx(values[1], abs=1e-7)
    assert values[2] == 0
    assert values[3] > values[0] > 0


def test_additivity():
    one, other = table_game(6, 2), table_game(6, 3)
    both = shapley(lambda mask: one(mask) + 3 * other(mask), 6)
    np.testing.assert_allclose(both, shapley(one, 6) + 3 * shapley(other, 6), **ROUNDED)


def test_leave_one_out_is_a_loop():
    game, everyone = table_game(5, 4), np.ones(5, bool)
    expected = [float(game(everyone)) - float(game(np.arange(5) != client)) for client in range(5)]
    np.testing.assert_allclose(leave_one_out(game, 5), expected, **ROUNDED)


def test_estimates_of_a_sum_are_exact_from_one_cycle_on():
    """In a sum every client gains the same in any order."""
    worth = np.array([3.0, 1.0, 0.0, -2.0])
    few = Sampling(min_permutations=1, max_permutations=4)
    for estimate in (tmc_shapley, gtg_shapley):
        found = estimate(lambda mask: float((worth * mask).sum()), 4, KEY, tolerance=0.0, sampling=few)
        np.testing.assert_allclose(found.contribution, worth, atol=1e-12)
        assert found.permutations == 4


@pytest.mark.parametrize("estimate", [tmc_shapley, gtg_shapley])
def test_sampling_goes_to_the_exact_values(estimate):
    """Without truncation: unbiased, so within 5 standard errors; a gain has sd at most sqrt(2) times a value's 1."""
    game, draws = jax.jit(table_game(5, 5)), 600
    found = estimate(game, 5, KEY, tolerance=0.0, sampling=Sampling(min_permutations=draws, max_permutations=draws))
    exact = shapley(game, 5)
    assert abs(found.contribution - exact).max() < 5 * 2 / np.sqrt(draws)
    assert found.contribution.sum() == pytest.approx(exact.sum(), abs=1e-5)  # every order alone is efficient
    assert found.evaluations <= 32


def test_every_client_stands_first_equally_often():
    """A game in which the first alone gains all: with whole cycles everybody gets the same share, exactly."""
    found = gtg_shapley(
        lambda mask: float(mask.any()),
        7,
        KEY,
        tolerance=0.0,
        sampling=Sampling(min_permutations=7, max_permutations=10),
    )
    assert found.permutations == 14  # whole cycles
    np.testing.assert_allclose(found.contribution, 1 / 7, rtol=1e-12)
    plain = tmc_shapley(
        lambda mask: float(mask.any()),
        7,
        KEY,
        tolerance=0.0,
        sampling=Sampling(min_permutations=14, max_permutations=14),
    )
    assert np.ptp(plain.contribution) > 0  # without the guide it is a lottery


def test_sampling_stops_when_it_has_converged():
    smooth = jax.jit(lambda mask: jnp.log1p(mask.sum() + mask[0]))
    found = gtg_shapley(
        smooth, 5, KEY, tolerance=0.0, sampling=Sampling(min_permutations=10, max_permutations=5000, tolerance=0.02)
    )
    assert 10 <= found.permutations < 500
    assert found.permutations % 5 == 0
    never = gtg_shapley(
        smooth, 5, KEY, tolerance=0.0, sampling=Sampling(min_permutations=10, max_permutations=200, tolerance=0.0)
    )
    assert never.permutations == 200


def test_a_round_that_changes_nothing_costs_two_evaluations():
    found = gtg_shapley(lambda mask: 0.005 * mask.sum() / 6, 6, KEY, round_tolerance=0.01)
    assert found.evaluations == 2
    assert found.permutations == 0
    assert not found.contribution.any()
    assert gtg_shapley(lambda mask: 0.005 * mask.sum() / 6, 6, KEY, round_tolerance=0.001).contribution.any()


def test_coalition_model_is_the_weighted_mean():
    rng = np.random.default_rng(0)
    params = {"a": rng.standard_normal(3), "b": rng.standard_normal((2, 2))}
    updates = {"a": rng.standard_normal((4, 3)), "b": rng.standard_normal((4, 2, 2))}
    weights, mask = np.array([5.0, 1.0, 2.0, 9.0]), np.array([True, False, True, False])
    found = coalition_model(params, updates, jnp.asarray(weights), jnp.asarray(mask))
    for name, leaf in params.items():
        expected = leaf + (5 * updates[name][0] + 2 * updates[name][2]) / 7
        np.testing.assert_allclose(found[name], expected, **ROUNDED)
        nobody = coalition_model(params, updates, jnp.asarray(weights), jnp.zeros(4, bool))[name]
        np.testing.assert_allclose(nobody, leaf, rtol=1e-6)


CLIENTS, ROUNDS, SAMPLES, WIDTH = 8, 5, 150, 10
TRUTH = jax.random.normal(jax.random.key(10), (WIDTH,))
NOISE = jnp.linspace(0.0, 0.9, CLIENTS)
"""Share of a client's labels that are turned round."""


def labelled(key, samples, noise):
    x_key, flip_key = jax.random.split(key)
    x = jax.random.normal(x_key, (samples, WIDTH))
    return x, (x @ TRUTH > 0) ^ jax.random.bernoulli(flip_key, noise, (samples,))


def log_loss(params, x, y):
    return jnp.mean(jax.nn.softplus(jnp.where(y, -1.0, 1.0) * (x @ params)))


HELD_OUT = labelled(jax.random.key(11), 400, 0.0)


def utility(params):
    return -log_loss(params, *HELD_OUT)


@pytest.fixture(scope="module")
def games():
    """The rounds of federated logistic regression with clients of differing label noise."""
    keys = jax.random.split(jax.random.key(12), CLIENTS)
    x, y = jax.vmap(labelled, in_axes=(0, None, 0))(keys, SAMPLES, NOISE)

    def client(params, x, y):
        steps = jax.lax.fori_loop(0, 5, lambda _, p: p - 0.5 * jax.grad(log_loss)(p, x, y), params)
        return steps - params

    params, rounds, weights, everyone = jnp.zeros(WIDTH), [], jnp.full(CLIENTS, SAMPLES), jnp.ones(CLIENTS, bool)
    work = jax.jit(jax.vmap(client, in_axes=(None, 0, 0)))
    for _ in range(ROUNDS):
        updates = work(params, x, y)
        rounds.append(round_value(utility, params, updates, weights))
        params = coalition_model(params, updates, weights, everyone)
    return rounds


def guided(games, **options):
    keys = jax.random.split(KEY, len(games))
    found = [gtg_shapley(game, CLIENTS, key, **options) for game, key in zip(games, keys, strict=True)]
    return sum_rounds(found, [np.arange(CLIENTS)] * len(games), CLIENTS)


def test_gtg_ranks_clients_as_the_exact_values_do_and_saves_evaluations(games):
    exact = sum(shapley(game, CLIENTS) for game in games)
    assert spearmanr(exact, -NOISE).statistic > 0.9  # the exact values see the noise at all
    truncated = guided(games, round_tolerance=0.01, tolerance=0.02)
    whole = guided(games, round_tolerance=0.0, tolerance=0.0)
    assert spearmanr(truncated.contribution, exact).statistic >= 0.9
    assert spearmanr(whole.contribution, exact).statistic >= 0.9
    assert truncated.evaluations < 0.8 * whole.evaluations < 2**CLIENTS * ROUNDS
    np.testing.assert_allclose(whole.contribution.sum(), exact.sum(), rtol=1e-4)  # efficiency over the rounds


def test_tmc_ranks_clients_as_the_exact_values_do(games):
    exact = shapley(games[0], CLIENTS)
    found = tmc_shapley(games[0], CLIENTS, KEY, tolerance=0.005)
    assert spearmanr(found.contribution, exact).statistic >= 0.9
    assert found.evaluations < 2**CLIENTS


def test_rounds_share_a_program(games):
    traces = []

    def watched(params):
        traces.append(None)
        return utility(params)

    first = games[0].args
    for scale in (1.0, 2.0):
        game = round_value(watched, scale * first[0], first[1], scale * first[2])
        shapley(game, CLIENTS)
        float(game(np.ones(CLIENTS, bool)))
    assert len(traces) == 1


def test_absent_clients_get_nothing_for_the_round(games):
    found = gtg_shapley(games[0], CLIENTS, KEY)
    total = sum_rounds([found, found], [np.arange(CLIENTS), np.arange(CLIENTS) + 2], clients=CLIENTS + 2)
    expected = np.pad(found.contribution, (0, 2)) + np.pad(found.contribution, (2, 0))
    np.testing.assert_array_equal(total.contribution, expected)
    assert total.evaluations == 2 * found.evaluations


def test_the_same_key_gives_the_same_estimate(games):
    one, again = (gtg_shapley(games[0], CLIENTS, KEY) for _ in range(2))
    np.testing.assert_array_equal(one.contribution, again.contribution)
    other = gtg_shapley(games[0], CLIENTS, jax.random.key(1))
    assert not np.array_equal(one.contribution, other.contribution)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda game: shapley(game, 13), "use gtg_shapley"),
        (lambda game: shapley(game, 0), "at least one client"),
        (lambda game: leave_one_out(game, 0), "at least one client"),
        (lambda game: gtg_shapley(game, 0, KEY), "at least one client"),
        (lambda game: tmc_shapley(game, 2, KEY, sampling=Sampling(max_permutations=0)), "at least one permutation"),
        (lambda game: sum_rounds([tmc_shapley(game, 2, KEY)], [np.arange(3)], 3), "cohort of 3"),
    ],
)
def test_bad_arguments_are_rejected(call, words):
    with pytest.raises(BoflError, match=words):
        call(lambda mask: mask.sum())
