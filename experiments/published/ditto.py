"""Ditto's point estimation: the personal model, the best lambda and its error are known in closed form.

    python -m experiments.published.ditto --json experiments/published/results/ditto.json

Li, Hu, Beirami and Smith, Ditto: fair and robust federated learning through personalization, ICML 2021, section 3.2 and
the authors' code. Each of K clients estimates its mean, drawn from N(0, tau^2), from n samples of N(mean, sigma^2). The
means of adversaries are drawn from N(0, tau_a^2). The package's Ditto is run to its fixed point and must end in
``(lambda * mean of all + own) / (1 + lambda)``. The error of the benign clients is smallest at

    lambda* = (sigma^2 / n) K / (K tau^2 + K_a (tau_a^2 - tau^2) / (K - 1)).
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bofl_jax import aggregate, algorithms
from experiments.published.command import emit_result, result_parser, run_on_two_devices

SIGMA, SAMPLES, TAU = 0.8, 30, 0.1
CASES = {
    "8 clients": {"clients": 8, "adversaries": 0, "tau_a": TAU, "expected": 2.1333, "error": 86.2e-4},
    "16 clients, 8 adversaries": {"clients": 16, "adversaries": 8, "tau_a": 0.5, "expected": 1.1852, "error": 104.9e-4},
}
ROUNDS, STEPS = 30, 200


def best_lambda(clients: int, adversaries: int, tau_a: float) -> float:
    """lambda*.

    Args:
        clients: K.
        adversaries: K_a.
        tau_a: standard deviation of the adversaries' means.
    """
    return (SIGMA**2 / SAMPLES) * clients / (clients * TAU**2 + adversaries * (tau_a**2 - TAU**2) / (clients - 1))


def draw_means(trials: int, clients: int, adversaries: int, tau_a: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """float64[trials, K] each: the true means, and the means of the samples.

    Args:
        trials: number of independent trials.
        clients: K.
        adversaries: K_a, the last clients.
        tau_a: standard deviation of the adversaries' means.
        seed: seed of the draws.
    """
    stream = np.random.RandomState(seed)
    spread = np.where(np.arange(clients) < clients - adversaries, TAU, tau_a)
    truth = spread * stream.standard_normal((trials, clients))
    return truth, truth + SIGMA / np.sqrt(SAMPLES) * stream.standard_normal((trials, clients))


def benign_error(strength: float, truth: np.ndarray, own: np.ndarray, benign: int) -> float:
    """Mean squared error of the benign clients' personal estimates, from the closed form.

    Args:
        strength: lambda.
        truth: float64[trials, K], the true means.
        own: float64[trials, K], the means of each client's samples.
        benign: number of benign clients, which come first.
    """
    personal = (strength * own.mean(axis=1, keepdims=True) + own) / (1 + strength)
    return float(np.mean((personal - truth)[:, :benign] ** 2))


@functools.partial(jax.jit, static_argnames="strength")
def fixed_point(own: jax.Array, strength: float) -> jax.Array:
    """float32[K]: the personal models after enough rounds of the package's Ditto.

    Args:
        own: float32[K], the mean of each client's samples.
        strength: lambda.
    """
    algorithm = algorithms.ditto(lambda w, batch: 0.5 * jnp.mean((w - batch.features) ** 2), optax.sgd(1.0), strength)
    server = aggregate.sgd()

    def client(shared, state, mean):
        batch = algorithms.Batch(jnp.zeros((1, 1, 1)), mean[None, None], jnp.zeros(1, jnp.int32))
        data = algorithms.LocalData(lambda *_: batch, 1, jnp.int32(STEPS), jnp.float32(0.1))
        return algorithm.train(shared, state, data)[:2]

    def one_round(carry, _):
        shared, states = carry
        updates, states = jax.vmap(client, in_axes=(None, 0, 0))(shared, states, own)
        _, shared = server.step((), shared, aggregate.ReducedUpdate(updates.mean(), jnp.float32(1)))
        return (shared, states), None

    start = (jnp.float32(0), jnp.zeros_like(own))
    return jax.lax.scan(one_round, start, length=ROUNDS)[0][1]


def main() -> None:
    """Print lambda*, the error there and around it, and the distance of the algorithm from the closed form."""
    arguments = result_parser(__doc__, trials=400_000, runs=20).parse_args()
    began = time.perf_counter()
    table = {}
    for name, case in CASES.items():
        shape = {key: case[key] for key in ("clients", "adversaries", "tau_a")}
        strength, benign = best_lambda(**shape), case["clients"] - case["adversaries"]
        truth, own = draw_means(arguments.trials, **shape, seed=0)
        grid = {
            factor: benign_error(factor * strength, truth, own, benign) for factor in (0.0, 0.5, 0.8, 1.0, 1.25, 2.0)
        }
        gaps = []
        for estimates in own[: arguments.runs]:
            ours = np.asarray(fixed_point(jnp.asarray(estimates, jnp.float32), strength))
            gaps.append(np.abs(ours - (strength * estimates.mean() + estimates) / (1 + strength)).max())
        table[name] = {
            "lambda": round(strength, 4),
            "lambda_published": case["expected"],
            "error": grid[1.0],
            "error_expected": case["error"],
            "error_by_factor_of_lambda": grid,
            "largest_gap_of_the_algorithm": float(max(gaps)),
            "holds": bool(
                abs(strength - case["expected"]) < 5e-5
                and abs(grid[1.0] - case["error"]) < 0.5e-4
                and min(grid, key=grid.get) == 1.0
                and max(gaps) < 1e-5
            ),
        }
    emit_result({"trials": arguments.trials, "runs": arguments.runs, "cases": table}, arguments.json, began)


if __name__ == "__main__":
    run_on_two_devices(main)
