"""Where synthetic samples are made: generators fitted to the clients' samples, and batches drawn and judged."""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from bofl_jax.balancing.fit import DivergedError, FittedGenerators, fit
from bofl_jax.balancing.generator_cache import GeneratorCache, cache_key
from bofl_jax.core.errors import BoflError
from bofl_jax.core.keys import Purpose, derive
from bofl_jax.core.serialization import layout_of
from bofl_jax.engine.problem import FederatedProblem
from bofl_jax.ledger.sample_requests import Decision, State
from bofl_jax.partition import ClientIndices, pack
from bofl_jax.results.writing import write_arrays
from bofl_jax.synthesis import Drawn, NeuralOptions, Shape, SynthesisOptions, build
from bofl_jax.synthesis.base import flat
from bofl_jax.synthesis.gates import Reference, Scores, Verdict, check, judge
from bofl_jax.synthesis.needs import Need
from bofl_jax.synthesis.options import OversampleOptions

NO_GENERATOR = bytes(31) + b"\1"
"""What stands on the ledger for the generator's digest where there is none."""


class Batch(NamedTuple):
    """What became of an approved request."""

    request: int
    need: Need
    source: str  # name of the generator; empty: none could make it
    generator: bytes  # 32 bytes, its digest
    drawn: Drawn | None
    verdict: Verdict | None
    why: str = ""  # why there is none

    @property
    def failed(self) -> tuple[str, ...]:
        """The gates that it failed; ``too-few`` where there was nothing to fit a generator to."""
        return self.verdict.failed if self.verdict else ("too-few",)

    @property
    def basis_points(self) -> list[int]:
        """The scores for the ledger."""
        return self.verdict.basis_points if self.verdict else []

    @property
    def scores(self) -> dict[str, float]:
        """By name."""
        return self.verdict.scores._asdict() | {"copies": self.verdict.copies} if self.verdict else {}


