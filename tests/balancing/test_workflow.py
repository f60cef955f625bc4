"""The governed workflow: no sample without a request, and files and ledger agree on what is used."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import bofl_jax
from bofl_jax.balancing import fit, sample_service, workflow
from bofl_jax.core.errors import BoflError, VerificationError
from bofl_jax.engine.problem import build_problem
from bofl_jax.ledger.sample_requests import Decision, RequestState
from bofl_jax.parallel.clients import resolve_plan
from bofl_jax.results.requests import read_requests
from bofl_jax.runs.audit import audit
from bofl_jax.synthesis.needs import SampleNeed

BASE = {
    "data": {"source": "simulator", "patients": 6, "beats": 120, "ectopy": 3.0},
    "partition": {"scheme": "patient", "train_minutes": 1.0},
    "model": {"name": "linear"},
    "federation": {"algorithm": "fedavg", "rounds": 2, "local_steps": 2},
    "ledger": {"mode": "merkle"},
    "engine": {"checkpoint_every": 1},
}


def config(changed=None, **synthesis):
    return bofl_jax.load_config(BASE | {"synthesis": {"generator": "pca-gaussian"} | synthesis}, changed)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return bofl_jax.run(config(dose=0.3), tmp_path_factory.mktemp("balance") / "run")


def problems_of(run, configuration):
    """The problem without and with the synthetic samples of a run."""
    plain = build_problem(configuration, resolve_plan(configuration.engine))
    return plain, workflow.with_synthetic_samples(plain, run.directory)


def events(run, name):
    return [indexed.event.args for indexed in audit(run.directory).events if indexed.event.name == name]


def test_clients_train_on_the_used_samples(run):
    plain, balanced = problems_of(run, config(dose=0.3))
    used = sum(line["used"] for line in read_requests(run.directory))
    assert used == balanced.synthetic > 0
    for rows, before in (
        (balanced.population.train, plain.population.train),
        (balanced.population.adapt, plain.population.adapt),
    ):
        for client in range(plain.population.clients):
            of_client = [line for line in read_requests(run.directory) if line["client"] == client]
            own, more = np.split(rows.of(client), [before.size[client]])
            np.testing.assert_array_equal(own, before.of(client))
            assert (more >= len(plain.samples)).all()
            labels = [line["label"] for line in of_client for _ in range(line["used"])]
            np.testing.assert_array_equal(balanced.samples.y[more], labels)
    np.testing.assert_array_equal(balanced.population.test.sample, plain.population.test.sample)
    np.testing.assert_array_equal(balanced.samples.x[: len(plain.samples)], plain.samples.x)


def test_every_line_is_on_the_ledger_and_passes_the_audit(run):
    lines = read_requests(run.directory)
    assert [e["request"] for e in events(run, "SyntheticRequested")] == [line["request"] for line in lines]
    logged = events(run, "SyntheticLogged")
    assert [e["used"] for e in logged] == [line["used"] for line in lines if line["state"] == "approved"]
    assert run.summary["synthesis"]["used"] == sum(line["used"] for line in lines)


def test_clients_csv_counts_recorded_and_synthetic_samples_apart(run):
    plain, balanced = problems_of(run, config(dose=0.3))
    text = (run.directory / "clients.csv").read_text().splitlines()
    rows = [dict(zip(text[0].split(","), line.split(","), strict=True)) for line in text[1:]]
    assert [int(row["n_train"]) for row in rows] == plain.population.train.size.tolist()
    added = balanced.population.train.size - plain.population.train.size
    assert [int(row["n_synthetic"]) for row in rows] == added.tolist()


def forbid_sampling(monkeypatch):
    def never(*_):
        raise AssertionError("something was drawn")

    monkeypatch.setattr(fit.FittedGenerators, "sample", never)


@pytest.mark.parametrize(
    ("options", "reason"), [({"class_quota": 0}, "RoundQuota"), ({"max_batch": 0}, "BatchTooLarge")]
)
def test_nothing_is_drawn_for_a_rejected_request(tmp_path, monkeypatch, options, reason):
    forbid_sampling(monkeypatch)
    run = bofl_jax.run(config(**options), tmp_path / "run")
    lines = read_requests(run.directory)
    assert {(line["state"], line["reason"], line["used"]) for line in lines} == {("rejected", reason, 0)}
    assert not (run.directory / "synthetic").exists()
    assert events(run, "SyntheticLogged") == []
    assert run.summary["synthesis"] == {
        "requests": len(lines), "rejected": len(lines), "unused": 0,
        "asked": sum(line["amount"] for line in lines), "used": 0,
    }  # fmt: skip


def test_without_an_approval_the_service_draws_nothing(tmp_path, monkeypatch):
    forbid_sampling(monkeypatch)
    problem = build_problem(config(), resolve_plan(config().engine))
    service = sample_service.SampleService(problem, config().synthesis, tmp_path)
    for state in set(RequestState) - {RequestState.APPROVED}:
        with pytest.raises(BoflError, match="request 1 is not approved: no sample is drawn for it"):
            service.generate(SampleNeed(0, 1, 3), Decision(1, state, "", 0))


def test_only_the_sample_service_draws_and_only_the_workflow_uses_it():
    """Looks in the source for calls of a generator's ``sample`` and of the service."""
    package = Path(bofl_jax.__file__).parent
    draws, uses = set(), set()
    for path in package.rglob("*.py"):
        text, name = path.read_text(), str(path.relative_to(package))
        if name.startswith("synthesis/"):
            assert "pack(" not in text, f"{name} assigns samples to clients"
            continue
        if ".sample(" in text and "generators" in text:
            draws.add(name)
        if "SampleService(" in text:
            uses.add(name)
    assert draws == {"balancing/sample_service.py"}
    assert uses == {"balancing/workflow.py"}


