"""The sample service of a run: it fits generators to the clients' samples, and draws and checks batches."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from bofl_jax.balancing.fit import DivergedError, FitInputs, FittedGenerators, fit
from bofl_jax.balancing.generator_cache import GeneratorCache, cache_key
from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.core.serialization import layout_of
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.ledger.sample_requests import Decision, RequestState
from bofl_jax.partition import ClientIndices, pack
from bofl_jax.results.writing import write_arrays
from bofl_jax.synthesis.base import SampleShape, SyntheticSamples, flatten
from bofl_jax.synthesis.gates import GateResult, QualityScores, ReferenceSamples, check_batch, score_samples
from bofl_jax.synthesis.needs import SampleNeed
from bofl_jax.synthesis.options import SynthesisOptions
from bofl_jax.synthesis.registry import build_generator, default_options

NO_GENERATOR = bytes(31) + b"\1"
"""Stands on the ledger in place of a generator's digest where no generator could make the class."""


class SyntheticBatch(NamedTuple):
    """The batch of an approved request.

    Attributes:
        request: number of the request on the ledger.
        need: the request.
        source: name of the generator; empty if none could make the class.
        generator_digest: 32 bytes, digest of the fitted generator.
        samples: the samples, or None.
        result: result of the quality gates, or None.
        shortage: why there are no samples; empty if there are.
    """

    request: int
    need: SampleNeed
    source: str
    generator_digest: bytes
    samples: SyntheticSamples | None
    result: GateResult | None
    shortage: str = ""

    @property
    def failed(self) -> tuple[str, ...]:
        """The gates that the batch failed; ``too-few`` if there were too few samples to fit a generator to."""
        return self.result.failed if self.result else ("too-few",)

    @property
    def basis_points(self) -> list[int]:
        """The scores for the ledger."""
        return self.result.basis_points if self.result else []

    @property
    def scores(self) -> dict[str, float]:
        """The scores by name."""
        return self.result.scores._asdict() | {"copies": self.result.copies} if self.result else {}


