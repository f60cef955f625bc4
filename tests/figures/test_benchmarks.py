"""The tables of simulators, the figure of the ledger's costs: every number against a hand computation."""

import json
import math

import matplotlib
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES, Unavailable, draw
from bofl_jax.figures.benchmarks.ledger import ledger_cost
from bofl_jax.figures.benchmarks.throughput import COLUMNS, throughput
from bofl_jax.figures.registry import kind_of
from bofl_jax.figures.style import RC
from bofl_jax.pages import report
from bofl_jax.results import read_benchmarks
from tests.figures.builders import build_benchmarks, build_study
from tests.figures.test_layout import check


@pytest.fixture(autouse=True)
def styled():
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, "backend": "agg", **RC}):
        yield


@pytest.fixture
def folder(tmp_path):
    return build_benchmarks(tmp_path / "b")


@pytest.fixture
def tables(folder):
    return throughput(read_benchmarks(folder))


def change(folder, edit):
    """The benchmarks after their protocols were edited."""
    written = json.loads((folder / "peers.json").read_text())
    edit(written["protocols"])
    (folder / "peers.json").write_text(json.dumps(written))
    return read_benchmarks(folder)


def cells(table, system):
    """Column -> printed cell."""
    row = next(row for row in table.body if row[0] == system)
    return dict(zip(table.header[1:], row[1:], strict=True))


def printed(*values):
    return dict(zip(COLUMNS, values, strict=True))


def test_numbers_are_those_of_the_hand_computation(tables):
    small, large = tables["small"], tables["large"]
    # small: 204,800 samples/s are 10 rounds/s of 64 x 10 x 32 samples, 640 clients/s; 40,960 a fifth of that
    assert cells(small, "ours (cpu)") == printed("204,800", "640", "", "1,643", "6.2")
    assert cells(large, "ours") == printed("1,000", "20", "", "1,643", "6.2")
    assert cells(small, "torch-vmap (cpu)") == printed("40,960", "128", "5.00", "1,643", "6.2")
    assert cells(large, "torch-vmap") == printed("2,500", "50", "0.40", "1,643", "6.2")
    assert cells(small, "flower (cpu)") == printed("2,048", "6.4", "100.00", "1,643", "6.2")


def test_a_table_is_narrow_and_has_its_protocol_alone(tables):
    assert list(tables) == ["small", "large"]
    for name, table in tables.items():
        assert table.header == ("system", *COLUMNS)
        assert {row["protocol"] for row in table.rows} == {name}
        assert f"protocol {name}: " in table.caption


def test_this_package_is_first_on_each_device_then_the_fastest_of_the_protocol(tables):
    assert [row[0] for row in tables["small"].body] == [
        "ours (cpu)",
        "torch-vmap (cpu)",
        "flower (cpu)",
        "ours (Card 9000)",
        "torch-vmap (Card 9000)",
    ]
    assert [row[0] for row in tables["large"].body] == ["ours", "torch-vmap", "flower"]


def test_the_order_is_that_of_each_protocol(folder):
    def edit(protocols):
        protocols["large"]["flower"] = protocols["large"]["torch-vmap"] | {"samples_per_s": 3_000.0}

    found = throughput(change(folder, edit))
    assert [row[0] for row in found["large"].body] == ["ours", "flower", "torch-vmap"]
    assert [row[0] for row in found["small"].body][:3] == ["ours (cpu)", "torch-vmap (cpu)", "flower (cpu)"]


def test_a_search_counts_with_its_fastest_setting_on_the_device_that_its_folder_names(tables):
    # 640,000 samples/s over 10 x 32 samples a client and round
    assert cells(tables["small"], "ours (Card 9000)") == printed("640,000", "2,000", "", "", "")
    assert cells(tables["small"], "torch-vmap (Card 9000)")["ours / system"] == "4.00"
    assert "Card 9000: the fastest setting of a search, without memory and start-up" in tables["small"].caption
    assert "Card 9000" not in tables["large"].caption


def test_a_folder_whose_results_name_no_device_gives_its_own_name(folder):
    (folder / "gpu" / "engine.json").unlink()
    assert "ours (gpu)" in {row[0] for row in throughput(read_benchmarks(folder))["small"].body}


