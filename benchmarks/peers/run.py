"""The same work in this package and in every peer: tune each in turn, measure it in its best setting, print the table.

    python benchmarks/peers/environments.py --root build/peers
    python benchmarks/peers/run.py --root build/peers --json benchmarks/results/peers.json

    python benchmarks/peers/run.py --here --device cuda --peers ours torch-loop torch-vmap    # GPU, this interpreter

Every setting that a peer lists is tried in a process of its own (on a GPU, all in one); the fastest is measured.
``--tuned FILE`` takes the settings from an earlier result. The result file is written after every measurement.
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
from memory import Watch, tree
from work import PROTOCOLS, Protocol, Setting, cores, load, shrunk

HERE = Path(__file__).resolve().parent
AIMS = {"64x10x32": 3.5, "1000x1x16": 6.0}
"""How many times as fast as the best peer this package wants to be on two cores."""


class Peer(NamedTuple):
    """How a peer is started."""

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
    """A peer's process did not do what it was asked to."""


class Runner(NamedTuple):
    """Starts peers' processes.

    Attributes:
        root: the folder of the environments; None: this interpreter does for all.
        device: cpu, cuda or auto.
        shrink: so many times fewer clients.
        limit: seconds after which a process is ended.
    """

    root: Path | None
    device: str
    shrink: int
    limit: float

    def python(self, peer: Peer) -> str:
        """The interpreter that runs a peer."""
        return str(python_of(self.root, peer.environment)) if self.root else sys.executable

    def command(self, peer: Peer, protocol: str, processes: int, *more: str) -> list[str]:
        """The command line of one process, or of the launcher of several ranks."""
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        start = [self.python(peer), *(launcher if peer.ranks and processes > 1 else [])]
        return [*start, str(HERE / peer.script), *peer.options, "--protocol", protocol, "--device", self.device, *more]

    def variables(self, name: str) -> dict[str, str]:
        """The environment variables of a peer's processes, which start now."""
        given = [os.environ["PYTHONPATH"]] if not self.root and os.environ.get("PYTHONPATH") else []
        return os.environ | {
            "PEERS_BEGAN": str(time.time()),
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *given] if name == "ours" else given),
            "FLWR_TELEMETRY_ENABLED": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def ask(self, name: str, protocol: str, *more: str, processes: int = 1, copies: int = 1) -> list[Any]:
        """What so many copies of a peer's process, side by side, print; with the peak memory of all in each answer.

        Raises:
            PeerError: if one of them fails, or does not end.
        """
        peer = PEERS[name]
        if not Path(self.python(peer)).exists():
            raise PeerError(f"no environment {peer.environment}: make it with environments.py")
        environment = self.variables(name)
        shrink = ["--shrink", str(self.shrink * copies)]
        with tempfile.TemporaryDirectory() as folder, Watch() as watch:
            answers = [Path(folder) / f"{number}.json" for number in range(copies)]
            logs = [answer.with_suffix(".log") for answer in answers]
            started = []
            for answer, log in zip(answers, logs, strict=True):
                line = [*self.command(peer, protocol, processes, *more), *shrink, "--json", str(answer)]
                with log.open("w") as out:
                    started.append(
                        subprocess.Popen(line, env=environment, stdout=out, stderr=out, start_new_session=True)
                    )
                watch.roots.append(started[-1].pid)
            ended = [self.wait(process) for process in started]
            for code, answer, log in zip(ended, answers, logs, strict=True):
                if code != 0 or not answer.exists():
                    raise PeerError(last_line(log.read_text(errors="replace"), code))
            found = [json.loads(answer.read_text()) for answer in answers]
        for one in found:
            if isinstance(one, dict):
                one["memory_mib"] = round(watch.peak / 2**20)
        return found

    def wait(self, process: subprocess.Popen) -> int | None:
        """Wait for a process to end, and see that its descendants do; its exit code, None if it had to be ended."""
        try:
            return process.wait(self.limit)
        except subprocess.TimeoutExpired:
            for pid in tree(process.pid):
                end(os.kill, pid)
            process.wait()
            return None
        finally:
            end(os.killpg, process.pid)

    def measure(self, name: str, protocol: str, setting: Setting, rounds: int) -> dict[str, Any]:
        """One peer in one setting."""
        copies = setting.get("copies", 1)
        said = ("--setting", json.dumps(setting), "--rounds", str(rounds))
        found = self.ask(name, protocol, *said, processes=setting.get("processes", 1), copies=copies)
        return found[0] if copies == 1 else added(found, shrunk(PROTOCOLS[protocol], self.shrink))

    def tune(self, name: str, protocol: str, rounds: int) -> list[dict[str, Any]]:
        """How fast a peer is in every setting that it lists, the fastest first."""
        if self.device == "cuda":
            return self.ask(name, protocol, "--tune", "--rounds", str(rounds))[0]
        tried = []
        for setting in self.ask(name, protocol, "--list")[0]:
            try:
                speed = self.measure(name, protocol, setting, rounds)["samples_per_s"]
                tried.append({"setting": setting, "samples_per_s": speed})
            except PeerError as error:
                tried.append({"setting": setting, "error": str(error)})
            say(f"  {tried[-1]}")
        return sorted(tried, key=lambda one: -one.get("samples_per_s", 0))


