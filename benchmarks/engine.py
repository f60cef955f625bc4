"""Time rounds of the reference work and compare with the machine's matrix-multiply peak, measured in the same run.

    python benchmarks/engine.py --clients 64 --steps 10 --batch 32 --json benchmarks/results/engine.json

The work: C clients x S SGD steps x batches of B windows of 256 samples; network conv7x16/2, pool 2, conv7x32/2, pool 2,
dense 64, dense 5 (36 901 parameters). Prints JSON.
"""

import argparse
import resource
import statistics
import time
from pathlib import Path

import numpy as np
from output import emit, machine

from bofl_jax.config import load_config
from bofl_jax.core.types import Samples

SAMPLES_PER_CLIENT = 64


def reference_samples(clients: int) -> Samples:
    """Random windows: 64 training samples and one test sample a client."""
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


def reference_config(arguments: argparse.Namespace) -> dict:
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
    from bofl_jax.parallel import devices

    config = load_config(reference_config(arguments))
    devices.configure_devices(config.engine)
    result = measure(config, arguments)
    emit(result, arguments.json)


def measure(config, arguments: argparse.Namespace) -> dict:
    """Interleave rounds and matrix products, so that both see the same load of the machine."""
    import jax

    from bofl_jax.engine.cohort import draw_cohort
    from bofl_jax.engine.problem import build_problem
    from bofl_jax.engine.round import compile_round, initial_state
    from bofl_jax.models import parameters
    from bofl_jax.parallel.clients import resolve

    plan = resolve(config.engine)
    setting = build_problem(config, plan, reference_samples(arguments.clients))
    params = setting.initial_params
    state = initial_state(setting)
    cohort = draw_cohort(config.federation, setting.training, setting.root, 1)
    began = time.perf_counter()
    one_round = compile_round(setting, state, cohort, digests="off")
    compile_s = time.perf_counter() - began
    multiply = matrix_product(plan)
    state, _ = jax.block_until_ready(one_round(state, cohort, 1, 0.05))
    seconds, peaks = [], []
    for number in range(2, arguments.rounds + 2):
        peaks.append(multiply())
        began = time.perf_counter()
        state, _ = jax.block_until_ready(one_round(state, cohort, number, 0.05))
        seconds.append(time.perf_counter() - began)
    samples = (arguments.cohort or arguments.clients) * arguments.steps * arguments.batch
    per_second = samples / statistics.median(seconds)
    flop = step_flop(setting, params) / arguments.batch
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
        "parameters": parameters(params),
        "compile_s": round(compile_s, 2),
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
    """Most memory so far, in MiB: resident in this process, and in use on an accelerator."""
    import jax

    kibi = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"resident": round(kibi / 1024)}
    if jax.default_backend() != "cpu":
        found["device"] = round(jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20)
    return found


def step_flop(setting, params) -> float:
    """Floating-point operations of one SGD step, as the compiler counts them."""
    import jax
    import jax.numpy as jnp

    from bofl_jax import algorithms

    def step(params, batch):
        _, slope = jax.value_and_grad(setting.loss)(params, batch)
        return jax.tree.map(lambda w, g: w - 0.1 * g, params, slope)

    batch = algorithms.take(setting.pool, jnp.arange(setting.sampler.batch_size))
    return jax.jit(step).lower(params, batch).compile().cost_analysis()["flops"]


def matrix_product(plan):
    """A function that times one product of two square matrices on every device at once, in FLOP/s."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    size = 1024 if jax.default_backend() == "cpu" else 8192  # a GPU would mostly wait for the launch of a smaller one
    devices = max(plan.devices, 1)
    mesh = plan.mesh()
    operands = jax.device_put(jnp.ones((devices, size, size)), NamedSharding(mesh, PartitionSpec("clients")))
    split = PartitionSpec("clients")
    product = jax.jit(
        jax.shard_map(lambda a: jnp.matmul(a, a), mesh=mesh, in_specs=split, out_specs=split, check_vma=False)
    )
    jax.block_until_ready(product(operands))

    def run() -> float:
        began = time.perf_counter()
        jax.block_until_ready(product(operands))
        return devices * 2 * size**3 / (time.perf_counter() - began)

    return run


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--cohort", type=int, help="clients drawn for a round; all when left out")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=64, help="units of the dense layer; another size, another work")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds; the median counts")
    parser.add_argument("--execution", choices=("auto", "vmap", "map", "shard"), default="auto")
    parser.add_argument("--devices", type=int, default=0)
    parser.add_argument("--width", type=int, default=0, help="clients vmapped at a time")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
