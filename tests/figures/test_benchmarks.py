"""The tables of simulators, the figure of the ledger's costs: every number against a hand computation."""

import json
import math

import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.figures import FIGURES, Skip, draw
from bofl_jax.figures.benchmarks.throughput import COLUMNS, throughput
from bofl_jax.figures.reading import read_benchmarks
from bofl_jax.pages import report
from tests.figures.builders import build_benchmarks, build_study


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
    """column -> printed cell."""
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


def test_a_peer_that_failed_is_said_with_its_reason_in_one_line(tables):
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


def test_the_folder_makes_these_tables_and_says_what_else_there_could_be(folder, tmp_path):
    said = []
    written = draw(folder, tmp_path / "out", said.append)
    assert {path.name for path in written} == {"captions.md"} | {
        f"throughput_{name}.{form}" for name in ("small", "large") for form in ("md", "tex", "csv", "txt")
    }
    assert len(said) == len(FIGURES) - 1
    assert any(line.startswith("dose left out: a folder of benchmarks has none; ") for line in said)
    assert (
        "ledger_cost left out: no costs of the ledger were measured; "
        "python benchmarks/ledger.py --json ledger.json makes its data"
    ) in said


def test_all_failed_is_no_table(folder):
    def edit(protocols):
        for rows in protocols.values():
            rows.update({peer: {"error": "no"} for peer in rows})

    assert isinstance(throughput(change(folder, edit)), Skip)


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
def test_damaged_numbers_are_refused_in_one_line(folder, edit):
    with pytest.raises(BoflError, match=r"peers\.json is damaged .*peers/run\.py --json") as caught:
        change(folder, edit)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["peers.json", "gpu/ours_small.json", "gpu/engine.json"])
@pytest.mark.parametrize("content", [b"{]\n", b"", b"\xff\xfe"])
def test_damaged_files_are_refused_and_nothing_is_written(folder, name, content):
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
def test_a_page_of_what_has_none_is_refused_with_what_shows_it(build, tmp_path):
    folder = build(tmp_path / "b")
    with pytest.raises(BoflError, match=f"have no page: bofl figures {folder} shows them"):
        report(folder)
    assert not (folder / "report.html").exists()
