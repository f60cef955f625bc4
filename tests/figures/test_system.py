"""The diagram of a run: what its boxes say, which there are, and that nothing lies over anything else."""

import itertools
import json
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import tomli_w
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import Unavailable, draw
from bofl_jax.figures.diagram import SMALL, wrap_text
from bofl_jax.figures.runs.system import CHAIN, DECISION, EVALUATION, PERSONALISATION, POOL, system
from bofl_jax.figures.style import PAGE_WIDTH, RC
from bofl_jax.results import read_run
from tests.figures.builders import CONFIG, SYNTHESIS, write_config, write_requests

FEDERATION = CONFIG["federation"]
BARE = {"federation": FEDERATION}
EVERYTHING = {
    "partition": {"scheme": "dirichlet", "alpha": 0.05, "clients": 1_000, "test_fraction": 0.25},
    "federation": FEDERATION | {"algorithm": "scaffold", "cohort": 200, "stragglers": 0.2, "rounds": 100_000},
    "optimizer": CONFIG["optimizer"] | {"server": "adagrad", "server_lr": 0.0125},
    "synthesis": SYNTHESIS | {"generator": "pca-gaussian", "quota": "validation-gated", "training": "federated"},
    "ledger": CONFIG["ledger"] | {"mode": "per-client", "quorum": 0.5},
    "adversary": {"channel": "sign-flip", "altered": 0.125, "uninvited": 2, "duplicates": 1},
}
RUNS = {
    "with a ledger": {},
    "with synthesis": {"synthesis": SYNTHESIS},
    "without a ledger": {"ledger": {"mode": "off"}},
    "shared model alone": {"ledger": {"mode": "off"}, "personalise": {"method": "none"}},
    "shared model on the ledger": {"personalise": {"method": "none"}},
    "local": {"federation": FEDERATION | {"algorithm": "local"}, "ledger": {"mode": "off"}},
    "signed": {"ledger": CONFIG["ledger"] | {"mode": "signed"}},
    "everything": EVERYTHING,
}


@pytest.fixture(autouse=True)
def styled():
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC}):
        yield


def build(make_run, folder, sections):
    """A run of 7 clients with these sections, and what its ledger would have written."""
    mode = sections.get("ledger", CONFIG["ledger"])["mode"]
    models = ("global", "personalised") if sections.get("personalise", {}).get("method") != "none" else ("global",)
    make_run(folder, clients=7, rounds=3, mode=mode, models=models)
    write_config(folder, **sections)
    if mode != "off":
        (folder / "ledger").mkdir()
        (folder / "ledger" / "contract.json").write_text(json.dumps({"contractName": "FederationGovernance"}))
        summary = json.loads((folder / "summary.json").read_text())
        summary["ledger"] |= {"gas_per_round": 175_531.44, "accepted": 2_100, "rejected": 12}
        (folder / "summary.json").write_text(json.dumps(summary))
    if sections.get("synthesis", {}).get("generator", "none") != "none":
        write_requests(folder)
    return read_run(folder)


@pytest.fixture(scope="module")
def runs(make_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("systems")
    return {name: build(make_run, folder / str(n), sections) for n, (name, sections) in enumerate(RUNS.items())}


class Parts:
    """What a drawing consists of: boxes in pixels with the lines of text within each, arrows, and words at arrows."""

    def __init__(self, drawing):
        figure = self.figure = drawing.figure
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        (axis,) = figure.axes
        self.texts = {text: text.get_window_extent(renderer) for text in axis.texts}
        frames = [patch for patch in axis.patches if isinstance(patch, FancyBboxPatch)]
        self.boxes = [frame.get_window_extent(renderer) for frame in frames]
        arrows = [patch for patch in axis.patches if isinstance(patch, FancyArrowPatch)]
        self.paths = [axis.transData.transform(arrow._path_original.vertices) for arrow in arrows]
        upright = {text: box for text, box in self.texts.items() if text.get_style() == "normal"}
        middle = {text: ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2) for text, box in upright.items()}
        self.within = [[text for text, point in middle.items() if frame.contains(*point)] for frame in self.boxes]
        self.labels = {text: box for text, box in self.texts.items() if text.get_style() == "italic"}

    @property
    def said(self):
        """Title -> everything that the box says, in one line."""
        lines = [[text.get_text() for text in texts] for texts in self.within]
        return {title: " ".join(rest) for title, *rest in lines}

    @property
    def words(self):
        return sorted(text.get_text().replace("\n", " ") for text in self.labels)


