"""``evaluate.groups``: recalls and gaps by brute force, what is null, what an audit finds, and errors."""

import json
import shutil
import warnings

import numpy as np
import pytest

import bofl_jax as bofl
from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.data.ecg.wfdb_records import load_wfdb
from bofl_jax.evaluation import summary
from bofl_jax.evaluation.group_fairness import (
    GroupMembership,
    first_group_difference,
    group_summary,
    groups_from_predictions,
)
from bofl_jax.runs import audit
from tests.support.tiny import exact_results, tiny_config, write_arrays

MODELS = ("global", "personalised")
PEOPLE = {"100": "69 M 1085 1629 x1", "103": "-1 M 742 654 x1", "106": "24 F 1581 654 x1", "119": "51 F 1129 654 x2"}
"""Made-up records with the header lines of real ones."""


def write_record(folder, record, comment):
    """Two minutes of one beat a second; every fifth is a V, and every tenth of record 100 an S."""
    rng = np.random.default_rng(int(record))
    time, peaks = np.arange(43_200) / 360, np.arange(360, 42_840, 360)
    symbols = ["V" if n % 5 == 0 else "A" if record == "100" and n % 10 == 3 else "N" for n in range(len(peaks))]
    width = {"N": 0.02, "V": 0.06, "A": 0.03}
    signal = 0.1 * rng.standard_normal(len(time))
    for peak, symbol in zip(peaks, symbols, strict=True):
        near = slice(peak - 180, peak + 180)
        signal[near] += np.exp(-0.5 * ((time[near] - time[peak]) / width[symbol]) ** 2)
    wfdb = load_wfdb()
    signals = {"sig_name": ["MLII"], "units": ["mV"], "fmt": ["212"], "adc_gain": [200.0], "baseline": [0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, in wfdb
        wfdb.wrsamp(record, fs=360, p_signal=signal[:, None], comments=[comment], write_dir=str(folder), **signals)
        wfdb.wrann(record, "atr", peaks, symbols, write_dir=str(folder))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mitdb")
    for record, comment in PEOPLE.items():
        write_record(folder, record, comment)
    return folder


def configure(root, names, **changes):
    data = {"source": "mitbih", "root": str(root), "records": list(names), "classes": ["N", "S", "V"]}
    short = {"federation.rounds": 2, "partition.train_minutes": 0.5}
    written = tiny_config("") | {"data": data | {"cache": False, "half_window": 64}, "model": {"name": "linear"}}
    return bofl.load_config(written, short | {key.replace("__", "."): value for key, value in changes.items()})


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    return bofl.run(configure(records, PEOPLE, evaluate__groups="sex"), out=tmp_path_factory.mktemp("sex") / "run")


@pytest.fixture(scope="module")
def aged(records, tmp_path_factory):
    return bofl.run(configure(records, PEOPLE, evaluate__groups="age"), out=tmp_path_factory.mktemp("age") / "run")


def predictions(run):
    with np.load(run.directory / "predictions.npz") as held:
        return {name: held[name] for name in held.files}


def brute_force(held, model, of):
    """Sample by sample: of each group its people, samples and recall by class, and the gap."""
    counts = {name: {c: [set(), 0, 0] for c in held["classes"]} for name in set(of.values()) - {None}}
    for label, subject, p in zip(held["label"], held["subject"], held[f"{model}_probability"], strict=True):
        record = str(held["subject_names"][subject])
        if of[record] is not None:
            found = counts[of[record]][held["classes"][label]]
            found[0].add(record)
            found[1] += 1
            found[2] += int(np.argmax(p) == label)
    gaps = {}
    for c in held["classes"]:
        recalls = [right / all_ for _, all_, right in (classes[c] for classes in counts.values()) if all_]
        gaps[c] = max(recalls) - min(recalls) if len(recalls) > 1 else None
    return counts, gaps


def check(found, held, model, of):
    counts, gaps = brute_force(held, model, of)
    assert found["equal_opportunity_gap"] == {
        c: gap if gap is None else pytest.approx(gap, abs=1e-6) for c, gap in gaps.items()
    }
    for name, classes in counts.items():
        group = found["by_group"][name]
        assert group["people"] == len(set.union(*(people for people, _, _ in classes.values())))
        assert group["samples"] == sum(samples for _, samples, _ in classes.values())
        for c, (people, samples, right) in classes.items():
            recall = pytest.approx(right / samples, abs=1e-6) if samples else None  # float32 against float64
            assert group["per_class"][c] == {"people": len(people), "samples": samples, "recall": recall}


@pytest.mark.parametrize("model", MODELS)
def test_recalls_by_sex_are_those_of_a_plain_loop(run, model):
    found, of = run.summary["fairness"][model]["groups"], {record: line.split()[1] for record, line in PEOPLE.items()}
    check(found, predictions(run), model, of)
    assert (found["attribute"], found["samples_in_no_group"]) == ("sex", 0)
    assert list(found["by_group"]) == ["F", "M"]
    assert found["equal_opportunity_gap"]["S"] is None  # only record 100, a man, has S
    assert found["by_group"]["F"]["per_class"]["S"] == {"people": 0, "samples": 0, "recall": None}
    assert found["equal_opportunity_gap"]["N"] is not None


@pytest.mark.parametrize("model", MODELS)
def test_people_of_unknown_age_are_not_counted(aged, model):
    held, found = predictions(aged), aged.summary["fairness"][model]["groups"]
    check(found, held, model, {"100": "65 and over", "103": None, "106": "under 65", "119": "under 65"})
    unknown = held["subject"] == held["subject_names"].tolist().index("103")
    assert found["samples_in_no_group"] == unknown.sum() > 0
    np.testing.assert_array_equal(held["group"] == -1, unknown)
    assert held["group_names"].tolist() == ["under 65", "65 and over"]


def drawn(seed=0, count=33, classes=3):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), count).astype(np.float32)
    return p, rng.integers(0, classes, count).astype(np.int32), rng.integers(-1, 3, count).astype(np.int32)


