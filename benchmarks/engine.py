"""Time rounds of the reference work, and compare with the machine's matrix-multiply peak, measured in the same run.

    python benchmarks/engine.py --clients 64 --steps 10 --batch 32 --json benchmarks/results/engine.json

The work: C clients x S SGD steps x batches of B windows of 256 samples; network conv7x16/2, pool 2, conv7x32/2, pool 2,
dense 64, dense 5 (36 901 parameters). Prints JSON.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from output import emit, machine

from bofl_jax import Config, Samples, algorithms, load_config
from bofl_jax.engine import FederatedProblem, SingleRunPrograms, build_problem, draw_cohort, initial_state, train
from bofl_jax.models import Params, parameter_count
from bofl_jax.parallel import ExecutionPlan, configure_devices, resolve_plan

SAMPLES_PER_CLIENT = 64


def reference_samples(clients: int) -> Samples:
    """Random windows: 64 training samples and one test sample for each client."""
    rng = np.random.default_rng(0)
    total = clients * (SAMPLES_PER_CLIENT + 1)
    return Samples(
        x=rng.standard_normal((total, 256, 1), np.float32),
        features=np.zeros((total, 0), np.float32),
        y=rng.integers(0, 5, total).astype(np.int32),
        subject=np.repeat(np.arange(clients, dtype=np.int32), SAMPLES_PER_CLIENT + 1),
        time=np.tile(np.r_[np.zeros(SAMPLES_PER_CLIENT), 120.0], clients),
        classes=tuple("NSVFQ"),
        subjects=tuple(map(str, range(clients))),
        fs=360.0,
    )


def reference_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The configuration of the reference work."""
    return {
        "data": {"source": "simulator"},
        "partition": {"scheme": "patient", "train_minutes": 1.0},
        "model": {
            "name": "cnn1d",
            "channels": [16, 32],
            "kernels": [7, 7],
            "strides": [2, 2],
            "pool": True,
            "head": "flatten",
            "hidden": arguments.hidden,
        },
        "federation": {
            "algorithm": "fedavg",
            "local_steps": arguments.steps,
            "batch_size": arguments.batch,
            "cohort": arguments.cohort,
        },
        "optimizer": {"lr": 0.05},
        "ledger": {"mode": "off"},
        "engine": {"execution": arguments.execution, "devices": arguments.devices, "width": arguments.width},
    }


def main() -> None:
    """Measure and print."""
    arguments = parse()
    config = load_config(reference_config(arguments), {"federation.rounds": arguments.rounds + 1})
    configure_devices(config.engine)
    emit(measure(config, arguments), arguments.json)


def measure(config: Config, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time rounds and matrix products in turn, so that both see the same load of the machine.

    Every round has the same cohort: drawing it is not timed.

    Args:
        config: the configuration of the reference work.
        arguments: the command line.
    """
    plan = resolve_plan(config.engine)
    problem = build_problem(config, plan, reference_samples(arguments.clients))
    cohort = draw_cohort(config.federation, problem.training, problem.root, 1)
    state, programs = initial_state(problem), SingleRunPrograms(problem)
    programs.prepare(state, [cohort])
    rounds = train(problem, programs=programs, state=state, draw=lambda _: [cohort])
    jax.block_until_ready(next(rounds).state)
    multiply = matrix_product(plan)
    seconds, peaks = [], []
    for _ in range(arguments.rounds):
        peaks.append(multiply())
        began = time.perf_counter()
        jax.block_until_ready(next(rounds).state)
        seconds.append(time.perf_counter() - began)
    samples = (arguments.cohort or arguments.clients) * arguments.steps * arguments.batch
    per_second = samples / statistics.median(seconds)
    flop = step_flop(problem, problem.initial_params) / arguments.batch
    peak = statistics.median(peaks)
    return {
        "work": {name: getattr(arguments, name) for name in ("clients", "cohort", "steps", "batch")},
        "machine": {
            **machine(),
            "device": jax.devices()[0].device_kind,
            "devices": plan.devices,
            "jax": jax.__version__,
        },
        "plan": plan._asdict(),
        "parameters": parameter_count(problem.initial_params),
        "compile_s": round(programs.compile_s, 2),
        "rounds": arguments.rounds,
        "round_s_median": statistics.median(seconds),
        "peak_mib": peak_mib(),
        "samples_per_s": round(per_second),
        "samples_per_s_best": round(samples / min(seconds)),
        "mflop_per_sample": round(flop / 1e6, 3),
        "model_gflop_per_s": round(per_second * flop / 1e9, 1),
        "matmul_gflop_per_s": round(peak / 1e9, 1),
        "ratio_to_matmul": round(per_second * flop / peak, 3),
    }


def peak_mib() -> dict[str, float]:
    """Peak memory so far in MiB: resident memory of this process, and memory of an accelerator."""
    kibi = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"resident": round(kibi / 1024)}
    if jax.default_backend() != "cpu":
        found["device"] = round(jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20)
    return found


def step_flop(problem: FederatedProblem, params: Params) -> float:
    """Floating-point operations of one SGD step, as the compiler counts them.

    Args:
        problem: the problem.
        params: parameters of the network.
    """

    def step(params: Params, batch: algorithms.Batch) -> Params:
        _, gradient = jax.value_and_grad(problem.loss)(params, batch)
        return jax.tree.map(lambda w, g: w - 0.1 * g, params, gradient)

    batch = algorithms.take(problem.pool, jnp.arange(problem.sampler.batch_size))
    return jax.jit(step).lower(params, batch).compile().cost_analysis()["flops"]


def matrix_product(plan: ExecutionPlan) -> Callable[[], float]:
    """A function that times one product of two square matrices on every device at once, in FLOP/s."""
    size = (
        1024 if jax.default_backend() == "cpu" else 8192
    )  # on a GPU, launching a smaller product takes most of its time
    devices = max(plan.devices, 1)
    mesh = plan.mesh()
    operands = jax.device_put(jnp.ones((devices, size, size)), NamedSharding(mesh, PartitionSpec("clients")))
    split = PartitionSpec("clients")
    product = jax.jit(
        jax.shard_map(lambda a: jnp.matmul(a, a), mesh=mesh, in_specs=split, out_specs=split, check_vma=False)
    )
    jax.block_until_ready(product(operands))

    def multiply() -> float:
        began = time.perf_counter()
        jax.block_until_ready(product(operands))
        return devices * 2 * size**3 / (time.perf_counter() - began)

    return multiply


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--cohort", type=int, help="clients drawn for a round; all clients when left out")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=64, help="units of the dense layer; 64 in the reference work")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds; the median counts")
    parser.add_argument("--execution", choices=("auto", "vmap", "map", "shard"), default="auto")
    parser.add_argument("--devices", type=int, default=0)
    parser.add_argument("--width", type=int, default=0, help="clients vmapped at a time")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
