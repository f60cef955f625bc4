"""Tables of the comparison with peers, as Markdown."""

import json
from typing import Any

AIMS = {"64x10x32": 3.5, "1000x1x16": 6.0}
"""Aim for the speed of this package on two cores, as a multiple of the best peer's."""


def tables(results: dict[str, Any]) -> str:
    """The tables in Markdown, the fastest first."""
    return "\n\n".join(table(name, rows) for name, rows in results["protocols"].items())


def table(protocol: str, rows: dict[str, Any]) -> str:
    """The table of one protocol, and a sentence about the best peer.

    Args:
        protocol: name of the protocol.
        rows: peer -> result.
    """
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
    """Peak memory of all processes, and of the GPU if there is one."""
    device = row.get("device_mib")
    return f"{row['memory_mib']}" + (f" + {device:.0f} on the GPU" if device else "")


def verdict(protocol: str, done: dict[str, Any]) -> str:
    """A sentence: how fast this package is beside the best peer, and whether the aim for two cores is met.

    Args:
        protocol: name of the protocol.
        done: peer -> result.
    """
    peers = {name: row["samples_per_s"] for name, row in done.items() if name != "ours"}
    if "ours" not in done or not peers:
        return "Nothing to compare."
    best = max(peers, key=peers.__getitem__)
    ratio = done["ours"]["samples_per_s"] / peers[best]
    won = f"Ours is {ratio:.2f} x as fast as" if ratio >= 1 else f"**{best} wins**: ours has {ratio:.2f} x the speed of"
    aim = AIMS.get(protocol)
    on_cpu = not any(row.get("device_mib") for row in done.values())
    aim_text = f" The aim, {aim} x on two cores, is {'met' if ratio >= aim else 'missed'}." if aim and on_cpu else ""
    return f"{won} the best peer, {best}.{aim_text}"
