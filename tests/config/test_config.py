"""Reading, overriding, checking and writing a configuration; every refusal is a sentence that names the key."""

import math
import tomllib
from pathlib import Path

import pytest

import bofl_jax as bofl
from bofl_jax.config import Config, known_keys, load_config, parse_assignment, presets
from bofl_jax.config.schema import DISCRIMINATORS
from bofl_jax.core.errors import BoflError
from tests.support.tiny import read_clients, tiny_config, write_arrays

HERE = Path("own.npz")


def refusal(source, overrides=None) -> str:
    with pytest.raises(BoflError) as error:
        load_config(source, overrides)
    line = str(error.value)
    assert error.value.exit_code == 2
    assert "\n" not in line
    assert "pydantic" not in line
    return line


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("federation.rounds=50", "federation.rounds", 50),
        ("optimizer.lr=0.5", "optimizer.lr", 0.5),
        ("optimizer.lr=1e-3", "optimizer.lr", 1e-3),
        ("data.causal=true", "data.causal", True),
        ("model.channels=[4, 8]", "model.channels", [4, 8]),
        ('data.classes=["N", "V"]', "data.classes", ["N", "V"]),
        ("data.source=npz", "data.source", "npz"),
        ("data.root=/some where/own.npz", "data.root", "/some where/own.npz"),
        ("data.root=a=b.npz", "data.root", "a=b.npz"),
        ('name="50"', "name", "50"),
        ("name='x'", "name", "x"),
        ("name=", "name", ""),
        ("name=x\nseed = 3", "name", "x\nseed = 3"),
        ("seed=1\nname = 'y'", "seed", "1\nname = 'y'"),
    ],
)
def test_an_assignment_is_toml_or_a_bare_string(text, key, value):
    parsed = parse_assignment(text)
    assert parsed == (key, value)
    assert type(parsed[1]) is type(value)


@pytest.mark.parametrize("text", ["rounds", "=3", "a b=3", "", "federation-rounds=3"])
def test_an_assignment_without_key_or_sign_says_how_to_write_it(text):
    with pytest.raises(BoflError) as error:
        parse_assignment(text)
    assert str(error.value) == f"--set {text}: write it as KEY=VALUE, for example federation.rounds=50"


@pytest.mark.parametrize("name", presets())
def test_presets_round_trip_through_their_toml(name, tmp_path):
    config = load_config(name)
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    again = load_config(path)
    assert again == config
    assert again.to_toml() == config.to_toml()
    assert again.sha256() == config.sha256() == load_config(str(path)).sha256()
    assert load_config(tomllib.loads(config.to_toml())) == config
    assert config.name == name


def test_the_written_configuration_is_complete():
    """Every key of every chosen kind, but those that are None."""
    written = tomllib.loads(load_config("quickstart").to_toml())
    config = load_config("quickstart")
    for section in Config.model_fields:
        value = getattr(config, section)
        if hasattr(value, "model_fields_set"):
            assert set(written[section]) == {k for k in type(value).model_fields if getattr(value, k) is not None}
    assert "local_epochs" not in written["federation"]
    assert "cohort" not in written["federation"]


def test_the_name_of_a_configuration_is_its_content():
    first = load_config("quickstart")
    assert len(first.sha256()) == 32
    assert first.sha256() == load_config("quickstart", {"federation.rounds": first.federation.rounds}).sha256()
    assert first.sha256() != load_config("quickstart", {"seed": 1}).sha256()


def test_the_hash_is_stable():
    """It is written on every chain: a change of the order or of a default re-names all runs, so it is to be noticed."""
    reordered = {name: tiny_config(HERE)[name] for name in reversed(tiny_config(HERE))}
    assert load_config(tiny_config(HERE)).sha256() == load_config(reordered).sha256()


def test_overrides_leave_the_callers_table_alone():
    source = tiny_config(HERE)
    load_config(source, {"federation.rounds": 9, "engine.blocks": 4})
    assert source == tiny_config(HERE)


