"""The system that a run was: its components as boxes, and what goes from one to another as arrows."""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.transforms import Bbox

from bofl_jax.figures import diagram
from bofl_jax.figures.diagram import ROW_GAP, Arrow, Box, across, along, at
from bofl_jax.figures.products import Drawing, Skip
from bofl_jax.figures.runs import components
from bofl_jax.figures.words import counted, sizes
from bofl_jax.results import Run

CLIENTS, TRAINING, DIGESTS, CHAIN = "Clients", "Local training", "Update digests", "Chain"
AGGREGATION, PERSONALISATION, EVALUATION = "Aggregation", "Personalisation", "Evaluation"
DECISION, GENERATOR, GATES, POOL = "Contract's decision", "Generator", "Quality gates", "Pool of the client"

Places = Mapping[str, Bbox]


def system(run: Run) -> Drawing | Skip:
    """A box for every component that the run had, with its settings and results; an arrow for what they exchange."""
    if "federation" not in run.config:
        return Skip("no config.toml says how it was made")
    boxes = list(_boxes(run))
    places = diagram.place(boxes)
    figure = diagram.draw(boxes, places, _arrows(run, places))
    rows = [{"component": f"{box.title}: {fact.name}", "value": fact.value} for box in boxes for fact in box.facts]
    return Drawing(figure, _caption(run, places), rows)


def _boxes(run: Run) -> Iterator[Box]:
    """The components, from the top row to the bottom one."""
    top = 1 if _has(run, "synthesis") else 0
    if top:
        yield from _synthesis(run)
    yield from _round(run, top)
    yield from _after(run, top)


def _synthesis(run: Run) -> Iterator[Box]:
    section = run.config["synthesis"]
    yield Box(POOL, tuple(components.pool(run)), 0, 0)
    yield Box(GATES, tuple(components.gates(run, section)), 0, 1)
    yield Box(GENERATOR, tuple(components.generator(section)), 0, 2)
    yield Box(DECISION, tuple(components.decision(run, section)), 0, 3, thick=True)


def _round(run: Run, row: int) -> Iterator[Box]:
    config, mode = run.config, run.summary.ledger_mode
    federation, optimizer = config["federation"], config.get("optimizer", {})
    yield Box(CLIENTS, tuple(components.clients(run, config.get("partition", {}), federation)), row, 0)
    yield Box(TRAINING, tuple(components.training(federation, config.get("model", {}), optimizer)), row, 1)
    if mode != "off":
        yield Box(DIGESTS, tuple(components.digests(mode)), row, 2)
        yield Box(CHAIN, tuple(components.chain(run, config.get("ledger", {}))), row, 3, thick=True)
    if _is_federated(run):
        yield Box(AGGREGATION, tuple(components.aggregation(config)), row + (mode != "off"), 2)


def _after(run: Run, top: int) -> Iterator[Box]:
    """What follows the rounds: leftwards from the aggregation, or below it where there is no ledger."""
    if not _is_federated(run):
        yield Box(EVALUATION, tuple(components.evaluation(run)), top, 2)
        return
    column = 1 if run.summary.ledger_mode != "off" else 2
    if _has(run, "personalise"):
        section = run.config["personalise"]
        yield Box(PERSONALISATION, tuple(components.personalisation(section)), top + 1, column)
        column -= 1
    yield Box(EVALUATION, tuple(components.evaluation(run)), top + 1, column)


def _has(run: Run, section: str) -> bool:
    tag = {"synthesis": "generator", "personalise": "method"}[section]
    return run.config.get(section, {}).get(tag, "none") != "none"


def _is_federated(run: Run) -> bool:
    return run.config["federation"].get("algorithm") not in ("local", "centralised")


def _arrows(run: Run, places: Places) -> Iterator[Arrow]:
    yield across(places[CLIENTS], places[TRAINING], "samples")
    if DECISION in places:
        yield from _synthesis_arrows(places)
    if not _is_federated(run):
        yield across(places[TRAINING], places[EVALUATION], "models")
    elif DIGESTS in places:
        yield from _ledger_arrows(run.summary.ledger_mode, places)
    else:
        yield from _plain_arrows(places)


def _synthesis_arrows(places: Places) -> Iterator[Arrow]:
    start, end = at(places[CLIENTS], 0.92, 1), at(places[DECISION], 0.12, 0)
    middle = start[1] + 0.36 * ROW_GAP
    path = (start, (start[0], middle), (end[0], middle), end)
    yield Arrow(path, "requests for synthetic samples", ((start[0] + end[0]) / 2, middle + 0.03))
    yield across(places[DECISION], places[GENERATOR], "approved\nrequests")
    yield across(places[GENERATOR], places[GATES], "synthetic\nsamples")
    yield across(places[GATES], places[POOL], "passed\nbatches")
    yield along(places[POOL], places[CLIENTS], "synthetic\nsamples", 0.15)
    yield along(places[DECISION], places[CHAIN], "logged")


def _ledger_arrows(mode: str, places: Places) -> Iterator[Arrow]:
    chain, server = places[CHAIN], places[AGGREGATION]
    yield across(places[TRAINING], places[DIGESTS], "updates")
    yield across(places[DIGESTS], chain, "root" if mode == "merkle" else "digests,\nroot")
    yield along(places[DIGESTS], server, "updates")
    start, end = at(chain, 0.35, 0), at(server, 1, 0.8)
    yield Arrow((start, (start[0], end[1]), end), "verdicts", ((start[0] + end[0]) / 2, end[1] + 0.03))
    start, end = at(server, 1, 0.55), at(chain, 0.75, 0)
    under = ((start[0] + end[0]) / 2, start[1] - 0.03)
    yield Arrow((start, (end[0], start[1]), end), "digest of the\nglobal model", under, ("center", "top"))
    yield _next_round(at(server, 0.2, 1), at(places[TRAINING], 0.6, 0), 0.5 * ROW_GAP)
    yield from _last_arrows(places, across)


def _plain_arrows(places: Places) -> Iterator[Arrow]:
    yield across(places[TRAINING], places[AGGREGATION], "updates,\nno ledger")
    yield _next_round(at(places[AGGREGATION], 0.2, 0), at(places[TRAINING], 0.6, 0), -0.5 * ROW_GAP)
    yield from _last_arrows(places, along)


def _next_round(start: tuple[float, float], end: tuple[float, float], turn: float) -> Arrow:
    """The global model's way back to the clients, which turns so far above its start."""
    middle = start[1] + turn
    path = (start, (start[0], middle), (end[0], middle), end)
    return Arrow(path, "global model", ((start[0] + end[0]) / 2, middle + 0.03))


def _last_arrows(places: Places, first: Any) -> Iterator[Arrow]:
    if PERSONALISATION in places:
        yield first(places[AGGREGATION], places[PERSONALISATION], "global\nmodel")
        yield across(places[PERSONALISATION], places[EVALUATION], "personal\nmodels")
    else:
        yield first(places[AGGREGATION], places[EVALUATION], "global\nmodel")


def _caption(run: Run, places: Places) -> str:
    text = "The system as this run had it, with its own settings and results: components, and what goes between them"
    text += "; thick frames: the contract on the chain. " if CHAIN in places else ". "
    if AGGREGATION in places:
        text += f"The loop of training and aggregation is repeated {_rounds(run)}. "
        text += "" if CHAIN in places else "There is no ledger: every update is aggregated as it comes. "
    if POOL in places:
        text += "Synthetic samples are made once, before the first round. "
    return text + f"What the run did without is left out. {sizes(run)}"


def _rounds(run: Run) -> str:
    return counted(len(run.rounds.number), "time")
