"""The page as a file: its data against the result files and the audit, its bytes, hostile names, and errors."""

import base64
import csv
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from bofl_jax.cli.app import app
from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.figures import style
from bofl_jax.pages import provenance, report
from bofl_jax.pages.fill import SCRIPTS, render_page
from bofl_jax.pages.run import group_data
from bofl_jax.results.summary import read_summary
from bofl_jax.runs.audit_report import AuditReport, shorten_digests
from tests.figures.grouped import add_groups
from tests.pages.files import CLASSES, SUBJECTS, data_of, write_explanations, write_sweep


@pytest.fixture(scope="module")
def written(run_directory, tmp_path_factory):
    return report(run_directory, tmp_path_factory.mktemp("out") / "new" / "page.html")


@pytest.fixture(scope="module")
def data(written):
    return data_of(written)


class Markup(HTMLParser):
    """The elements of a page, its style and scripts, and every address that it names."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.addresses, self.inside, self.policy = [], [], {}, ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        named = dict(attrs)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]

    def handle_data(self, data):
        kind = self.elements[-1] if self.elements else ""
        self.inside.setdefault(kind, []).append(data)


def unpack(text):
    return np.frombuffer(base64.b64decode(text), "<f8")


def history_of(data, client):
    """A client's history from the data of a page, as the scripts compute it."""
    rows = [row[1:] for row in data["chain"]["events"] if row[0] == client]
    chain, packed = data["chain"], data["chain"]["contributions"]
    who, samples, loss = (unpack(packed[name]) for name in ("client", "samples", "loss"))
    update = base64.b64decode(packed["update"])
    rounds = [found for found in chain["rounds"][chain["first"] :] for _ in range(found["contributors"])]
    for index in np.flatnonzero(who == client):
        digest = update[8 * index : 8 * index + 8].hex()
        text = f"update 0x{digest}\u2026, {samples[index]:.0f} samples, loss {loss[index]:.6f}"
        rows.append(
            [rounds[index]["block"], rounds[index]["round"], f"Contributed to model {rounds[index]['model']}", text]
        )
    return sorted(rows, key=lambda row: row[0])


def audited_history(run_directory, client):
    return [
        [row["block"], row["round"], row["what"], shorten_digests(row["particulars"])]
        for row in AuditReport(run_directory).client_history(str(client))
    ]


def test_every_client_has_the_history_that_the_audit_finds(data, run_directory):
    audited = AuditReport(run_directory)
    for client in range(len(SUBJECTS)):
        history = [
            [row["block"], row["round"], row["what"], shorten_digests(row["particulars"])]
            for row in audited.client_history(str(client))
        ]
        assert history_of(data, client) == history
    what = {row[3] for row in data["chain"]["events"]}
    assert {"ClientRegistered", "UpdateRefused", "SyntheticRequested", "SyntheticApproved", "SyntheticLogged"} <= what


def test_rounds_are_those_of_the_audit(data, run_directory):
    rows = AuditReport(run_directory).rounds()
    for shown, row in zip(data["chain"]["rounds"], rows, strict=True):
        assert {name: shown[name] for name in ("model", "round", "contributors", "refused", "samples", "gas")} == {
            name: row[name] for name in ("model", "round", "contributors", "refused", "samples", "gas")
        }
        assert shown["loss"] == row["loss"]
        assert row["model_digest"].startswith(shown["model_digest"][:-1])


def test_what_does_not_fit_is_counted(run_directory, monkeypatch, tmp_path):
    whole = data_of(report(run_directory, tmp_path / "whole.html"))["chain"]
    monkeypatch.setattr(provenance, "MAX_CONTRIBUTIONS", sum(row["contributors"] for row in whole["rounds"][-2:]))
    monkeypatch.setattr(provenance, "MAX_EVENTS", 5)
    cut = data_of(report(run_directory, tmp_path / "cut.html"))
    kept = cut["chain"]
    assert kept["first"] == len(whole["rounds"]) - 2
    assert kept["events"] == whole["events"][-5:]
    everything = len(whole["events"]) + len(unpack(whole["contributions"]["client"]))
    assert kept["left_out"] == everything - 5 - len(unpack(kept["contributions"]["client"])) > 0
    history = audited_history(run_directory, 0)
    assert [row for row in history_of(cut, 0) if "Contributed" in row[2]] == [
        row for row in history if "Contributed" in row[2] and row[1] in [r["round"] for r in whole["rounds"][-2:]]
    ]