@pytest.fixture(scope="module")
def parts(runs):
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC}):
        return {name: Parts(system(run)) for name, run in runs.items()}


@pytest.mark.parametrize("name", RUNS)
def test_no_boxes_overlap_and_all_are_on_the_page(parts, name):
    found = parts[name]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(found.boxes, 2))
    page = found.figure.bbox
    assert all(page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1) for box in found.boxes)
    assert found.figure.get_figwidth() == PAGE_WIDTH
    assert found.figure.get_figheight() < PAGE_WIDTH, "it fits on a page, with its caption"


@pytest.mark.parametrize("name", RUNS)
def test_every_text_is_complete_legible_and_in_its_place(parts, name):
    found = parts[name]
    assert all(text.get_fontsize() >= 6.5 for text in found.texts)
    for frame, texts in zip(found.boxes, found.within, strict=True):
        for box in (found.texts[text] for text in texts):
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1  # noqa: PT018
    assert sum(map(len, found.within)) + len(found.labels) == len(found.texts), "each is in a box or at an arrow"
    for a, b in itertools.combinations(found.texts.items(), 2):
        assert not a[1].overlaps(b[1]), (a[0].get_text(), b[0].get_text())
    for (text, label), frame in itertools.product(found.labels.items(), found.boxes):
        assert not label.overlaps(frame), text.get_text()


@pytest.mark.parametrize("name", RUNS)
def test_arrows_go_from_edge_to_edge_and_through_nothing(parts, name):
    found = parts[name]
    assert len(found.paths) == len(found.labels)
    for path in found.paths:
        ends = [[touches(frame, point) for frame in found.boxes].index(True) for point in (path[0], path[-1])]
        assert ends[0] != ends[1]
        pieces = [Bbox([np.minimum(a, b) - 0.25, np.maximum(a, b) + 0.25]) for a, b in itertools.pairwise(path)]
        assert all(min(piece.width, piece.height) < 1 for piece in pieces), "right angles only"
        for piece, frame in itertools.product(pieces, found.boxes):
            assert not piece.overlaps(frame.padded(-2)), "a box"  # two pixels: arrows end on the frame
        for piece, (text, label) in itertools.product(pieces, found.texts.items()):
            assert not piece.overlaps(label), text.get_text()
    for one, other in itertools.combinations(found.paths, 2):
        assert not crosses(one, other)


def touches(frame, point):
    return frame.padded(1).contains(*point) and not frame.padded(-1).contains(*point)


def crosses(one, other):
    pieces = [[Bbox([np.minimum(a, b) - 0.25, np.maximum(a, b) + 0.25]) for a, b in itertools.pairwise(path)]
              for path in (one, other)]  # fmt: skip
    return any(a.overlaps(b) for a, b in itertools.product(*pieces))


def test_boxes_hold_the_settings_of_the_run(parts, runs):
    said = parts["with a ledger"].said
    train = int(sum(np.sum(counts) for counts in runs["with a ledger"].clients.counts["train"].values()))
    assert said["Clients"] == (
        f"7 clients data source mitbih partition patient 1 min labelled each {train:,} training samples"
    )
    assert said["Local training"] == (
        "algorithm fedavg model cnn1d 8 local steps batches of 32 optimizer sgd learning rate 0.12 50 rounds"
    )
    assert said["Update digests"] == "SHA-256 one Merkle root a round"
    assert said["Chain"] == (
        "ledger mode merkle contract FederationGovernance sealed by 3 authorities 175,531 gas a round "
        "2,100 updates accepted 12 refused"
    )
    assert said["Aggregation"] == "mean, weighted by samples server learning rate 1"
    assert said["Personalisation"] == "method finetune 30 steps on own samples learning rate 0.03"
    test = {name: measured["macro_f1"] for name, measured in runs["with a ledger"].summary.test.items()}
    assert said["Evaluation"].endswith(
        f"of 7 people macro-F1 {test['global']:.3f}, global macro-F1 {test['personalised']:.3f}, personalised"
    )


def test_the_synthetic_path_holds_the_outcomes_of_requests(parts):
    said = parts["with synthesis"].said
    assert said["Contract's decision"] == (
        "6 requests 1 refused limit 10,000 a class limit 500 a request automatic approval"
    )
    assert said["Generator"] == "generator simulator local training quota need-based dose 10 %"
    assert said["Quality gates"] == "margin, utility, copies 1 batch failed 1 without gain on the client's folds"
    assert said["Pool of the client"] == "22 synthetic samples appended"
    new = set(parts["with synthesis"].words) - set(parts["with a ledger"].words)
    requests, batches = {"requests for synthetic samples", "approved requests"}, {"synthetic samples", "passed batches"}
    assert new == requests | batches | {"logged"}


