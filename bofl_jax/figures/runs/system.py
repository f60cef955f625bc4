"""Diagram of the system of a run: its components as boxes, their exchanges as arrows."""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.transforms import Bbox

from bofl_jax.figures import diagram
from bofl_jax.figures.artifacts import Drawing, Unavailable
from bofl_jax.figures.captions import format_count, sample_sizes
from bofl_jax.figures.diagram import ROW_GAP, Arrow, Box, horizontal_arrow, point_in, vertical_arrow
from bofl_jax.figures.runs import components
from bofl_jax.results import RunResults

CLIENTS, TRAINING, DIGESTS, CHAIN = "Clients", "Local training", "Update digests", "Chain"
AGGREGATION, PERSONALISATION, EVALUATION = "Aggregation", "Personalisation", "Evaluation"
DECISION, GENERATOR, GATES, POOL = "Contract's decision", "Generator", "Quality gates", "Pool of the client"

Positions = Mapping[str, Bbox]


def system(run: RunResults) -> Drawing | Unavailable:
    """Draw a box for every component of the run, with its settings and results, and an arrow for every exchange."""
    if "federation" not in run.config:
        return Unavailable("no config.toml says how it was made")
    boxes = list(_boxes(run))
    positions = diagram.layout_boxes(boxes)
    figure = diagram.draw_diagram(boxes, positions, _arrows(run, positions))
    rows = [{"component": f"{box.title}: {fact.name}", "value": fact.value} for box in boxes for fact in box.facts]
    return Drawing(figure, _caption(run, positions), rows)


def _boxes(run: RunResults) -> Iterator[Box]:
    """The components, from the top row to the bottom row."""
    top = 1 if _has(run, "synthesis") else 0
    if top:
        yield from _synthesis(run)
    yield from _round(run, top)
    yield from _after(run, top)


def _synthesis(run: RunResults) -> Iterator[Box]:
    section = run.config["synthesis"]
    yield Box(POOL, tuple(components.pool(run)), 0, 0)
    yield Box(GATES, tuple(components.gates(run, section)), 0, 1)
    yield Box(GENERATOR, tuple(components.generator(section)), 0, 2)
    yield Box(DECISION, tuple(components.decision(run, section)), 0, 3, thick=True)


def _round(run: RunResults, row: int) -> Iterator[Box]:
    config, mode = run.config, run.summary.ledger_mode
    federation, optimizer = config["federation"], config.get("optimizer", {})
    yield Box(CLIENTS, tuple(components.clients(run, config.get("partition", {}), federation)), row, 0)
    yield Box(TRAINING, tuple(components.training(federation, config.get("model", {}), optimizer)), row, 1)
    if mode != "off":
        yield Box(DIGESTS, tuple(components.digests(mode)), row, 2)
        yield Box(CHAIN, tuple(components.chain(run, config.get("ledger", {}))), row, 3, thick=True)
    if _is_federated(run):
        yield Box(AGGREGATION, tuple(components.aggregation(config)), row + (mode != "off"), 2)


def _after(run: RunResults, top: int) -> Iterator[Box]:
    """The components after the rounds: to the left of the aggregation, or below it without a ledger."""
    if not _is_federated(run):
        yield Box(EVALUATION, tuple(components.evaluation(run)), top, 2)
        return
    column = 1 if run.summary.ledger_mode != "off" else 2
    if _has(run, "personalise"):
        section = run.config["personalise"]
        yield Box(PERSONALISATION, tuple(components.personalisation(section)), top + 1, column)
        column -= 1
    yield Box(EVALUATION, tuple(components.evaluation(run)), top + 1, column)


def _has(run: RunResults, section: str) -> bool:
    tag = {"synthesis": "generator", "personalise": "method"}[section]
    return bool(run.config.get(section, {}).get(tag, "none") != "none")


def _is_federated(run: RunResults) -> bool:
    return run.config["federation"].get("algorithm") not in ("local", "centralised")


def _arrows(run: RunResults, positions: Positions) -> Iterator[Arrow]:
    yield horizontal_arrow(positions[CLIENTS], positions[TRAINING], "samples")
    if DECISION in positions:
        yield from _synthesis_arrows(positions)
    if not _is_federated(run):
        yield horizontal_arrow(positions[TRAINING], positions[EVALUATION], "models")
    elif DIGESTS in positions:
        yield from _ledger_arrows(run.summary.ledger_mode, positions)
    else:
        yield from _plain_arrows(positions)