def test_numbers_are_those_of_the_files(data, run_directory):
    summary = json.loads((run_directory / "summary.json").read_text())
    shown = {row["name"]: row for row in data["headline"]}
    assert shown["Calibration error (ECE)"]["better"] == "lower is better"
    for model in ("global", "personalised"):
        assert shown["Accuracy"][model] == summary["test"][model]["accuracy"]
        assert shown["Macro-F1"][model] == summary["test"][model]["macro_f1"]
        assert shown["Calibration error (ECE)"][model] == summary["test"][model]["ece"]
        worst = shown["Accuracy of the worst 10 % of clients"][model]
        assert worst == summary["fairness"][model]["worst_10_percent"]
        for row in data["per_class"]:
            assert row[f"{model}_recall"] == summary["test"][model]["per_class"][row["class"]]["recall"]
    assert data["ledger"]["head_hash"] == summary["ledger"]["head_hash"] == data["chain"]["conclusion"].split()[-1]
    assert data["ledger"]["gas_per_round"] == summary["ledger"]["gas_per_round"]
    assert data["synthesis"] == summary["synthesis"]
    with (run_directory / "clients.csv").open(newline="") as file:
        for row, client in zip(csv.DictReader(file), data["clients"], strict=True):
            assert client["client"] == row["client"]
            assert client["global_accuracy"] == float(row["global_accuracy"])
            assert client["counts"]["train"] == [int(row[f"train_{name}"]) for name in CLASSES]
    lines = [json.loads(line) for line in (run_directory / "synthesis.jsonl").read_text().splitlines()]
    assert [(r["request"], r["used"], r["state"]) for r in data["requests"]] == [
        (line["request"], line["used"], line["state"]) for line in lines
    ]
    assert data["config"]["federation"]["rounds"] == 4
    assert data["config"]["synthesis"]["gates.utility"] == 0.0


def test_groups_of_people_are_those_of_the_summary(data, copy):
    assert data["groups"] is None
    add_groups(copy)
    written, shown = (
        json.loads((copy / "summary.json").read_text())["fairness"],
        group_data(read_summary(copy).fairness),
    )
    left_out = {found["groups"]["samples_in_no_group"] for found in written.values()}
    assert (shown["attribute"], {shown["in_no_group"]}) == ("sex", left_out)
    assert [(row["class"], row["group"]) for row in shown["rows"]] == [(c, g) for c in CLASSES for g in "FM"]
    for row in shown["rows"]:
        for model, found in written.items():
            of_class = found["groups"]["by_group"][row["group"]]["per_class"][row["class"]]
            assert of_class == {"people": row["people"], "samples": row["samples"], "recall": row[f"{model}_recall"]}
            assert row[f"{model}_gap"] == found["groups"]["equal_opportunity_gap"][row["class"]]


def test_same_files_same_bytes(written, run_directory, tmp_path):
    again = shutil.copytree(run_directory, tmp_path / "elsewhere")
    assert report(again) == again / "report.html"
    assert (again / "report.html").read_bytes() == written.read_bytes()
    assert str(tmp_path) not in written.read_text(encoding="ascii")


def test_no_name_becomes_markup(written):
    text = written.read_text(encoding="ascii")
    found = Markup(text)
    assert found.elements.count("script") == 2
    assert not {"img", "i", "b", "link", "iframe", "object"} & set(found.elements)
    assert found.elements.count("h1") == 1
    assert all(address.startswith("#") for address in found.addresses)
    assert [client["client"] for client in data_of(written)["clients"]] == list(SUBJECTS)


def test_the_data_cannot_end_its_element(written):
    text = written.read_text(encoding="ascii")
    (inside,) = re.findall(r'id="data">(.*)</script>\n<script>', text)
    assert not set("<>&") & set(inside)


def test_titles_are_escaped_too():
    text = render_page({"kind": "run", "title": "</title><img src=x>$style", "subtitle": "<script>1</script>"})
    found = Markup(text)
    assert "img" not in found.elements
    assert found.elements.count("script") == 2
    assert "</title><img src=x>$style - bofl report" in found.inside["title"][0]


def test_the_policy_allows_this_script_and_style_only(written):
    text = written.read_text(encoding="ascii")
    rules = dict(rule.split(" ", 1) for rule in Markup(text).policy.split("; "))
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    sheet = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    for rule, sources in (("script-src", script), ("style-src", sheet)):
        (source,) = sources
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
    assert rules["default-src"] == "'none'"


