"""What a run says of each component of the system: facts from its configuration and its results."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bofl_jax.figures.diagram import Fact
from bofl_jax.figures.words import counted, rounded
from bofl_jax.results import Run

Section = Mapping[str, Any]
Facts = Iterator[Fact]

_RECORDED = {
    "merkle": "one Merkle root a round",
    "calldata": "all digests and a Merkle root a round",
    "signed": "each signed by its client, and a Merkle root a round",
    "per-client": "each in a transaction of its client, and a Merkle root a round",
}
_AVERAGED = {
    "fednova": "normalised mean of the updates",
    "scaffold": "mean of updates and control variates",
    "bfln": "mean within clusters of clients",
}


def clients(run: Run, section: Section, federation: Section) -> Facts:
    """Who takes part, and whose samples they hold."""
    yield Fact("clients", len(run.clients.name), counted(len(run.clients.name), "client"))
    yield from _given("data", run.config.get("data", {}), source="data source {}")
    yield from _given("partition", section, scheme="partition {}")
    yield from _given("partition", section, alpha="alpha {}", train_minutes="{} min labelled each")
    yield from _given("partition", section, adapt_minutes="{} min to adapt on")
    yield from _held_out(section)
    if "train" in run.clients.counts:
        count = int(np.nansum(list(run.clients.counts["train"].values())))
        yield Fact("training samples", count, counted(count, "training sample"))
    yield from _given("federation", federation, cohort="cohort of {} a round")


def _held_out(section: Section) -> Facts:
    subjects, share = section.get("test_subjects"), section.get("test_fraction")
    if subjects is not None:
        yield Fact("held-out subjects", len(subjects), f"{counted(len(subjects), 'subject')} held out")
    if share is not None:
        yield Fact("held-out share", share, f"{percent(share)} of people held out")


def training(section: Section, model: Section, optimizer: Section) -> Facts:
    """What a client does in a round."""
    yield from _given("federation", section, algorithm="algorithm {}")
    yield from _given("model", model, name="model {}")
    yield from _given("federation", section, local_steps="{} local steps", local_epochs="{} local epochs")
    yield from _given("federation", section, batch_size="batches of {}")
    yield from _given("optimizer", optimizer, client="optimizer {}", lr="learning rate {}")
    yield from _given("federation", section, rounds="{} rounds")


def digests(mode: str) -> Facts:
    """How updates are named and signed."""
    yield Fact("digest", "SHA-256", "SHA-256")
    yield Fact("recorded", mode, _RECORDED.get(mode, mode))


def chain(run: Run, section: Section) -> Facts:
    """The ledger's mode, its contract, and what a round costs."""
    ledger = run.summary.ledger
    yield Fact("mode", run.summary.ledger_mode, f"ledger mode {run.summary.ledger_mode}")
    if run.contract:
        yield Fact("contract", run.contract, f"contract {run.contract}")
    if section.get("node"):
        yield Fact("kept by", "node", "kept by an Ethereum node")
    else:
        yield from _given("ledger", section, authorities="sealed by {} authorities")
    if ledger.get("gas_per_round"):
        yield Fact("gas per round", ledger["gas_per_round"], f"{ledger['gas_per_round']:,.0f} gas a round")
    if ledger.get("accepted") is not None:
        accepted, rejected = int(ledger["accepted"]), int(ledger.get("rejected") or 0)
        yield Fact("accepted updates", accepted, f"{counted(accepted, 'update')} accepted")
        yield Fact("refused updates", rejected, f"{rejected:,} refused")