def _synthesis_arrows(positions: Positions) -> Iterator[Arrow]:
    start, end = point_in(positions[CLIENTS], 0.92, 1), point_in(positions[DECISION], 0.12, 0)
    middle = start[1] + 0.36 * ROW_GAP
    path = (start, (start[0], middle), (end[0], middle), end)
    yield Arrow(path, "requests for synthetic samples", ((start[0] + end[0]) / 2, middle + 0.03))
    yield horizontal_arrow(positions[DECISION], positions[GENERATOR], "approved\nrequests")
    yield horizontal_arrow(positions[GENERATOR], positions[GATES], "synthetic\nsamples")
    yield horizontal_arrow(positions[GATES], positions[POOL], "passed\nbatches")
    yield vertical_arrow(positions[POOL], positions[CLIENTS], "synthetic\nsamples", 0.15)
    yield vertical_arrow(positions[DECISION], positions[CHAIN], "logged")


def _ledger_arrows(mode: str, positions: Positions) -> Iterator[Arrow]:
    chain, server = positions[CHAIN], positions[AGGREGATION]
    yield horizontal_arrow(positions[TRAINING], positions[DIGESTS], "updates")
    yield horizontal_arrow(positions[DIGESTS], chain, "root" if mode == "merkle" else "digests,\nroot")
    yield vertical_arrow(positions[DIGESTS], server, "updates")
    start, end = point_in(chain, 0.35, 0), point_in(server, 1, 0.8)
    yield Arrow((start, (start[0], end[1]), end), "verdicts", ((start[0] + end[0]) / 2, end[1] + 0.03))
    start, end = point_in(server, 1, 0.55), point_in(chain, 0.75, 0)
    under = ((start[0] + end[0]) / 2, start[1] - 0.03)
    yield Arrow((start, (end[0], start[1]), end), "digest of the\nglobal model", under, ("center", "top"))
    yield _next_round(point_in(server, 0.2, 1), point_in(positions[TRAINING], 0.6, 0), 0.5 * ROW_GAP)
    yield from _last_arrows(positions, horizontal_arrow)


def _plain_arrows(positions: Positions) -> Iterator[Arrow]:
    yield horizontal_arrow(positions[TRAINING], positions[AGGREGATION], "updates,\nno ledger")
    yield _next_round(point_in(positions[AGGREGATION], 0.2, 0), point_in(positions[TRAINING], 0.6, 0), -0.5 * ROW_GAP)
    yield from _last_arrows(positions, vertical_arrow)


def _next_round(start: tuple[float, float], end: tuple[float, float], turn: float) -> Arrow:
    """The arrow of the global model back to the clients, which turns at a height above its start."""
    middle = start[1] + turn
    path = (start, (start[0], middle), (end[0], middle), end)
    return Arrow(path, "global model", ((start[0] + end[0]) / 2, middle + 0.03))


def _last_arrows(positions: Positions, first: Any) -> Iterator[Arrow]:
    if PERSONALISATION in positions:
        yield first(positions[AGGREGATION], positions[PERSONALISATION], "global\nmodel")
        yield horizontal_arrow(positions[PERSONALISATION], positions[EVALUATION], "personal\nmodels")
    else:
        yield first(positions[AGGREGATION], positions[EVALUATION], "global\nmodel")


def _caption(run: RunResults, positions: Positions) -> str:
    text = "The system as this run had it, with its own settings and results: components, and what goes between them"
    text += "; thick frames: the contract on the chain. " if CHAIN in positions else ". "
    if AGGREGATION in positions:
        text += f"The loop of training and aggregation is repeated {_rounds(run)}. "
        text += "" if CHAIN in positions else "There is no ledger: every update is aggregated as it comes. "
    if POOL in positions:
        text += "Synthetic samples are made once, before the first round. "
    return text + f"What the run did without is left out. {sample_sizes(run)}"


def _rounds(run: RunResults) -> str:
    return format_count(len(run.rounds.number), "time")
