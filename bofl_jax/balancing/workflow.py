"""Governed balancing: before the first round, clients ask the contract for samples of their rare classes.

This is the only way from a generator to a client's samples: request, decision, draw, quality gates, log. Nothing is
drawn for a request that the contract rejects. A batch that fails a gate is logged as unused, and its quota is refunded.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from bofl_jax.balancing.generator_cache import GeneratorCache
from bofl_jax.balancing.sample_service import SampleService, SyntheticBatch
from bofl_jax.balancing.validation import improving_batches
from bofl_jax.core.errors import BoflError
from bofl_jax.core.padding import bucket_size
from bofl_jax.core.types import Samples, concatenate, fully_observed
from bofl_jax.engine.problem import FederatedProblem, build_from_population
from bofl_jax.ledger.base import Ledger
from bofl_jax.ledger.contract_ledger import ContractLedger
from bofl_jax.ledger.sample_requests import Decision, RequestState, SampleRequestClient
from bofl_jax.partition import ClientIndices, class_counts, pack
from bofl_jax.results.requests import (
    RequestRecord,
    delete_requests,
    read_batch,
    read_requests,
    write_batch,
    write_requests,
)
from bofl_jax.synthesis.needs import SampleNeed, request_policy, sample_needs
from bofl_jax.synthesis.options import SynthesisOptions


def balance(
    problem: FederatedProblem,
    options: SynthesisOptions,
    ledger: Ledger,
    directory: Path,
    cache: GeneratorCache | None = None,
) -> FederatedProblem:
    """Let all clients request samples, and append the usable ones to their training samples.

    Args:
        problem: the problem without synthetic samples.
        options: generator, quota and gates.
        ledger: ledger of the run, before the first round.
        directory: run directory; batches are written to ``synthetic/``, and a line for each request to
            ``synthesis.jsonl``.
        cache: fitted neural generators of other runs, or None.

    Returns:
        The problem with the samples.

    Raises:
        BoflError: if the ledger has no contract, or a generator cannot be fitted.
    """
    if not isinstance(ledger, ContractLedger):
        raise BoflError(f"ledger.mode = '{ledger.mode}' has no contract to ask for synthetic samples: set another one")
    delete_requests(directory)
    client = SampleRequestClient(ledger)
    client.set_policy(request_policy(options))
    service = SampleService(problem, options, directory, cache)
    counts = class_counts(problem.population.train, problem.samples.y, len(problem.samples.classes))
    decided = [(need, _request(client, service, need, counts[need.client])) for need in sample_needs(counts, options)]
    batches = {
        decision.request: service.generate(need, decision)
        for need, decision in decided
        if decision.state is RequestState.APPROVED
    }
    passed = {request: batch for request, batch in batches.items() if not batch.failed}
    usable = improving_batches(problem, options, passed) if options.quota == "validation-gated" else passed.keys()
    records = []
    for need, decision in decided:
        record = _record(problem, need, decision)
        if decision.request in batches:
            _log(client, directory, batches[decision.request], usable, record)
        records.append(record)
    write_requests(directory, records)
    return with_synthetic_samples(problem, directory)


def with_synthetic_samples(problem: FederatedProblem, directory: Path) -> FederatedProblem:
    """Append the batches of a run directory to the clients' training samples, as `balance` did.

    Args:
        problem: the problem without synthetic samples.
        directory: the run directory.

    Raises:
        BoflError: if a file is missing or damaged.
    """
    parts = [problem.samples]
    rows: list[list[np.ndarray]] = [[] for _ in range(problem.population.clients)]
    end = len(problem.samples)
    for record in read_requests(directory):
        if record["used"]:
            batch = read_batch(directory, record["request"], "start again with another --out")
            parts.append(_samples_of(problem, record["client"], batch["x"], batch["features"], batch["y"]))
            rows[record["client"]].append(np.arange(end, end + len(batch["y"])))
            end += len(batch["y"])
    synthetic = end - len(problem.samples)
    if not synthetic:
        return problem
    train, adapt = (_append(part, rows) for part in (problem.population.train, problem.population.adapt))
    population = replace(problem.population, train=train, adapt=adapt)
    return build_from_population(problem.config, problem.plan, concatenate(parts), population, synthetic)


def _request(client: SampleRequestClient, service: SampleService, need: SampleNeed, counts: np.ndarray) -> Decision:
    """The contract's decision; if it leaves it to the auditor, the auditor approves what can be generated."""
    decision = client.request(need.client, need.label, need.amount, counts.tolist())
    if decision.state is RequestState.PENDING:
        return client.decide(decision.request, service.can_generate(need))
    return decision


def _record(problem: FederatedProblem, need: SampleNeed, decision: Decision) -> RequestRecord:
    return {
        "request": decision.request,
        "client": need.client,
        "class": problem.samples.classes[need.label],
        "label": need.label,
        "amount": need.amount,
        "state": decision.state.name.lower(),
        "reason": decision.reason,
        "used": 0,
    }


def _log(
    client: SampleRequestClient,
    directory: Path,
    batch: SyntheticBatch,
    usable: Collection[int],
    record: RequestRecord,
) -> None:
    """Write and log a usable batch, or log that nothing of it is used; add the outcome to the record."""
    request, need = batch.request, batch.need
    used = need.amount if not batch.failed and request in usable else 0
    failed = batch.failed or (() if used else ("validation",))
    digest = sha256(f"nothing of request {request}: {', '.join(failed)}".encode()).digest()
    if used and batch.samples:
        digest = write_batch(directory, request, _arrays(request, need.label, batch))
    refunded = client.log_batch(need.client, request, used, digest, batch.generator_digest, batch.basis_points)
    record["used"], record["refunded"] = used, refunded
    record["failed"], record["source"] = list(failed), batch.source
    record["scores"] = {name: None if np.isnan(score) else score for name, score in batch.scores.items()}
    if batch.shortage:
        record["why"] = batch.shortage


def _arrays(request: int, label: int, batch: SyntheticBatch) -> dict[str, np.ndarray]:
    x, features = map(np.asarray, batch.samples or ())
    return {"x": x, "features": features, "y": np.full(len(x), label, np.int32), "request": np.array(request)}


def _samples_of(problem: FederatedProblem, client: int, x: np.ndarray, features: np.ndarray, y: np.ndarray) -> Samples:
    """Synthetic samples of a client, dated to the beginning of its subject's recording."""
    subject = problem.samples.subject[problem.population.train.of(client)[0]]
    return fully_observed(problem.samples, x, features, y, np.full(len(y), subject, np.int32), np.zeros(len(y)))


def _append(rows: ClientIndices, more: Sequence[Sequence[np.ndarray]]) -> ClientIndices:
    """Append indices to each client's, padded so that runs with a few more samples share their programs."""
    longer = pack([np.concatenate([rows.of(client), *extra]) for client, extra in enumerate(more)])
    width = longer.sample.shape[1]
    return longer._replace(sample=np.pad(longer.sample, ((0, 0), (0, bucket_size(width) - width))))
