"""Put what `gpu.sh` measured into one result file, and print its table of peers.

python benchmarks/gpu_table.py FOLDER --json benchmarks/results/h100.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

PEERS = {"ours": "bofl_jax", "vmap": "torch.func.vmap", "loop": "PyTorch loop"}
PROTOCOLS = ("64x10x32", "1000x1x16", "cifar10")


def main() -> None:
    """Read, print, write."""
    arguments = parse()
    result = {"note": arguments.note} | collect(arguments.folder)
    print(table(result["peers"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def collect(folder: Path) -> dict[str, Any]:
    """Every result file in the folder; what was not measured is None."""

    def read(name: str) -> Any:
        path = folder / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    engine = read("engine")
    return {
        "machine": engine["machine"],
        "peers": {peer: {protocol: read(f"{peer}-{protocol}") for protocol in PROTOCOLS} for peer in PEERS},
        "engine": engine,
        "digest": [read(path.stem) for path in sorted(folder.glob("digest-*.json"))],
        "scaling": read("scaling"),
    }


def table(peers: dict[str, dict[str, Any]]) -> str:
    """Markdown: samples/s of each peer in its best setting."""
    rows = [f"| samples/s | {' | '.join(PROTOCOLS)} |", f"|---|{'---:|' * len(PROTOCOLS)}"]
    for peer, measured in peers.items():
        rows.append(f"| {PEERS[peer]} | {' | '.join(best(measured[protocol]) for protocol in PROTOCOLS)} |")
    return "\n".join(rows)


def best(tried: list[dict[str, Any]] | None) -> str:
    """The fastest setting and its speed; "-" where nothing was measured."""
    if not tried or "samples_per_s" not in tried[0]:
        return "-"
    setting = ", ".join(f"{name} {value}" if value is not True else name for name, value in tried[0]["setting"].items())
    return f"{tried[0]['samples_per_s']:,.0f} ({setting})"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where gpu.sh wrote")
    parser.add_argument("--note", help="what a reader of the file must know")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