def test_the_algorithm_switches_with_or_without_its_own_keys():
    config = load_config("quickstart", {"federation.algorithm": "fedprox"})
    assert (config.federation.algorithm, config.federation.mu) == ("fedprox", 0.1)
    for overrides in (
        {"federation.algorithm": "fedprox", "federation.mu": 0.3},
        {"federation.mu": 0.3, "federation.algorithm": "fedprox"},
    ):
        config = load_config("quickstart", overrides)
        assert (config.federation.mu, config.federation.rounds) == (0.3, load_config("quickstart").federation.rounds)
    back = load_config(tomllib.loads(config.to_toml()), {"federation.algorithm": "fedavg"})
    assert not hasattr(back.federation, "mu")


def test_another_source_drops_the_keys_of_the_old_one():
    config = load_config("mitbih", {"data.source": "npz", "data.root": "own.npz"})
    assert config.data.model_dump() == {"source": "npz", "root": HERE}
    config = load_config("mitbih", {"data.root": "own.npz", "data.source": "npz"})
    assert config.data.root == HERE
    config = load_config("mitbih", {"data.source": "simulator"})
    assert (config.data.source, config.data.classes) == ("simulator", ("N", "S", "V", "F"))


def test_another_scheme_model_and_method():
    config = load_config("mitbih", {"partition.scheme": "dirichlet", "partition.alpha": 0.1, "model.name": "lstm"})
    assert (config.partition.alpha, config.partition.train_minutes, config.model.name) == (0.1, 5.0, "lstm")
    assert load_config("mitbih", {"personalise.method": "none"}).personalise.model_dump() == {"method": "none"}


def test_keys_that_rule_each_other_out_replace_each_other():
    """TOML has no null: without this no --set could get from steps to epochs, or from minutes to a held-out share."""
    federation = load_config("quickstart", {"federation.local_epochs": 2}).federation
    assert (federation.local_steps, federation.local_epochs) == (None, 2)
    split = load_config("mitbih", {"partition.test_fraction": 0.2}).partition
    assert (split.train_minutes, split.guard_seconds, split.test_fraction) == (None, 0.0, 0.2)
    held_out = load_config("mitbih", {"partition.test_subjects": ["100"], "partition.adapt_minutes": 1.0})
    split = held_out.partition
    assert (split.train_minutes, split.test_subjects, split.adapt_minutes) == (None, ("100",), 1.0)
    drawn = load_config(tomllib.loads(held_out.to_toml()), {"partition.test_fraction": 0.2}).partition
    assert (drawn.test_subjects, drawn.test_fraction, drawn.adapt_minutes) == (None, 0.2, 1.0)
    back = load_config(tomllib.loads(held_out.to_toml()), {"partition.train_minutes": 5.0}).partition
    assert (back.train_minutes, back.test_subjects, back.adapt_minutes) == (5.0, None, None)
    both = {"federation.local_epochs": 2, "federation.local_steps": 3}
    assert refusal("quickstart", both) == "federation: set exactly one of local_steps and local_epochs"


def test_none_unsets_a_key():
    config = load_config("quickstart", {"federation.local_steps": None, "federation.local_epochs": 1.5})
    assert (config.federation.local_steps, config.federation.local_epochs) == (None, 1.5)
    assert load_config("quickstart", {"federation.cohort": None}) == load_config("quickstart")


