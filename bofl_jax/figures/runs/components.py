"""Facts about each component of the system, from a run's configuration and results."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bofl_jax.figures.captions import format_count, format_number
from bofl_jax.figures.diagram import Fact
from bofl_jax.results import RunResults

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


def clients(run: RunResults, section: Section, federation: Section) -> Facts:
    """Clients and their data.

    Args:
        run: the results.
        section: ``[partition]``.
        federation: ``[federation]``.
    """
    yield Fact("clients", len(run.clients.name), format_count(len(run.clients.name), "client"))
    yield from _config_facts("data", run.config.get("data", {}), source="data source {}")
    yield from _config_facts("partition", section, scheme="partition {}")
    yield from _config_facts("partition", section, alpha="alpha {}", train_minutes="{} min labelled each")
    yield from _config_facts("partition", section, adapt_minutes="{} min to adapt on")
    yield from _held_out(section)
    if "train" in run.clients.counts:
        count = int(np.nansum(list(run.clients.counts["train"].values())))
        yield Fact("training samples", count, format_count(count, "training sample"))
    yield from _config_facts("federation", federation, cohort="cohort of {} a round")


def _held_out(section: Section) -> Facts:
    subjects, share = section.get("test_subjects"), section.get("test_fraction")
    if subjects is not None:
        yield Fact("held-out subjects", len(subjects), f"{format_count(len(subjects), 'subject')} held out")
    if share is not None:
        yield Fact("held-out share", share, f"{percent(share)} of people held out")


def training(section: Section, model: Section, optimizer: Section) -> Facts:
    """Local training of a client.

    Args:
        section: ``[federation]``.
        model: ``[model]``.
        optimizer: ``[optimizer]``.
    """
    yield from _config_facts("federation", section, algorithm="algorithm {}")
    yield from _config_facts("model", model, name="model {}")
    yield from _config_facts("federation", section, local_steps="{} local steps", local_epochs="{} local epochs")
    yield from _config_facts("federation", section, batch_size="batches of {}")
    yield from _config_facts("optimizer", optimizer, client="optimizer {}", lr="learning rate {}")
    yield from _config_facts("federation", section, rounds="{} rounds")


def digests(mode: str) -> Facts:
    """Digests and signatures of updates, by the ledger's mode."""
    yield Fact("digest", "SHA-256", "SHA-256")
    yield Fact("recorded", mode, _RECORDED.get(mode, mode))


def chain(run: RunResults, section: Section) -> Facts:
    """The ledger's mode, its contract, and the cost of a round.

    Args:
        run: the results.
        section: ``[ledger]``.
    """
    ledger = run.summary.ledger
    yield Fact("mode", run.summary.ledger_mode, f"ledger mode {run.summary.ledger_mode}")
    if run.contract:
        yield Fact("contract", run.contract, f"contract {run.contract}")
    if section.get("node"):
        yield Fact("kept by", "node", "kept by an Ethereum node")
    else:
        yield from _config_facts("ledger", section, authorities="sealed by {} authorities")
    if ledger.get("gas_per_round"):
        yield Fact("gas per round", ledger["gas_per_round"], f"{ledger['gas_per_round']:,.0f} gas a round")
    if ledger.get("accepted") is not None:
        accepted, rejected = int(ledger["accepted"]), int(ledger.get("rejected") or 0)
        yield Fact("accepted updates", accepted, f"{format_count(accepted, 'update')} accepted")
        yield Fact("refused updates", rejected, f"{rejected:,} refused")


def aggregation(config: Section) -> Facts:
    """Aggregation of the updates by the server, and attacks on updates."""
    federation, optimizer = config.get("federation", {}), config.get("optimizer", {})
    rule = _AVERAGED.get(str(federation.get("algorithm")), "mean, weighted by samples")
    yield Fact("rule", rule, rule)
    server = optimizer.get("server", "sgd")
    if server != "sgd":
        yield Fact("server optimizer", server, f"then server {server}")
    yield from _config_facts("optimizer", optimizer, server_lr="server learning rate {}")
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
            yield from _config_facts("adversary", section, **{key: text})


def personalisation(section: Section) -> Facts:
    """Personalisation of the shared model."""
    yield from _config_facts("personalise", section, method="method {}")
    if section.get("steps"):
        yield from _config_facts("personalise", section, steps="{} steps on own samples", lr="learning rate {}")


def evaluation(run: RunResults) -> Facts:
    """Test samples and scores."""
    label, person = run.predictions.label, run.predictions.person
    yield Fact("test samples", len(label), format_count(len(label), "test sample"))
    people = len(np.unique(person))
    yield Fact("people", people, f"of {format_count(people, 'person', 'people')}")
    for model, measured in run.summary.test.items():
        score = measured.get("macro_f1")
        if score is not None:
            yield Fact(f"macro-F1, {model}", score, f"macro-F1 {format_number(score)}, {model}")


def decision(run: RunResults, section: Section) -> Facts:
    """Requests for synthetic samples and the contract's decisions.

    Args:
        run: the results.
        section: ``[synthesis]``.
    """
    asked, refused = len(run.requests), sum(request.state == "rejected" for request in run.requests)
    yield Fact("requests", asked, format_count(asked, "request"))
    yield Fact("refused", refused, f"{refused:,} refused")
    yield from _config_facts("synthesis", section, class_quota="limit {} a class", max_batch="limit {} a request")
    yield from _config_facts("synthesis", section, approval="{} approval")


def generator(section: Section) -> Facts:
    """The generator of synthetic samples and its dose."""
    yield from _config_facts("synthesis", section, generator="generator {}", training="{} training", quota="quota {}")
    if section.get("dose") is not None:
        yield Fact("dose", section["dose"], f"dose {percent(section['dose'])}")


def gates(run: RunResults, section: Section) -> Facts:
    """Quality gates and failed batches.

    Args:
        run: the results.
        section: ``[synthesis]``.
    """
    names = ", ".join(section.get("gates", {}))
    if names:
        yield Fact("gates", names, names)
    useless = sum(request.failed == ("validation",) for request in run.requests)
    failed = sum(bool(request.failed) for request in run.requests) - useless
    yield Fact("failed batches", failed, f"{format_count(failed, 'batch', 'batches')} failed")
    if useless:
        yield Fact("batches without gain", useless, f"{useless:,} without gain on the client's folds")


def pool(run: RunResults) -> Facts:
    """Synthetic samples in the clients' pools."""
    used = sum(request.used for request in run.requests)
    yield Fact("synthetic samples", used, f"{format_count(used, 'synthetic sample')} appended")


def percent(share: float) -> str:
    """A share as captions print it.

    >>> percent(0.1), percent(0.125)
    ('10 %', '12.5 %')
    """
    return f"{100 * share:g} %"


def _config_facts(name: str, section: Section, /, **texts: str) -> Facts:
    """A fact for each of these keys that the section has; its value replaces the braces in the text."""
    for key, text in texts.items():
        value = section.get(key)
        if value is not None:
            yield Fact(f"{name}.{key}", value, text.format(_plain(value)))


def _plain(value: Any) -> str:
    """A value as captions print it.

    >>> _plain(10000), _plain(2.0), _plain("sgd")
    ('10,000', '2', 'sgd')
    """
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