def test_one_device_needs_no_name(folder):
    for path in (folder / "gpu").glob("*.json"):
        path.unlink()
    table = throughput(read_benchmarks(folder))["small"]
    assert [row[0] for row in table.body] == ["ours", "torch-vmap", "flower"]
    assert "search" not in table.caption


def test_a_peer_that_failed_is_listed_with_its_reason_in_one_line(tables):
    table = tables["large"]
    assert cells(table, "flower") == printed("failed", "", "", "", "")
    assert "Failed: flower (no environment flower: make it & try again)." in table.caption
    (row,) = [row for row in table.rows if row["error"]]
    assert (row["system"], row["protocol"]) == ("flower", "large")
    assert math.isnan(row["samples/s"])
    assert "Failed" not in tables["small"].caption


def test_a_peer_that_was_not_asked_has_no_row(folder):
    table = throughput(change(folder, lambda protocols: protocols["large"].pop("flower")))["large"]
    assert [row[0] for row in table.body] == ["ours", "torch-vmap"]
    assert "Failed" not in table.caption


def test_a_protocol_under_which_all_failed_says_so(folder):
    def edit(protocols):
        protocols["large"] = {peer: {"error": "no"} for peer in protocols["large"]}

    table = throughput(change(folder, edit))["large"]
    assert [row[:2] for row in table.body] == [(peer, "failed") for peer in ("ours", "flower", "torch-vmap")]
    assert table.caption.endswith("Failed: ours (no). Failed: flower (no). Failed: torch-vmap (no).")


def test_without_this_package_there_is_no_ratio(folder):
    def edit(protocols):
        protocols["small"]["ours"] = {"error": "diverged"}

    found = throughput(change(folder, edit))
    assert cells(found["small"], "ours (cpu)")["samples/s"] == "failed"
    assert cells(found["small"], "torch-vmap (cpu)")["ours / system"] == ""
    assert cells(found["large"], "torch-vmap")["ours / system"] == "0.40"


def test_the_caption_says_work_machine_rounds_and_versions(tables):
    for name, all_words in {
        "small": (
            "Work: 64 of 64 clients a round, 10 local steps of 32 samples, 36,901 parameters.",
            "cpu, 2 cores (x86_64): medians of 5 to 10 rounds after the first, without intervals.",
            "Versions: ours jax 0.10.2; torch-vmap torch 2.13.0; flower flwr 1.42.0; all python 3.11.7.",
        ),
        "large": (
            "Work: 50 of 1,000 clients a round, 5 local steps of 10 samples, 1,626,442 parameters.",
            "cpu, 2 cores (x86_64): medians of 10 rounds after the first, without intervals.",
            "Versions: ours jax 0.10.2; torch-vmap torch 2.13.0; all python 3.11.7.",
        ),
    }.items():
        for words in all_words:
            assert words in tables[name].caption


def test_numbers_keep_their_digits(tables):
    row = next(row for row in tables["small"].rows if row["system"] == "flower")
    assert row["clients/s"] == pytest.approx(6.4, rel=1e-12)  # 64 x (2048 / 20480), rounded once or twice
    assert (row["start-up (s)"], row["rounds"], row["device"]) == (6.25, 5, "cpu")


def test_the_folder_makes_these_tables_and_names_the_other_ones(folder, tmp_path):
    said = []
    written = draw(folder, tmp_path / "out", said.append)
    assert {path.name for path in written} == {"captions.md"} | {
        f"throughput_{name}.{form}" for name in ("small", "large") for form in ("md", "tex", "csv", "txt")
    }
    lacking, others = said
    assert lacking == (
        "ledger_cost left out: no costs of the ledger were measured; "
        "python benchmarks/ledger.py --json ledger.json makes its data"
    )
    assert others.startswith("not of a folder of benchmarks: system, ")
    assert len(others.split(", ")) == len(FIGURES) - 2


def test_all_failed_is_no_table(folder):
    def edit(protocols):
        for rows in protocols.values():
            rows.update({peer: {"error": "no"} for peer in rows})

    assert isinstance(throughput(change(folder, edit)), Unavailable)