def test_many_groups_and_padding_by_a_plain_loop():
    """33 samples are padded to 36; three groups and some samples in none."""
    p, y, group = drawn()
    subjects = np.array([f"s{g}" for g in range(4)])
    members = GroupMembership("sex", ("a", "b", "c"), group, subjects[group % 4])
    held = {"label": y, "subject": group % 4, "subject_names": subjects, "classes": np.array(list("NSV"))}
    found = group_summary(p, y, "NSV", members)
    check(found, held | {"m_probability": p}, "m", {"s0": "a", "s1": "b", "s2": "c", "s3": None})
    assert found["samples_in_no_group"] == (group < 0).sum() > 0


def test_two_records_of_one_man_are_one_person():
    p, y, _ = drawn(count=4)
    arrays = {
        "global_probability": p,
        "label": y,
        "classes": np.array(list("NSV")),
        "group": np.array([1, 1, 1, 0], np.int32),
        "group_names": np.array(["F", "M"]),
        "subject": np.array([0, 0, 1, 2]),
        "person_names": np.array(["201", "201", "101"]),
    }
    found = groups_from_predictions(arrays, "sex")["global"]["groups"]["by_group"]
    assert (found["M"]["people"], found["F"]["people"]) == (1, 1)


def test_without_groups_the_results_hold_nothing_on_them(run, records, tmp_path):
    """The same run but for the key: the same numbers to the bit, and no more arrays or keys than before."""
    plain = bofl.run(configure(records, PEOPLE), out=tmp_path / "run")
    assert set(predictions(run)) - set(predictions(plain)) == {"group", "group_names"}
    for model in MODELS:
        spread = dict(run.summary["fairness"][model])
        del spread["groups"]
        assert plain.summary["fairness"][model] == spread
    with_groups, without = exact_results(run.directory), exact_results(plain.directory)
    for name in ("test", "clients"):
        assert with_groups[name] == without[name]
    losses = [[record["loss"] for record in found["rounds"]] for found in (with_groups, without)]
    assert losses[0] == losses[1]
    audit(plain.directory)


