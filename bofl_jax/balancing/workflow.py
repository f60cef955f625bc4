"""Governed balancing: clients ask the contract for samples of their rare classes before the first round.

This is the only way from a generator to a client's samples: request, decision, draw, quality gates, log. What the
contract rejects is never drawn; what fails a gate is logged with nothing used, and its quota comes back.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.balancing.sample_service import Batch, SampleService
from bofl_jax.balancing.validation import improving_batches
from bofl_jax.core.errors import BoflError
from bofl_jax.core.padding import bucket_size
from bofl_jax.core.types import Samples, concatenate, fully_observed
from bofl_jax.engine.problem import FederatedProblem, build_from_population
from bofl_jax.ledger.contract_ledger import GovernedLedger
from bofl_jax.ledger.sample_requests import Decision, State, SyntheticDesk
from bofl_jax.partition import ClientIndices, class_counts, pack
from bofl_jax.results.requests import LINES, discard_batches, path_of, read_lines, save_batch
from bofl_jax.results.writing import write_text
from bofl_jax.synthesis import SynthesisOptions
from bofl_jax.synthesis.needs import Need, needs, policy


def balance(
    setting: FederatedProblem,
    options: SynthesisOptions,
    ledger: Any,
    directory: Path,
    shelf: GeneratorCache | None = None,
) -> FederatedProblem:
    """Let all clients ask, and append what may be used to their training samples.

    Args:
        setting: without synthetic samples.
        options: generator, quota, gates.
        ledger: of the run, before the first round.
        directory: of the run: ``synthetic/`` takes the batches, ``synthesis.jsonl`` a line for each request.
        shelf: where neural generators are kept for other runs; None: nowhere.

    Returns:
        The setting with the samples.

    Raises:
        BoflError: if there is no contract to ask, or a generator cannot be fitted.
    """
    if not isinstance(ledger, GovernedLedger):
        raise BoflError(f"ledger.mode = '{ledger.mode}' has no contract to ask for synthetic samples: set another one")
    discard_batches(directory)
    desk = SyntheticDesk(ledger)
    desk.set_policy(policy(options))
    workshop = SampleService(setting, options, directory, shelf)
    counts = class_counts(setting.population.train, setting.samples.y, len(setting.samples.classes))
    asked = [(need, _ask(desk, workshop, need, counts[need.client])) for need in needs(counts, options)]
    batches = {
        decision.request: workshop.make(need, decision) for need, decision in asked if decision.state is State.APPROVED
    }
    passed = {request: batch for request, batch in batches.items() if not batch.failed}
    wanted = improving_batches(setting, options, passed) if options.quota == "validation-gated" else passed.keys()
    lines = []
    for need, decision in asked:
        line = _line(setting, need, decision)
        if decision.request in batches:
            line |= _log(desk, directory, batches[decision.request], wanted)
        lines.append(json.dumps(line) + "\n")
    write_text(directory / LINES, "".join(lines))
    return with_synthetic_samples(setting, directory)


def with_synthetic_samples(setting: FederatedProblem, directory: Path) -> FederatedProblem:
    """The setting with the batches that a run directory holds, as `balance` made them.

    Raises:
        BoflError: if one of them is missing or damaged.
    """
    parts = [setting.samples]
    rows: list[list[np.ndarray]] = [[] for _ in range(setting.population.clients)]
    end = len(setting.samples)
    try:
        for line in read_lines(directory):
            if line["used"]:
                with np.load(path_of(directory, line["request"])) as arrays:
                    x, features, y = (arrays[name] for name in ("x", "features", "y"))
                parts.append(_like(setting, line["client"], x, features, y))
                rows[line["client"]].append(np.arange(end, end + len(y)))
                end += len(y)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BoflError(
            f"the synthetic batches in {directory} are missing or damaged ({error}): start again with another --out"
        ) from None
    population, synthetic = setting.population, end - len(setting.samples)
    if not synthetic:
        return setting
    known = replace(population, train=_append(population.train, rows), adapt=_append(population.adapt, rows))
    return build_from_population(setting.config, setting.plan, concatenate(parts), known, synthetic)


def _ask(desk: SyntheticDesk, workshop: SampleService, need: Need, counts: np.ndarray) -> Decision:
    """The contract's answer; where it leaves the word to the auditor, that approves what the generator can draw."""
    decision = desk.request(need.client, need.label, need.amount, counts.tolist())
    if decision.state is State.PENDING:
        return desk.decide(decision.request, workshop.knows(need))
    return decision


def _line(setting: FederatedProblem, need: Need, decision: Decision) -> dict[str, Any]:
    return {
        "request": decision.request,
        "client": need.client,
        "class": setting.samples.classes[need.label],
        "label": need.label,
        "amount": need.amount,
        "state": decision.state.name.lower(),
        "reason": decision.reason,
        "used": 0,
    }


def _log(desk: SyntheticDesk, directory: Path, batch: Batch, wanted: Collection[int]) -> dict[str, Any]:
    """Save and log what may be used of a batch; log that nothing is, otherwise."""
    request, need = batch.request, batch.need
    used = need.amount if not batch.failed and request in wanted else 0
    failed = batch.failed or (() if used else ("validation",))
    digest = sha256(f"nothing of request {request}: {', '.join(failed)}".encode()).digest()
    if used and batch.drawn:
        y = np.full(used, need.label, np.int32)
        x, features = map(np.asarray, batch.drawn)
        arrays = {"x": x, "features": features, "y": y, "request": np.array(request)}
        digest = save_batch(directory, request, arrays)
    refunded = desk.log(need.client, request, used, digest, batch.generator, batch.basis_points)
    scores = {name: None if np.isnan(score) else score for name, score in batch.scores.items()}
    outcome = {"used": used, "refunded": refunded, "failed": list(failed), "source": batch.source, "scores": scores}
    return outcome | ({"why": batch.why} if batch.why else {})


def _like(setting: FederatedProblem, client: int, x: np.ndarray, features: np.ndarray, y: np.ndarray) -> Samples:
    """Synthetic samples of a client, as if recorded at the beginning of its subject's recording."""
    subject = setting.samples.subject[setting.population.train.of(client)[0]]
    return fully_observed(setting.samples, x, features, y, np.full(len(y), subject, np.int32), np.zeros(len(y)))


def _append(rows: ClientIndices, more: Sequence[Sequence[np.ndarray]]) -> ClientIndices:
    """Rows with synthetic samples, as wide as those of runs with a few more."""
    longer = pack([np.concatenate([rows.of(client), *extra]) for client, extra in enumerate(more)])
    width = longer.sample.shape[1]
    return longer._replace(sample=np.pad(longer.sample, ((0, 0), (0, bucket_size(width) - width))))
