"""Compare this package with its peers on the same work: tune each, measure it in its best setting, print the table.

    python benchmarks/peers/environments.py --root build/peers
    python benchmarks/peers/run.py --root build/peers --json benchmarks/results/peers.json

    python benchmarks/peers/run.py --here --device cuda --peers ours torch-loop torch-vmap    # GPU, this interpreter

Every setting that a peer lists is tried in a process of its own (on a GPU, all in one process); the fastest is
measured. ``--tuned FILE`` takes the settings from an earlier result. The result file is written after every
measurement.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from environments import REPOSITORY, python_of
from memory import PeakMemory, process_tree
from tables import tables
from work import PROTOCOLS, Protocol, Setting, cores, load, with_fewer_clients

HERE = Path(__file__).resolve().parent


class Peer(NamedTuple):
    """The command that starts a peer."""

    environment: str
    script: str
    options: tuple[str, ...] = ()
    ranks: bool = False  # whether its processes are ranks of torch.distributed


PEERS = {
    "ours": Peer("ours", "ours.py"),
    "torch-loop": Peer("torch", "torch_peer.py", ("--how", "loop")),
    "torch-vmap": Peer("torch", "torch_peer.py", ("--how", "vmap")),
    "pfl-research": Peer("pfl", "pfl_peer.py", ranks=True),
    "fedjax": Peer("fedjax", "fedjax_peer.py"),
    "flower": Peer("flower", "flower_peer.py"),
    "flsim": Peer("flsim", "flsim_peer.py", ranks=True),
}


class PeerError(Exception):
    """A peer's process failed, or did not end."""


class Runner(NamedTuple):
    """Starts peers' processes.

    Attributes:
        root: folder of the environments; with None this interpreter runs all peers.
        device: cpu, cuda or auto.
        shrink: factor by which the number of clients is divided.
        limit: seconds after which a process is killed.
    """

    root: Path | None
    device: str
    shrink: int
    limit: float

    def python(self, peer: Peer) -> str:
        """The interpreter that runs a peer."""
        return str(python_of(self.root, peer.environment)) if self.root else sys.executable

    def command(self, peer: Peer, protocol: str, processes: int, *more: str) -> list[str]:
        """The command line of one process, or of the launcher of several ranks.

        Args:
            peer: the peer.
            protocol: name of the protocol.
            processes: number of ranks.
            more: further arguments.
        """
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        start = [self.python(peer), *(launcher if peer.ranks and processes > 1 else [])]
        return [*start, str(HERE / peer.script), *peer.options, "--protocol", protocol, "--device", self.device, *more]

    def variables(self, name: str) -> dict[str, str]:
        """The environment variables of a peer's processes, with the time at which they start."""
        given = [os.environ["PYTHONPATH"]] if not self.root and os.environ.get("PYTHONPATH") else []
        return os.environ | {
            "PEERS_BEGAN": str(time.time()),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *given] if name == "ours" else given),
            "FLWR_TELEMETRY_ENABLED": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def run_peer(self, name: str, protocol: str, *more: str, processes: int = 1, copies: int = 1) -> list[Any]:
        """Run copies of a peer's process at the same time.

        Args:
            name: name of the peer.
            protocol: name of the protocol.
            more: further arguments.
            processes: number of ranks of each copy.
            copies: number of copies, each with its share of the clients.

        Returns:
            The result of each copy, with the peak memory of all of them.

        Raises:
            PeerError: if one of them fails, or does not end.
        """
        peer = PEERS[name]
        if not Path(self.python(peer)).exists():
            raise PeerError(f"no environment {peer.environment}: make it with environments.py")
        environment = self.variables(name)
        shrink = ["--shrink", str(self.shrink * copies)]
        with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory:
            files = [Path(folder) / f"{number}.json" for number in range(copies)]
            logs = [file.with_suffix(".log") for file in files]
            started = []
            for file, log in zip(files, logs, strict=True):
                line = [*self.command(peer, protocol, processes, *more), *shrink, "--json", str(file)]
                with log.open("w") as out:
                    started.append(
                        subprocess.Popen(line, env=environment, stdout=out, stderr=out, start_new_session=True)
                    )
                memory.roots.append(started[-1].pid)
            codes = [self.wait(process) for process in started]
            for code, file, log in zip(codes, files, logs, strict=True):
                if code != 0 or not file.exists():
                    raise PeerError(last_line(log.read_text(errors="replace"), code))
            results = [json.loads(file.read_text()) for file in files]
        for result in results:
            if isinstance(result, dict):
                result["memory_mib"] = round(memory.peak / 2**20)
        return results

    def wait(self, process: subprocess.Popen) -> int | None:
        """Wait for a process and kill its descendants; returns its exit code, or None if it took too long."""
        try:
            return process.wait(self.limit)
        except subprocess.TimeoutExpired:
            for pid in process_tree(process.pid):
                kill_running(os.kill, pid)
            process.wait()
            return None
        finally:
            kill_running(os.killpg, process.pid)

    def measure(self, name: str, protocol: str, setting: Setting, rounds: int) -> dict[str, Any]:
        """Measure one peer in one setting.

        Args:
            name: name of the peer.
            protocol: name of the protocol.
            setting: the setting.
            rounds: timed rounds.
        """
        copies = setting.get("copies", 1)
        options = ("--setting", json.dumps(setting), "--rounds", str(rounds))
        results = self.run_peer(name, protocol, *options, processes=setting.get("processes", 1), copies=copies)
        return results[0] if copies == 1 else add_copies(results, with_fewer_clients(PROTOCOLS[protocol], self.shrink))

    def tune(self, name: str, protocol: str, rounds: int) -> list[dict[str, Any]]:
        """The speed of a peer in every setting that it lists, the fastest first.

        Args:
            name: name of the peer.
            protocol: name of the protocol.
            rounds: timed rounds of each setting.
        """
        if self.device == "cuda":
            return self.run_peer(name, protocol, "--tune", "--rounds", str(rounds))[0]
        tried = []
        for setting in self.run_peer(name, protocol, "--list")[0]:
            try:
                speed = self.measure(name, protocol, setting, rounds)["samples_per_s"]
                tried.append({"setting": setting, "samples_per_s": speed})
            except PeerError as error:
                tried.append({"setting": setting, "error": str(error)})
            log_line(f"  {tried[-1]}")
        return sorted(tried, key=lambda one: -one.get("samples_per_s", 0))