def spoil(path, key, value):
    def edit(protocols):
        row = protocols["small"]["ours"]
        for name in path:
            row = row[name]
        row[key] = value

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        spoil((), "samples_per_s", "fast"),
        spoil((), "samples_per_s", 0),
        spoil((), "rounds", 0),
        spoil(("work",), "cohort", None),
        spoil((), "versions", 3),
        lambda protocols: protocols.clear(),
    ],
)
def test_damaged_numbers_are_rejected_in_one_line(folder, edit):
    with pytest.raises(BoflError, match=r"peers\.json is damaged .*peers/run\.py --json") as caught:
        change(folder, edit)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["peers.json", "gpu/ours_small.json", "gpu/engine.json"])
@pytest.mark.parametrize("content", [b"{]\n", b"", b"\xff\xfe"])
def test_damaged_files_are_rejected_and_nothing_is_written(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(BoflError, match=f"{name} is damaged"):
        draw(folder)
    assert not (folder / "figures").exists()


def test_a_search_without_a_speed_is_a_failure(folder):
    (folder / "gpu" / "torch-vmap_small.json").write_text('[{"setting": {}, "error": "out of memory"}]')
    table = throughput(read_benchmarks(folder))["small"]
    assert cells(table, "torch-vmap (Card 9000)")["samples/s"] == "failed"
    assert "Failed: torch-vmap (out of memory)" in table.caption


@pytest.mark.parametrize("build", [build_benchmarks, build_study])
def test_a_page_of_benchmarks_is_rejected_with_the_command_that_shows_them(build, tmp_path):
    folder = build(tmp_path / "b")
    with pytest.raises(BoflError, match=f"have no page: bofl figures {folder} shows them"):
        report(folder)
    assert not (folder / "report.html").exists()


# The ledger's costs


PRIVATE = {"interval_s": 5.0, "gas_limit": 30_000, "blocks_to_finality": 1}
THIRD = "a third one (model)"
PUBLIC = {"interval_s": 12.0, "gas_limit": 36_000, "blocks_to_finality": 64}


def cost(mode, clients, updates, cpu_ms, hash_ms, rounds=9):
    """A row of `ledger.json`: opening takes 50 gas, committing 30, finalising 20; latency is made up."""
    gas_of = {"openRound": 50, **({"submitUpdate": updates} if updates else {}), "commitRound": 30, "finaliseRound": 20}
    latency = {
        name: {"included_s": 0.3 * clients * step, "final_s": 0.3 * clients * step + step}
        for name, step in {"private": 5.0, "public": 12.0, THIRD: 5.0}.items()
    }
    return {"mode": mode, "clients": clients, "rounds": rounds, "gas": 100 + updates, "gas_of": gas_of} | {
        "cpu_ms": cpu_ms,
        "hash_ms": hash_ms,
        "latency_s": latency,
    }


def build_ledger(folder, rows=None, networks=("private", "public"), longer=(1.02, 1.5, 0.99)):
    """`ledger.json` of two modes and two numbers of clients, `ledger_overlap.json` of pairs with those ratios."""
    folder.mkdir(exist_ok=True)
    rows = rows or [
        cost("merkle", 10, 0, 15.0, 0.1),
        cost("per-client", 10, 400, 48.0, 0.3),
        cost("merkle", 900, 0, 16.0, 4.0),
        cost("per-client", 900, 36_000, 3_000.0, 5.0, rounds=4),
    ]
    written = {
        "machine": {"cpu": "x86_64", "python": "3.11.7"},
        "reference": {"million_additions_ms": 64.8},
        "networks": {name: {"private": PRIVATE, "public": PUBLIC}.get(name, PRIVATE) for name in networks},
        "rows": rows,
    }
    (folder / "ledger.json").write_text(json.dumps(written))
    overlap = {
        "work": {"clients": 1_000, "steps": 10, "batch": 32},
        "mode": "merkle",
        "rounds": 4,
        "pairs": [{"off_s": 8.0, "on_s": 8.0 * ratio} for ratio in longer],
    }
    if longer:
        (folder / "ledger_overlap.json").write_text(json.dumps(overlap))
    return folder


@pytest.fixture
def chain(tmp_path):
    return build_ledger(tmp_path / "chain")


def lines(axis):
    """Label -> points of a panel's lines."""
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axis.lines}