def test_an_audit_finds_later_changes(run, aged, tmp_path):
    audit(run.directory)
    audit(aged.directory)
    copy = shutil.copytree(run.directory, tmp_path / "run")
    summary = json.loads((copy / "summary.json").read_text())
    summary["fairness"]["global"]["groups"]["equal_opportunity_gap"]["N"] += 0.01
    (copy / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    with pytest.raises(VerificationError, match="not those that were published"):
        audit(copy)


def flatter(groups):
    groups["equal_opportunity_gap"]["V"] += 0.01


FALSE_STATEMENTS = {
    r"global\.groups\.equal_opportunity_gap\.V of fairness does not follow": flatter,
    r"global\.groups\.by_group\.F\.per_class\.N\.people of": lambda g: g["by_group"]["F"]["per_class"]["N"].update(
        people=9
    ),
    r"global\.groups\.attribute of": lambda g: g.update(attribute="age"),
    r"a key of": lambda g: g["by_group"].pop("M"),
}


@pytest.mark.parametrize("named", FALSE_STATEMENTS)
def test_an_audit_finds_a_run_that_publishes_false_groups(records, tmp_path, monkeypatch, named):
    """The digest on the chain is that of the false summary, so that only the predictions contradict it."""

    def falsified(*arguments, true=summary.group_summary):
        found = true(*arguments)
        FALSE_STATEMENTS[named](found)
        return found

    monkeypatch.setattr(summary, "group_summary", falsified)
    config = configure(records, ["100", "106"], evaluate__groups="sex", personalise__method="none")
    published = bofl.run(config, out=tmp_path / "run")
    with pytest.raises(VerificationError, match=named):
        audit(published.directory)


def test_an_audit_finds_groups_that_are_missing_in_the_summary(records, tmp_path, monkeypatch):
    monkeypatch.setattr(
        summary.RunPredictions,
        "fairness",
        lambda self, true=summary.RunPredictions.fairness: {
            model: {name: value for name, value in of.items() if name != "groups"} for model, of in true(self).items()
        },
    )
    config = configure(records, ["100", "106"], evaluate__groups="sex", personalise__method="none")
    published = bofl.run(config, out=tmp_path / "run")
    with pytest.raises(VerificationError, match="a key of fairness does not follow"):
        audit(published.directory)


@pytest.mark.parametrize(
    ("stated", "expected", "first"),
    [
        ({"g": {"N": 0.5}}, {"g": {"N": 0.5 + 1e-7}}, ""),
        ({"g": {"N": 0.5}}, {"g": {"N": 0.51}}, "g.N"),
        ({"g": {"N": None}}, {"g": {"N": 0.0}}, "g.N"),
        ({"g": {"N": 0}}, {"g": {"N": 0.0}}, "g.N"),
        ({"g": {"N": "0.5"}}, {"g": {"N": 0.5}}, "g.N"),
        ({"g": {"N": 3}}, {"g": {"N": 4}}, "g.N"),
        ({"g": {}}, {"g": {"N": 0.5}}, "a key"),
        ({}, {}, ""),
    ],
)
def test_the_first_difference_is_named(stated, expected, first):
    assert first_group_difference(stated, expected) == first


def test_missing_arrays_are_no_result():
    assert groups_from_predictions({}, "none") == {}
    with pytest.raises(KeyError, match="group_names"):
        groups_from_predictions({}, "sex")


@pytest.mark.parametrize("attribute", ["sex", "age"])
@pytest.mark.parametrize("source", [{"source": "npz", "root": "own.npz"}, {"source": "simulator"}])
def test_a_source_that_does_not_know_its_people_is_rejected(source, attribute):
    name = source["source"]
    with pytest.raises(BoflError) as error:
        bofl.load_config(tiny_config("") | {"data": source}, {"evaluate.groups": attribute})
    how_to_fix = "set evaluate.groups = 'none', or data.source = 'mitbih'"
    assert str(error.value) == f"data.source = '{name}' gives no age and sex of its subjects: {how_to_fix}"


def test_another_attribute_is_rejected_by_its_key(tmp_path):
    arrays = write_arrays(tmp_path / "own.npz")
    with pytest.raises(BoflError, match=r"^evaluate\.groups = 'height' is not possible: .*'none', 'sex' or 'age'$"):
        bofl.load_config(tiny_config(arrays), {"evaluate.groups": "height"})


def test_unknown_ages_are_rejected_before_anything_is_written(records, tmp_path):
    with pytest.raises(BoflError, match="the age of no subject is known"):
        bofl.run(configure(records, ["103"], evaluate__groups="age"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_real_records(mitdb, tmp_path):
    """Three of them, two rounds; V beats of a man and of a woman."""
    config = configure(mitdb, ["106", "119", "223"], evaluate__groups="sex", partition__train_minutes=5.0)
    found = bofl.run(config, out=tmp_path / "run")
    audit(found.directory)
    for model in MODELS:
        groups = found.summary["fairness"][model]["groups"]
        check(groups, predictions(found), model, {"106": "F", "119": "F", "223": "M"})
        assert groups["equal_opportunity_gap"]["V"] is not None