class SampleService:
    """The generators of a run. They are fitted when the first batch is asked for.

    Args:
        setting: of the run, without synthetic samples.
        options: generator and gates.
        directory: of the run; takes the last good state of a generator that diverges.
        shelf: where neural generators are kept for other runs; None: nowhere.
    """

    def __init__(
        self, setting: FederatedProblem, options: SynthesisOptions, directory: Path, shelf: GeneratorCache | None = None
    ) -> None:
        self._setting, self._options, self._directory, self._shelf = setting, options, directory, shelf
        samples = setting.samples
        self._labels, self._classes = samples.y, samples.classes
        _, window, leads = samples.x.shape
        self._shape = Shape(window, leads, samples.features.shape[1], len(samples.classes), samples.fs)
        self._seen, self._unseen = _hold_out(setting, options.holdout)
        self._scores: dict[tuple[str, int, int], Scores] = {}

    @cached_property
    def _main(self) -> FittedGenerators:
        options, setting = self._options, self._setting
        if self._shelf is None or not isinstance(options, NeuralOptions):
            return self._fit(options)
        name = cache_key(options, setting.plan, setting.pool, self._seen, len(self._classes), setting.root)
        generator = build(options, self._shape, self._classes)
        return self._shelf.fitted(name, generator, options.training, lambda: self._fit(options))

    @cached_property
    def _fallback(self) -> FittedGenerators:
        return self._fit(OversampleOptions(generator="oversample"))

    def _fit(self, options: SynthesisOptions) -> FittedGenerators:
        generator = build(options, self._shape, self._classes)
        setting = self._setting
        try:
            return fit(
                generator,
                setting.plan,
                setting.pool,
                self._seen,
                self._labels,
                len(self._classes),
                options.training,
                setting.root,
            )
        except DivergedError as error:
            path = self._directory / "generator.npz"
            _, leaves = layout_of(error.last_good)
            write_arrays(path, {str(place): np.asarray(leaf) for place, leaf in enumerate(leaves)})
            raise BoflError(f"{error}; its last good state is in {path}") from error

    def knows(self, need: Need) -> bool:
        """Whether there is a generator for what a client needs."""
        return self._source(need) is not None

    def _source(self, need: Need) -> FittedGenerators | None:
        if self._main.knows(need.client, need.label):
            return self._main
        if self._options.fallback == "oversample" and self._fallback.knows(need.client, need.label):
            return self._fallback
        return None

    def _lacking(self, need: Need) -> str:
        main, generator = self._main, self._main.generator
        basis = 0 if generator.from_normal else need.label
        seen = main.seen[main.row(need.client), basis]
        return (
            f"{generator.name} needs at least {generator.least} samples of {self._classes[basis]} and has seen {seen}"
        )

    def make(self, need: Need, decision: Decision) -> Batch:
        """Draw and judge the batch of an approved request.

        Raises:
            BoflError: if it is not approved: nothing is drawn then.
        """
        if decision.state is not State.APPROVED:
            raise BoflError(f"request {decision.request} is not approved: no sample is drawn for it")
        source = self._source(need)
        if source is None:
            return Batch(decision.request, need, "", NO_GENERATOR, None, None, self._lacking(need))
        key = derive(self._setting.root, Purpose.SYNTHESIS, 1, decision.request)
        drawn = source.sample(key, need.client, need.label, need.amount)
        verdict = check(
            np.asarray(flat(*drawn)),
            need.amount,
            self._judge(source, need),
            self._reference(source, need),
            self._options.gates,
            shared=source.training != "local",
        )
        return Batch(decision.request, need, source.generator.name, source.digest(need.client), drawn, verdict)

    def _judge(self, source: FittedGenerators, need: Need) -> Scores:
        """The scores of a generator's class, by a probe that nobody trains on; each is judged once."""
        name = (source.generator.name, source.row(need.client), need.label)
        if name not in self._scores:
            key = derive(self._setting.root, Purpose.SYNTHESIS, 2, source.row(need.client), need.label)
            probe = source.sample(key, need.client, need.label, self._options.probe)
            self._scores[name] = judge(np.asarray(flat(*probe)), self._reference(source, need), seed=need.label)
        return self._scores[name]

    def _reference(self, source: FittedGenerators, need: Need) -> Reference:
        """A client's own samples for its own generator; everybody's where all fitted it or it knows no such sample."""
        own = source.training == "local" and not source.generator.from_normal
        parts = []
        for rows in (self._seen, self._unseen):
            index = rows.of(need.client) if own else rows.flat()[0]
            member = self._labels[index] == need.label
            parts.append((index[member], index[~member]))
        (seen, others_seen), (unseen, others_unseen) = parts
        return Reference(*map(self._vectors, (seen, unseen, others_seen, others_unseen)))

    def _vectors(self, index: np.ndarray) -> np.ndarray:
        samples = self._setting.samples
        width = samples.x.shape[1] * samples.x.shape[2]
        return np.concatenate([samples.x[index].reshape(len(index), width), samples.features[index]], axis=1)


def _hold_out(setting: FederatedProblem, share: float) -> tuple[ClientIndices, ClientIndices]:
    """Every client's training samples in two: what generators see, and what only the gates do, class by class."""
    words = jax.random.key_data(derive(setting.root, Purpose.SYNTHESIS, 3))
    rng = np.random.default_rng(np.asarray(words))
    seen, unseen = [], []
    for client in range(setting.population.clients):
        rows = rng.permutation(setting.population.train.of(client))
        kept = np.zeros(len(rows), bool)
        for label in range(len(setting.samples.classes)):
            members = np.flatnonzero(setting.samples.y[rows] == label)
            kept[members[: int(share * len(members))]] = True
        seen.append(np.sort(rows[~kept]))
        unseen.append(np.sort(rows[kept]))
    return pack(seen), pack(unseen)