def test_gas_time_and_latency_are_those_of_the_file_by_clients(chain):
    gas, cpu, _, private, public, _ = ledger_cost(read_benchmarks(chain)).figure.axes
    assert lines(gas) == {"merkle": [(10, 100), (900, 100)], "per-client": [(10, 500), (900, 36_100)]}
    assert lines(cpu) == {
        "merkle": [(10, 15.0), (900, 16.0)],
        "per-client": [(10, 48.0), (900, 3_000.0)],
        "hashing": [(10, 0.2), (900, 4.5)],  # the median of two modes
    }
    # 0.3 x clients x 5 s or 12 s, until the last step is in a block
    assert lines(private) == {mode: [(10, 15.0), (900, 1_350.0)] for mode in ("merkle", "per-client")}
    assert lines(public) == {mode: [(10, 36.0), (900, 3_240.0)] for mode in ("merkle", "per-client")}
    assert (private.get_title(loc="left"), public.get_title(loc="left")) == ("private", "public")
    assert private.get_ylim() == public.get_ylim()
    assert {axis.get_xscale() for axis in (gas, cpu, private, public)} == {"log"}
    assert {axis.get_yscale() for axis in (gas, cpu, private, public)} == {"log"}


def test_bars_are_the_gas_of_each_function_with_about_a_thousand_clients(chain):
    axis = ledger_cost(read_benchmarks(chain)).figure.axes[2]
    assert axis.get_title(loc="left") == "900 clients"
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        *("open\nRound", "updates", "commit\nRound", "finalise\nRound")
    ]
    merkle, by_client = axis.containers
    assert [bar.get_height() for bar in merkle] == [50, 30, 20]
    assert [bar.get_height() for bar in by_client] == [50, 36_000, 30, 20]
    centres = [round(bar.get_x() + bar.get_width() / 2) for bars in (merkle, by_client) for bar in bars]
    assert centres == [0, 2, 3, 0, 1, 2, 3]
    assert all(axis.get_ylim()[0] < bar.get_height() < axis.get_ylim()[1] for bars in axis.containers for bar in bars)


@pytest.mark.parametrize(("measured", "shown"), [((10, 100), 100), ((100, 10_000), 100), ((999, 1_500), 999)])
def test_bars_are_of_the_number_of_clients_that_most_modes_were_measured_with(measured, shown, tmp_path):
    # 100 is as far from 1,000 as 10,000 by ratio; per-client alone has 1,000
    rows = [cost(mode, number, 0, 1.0, 1.0) for number in measured for mode in ("merkle", "per-client")]
    chain = build_ledger(tmp_path / "c", [*rows, cost("per-client", 1_000, 10, 1.0, 1.0)])
    assert ledger_cost(read_benchmarks(chain)).figure.axes[2].get_title(loc="left") == f"{shown} clients"


def test_functions_of_one_kind_in_one_mode_are_added_up(tmp_path):
    row = cost("signed", 10, 400, 1.0, 1.0)
    row |= {"gas": row["gas"] + 7, "gas_of": row["gas_of"] | {"publishDigests": 7}}
    made = ledger_cost(read_benchmarks(build_ledger(tmp_path / "c", [row])))
    assert [bar.get_height() for bar in made.figure.axes[2].containers[0]] == [50, 407, 30, 20]
    assert "updates: signed by submitUpdate and publishDigests." in made.caption


def test_longer_rounds_are_drawn_pair_by_pair_with_their_median(chain):
    made = ledger_cost(read_benchmarks(chain))
    pairs, middle, zero = made.figure.axes[5].lines
    assert list(pairs.get_xdata()) == [1, 2, 3]
    assert list(pairs.get_ydata()) == pytest.approx([2, 50, -1], abs=1e-9)  # a ratio less 1 loses digits
    assert list(middle.get_ydata()) == pytest.approx([2, 2], abs=1e-9)
    assert list(zero.get_ydata()) == [0, 0]
    assert made.caption.endswith(
        "1,000 clients, 10 local steps of 32 samples, mode merkle, the median of 4 rounds of each; dashed: the median "
        "of 3 pairs, 2.0 %."
    )


def test_the_caption_says_machine_medians_and_that_latency_is_a_model(chain):
    caption = ledger_cost(read_benchmarks(chain)).caption
    for words in (
        "medians of 4 to 9 rounds after the first, without intervals, on one core (x86_64, Python 3.11.7) where a "
        "million additions in a Python loop take 64.8 ms.",
        "updates: merkle none, per-client by submitUpdate.",
        "modelled, not measured: an idle network",
        "private: a block every 5 s of at most 30,000 gas, final 0 s after the last block",
        "public: a block every 12 s of at most 36,000 gas, final 756 s after the last block.",  # 63 blocks
    ):
        assert words in caption