def test_failed_batches_are_logged_refunded_and_not_used(tmp_path):
    run = bofl_jax.run(config(gates={"diversity": 50.0}, dose=0.3), tmp_path / "run")
    lines = read_requests(run.directory)
    judged = [line for line in lines if line["scores"].get("diversity") is not None]
    assert judged
    assert all(line["failed"] == ["diversity"] and line["used"] == 0 for line in judged)
    assert [line["refunded"] for line in judged] == [line["amount"] for line in judged]
    refunds = {e["request"]: e["amount"] for e in events(run, "QuotaRefunded")}
    assert {line["request"]: line["amount"] for line in judged}.items() <= refunds.items()


def test_a_class_without_samples_is_logged_as_unused_with_the_shortage(tmp_path):
    rare = config(generator="smote", training="local", dose=0.3)
    run = bofl_jax.run(rare, tmp_path / "run")
    lines = [line for line in read_requests(run.directory) if line["failed"] == ["too-few"]]
    assert lines
    assert all(line["used"] == 0 and line["refunded"] == line["amount"] for line in lines)
    assert lines[0]["why"].startswith("smote needs at least 2 samples of ")
    assert lines[0]["why"][-1] in "01"


def test_the_fallback_is_used_only_if_configured(tmp_path):
    def sources(fallback):
        options = {"generator": "smote", "training": "local", "dose": 0.5, "fallback": fallback}
        run = bofl_jax.run(config({"data.patients": 14, "data.ectopy": 1.0}, **options), tmp_path / fallback)
        return [line.get("source") for line in read_requests(run.directory)]

    without, with_it = sources("none"), sources("oversample")
    assert set(without) <= {"smote", ""}
    changed = [(a, b) for a, b in zip(without, with_it, strict=True) if a != b]
    assert set(changed) == {("", "oversample")}


def test_the_auditor_approves_what_can_be_generated(tmp_path):
    run = bofl_jax.run(config(generator="smote", training="local", approval="auditor", dose=0.3), tmp_path / "run")
    lines = read_requests(run.directory)
    assert {line["reason"] for line in lines} == {"", "Discretion"}
    assert all(line["source"] == "smote" for line in lines if line["state"] == "approved")
    assert len(events(run, "SyntheticRejected")) == sum(line["state"] == "rejected" for line in lines) > 0


def test_a_run_with_synthetic_samples_is_the_same_twice_and_resumed(run, tmp_path, monkeypatch):
    again = bofl_jax.run(config(dose=0.3), tmp_path / "again")
    assert again.summary["ledger"]["head_hash"] == run.summary["ledger"]["head_hash"]
    half = tmp_path / "half"

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bofl_jax.run(config(dose=0.3), half, on_round=stop)
    forbid_sampling(monkeypatch)
    resumed = bofl_jax.run(config(dose=0.3), half, resume=True)
    assert resumed.summary["ledger"]["head_hash"] == run.summary["ledger"]["head_hash"]
    assert audit(half).head_hash == run.summary["ledger"]["head_hash"]


def damage(path, change):
    lines = [json.loads(line) for line in (path / "synthesis.jsonl").read_text().splitlines()]
    change(lines)
    (path / "synthesis.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda lines: lines.pop(), "requests, the ledger"),
        (lambda lines: lines[0].update(used=lines[0]["used"] + 1), "request 1: the ledger has another entry"),
        (lambda lines: lines[1].update(state="rejected"), "request 2: the ledger has another entry"),
        (lambda lines: lines[0].pop("label"), "is damaged"),
    ],
)
def test_the_audit_finds_changed_lines(run, tmp_path, change, match):
    copy = tmp_path / "copy"
    shutil.copytree(run.directory, copy)
    damage(copy, change)
    with pytest.raises(VerificationError, match=match):
        audit(copy)


def test_the_validation_gate_rejects_batches_that_raise_the_loss(tmp_path, monkeypatch):
    """Batches of a generator that draws the wrong class are not used."""
    true_sample = fit.FittedGenerators.sample

    def wrong(self, key, client, _, n):
        return true_sample(self, key, client, 0, n)

    monkeypatch.setattr(fit.FittedGenerators, "sample", wrong)
    gates = {"utility": 0, "discriminative": 0.5}
    options = {"quota": "validation-gated", "dose": 1.0, "rare_share": 0.4, "gates": gates}
    run = bofl_jax.run(config(**options), tmp_path / "wrong")
    lines = [line for line in read_requests(run.directory) if line["source"]]
    rejected = [line for line in lines if line["failed"] == ["validation"]]
    assert len(rejected) > len(lines) / 2
    assert all(line["refunded"] == line["amount"] for line in rejected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ledger": {"mode": "off"}}, "requested through the contract: set ledger.mode"),
        ({"synthesis": {"generator": "smote", "training": "federated"}}, "cannot be trained as 'federated'"),
        ({"synthesis": {"generator": "timgan"}}, "synthesis.generator = 'timgan' is unknown: choose one of"),
    ],
)
def test_an_impossible_configuration_is_rejected_with_the_way_to_fix_it(change, message):
    with pytest.raises(BoflError, match=message):
        bofl_jax.load_config(BASE | {"synthesis": {"generator": "pca-gaussian"}} | change)