class SampleService:
    """The generators of a run, which are fitted when they are first needed.

    Args:
        problem: the problem without synthetic samples.
        options: generator and gates.
        directory: run directory; the last finite state of a generator that diverges is written to it.
        cache: fitted generators of other runs, or None.
    """

    def __init__(
        self, problem: FederatedProblem, options: SynthesisOptions, directory: Path, cache: GeneratorCache | None = None
    ) -> None:
        self._problem, self._options, self._directory, self._cache = problem, options, directory, cache
        samples = problem.samples
        _, window, leads = samples.x.shape
        self._shape = SampleShape(window, leads, samples.features.shape[1], samples.classes, samples.fs)
        self._train, self._holdout = _split_holdout(problem, options.holdout)
        self._scores: dict[tuple[str, int, int], QualityScores] = {}

    @cached_property
    def _inputs(self) -> FitInputs:
        problem, classes = self._problem, self._shape.num_classes
        return FitInputs(problem.plan, problem.pool, self._train, problem.samples.y, classes, problem.root)

    @cached_property
    def _main(self) -> FittedGenerators:
        options = self._options
        if self._cache is None or not options.cached:
            return self._fit(options)
        key, generator = cache_key(options, self._inputs), build_generator(self._shape, options)
        return self._cache.get_or_fit(key, generator, options.training, lambda: self._fit(options))

    @cached_property
    def _fallback(self) -> FittedGenerators | None:
        name = self._options.fallback
        return None if name == "none" else self._fit(default_options(name))

    def _fit(self, options: SynthesisOptions) -> FittedGenerators:
        try:
            return fit(build_generator(self._shape, options), self._inputs, options.training)
        except DivergedError as error:
            path = self._directory / "generator.npz"
            _, leaves = layout_of(error.last_good)
            write_arrays(path, {str(place): np.asarray(leaf) for place, leaf in enumerate(leaves)})
            raise BoflError(f"{error}; its last good state is in {path}") from error

    def can_generate(self, need: SampleNeed) -> bool:
        """Whether a generator can make the class that a client needs."""
        return self._source(need) is not None

    def _source(self, need: SampleNeed) -> FittedGenerators | None:
        if self._main.can_sample(need.client, need.label):
            return self._main
        if self._fallback and self._fallback.can_sample(need.client, need.label):
            return self._fallback
        return None

    def _shortage(self, need: SampleNeed) -> str:
        main, generator = self._main, self._main.generator
        source, seen = self._shape.classes[generator.source_of(need.label)], main.source_count(need.client, need.label)
        return f"{generator.name} needs at least {generator.min_samples} samples of {source} and has seen {seen}"

    def generate(self, need: SampleNeed, decision: Decision) -> SyntheticBatch:
        """Draw the batch of an approved request and check it.

        Args:
            need: the request.
            decision: the contract's decision.

        Raises:
            BoflError: if the request is not approved. Nothing is drawn then.
        """
        if decision.state is not RequestState.APPROVED:
            raise BoflError(f"request {decision.request} is not approved: no sample is drawn for it")
        source = self._source(need)
        if source is None:
            return SyntheticBatch(decision.request, need, "", NO_GENERATOR, None, None, self._shortage(need))
        key = derive(self._problem.root, Purpose.SYNTHESIS, 1, decision.request)
        samples = source.sample(key, need.client, need.label, need.amount)
        result = check_batch(
            np.asarray(flatten(*samples)),
            need.amount,
            self._scores_of(source, need),
            self._reference(source, need),
            self._options.gates,
            shared=source.training != "local",
        )
        digest = source.digest(need.client)
        return SyntheticBatch(decision.request, need, source.generator.name, digest, samples, result)

    def _scores_of(self, source: FittedGenerators, need: SampleNeed) -> QualityScores:
        """The scores of a generator for a class, from samples that are not used for training; computed once."""
        name = (source.generator.name, source.index_of(need.client), need.label)
        if name not in self._scores:
            key = derive(self._problem.root, Purpose.SYNTHESIS, 2, source.index_of(need.client), need.label)
            samples = source.sample(key, need.client, need.label, self._options.probe)
            reference = self._reference(source, need)
            self._scores[name] = score_samples(np.asarray(flatten(*samples)), reference, seed=need.label)
        return self._scores[name]

    def _reference(self, source: FittedGenerators, need: SampleNeed) -> ReferenceSamples:
        """Real samples to compare with.

        These are the client's own samples if its own generator is fitted to samples of the class, else all clients'.
        """
        own = source.training == "local" and source.generator.source_class is None
        parts = []
        for rows in (self._train, self._holdout):
            index = rows.of(need.client) if own else rows.flat()[0]
            member = self._problem.samples.y[index] == need.label
            parts.append((index[member], index[~member]))
        (train, others_train), (holdout, others_holdout) = parts
        return ReferenceSamples(*map(self._vectors, (train, holdout, others_train, others_holdout)))

    def _vectors(self, index: np.ndarray) -> np.ndarray:
        samples = self._problem.samples
        x = samples.x[index].reshape(len(index), self._shape.signal_size)
        return np.concatenate([x, samples.features[index]], axis=1)


def _split_holdout(problem: FederatedProblem, share: float) -> tuple[ClientIndices, ClientIndices]:
    """Split each client's training samples by class into a generator set and a gate set."""
    words = jax.random.key_data(derive(problem.root, Purpose.SYNTHESIS, 3))
    rng = np.random.default_rng(np.asarray(words))
    train, holdout = [], []
    for client in range(problem.population.clients):
        rows = rng.permutation(problem.population.train.of(client))
        held_out = np.zeros(len(rows), bool)
        for label in range(len(problem.samples.classes)):
            members = np.flatnonzero(problem.samples.y[rows] == label)
            held_out[members[: int(share * len(members))]] = True
        train.append(np.sort(rows[~held_out]))
        holdout.append(np.sort(rows[held_out]))
    return pack(train), pack(holdout)