def end(kill: Callable[[int, int], None], number: int) -> None:
    """End a process or a group of them, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        kill(number, signal.SIGKILL)


def last_line(log: str, code: int | None) -> str:
    """Why a process failed, as far as its output says."""
    if code is None:
        return "took too long"
    lines = [line.strip() for line in log.splitlines() if "Error" in line and "ChildPeerErrorError" not in line]
    return (lines or log.strip().splitlines() or [f"exit code {code}"])[-1][:300]


def added(found: list[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Copies that ran side by side, each with its share of the clients, as one result: their speeds add up."""
    speed = sum(one["samples_per_s"] for one in found)
    return found[0] | {
        "work": protocol._asdict(),
        "round_s": [one["round_s"] for one in found],
        "round_s_median": round(protocol.samples_a_round / speed, 5),
        "samples_per_s": round(speed, 1),
        "rounds_per_s": round(speed / protocol.samples_a_round, 4),
        "start_up_s": max(one["start_up_s"] for one in found),
    }


def compare(runner: Runner, arguments: argparse.Namespace) -> dict[str, Any]:
    """All protocols, all peers: ``{protocol: {peer: result, or {"error": why}}}``."""
    known = json.loads(arguments.tuned.read_text())["protocols"] if arguments.tuned else {}
    results: dict[str, Any] = {"cores": cores(), "protocols": {}}
    for protocol in arguments.protocols:
        load(shrunk(PROTOCOLS[protocol], runner.shrink))
        rows = results["protocols"].setdefault(protocol, {})
        for name in arguments.peers:
            say(f"{protocol} {name}")
            try:
                rows[name] = one_peer(runner, name, protocol, known.get(protocol, {}).get(name, {}), arguments)
            except PeerError as error:
                rows[name] = {"error": str(error)}
            say(f"  {rows[name].get('samples_per_s', rows[name].get('error'))}")
            if arguments.json:
                arguments.json.parent.mkdir(parents=True, exist_ok=True)
                arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return results


def one_peer(
    runner: Runner, name: str, protocol: str, known: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Find a peer's best setting, unless it is known, and measure it there."""
    tried = known.get("tried") or runner.tune(name, protocol, arguments.tune_rounds)
    if "samples_per_s" not in tried[0]:
        raise PeerError(tried[0]["error"])
    return runner.measure(name, protocol, tried[0]["setting"], arguments.rounds) | {"tried": tried}


def say(line: str) -> None:
    """Tell how far it is, apart from the table."""
    print(line, file=sys.stderr, flush=True)


def tables(results: dict[str, Any]) -> str:
    """The tables in Markdown, the fastest first."""
    return "\n\n".join(table(name, rows) for name, rows in results["protocols"].items())


def table(protocol: str, rows: dict[str, Any]) -> str:
    """One protocol's table, and what it says of the best peer."""
    done = {name: row for name, row in rows.items() if "error" not in row}
    lines = [
        f"### {protocol}",
        "",
        "| | samples/s | ours is faster by | rounds/s | peak memory, MiB | start-up, s | setting |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    ours = done.get("ours", {}).get("samples_per_s")
    for name, row in sorted(done.items(), key=lambda item: -item[1]["samples_per_s"]):
        faster = f"{ours / row['samples_per_s']:.2f} x" if ours and name != "ours" else ""
        lines.append(
            f"| {name} | {row['samples_per_s']:.0f} | {faster} | {row['rounds_per_s']:.3g} | {memory_of(row)} "
            f"| {row['start_up_s']:.1f} | `{json.dumps(row['setting'])}` |"
        )
    lines += [f"| {name} | failed: {row['error']} | | | | | |" for name, row in rows.items() if "error" in row]
    return "\n".join([*lines, "", verdict(protocol, done)])


def memory_of(row: dict[str, Any]) -> str:
    """Peak memory of all processes; on a GPU its own memory too."""
    device = row.get("device_mib")
    return f"{row['memory_mib']}" + (f" + {device:.0f} on the GPU" if device else "")


def verdict(protocol: str, done: dict[str, Any]) -> str:
    """Who wins, by how much, and whether that is the aim (which is one for two cores)."""
    peers = {name: row["samples_per_s"] for name, row in done.items() if name != "ours"}
    if "ours" not in done or not peers:
        return "Nothing to compare."
    best = max(peers, key=peers.__getitem__)
    ratio = done["ours"]["samples_per_s"] / peers[best]
    won = f"Ours is {ratio:.2f} x as fast as" if ratio >= 1 else f"**{best} wins**: ours has {ratio:.2f} x the speed of"
    aim = AIMS.get(protocol)
    on_cpu = not any(row.get("device_mib") for row in done.values())
    said = f" The aim, {aim} x on two cores, is {'met' if ratio >= aim else 'missed'}." if aim and on_cpu else ""
    return f"{won} the best peer, {best}.{said}"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--root", type=Path, help="the folder that environments.py filled")
    where.add_argument("--here", action="store_true", help="run all peers with this interpreter")
    where.add_argument("--table", type=Path, help="print the tables of an earlier result file, and measure nothing")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS), metavar="PROTOCOL")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=10, help="timed rounds; the median counts")
    parser.add_argument("--tune-rounds", type=int, default=2, help="timed rounds of each setting that is tried")
    parser.add_argument("--tuned", type=Path, help="an earlier result file, whose settings are taken")
    parser.add_argument("--shrink", type=int, default=1, help="so many times fewer clients, for a try")
    parser.add_argument("--limit", type=float, default=1800, help="seconds that a process may take")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, and print the tables."""
    arguments = parse()
    if arguments.table:
        print(tables(json.loads(arguments.table.read_text())))
        return
    runner = Runner(arguments.root, arguments.device, arguments.shrink, arguments.limit)
    print(tables(compare(runner, arguments)))


if __name__ == "__main__":
    main()
