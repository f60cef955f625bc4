"""Kinds of tampering with files beside the chain: configuration, leaves, results, checkpoints, batches."""

import csv
import functools
import json
import random
import re
import shutil
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.engine.state import TrainState
from bofl_jax.ledger.chain.base import TransactionRequest
from bofl_jax.ledger.storage.layout import ledger_files
from bofl_jax.ledger.storage.leaves import RoundLeaves, read_leaves
from bofl_jax.results.digest import results_digest
from bofl_jax.results.requests import batch_path, write_batch
from bofl_jax.runs.checkpoint import CheckpointStore
from tests.runs.tampering.forger import (
    Forger,
    change_number,
    changed_leaf,
    edit_summary,
    number_paths,
    rewrite_leaves,
    update_sums,
    update_times,
    with_new_root,
    write_rounds,
)
from tests.runs.tampering.histories import write_new_genesis
from tests.runs.tampering.runs import CLIENTS, CONTRACT, ROUNDS, Kind, other_run
from tests.support.tiny import biggest_file, flip_byte, read_rounds


def change_the_configuration(rng: random.Random, run: Path) -> None:
    path = run / "config.toml"
    text = path.read_text()
    number = rng.choice(list(re.finditer(r"(?<== )\d+(\.\d+)?(?=$)", text, re.MULTILINE)))
    path.write_text(text[: number.start()] + str(rng.randint(1, 9)) + text[number.start() :])


def change_the_configuration_and_reseal(rng: random.Random, run: Path) -> None:
    """Change the configuration, and make the genesis, every header and the summary fit it."""
    f = Forger(run)
    change_the_configuration(rng, run)
    digest = sha256((run / "config.toml").read_bytes()).digest()
    write_new_genesis(f, f.genesis._replace(config_hash=digest))
    f.reseal_from(0)
    f.write()
    edit_summary(run, lambda summary: summary.update(config_sha256=digest.hex()))


def in_the_leaves(change: Callable[[random.Random, RoundLeaves], RoundLeaves]) -> Kind:
    """A kind that alters one record of the leaf file."""

    def kind(rng: random.Random, run: Path) -> None:
        records = read_leaves(ledger_files(run).leaves)
        k = rng.choice([k for k, record in enumerate(records) if len(record.leaves)])
        rewrite_leaves(run, lambda all: [*all[:k], change(rng, all[k]), *all[k + 1 :]])

    return kind