def test_a_section_that_the_configuration_lacks_can_be_overridden():
    config = load_config("quickstart", {"ledger.mode": "off", "engine.blocks": 4, "evaluate.every": 0})
    assert (config.ledger.mode, config.engine.blocks, config.evaluate.every) == ("off", 4, 0)
    assert load_config(tiny_config(HERE), {"ledger.authorities": 5}).ledger.authorities == 5


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"federation.round": 3}, "unknown key federation.round: did you mean federation.rounds?"),
        ({"optimiser.lr": 3}, "unknown key optimiser: did you mean optimizer?"),
        ({"data.patient": 3}, "unknown key data.patient: did you mean data.patients?"),
        ({"fedaration.rounds": 3}, "unknown key fedaration: did you mean federation?"),
        ({"zzz.x": 3}, "unknown key zzz: known are adversary, data, engine, evaluate, "),
        ({"federation.rounds.x": 3}, "unknown key federation.rounds.x: rounds is a value, not a section"),
        (
            {"federation.mu": 0.1},
            "federation.mu belongs to federation.algorithm = 'fedprox', not to 'fedavg': "
            "leave it out, or set federation.algorithm",
        ),
        (
            {"personalise.method": "none", "personalise.steps": 3},
            "personalise.steps belongs to personalise.method = 'own' or 'finetune', not to 'none': "
            "leave it out, or set personalise.method",
        ),
        ({"federation.rounds": 0}, "federation.rounds = 0 is not possible: it should be greater than or equal to 1"),
        ({"federation.rounds": 2.5}, "federation.rounds = 2.5 is not possible: it should be a valid integer, got a "),
        ({"federation.rounds": "many"}, "federation.rounds = 'many' is not possible: it should be a valid integer, "),
        ({"optimizer.lr": "fast"}, "optimizer.lr = 'fast' is not possible: it should be a valid number, "),
        ({"optimizer.lr": math.nan}, "optimizer.lr = nan is not possible: it should be a finite number"),
        ({"seed": -1}, "seed = -1 is not possible: it should be greater than or equal to 0"),
        ({"name": "a b"}, "name = 'a b' is not possible: it may hold letters, digits and . _ - only"),
        ({"model.channels": [8, 0, 8]}, "model.channels.1 = 0 is not possible: it should be greater than or equal to"),
        ({"model.channels": 8}, "model.channels = 8 is not possible: write a list, for example [1, 2] or ['a', 'b']"),
        ({"model.channels": [8]}, "model: channels, kernels and strides must list the same number of layers"),
        ({"federation": 3}, "federation = 3 is not possible: it is a section, set the keys within it"),
        ({"ledger.mode": "on"}, "ledger.mode = 'on' is not possible: it should be "),
        (
            {"federation.algorithm": "fedavgg"},
            "federation.algorithm = 'fedavgg' is unknown: choose one of apfl, ",
        ),
        ({"data.source": "mit"}, "data.source = 'mit' is unknown: choose one of "),
        ({"partition.scheme": "dirichlett"}, "partition.scheme = 'dirichlett' is unknown: choose one of dirichlet, "),
        ({"model.name": "cnn"}, "model.name = 'cnn' is unknown: choose one of cnn1d, "),
        ({"personalise.method": "ft"}, "personalise.method = 'ft' is unknown: choose one of finetune, none, own"),
        ({"data.source": "npz"}, "data.root is missing: set it in the configuration or with --set data.root=..."),
        ({"data.classes": ["N", "Z"]}, "data.classes: the simulator has no class 'Z': choose from N, S, V, F, Q"),
        ({"federation.algorithm": "local"}, "federation.algorithm = 'local' shares no update: set ledger.mode = 'off'"),
        (
            {"federation.algorithm": "local", "ledger.mode": "off"},
            "federation.algorithm = 'local' is personal already: set personalise.method = 'none'",
        ),
        (
            {"federation.algorithm": "scaffold", "optimizer.momentum": 0.9},
            "federation.algorithm = 'scaffold' takes plain gradient steps: set optimizer.client = 'sgd', and leave "
            "optimizer.momentum out",
        ),
        (
            {"federation.algorithm": "fednova", "optimizer.server": "adam"},
            "federation.algorithm = 'fednova' has a server of its own: leave optimizer.server out",
        ),
        (
            {
                "federation.algorithm": "fedrep",
                "federation.head_steps": 2,
                "personalise.method": "own",
                "personalise.steps": 5,
            },
            "federation.head_steps fixes the steps of a client's personal model, so personalise.steps would have no",
        ),
        (
            {"federation.algorithm": "bfln", "optimizer.server_lr": 0.5},
            "federation.algorithm = 'bfln' has a server of its own: leave optimizer.server_lr out",
        ),
        (
            {"federation.algorithm": "centralised", "ledger.mode": "off", "optimizer.server": "momentum"},
            "federation.algorithm = 'centralised' has no server: leave optimizer.server out",
        ),
        (
            {"optimizer.server_beta2": 0.9},
            "optimizer: server_beta2 belongs to server = 'adam' or 'yogi': leave it out",
        ),
        (
            {"federation.algorithm": "perfedavg", "personalise.method": "none"},
            "federation.algorithm = 'perfedavg' trains a starting point that is no classifier by itself: "
            "set personalise.method = 'finetune'",
        ),
    ],
)
def test_a_refusal_names_the_key_and_the_mend(overrides, line):
    assert refusal("quickstart", overrides).startswith(line)