def test_every_setting_is_shown(parts):
    said = parts["everything"].said
    assert "partition dirichlet alpha 0.05 25 % of people held out" in said["Clients"]
    assert said["Clients"].endswith("cohort of 200 a round")
    assert said["Local training"].endswith("100,000 rounds")
    assert said["Update digests"].endswith("each in a transaction of its client, and a Merkle root a round")
    assert said["Aggregation"] == (
        "mean of updates and control variates then server adagrad server learning rate 0.0125 quorum 50 % "
        "20 % stragglers 12.5 % of updates altered: sign-flip uninvited: 2 a round duplicates: 1 a round"
    )


ROUND = {"Clients", "Local training", "Aggregation", EVALUATION}


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("with a ledger", ROUND | {"Update digests", CHAIN, PERSONALISATION}),
        ("with synthesis", ROUND | {"Update digests", CHAIN, PERSONALISATION}
         | {DECISION, "Generator", "Quality gates", POOL}),
        ("without a ledger", ROUND | {PERSONALISATION}),
        ("shared model alone", ROUND),
        ("shared model on the ledger", ROUND | {"Update digests", CHAIN}),
        ("local", ROUND - {"Aggregation"}),
    ],
)  # fmt: skip
def test_a_component_that_the_run_lacks_has_no_box(parts, name, titles):
    assert set(parts[name].said) == titles


def test_without_a_ledger_the_words_say_so(parts, runs):
    assert "updates, no ledger" in parts["without a ledger"].words
    assert not any("ledger" in word for word in parts["with a ledger"].words)
    assert "There is no ledger" in system(runs["without a ledger"]).caption
    assert "thick frames: the contract on the chain" in system(runs["with a ledger"]).caption
    assert "is repeated 3 times" in system(runs["with a ledger"]).caption
    assert parts["local"].words == ["models", "samples"]


def test_the_numbers_behind_it_keep_their_digits(runs):
    rows = {row["component"]: row["value"] for row in system(runs["with synthesis"]).rows}
    assert rows["Chain: gas per round"] == 175_531.44
    assert rows["Local training: optimizer.lr"] == 0.12
    assert rows["Pool of the client: synthetic samples"] == 22
    assert rows["Evaluation: macro-F1, global"] == runs["with synthesis"].summary.test["global"]["macro_f1"]
    assert len(rows) == len(system(runs["with synthesis"]).rows), "every name once"


def test_unknown_costs_are_not_shown(make_run, tmp_path):
    run = read_run(write_config(make_run(tmp_path / "run", clients=5, rounds=3)))
    assert Parts(system(run)).said[CHAIN] == "ledger mode merkle sealed by 3 authorities"


def test_a_configuration_of_another_version_shows_what_it_has(make_run, tmp_path):
    folder = make_run(tmp_path / "run", clients=5, rounds=3)
    (folder / "config.toml").write_text(tomli_w.dumps(BARE))
    said = Parts(system(read_run(folder))).said
    assert said["Local training"] == "algorithm fedavg 8 local steps batches of 32 50 rounds"
    assert PERSONALISATION not in said


def test_a_run_without_its_configuration_has_no_system(finished_run):
    assert isinstance(system(read_run(finished_run)), Unavailable)


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.toml", "["), ("config.toml", "ledger = 3\n"), ("ledger/contract.json", "{}")],
)
def test_a_damaged_file_is_rejected_in_one_line(finished_run, tmp_path, name, content):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    with pytest.raises(BoflError, match=f"{Path(name).name} is damaged.*--resume") as caught:
        draw(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "figures").exists()


def test_words_are_cut_where_a_line_ends_and_none_is_lost():
    text = "one Merkle root a round, and each update in a transaction of its own client"
    for width in (0.1, 0.7, 1.2, 9):
        assert " ".join(wrap_text(text, width)) == text
    assert len(wrap_text(text, 9)) == 1
    assert len(wrap_text(text, 0.1)) == len(text.split()), "a longer word stays whole"
    figure = Figure(figsize=(2, 2))
    renderer = FigureCanvasAgg(figure).get_renderer()
    for line in wrap_text(text, 0.9):
        width = figure.text(0, 0, line, size=SMALL).get_window_extent(renderer).width
        assert width / figure.dpi <= 0.9 + 0.02, "hinting at 100 dots per inch moves edges by up to two pixels"