def aggregation(config: Section) -> Facts:
    """What the server makes of the updates, and what befalls those."""
    federation, optimizer = config.get("federation", {}), config.get("optimizer", {})
    rule = _AVERAGED.get(str(federation.get("algorithm")), "mean, weighted by samples")
    yield Fact("rule", rule, rule)
    server = optimizer.get("server", "sgd")
    if server != "sgd":
        yield Fact("server optimizer", server, f"then server {server}")
    yield from _given("optimizer", optimizer, server_lr="server learning rate {}")
    if config.get("ledger", {}).get("quorum"):
        yield Fact("quorum", config["ledger"]["quorum"], f"quorum {percent(config['ledger']['quorum'])}")
    if federation.get("stragglers"):
        yield Fact("stragglers", federation["stragglers"], f"{percent(federation['stragglers'])} stragglers")
    yield from _adversary(config.get("adversary", {}))


def _adversary(section: Section) -> Facts:
    if section.get("altered"):
        text = f"{percent(section['altered'])} of updates altered: {section.get('channel')}"
        yield Fact("altered updates", section["altered"], text)
    for key, text in (("uninvited", "uninvited: {} a round"), ("duplicates", "duplicates: {} a round")):
        if section.get(key):
            yield from _given("adversary", section, **{key: text})


def personalisation(section: Section) -> Facts:
    """How the shared model becomes each client's own."""
    yield from _given("personalise", section, method="method {}")
    if section.get("steps"):
        yield from _given("personalise", section, steps="{} steps on own samples", lr="learning rate {}")


def evaluation(run: Run) -> Facts:
    """On what, and how well."""
    label, person = run.predictions.label, run.predictions.person
    yield Fact("test samples", len(label), counted(len(label), "test sample"))
    people = len(np.unique(person))
    yield Fact("people", people, f"of {counted(people, 'person', 'people')}")
    for model, measured in run.summary.test.items():
        score = measured.get("macro_f1")
        if score is not None:
            yield Fact(f"macro-F1, {model}", score, f"macro-F1 {rounded(score)}, {model}")


def decision(run: Run, section: Section) -> Facts:
    """What clients asked for, and what the contract said."""
    asked, refused = len(run.requests), sum(request.state == "rejected" for request in run.requests)
    yield Fact("requests", asked, counted(asked, "request"))
    yield Fact("refused", refused, f"{refused:,} refused")
    yield from _given("synthesis", section, class_quota="limit {} a class", max_batch="limit {} a request")
    yield from _given("synthesis", section, approval="{} approval")


def generator(section: Section) -> Facts:
    """What makes synthetic samples, and how many."""
    yield from _given("synthesis", section, generator="generator {}", training="{} training", quota="quota {}")
    if section.get("dose") is not None:
        yield Fact("dose", section["dose"], f"dose {percent(section['dose'])}")


def gates(run: Run, section: Section) -> Facts:
    """What a batch must pass."""
    names = ", ".join(section.get("gates", {}))
    if names:
        yield Fact("gates", names, names)
    useless = sum(request.failed == ("validation",) for request in run.requests)
    failed = sum(bool(request.failed) for request in run.requests) - useless
    yield Fact("failed batches", failed, f"{counted(failed, 'batch', 'batches')} failed")
    if useless:
        yield Fact("batches without gain", useless, f"{useless:,} without gain on the client's folds")


def pool(run: Run) -> Facts:
    """What a client's pool gains."""
    used = sum(request.used for request in run.requests)
    yield Fact("synthetic samples", used, f"{counted(used, 'synthetic sample')} appended")


def percent(share: float) -> str:
    """A share as a caption prints it.

    >>> percent(0.1), percent(0.125)
    ('10 %', '12.5 %')
    """
    return f"{100 * share:g} %"


def _given(name: str, section: Section, /, **texts: str) -> Facts:
    """A fact for each of these keys that the section of this name has; its value goes in place of the braces."""
    for key, text in texts.items():
        value = section.get(key)
        if value is not None:
            yield Fact(f"{name}.{key}", value, text.format(_plain(value)))


def _plain(value: Any) -> str:
    """A number as it is read.

    >>> _plain(10000), _plain(2.0), _plain("sgd")
    ('10,000', '2', 'sgd')
    """
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