def test_the_numbers_of_the_figure_are_all_there(chain):
    rows = ledger_cost(read_benchmarks(chain)).rows
    assert rows[3] == {
        "mode": "per-client",
        "clients": 900,
        "rounds": 4,
        "gas": 36_100,
        "gas of openRound": 50,
        "gas of submitUpdate": 36_000,
        "gas of commitRound": 30,
        "gas of finaliseRound": 20,
        "CPU (ms)": 3_000.0,
        "hashing (CPU ms)": 5.0,
        "into blocks (s), private": 1_350.0,
        "into blocks (s), public": 3_240.0,
        "final (s), private": 1_355.0,
        "final (s), public": 3_252.0,
    }
    assert [row["pair"] for row in rows[4:]] == [1, 2, 3]
    assert {row["round without ledger (s)"] for row in rows[4:]} == {8.0}


def test_a_folder_with_the_ledger_alone_is_one_of_benchmarks(chain):
    assert kind_of(chain) == "benchmarks"
    said = []
    assert {path.name for path in draw(chain, warn=said.append)} == {"captions.md"} | {
        f"ledger_cost.{form}" for form in ("png", "pdf", "csv", "txt")
    }
    assert any(line.startswith("throughput left out: no other simulator was measured; ") for line in said)


def test_simulators_and_the_ledger_stand_in_one_folder(folder):
    found = read_benchmarks(build_ledger(folder))
    assert set(throughput(found)) == {"small", "large"}
    assert len(ledger_cost(found).figure.axes) == 6


@pytest.mark.parametrize(
    ("rows", "networks", "longer", "panels"),
    [
        (None, ("private", "public"), (1.02, 1.11, 1.01), 6),
        (None, (), (), 3),
        (None, ("private", "public", THIRD), (), 6),
        (None, ("private", "public", THIRD), (0.5,), 7),
        ([cost("merkle", 10, 0, 15.0, 0.0)], ("private",), (1.0, 1.0), 5),
        (
            [cost(mode, 10**n, 4 * 10**n, 3.0**n, 2.0**n) for n in range(7) for mode in "abcd"],
            ("public",),
            (3,) * 20,
            5,
        ),
    ],
)
def test_nothing_is_clipped_and_no_legend_covers_data(rows, networks, longer, panels, tmp_path):
    figure = ledger_cost(read_benchmarks(build_ledger(tmp_path / "c", rows, networks, longer))).figure
    assert len(figure.axes) == panels
    check("ledger_cost", figure)
    figure.draw_without_rendering()
    boxes = [axis.get_tightbbox() for axis in figure.axes]
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n]), "panels run into each other"


def unsum(written):
    written["rows"][0]["gas_of"]["openRound"] += 1


@pytest.mark.parametrize(
    "edit",
    [
        unsum,
        lambda written: written["rows"].clear(),
        lambda written: written["rows"].append(written["rows"][0]),
        lambda written: written["rows"][0].pop("gas_of"),
        lambda written: written["rows"][0].update(cpu_ms=0),
        lambda written: written["rows"][0].update(hash_ms=-1),
        lambda written: written["rows"][0].update(clients="many"),
        lambda written: written["rows"][0]["latency_s"].pop("public"),
        lambda written: written["networks"]["public"].update(interval_s=math.nan),
        lambda written: written.pop("reference"),
    ],
)
def test_damaged_costs_are_rejected_in_one_line(chain, edit):
    written = json.loads((chain / "ledger.json").read_text())
    edit(written)
    (chain / "ledger.json").write_text(json.dumps(written))
    with pytest.raises(BoflError, match=r"ledger\.json is damaged .*benchmarks/ledger\.py --json") as caught:
        read_benchmarks(chain)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{]", "{}", '{"pairs": []}', "[]"])
def test_a_damaged_overlap_is_rejected_and_nothing_is_written(chain, content):
    (chain / "ledger_overlap.json").write_text(content)
    with pytest.raises(BoflError, match=r"ledger_overlap\.json is damaged .*benchmarks/ledger_overlap\.py --json"):
        draw(chain)
    assert not (chain / "figures").exists()