def test_no_address_and_no_markup_from_text_in_the_scripts(written):
    text = written.read_text(encoding="ascii").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]+\.|url\(|@import|innerHTML|insertAdjacentHTML|\beval\b|fetch\(", text)


def test_the_series_have_the_colours_of_the_figures(written):
    text = written.read_text(encoding="ascii")
    for number, look in enumerate((*style.MODELS.values(), style.ACCURACY, style.LOSS)):
        assert f"--c{number}: {look.color};" in text


def test_every_script_is_used():
    from importlib import resources

    files = {path.name for path in resources.files("bofl_jax.pages").iterdir() if path.name.endswith(".js")}
    assert files == set(SCRIPTS)


def test_explanations_are_shown_where_they_are(copy):
    assert data_of(report(copy))["beats"] is None
    arrays = write_explanations(copy)
    shown = data_of(report(copy))["beats"]
    assert shown["label"] == arrays["label"].tolist()
    np.testing.assert_allclose(shown["x"], arrays["x"].transpose(0, 2, 1), atol=6e-5)  # four digits
    relative = arrays["attribution"] / np.abs(arrays["attribution"]).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(shown["attribution"], relative.transpose(0, 2, 1), atol=6e-5)
    write_explanations(copy, beats=40)
    shown = data_of(report(copy))["beats"]
    assert (shown["total"], len(shown["x"])) == (40, 24)


def test_a_run_without_a_ledger_says_so(copy):
    for name in ("config.toml", "summary.json"):
        text = (copy / name).read_text()
        (copy / name).write_text(text.replace('"merkle"', '"off"'))
    chain = data_of(report(copy))["chain"]
    assert "ledger.mode = off" in chain["note"]
    assert set(chain) == {"note"}


@pytest.mark.parametrize("name", ["summary.json", "clients.csv", "rounds.jsonl", "predictions.npz", "config.toml"])
@pytest.mark.parametrize("content", [None, b"{]\n"])
def test_missing_and_damaged_files(copy, name, content):
    (copy / name).unlink()
    if content:
        (copy / name).write_bytes(content)
    with pytest.raises(BoflError) as caught:
        report(copy)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (copy / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", '{"fairness": [1], "test": {}, "ledger": {"mode": "merkle"}}'),
        ("config.toml", "federation = 3\n"),
    ],
)
def test_files_of_another_form(copy, name, content):
    (copy / name).write_text(content)
    with pytest.raises(BoflError, match=f"{name} is damaged"):
        report(copy)


def test_what_does_not_hold_is_not_shown(copy):
    blocks = bytearray((copy / "ledger" / "blocks.rlp").read_bytes())
    blocks[len(blocks) // 2] ^= 1
    (copy / "ledger" / "blocks.rlp").write_bytes(blocks)
    with pytest.raises(VerificationError):
        report(copy)
    assert not (copy / "report.html").exists()


def test_no_directory_and_no_place_to_write(tmp_path):
    with pytest.raises(BoflError, match="there is no run directory"):
        report(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(BoflError, match=r"cannot be written to .*file.* name another --out"):
        report(write_sweep(tmp_path / "sweep"), tmp_path / "file" / "page.html")
    with pytest.raises(BoflError, match="a folder: name a file"):
        report(write_sweep(tmp_path / "sweep"), tmp_path)


def test_a_sweep(tmp_path):
    folder = write_sweep(tmp_path / "sweep")
    data = data_of(report(folder))
    assert data["title"] == "Sweep over seed, partition.alpha, federation.algorithm"
    assert data["subtitle"] == "12 members: 11 done, 1 failed"
    assert data["keys"]["partition.alpha"] == ["2", "10"]
    assert data["values"]["test.global.accuracy"][:3] == [0.5, 0.51, 0.52]
    assert data["values"]["test.global.accuracy"][-1] is None
    assert data["members"][-1]["error"].startswith("training diverged")


def test_the_command(tmp_path):
    folder = write_sweep(tmp_path / "sweep")
    done = CliRunner().invoke(app, ["report", str(folder), "--out", str(tmp_path / "page.html")])
    assert done.exit_code == 0
    assert done.output == f"Written to {tmp_path / 'page.html'}: open it in a browser\n"
    assert (tmp_path / "page.html").read_bytes() == report(folder).read_bytes()


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "member,seed,status,error\n", "member,status,error\nm,done,\n"])
def test_a_damaged_sweep(tmp_path, content):
    (tmp_path / "sweep.csv").write_text(content)
    with pytest.raises(BoflError, match=r"sweep\.csv is damaged .* --resume"):
        report(tmp_path)