def change_a_leaf(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    return record._replace(leaves=changed_leaf(rng, record))


def change_a_leaf_and_its_root(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    return with_new_root(record, changed_leaf(rng, record))


def remove_a_leaf(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    kept = np.delete(np.arange(len(record.leaves)), rng.randrange(len(record.leaves)))
    return with_new_root(record, record.leaves[kept], record.clients[kept])


def give_a_leaf_to_another_client(rng: random.Random, record: RoundLeaves) -> RoundLeaves:
    clients, cohort = record.clients.copy(), record.cohort.copy()
    if rng.random() < 0.5:
        clients[rng.randrange(len(clients))] = rng.randrange(CLIENTS)
    else:
        cohort[rng.randrange(len(cohort))] = rng.randrange(CLIENTS)
    return record._replace(clients=clients, cohort=cohort)


def shuffle_leaf_records(rng: random.Random, run: Path) -> None:
    def change(records: list[RoundLeaves]) -> list[RoundLeaves]:
        k = rng.randrange(len(records) - 1)
        swapped = [*records[:k], records[k + 1], records[k], *records[k + 2 :]]
        return rng.choice((records[:k] + records[k + 1 :], swapped, [*records[: k + 1], *records[k:]]))

    rewrite_leaves(run, change)


def in_the_summary(section: str) -> Kind:
    """A kind that changes a number of the summary, except ``timing.compile_s``, which nothing verifies."""

    def kind(rng: random.Random, run: Path) -> None:
        def change(summary: dict[str, Any]) -> None:
            paths = [p for p in number_paths(summary[section], (section,)) if p[-1] != "compile_s"]
            change_number(summary, rng.choice(paths), rng)

        edit_summary(run, change)

    return kind


def in_the_rounds(*, ledger: bool) -> Kind:
    """A kind that changes a number of ``rounds.jsonl`` and makes the sums in the summary fit, except times."""

    def kind(rng: random.Random, run: Path) -> None:
        records = read_rounds(run)
        record = rng.choice(records)
        paths = [p for p in number_paths(record) if (p[0] == "ledger") == ledger and p[-1] != "digest_ms"]
        change_number(record, rng.choice(paths), rng)
        write_rounds(run, records)
        update_sums(run)

    return kind


def shuffle_rounds(rng: random.Random, run: Path) -> None:
    records = read_rounds(run)
    k = rng.randrange(len(records) - 1)
    swapped = [*records[:k], records[k + 1], records[k], *records[k + 2 :]]
    write_rounds(run, rng.choice((records[:k] + records[k + 1 :], swapped, [*records[: k + 1], *records[k:]])))
    update_sums(run)


def improve_the_last_test(rng: random.Random, run: Path) -> None:
    """Improve a metric of the last test in the summary and in the last line of ``rounds.jsonl``."""
    records = read_rounds(run)
    metrics = records[-1]["metrics"]
    path = rng.choice([p for p in number_paths(metrics) if isinstance(p[-1], str) and p[-1] != "support"])
    change_number(metrics, path, rng)
    write_rounds(run, records)
    edit_summary(run, lambda summary: summary["test"].update({"global": metrics}))


def change_a_row_of_clients(rng: random.Random, run: Path) -> None:
    with (run / "clients.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    i = rng.randrange(1, len(rows))
    match rng.choice(("cell", "swap", "drop")):
        case "cell":
            j = rng.randrange(2, len(rows[i]))
            rows[i][j] = repr(float(rows[i][j] or 0) + rng.random())
        case "swap":
            j = rng.randrange(1, len(rows))
            rows[i][1:], rows[j][1:] = rows[j][1:], rows[i][1:]
        case _:
            del rows[i]
    with (run / "clients.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def change_a_prediction(rng: random.Random, run: Path) -> None:
    with np.load(run / "predictions.npz") as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    name = rng.choice([name for name, array in arrays.items() if array.dtype.kind in "fi"])
    place = tuple(rng.randrange(size) for size in arrays[name].shape)
    arrays[name][place] = arrays[name][place] / 2 + 0.25 if arrays[name].dtype.kind == "f" else arrays[name][place] + 1
    np.savez_compressed(run / "predictions.npz", allow_pickle=False, **arrays)


def remove_results(rng: random.Random, run: Path) -> None:
    for name in rng.sample(["predictions.npz", "clients.csv", "summary.json", "rounds.jsonl"], rng.randint(1, 4)):
        (run / name).unlink()


def cut_rounds_off(rng: random.Random, run: Path) -> None:
    """Remove the last rounds everywhere; in half of the trials, the auditor publishes the rest as results."""
    left = ROUNDS - rng.randint(1, 3)
    f = Forger(run)
    calls = f.calls()[: f.find_calls("finaliseRound")[left - 1][0] + 1]
    rewrite_leaves(run, lambda records: records[:left])
    write_rounds(run, read_rounds(run)[:left])
    update_sums(run)
    update_times(run)
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))
    if rng.random() < 0.5:
        digest = results_digest(run, json.loads((run / "summary.json").read_text()))
        auditor, data = f.network.auditor, CONTRACT.encode_call("publishResults", left, digest)
        calls.append([TransactionRequest(auditor.key, f.address, data, 500_000)])
    f.execute(calls)
    f.write()


def save_another_model(rng: random.Random, run: Path) -> None:
    """Save a valid checkpoint with one changed parameter."""
    leaves, layout = _last_model(run)
    leaf = leaves[rng.randrange(len(leaves))]
    leaf[tuple(rng.randrange(size) for size in leaf.shape)] += rng.choice((-1, 1)) * 10.0 ** -rng.randint(0, 3)
    _save_model(run, ROUNDS, leaves, layout)


def save_an_older_model(_rng: random.Random, run: Path) -> None:
    """Save the model of the round before as the last model."""
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))
    _save_model(run, ROUNDS, *_last_model(run))


def save_a_later_model(rng: random.Random, run: Path) -> None:
    leaves, layout = _last_model(run)
    _save_model(run, ROUNDS + rng.randint(1, 5), leaves, layout)


def leave_an_older_checkpoint(_rng: random.Random, run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / str(ROUNDS))


def remove_checkpoints(rng: random.Random, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    if rng.random() < 0.5:
        (run / "checkpoints").mkdir()


def rename_a_checkpoint(rng: random.Random, run: Path) -> None:
    (run / "checkpoints" / str(ROUNDS)).rename(run / "checkpoints" / str(ROUNDS + rng.randint(1, 9)))


def copy_another_runs_checkpoints(_rng: random.Random, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(other_run(run) / "checkpoints", run / "checkpoints")


def flip_in_the_checkpoint(rng: random.Random, run: Path) -> None:
    """Change a byte of the file with the parameters; nothing depends on the other files of Orbax."""
    path = biggest_file(run / "checkpoints" / str(ROUNDS) / "state" / "d")
    flip_byte(path, rng.randrange(path.stat().st_size), rng.randrange(1, 256))


def _last_model(run: Path) -> tuple[list[np.ndarray], str]:
    checkpoints = CheckpointStore(run / "checkpoints")
    saved = checkpoints.latest()
    checkpoints.close()
    assert saved
    return [leaf.copy() for leaf in saved.leaves["params"]], saved.layout["params"]


def _save_model(run: Path, number: int, leaves: Sequence[np.ndarray], layout: str) -> None:
    """Save a checkpoint as a run does, with correct digests of its own."""
    params: dict[str, Any] = {}
    for line, leaf in zip(layout.splitlines(), leaves, strict=True):
        *folders, name = re.findall(r"\['(\w+)'\]", line)
        functools.reduce(lambda node, folder: node.setdefault(folder, {}), folders, params)[name] = leaf
    shutil.rmtree(run / "checkpoints" / str(number), ignore_errors=True)
    checkpoints = CheckpointStore(run / "checkpoints")
    checkpoints.save(number, TrainState(params, (), ()))
    checkpoints.close()


def change_a_batch(rng: random.Random, run: Path) -> None:
    with np.load(batch_path(run, 1)) as stored:
        arrays = {name: stored[name].copy() for name in stored.files}
    name = rng.choice(list(arrays))
    arrays[name][rng.randrange(len(arrays[name]))] += 1
    write_batch(run, 1, arrays)


def flip_in_the_batch(rng: random.Random, run: Path) -> None:
    flip_byte(batch_path(run, 1), rng.randrange(batch_path(run, 1).stat().st_size), rng.randrange(1, 256))


def remove_the_batch(rng: random.Random, run: Path) -> None:
    if rng.random() < 0.5:
        batch_path(run, 1).unlink()
    else:
        batch_path(run, 1).rename(batch_path(run, rng.randint(2, 9)))


def add_a_batch(rng: random.Random, run: Path) -> None:
    shutil.copy(batch_path(run, 1), batch_path(run, rng.randint(2, 9)))