def kill_running(kill: Callable[[int, int], None], number: int) -> None:
    """Kill a process or a process group, unless it has ended.

    Args:
        kill: `os.kill` or `os.killpg`.
        number: its id.
    """
    with contextlib.suppress(ProcessLookupError):
        kill(number, signal.SIGKILL)


def last_line(log: str, code: int | None) -> str:
    """The last error that a failed process printed.

    Args:
        log: its output.
        code: its exit code; None if it took too long.
    """
    if code is None:
        return "took too long"
    lines = [line.strip() for line in log.splitlines() if "Error" in line and "ChildFailedError" not in line]
    return (lines or log.strip().splitlines() or [f"exit code {code}"])[-1][:300]


def add_copies(results: list[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Combine copies that ran at the same time, each with its share of the clients; their speeds are added.

    Args:
        results: the result of each copy.
        protocol: the protocol.
    """
    speed = sum(one["samples_per_s"] for one in results)
    return results[0] | {
        "work": protocol._asdict(),
        "round_s": [one["round_s"] for one in results],
        "round_s_median": round(protocol.samples_a_round / speed, 5),
        "samples_per_s": round(speed, 1),
        "rounds_per_s": round(speed / protocol.samples_a_round, 4),
        "start_up_s": max(one["start_up_s"] for one in results),
    }


def compare(runner: Runner, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all peers on all protocols: ``{protocol: {peer: result, or {"error": reason}}}``.

    Args:
        runner: starts the processes.
        arguments: the command line.
    """
    known = json.loads(arguments.tuned.read_text())["protocols"] if arguments.tuned else {}
    results: dict[str, Any] = {"cores": cores(), "protocols": {}}
    for protocol in arguments.protocols:
        load(with_fewer_clients(PROTOCOLS[protocol], runner.shrink))
        rows = results["protocols"].setdefault(protocol, {})
        for name in arguments.peers:
            log_line(f"{protocol} {name}")
            try:
                rows[name] = measure_best(runner, name, protocol, known.get(protocol, {}).get(name, {}), arguments)
            except PeerError as error:
                rows[name] = {"error": str(error)}
            log_line(f"  {rows[name].get('samples_per_s', rows[name].get('error'))}")
            if arguments.json:
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return results


def measure_best(
    runner: Runner, name: str, protocol: str, known: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Find the best setting of a peer, unless it is known, and measure it.

    Args:
        runner: starts the processes.
        name: name of the peer.
        protocol: name of the protocol.
        known: its earlier result, or an empty dictionary.
        arguments: the command line.
    """
    tried = known.get("tried") or runner.tune(name, protocol, arguments.tune_rounds)
    if "samples_per_s" not in tried[0]:
        raise PeerError(tried[0]["error"])
    return runner.measure(name, protocol, tried[0]["setting"], arguments.rounds) | {"tried": tried}


def log_line(line: str) -> None:
    """Print progress to standard error."""
    print(line, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--root", type=Path, help="folder of the environments that environments.py made")
    where.add_argument("--here", action="store_true", help="run all peers with this interpreter")
    where.add_argument("--table", type=Path, help="print the tables of an earlier result file, and measure nothing")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS), metavar="PROTOCOL")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds; the median is reported")
    parser.add_argument("--tune-rounds", type=int, default=2, help="timed rounds of each setting that is tried")
    parser.add_argument("--tuned", type=Path, help="an earlier result file whose settings are used")
    parser.add_argument("--shrink", type=int, default=1, help="divide the number of clients by this, for a quick try")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that a process may take")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure all peers, and print the tables."""
    arguments = parse()
    if arguments.table:
        print(tables(json.loads(arguments.table.read_text())))
        return
    runner = Runner(arguments.root, arguments.device, arguments.shrink, arguments.limit)
    print(tables(compare(runner, arguments)))


if __name__ == "__main__":
    main()