def test_refusals_within_a_union_of_types_do_not_show_pydantics_path():
    assert refusal("mitbih", {"data.records": "ds9"}) == (
        "data.records = 'ds9' is not possible: it should be 'ds1', 'ds2', 'nonpaced' or 'all', "
        "or write a list, for example [1, 2] or ['a', 'b']"
    )
    assert refusal("mitbih", {"data.records": ["999"]}).startswith("data.records: MIT-BIH has no record '999'")
    assert refusal("mitbih", {"data.root": 5}) == "data.root = 5 is not possible: write a path as text"


@pytest.mark.parametrize("section", DISCRIMINATORS)
def test_a_section_without_its_kind_lists_the_kinds(section):
    source = tiny_config(HERE)
    del source[section][DISCRIMINATORS[section]]
    assert refusal(source).startswith(f"{section}.{DISCRIMINATORS[section]} is missing: set it to one of ")


@pytest.mark.parametrize("section", ["data", "partition", "federation"])
def test_a_missing_section_says_where_to_begin(section):
    source = tiny_config(HERE)
    del source[section]
    assert refusal(source).startswith(f"{section}.{DISCRIMINATORS[section]} is missing: set it to one of ")


@pytest.mark.parametrize("key", known_keys())
def test_every_known_key_is_suggested_for_a_slip_in_it(key):
    """One letter too many at the end."""
    told = refusal("quickstart", {f"{key}q": 1})
    assert told == f"unknown key {key}q: did you mean {key}?"


def test_an_unknown_preset_suggests_the_nearest():
    assert refusal("quikstart") == "there is no preset and no file called quikstart: did you mean quickstart?"
    told = refusal("zzz")
    assert told.startswith("there is no preset and no file called zzz: presets are ")
    assert all(name in told for name in presets())


def test_files_that_are_no_configuration(tmp_path):
    (tmp_path / "broken.toml").write_text("[data\nsource = 1")
    assert "broken.toml is not valid TOML: Expected ']'" in refusal(tmp_path / "broken.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    assert "bytes.toml cannot be read ('utf-8' codec can't decode" in refusal(tmp_path / "bytes.toml")
    (tmp_path / "empty.toml").write_text("")
    assert refusal(tmp_path / "empty.toml").startswith("data.source is missing: ")
    assert "there is no preset and no file called" in refusal(tmp_path)


def test_any_preset_can_be_pointed_at_other_data(tmp_path):
    """The MIT-BIH preset on somebody's arrays: window, leads and classes follow the data."""
    arrays = write_arrays(tmp_path / "own.npz")
    overrides = {
        "data.source": "npz",
        "data.root": str(arrays),
        "partition.train_minutes": 1,
        "model.name": "linear",
        "federation.rounds": 1,
        "personalise.steps": 1,
    }
    done = bofl.run(load_config("mitbih", overrides), out=tmp_path / "run")
    assert list(done.summary["test"]["global"]["per_class"]) == ["N", "S", "V"]
    assert [row["client"] for row in read_clients(done.directory)] == [f"s{i}" for i in range(6)]


def test_an_algorithm_needs_a_name_of_its_own():
    from typing import Literal

    from bofl_jax import Algorithm, FederatedOptions, register

    class Nameless(FederatedOptions):
        pass

    class Taken(FederatedOptions):
        algorithm: Literal["ditto"]

    with pytest.raises(BoflError, match=r"Nameless does not name an entry of \[federation\]"):
        register(Algorithm(Nameless, lambda *_: None))
    with pytest.raises(BoflError, match=r"federation\.algorithm = 'ditto' is registered already"):
        register(Algorithm(Taken, lambda *_: None))
    with pytest.raises(BoflError, match=r"dict cannot be registered: give a Source, Scheme"):
        register({})
