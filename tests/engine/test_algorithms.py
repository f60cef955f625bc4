"""What every federated method inherits, whatever it does with a client's data."""

import dataclasses

import jax
import numpy as np
import pytest

from bofl_jax.algorithms import ALGORITHMS
from bofl_jax.algorithms.personalisation import FineTuneOptions, OwnOptions
from bofl_jax.config import load_config
from bofl_jax.core.errors import BoflError
from bofl_jax.engine.cohort import draw_cohort
from bofl_jax.engine.compile import compile_round
from bofl_jax.engine.personalise import compile_personalise
from bofl_jax.engine.problem import build_problem
from bofl_jax.engine.state import initial_state
from tests.conftest import make_samples
from tests.support.methods import ALONE, PLANS, VARIANTS, configure, flat, personalise, train

KEEPING = ("scaffold", "ditto", "pfedme", "apfl", "fedrep", "fedper", "fedbn", "local", "centralised")
OWNING = ("ditto", "pfedme", "apfl", "fedrep", "fedper", "fedbn", "bfln")


def test_every_method_is_in_the_suite():
    assert {variant.partition("-")[0] for variant in VARIANTS} == set(ALGORITHMS)


@pytest.fixture(scope="module")
def by_map(samples):
    """Two rounds of every variant, one client after another."""
    return {variant: train(variant, samples, PLANS["map"], rounds=2)[0] for variant in VARIANTS}


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryMethod:
    """Two rounds of six clients, in every way that must not matter."""

    def test_executors_and_chunks_agree_to_rounding(self, variant, samples, by_map):
        for plan in ("map-2", "vmap"):
            state, _ = train(variant, samples, PLANS[plan], rounds=2)
            np.testing.assert_allclose(flat(state), flat(by_map[variant]), atol=2e-5)

    def test_the_number_of_devices_changes_no_bit(self, variant, samples, by_map):
        state, _ = train(variant, samples, PLANS["shard"], rounds=2)
        np.testing.assert_array_equal(flat(state), flat(by_map[variant]))

    def test_one_client_is_enough_and_plain_python_agrees_to_rounding(self, variant):
        alone = {"local_steps": 1} | ({"clusters": 1} if variant == "bfln" else {})
        states = [train(variant, make_samples(subjects=1), PLANS[plan], **alone) for plan in ("loop", "map")]
        np.testing.assert_allclose(*(flat(state) for state, _ in states), atol=1e-5)
        assert float(states[1][1].loss[0]) > 0

    def test_it_compiles_once_not_every_round(self, variant, samples, monkeypatch):
        compiled, original = [], jax.stages.Lowered.compile
        monkeypatch.setattr(
            jax.stages.Lowered, "compile", lambda self, *a, **k: (compiled.append(1), original(self, *a, **k))[1]
        )
        train(variant, samples, PLANS["map"], rounds=2)
        assert len(compiled) == (1 if variant in ALONE else 2)

    def test_the_order_of_the_clients_matters_to_rounding_only(self, variant, samples, by_map):
        config = configure(variant)
        setting = build_problem(config, PLANS["map"], samples)
        state = initial_state(setting)
        backwards = type(draw_cohort(config.federation, setting.training, setting.root, 1))
        one_round = None
        for number in (1, 2):
            cohort = draw_cohort(config.federation, setting.training, setting.root, number)
            turned = backwards(*(column[::-1].copy() for column in cohort))
            one_round = one_round or compile_round(setting, state, turned, "off")
            state, _ = one_round(state, turned, number, 0.1)
        np.testing.assert_allclose(flat(state), flat(by_map[variant]), atol=2e-5)

    def test_types_and_shapes_are_kept(self, variant, samples, by_map):
        setting = build_problem(configure(variant), PLANS["map"], samples)
        before = initial_state(setting)
        assert jax.tree.map(lambda a: (a.shape, a.dtype), before) == jax.tree.map(
            lambda a: (a.shape, a.dtype), by_map[variant]
        )

    def test_unequal_work_an_empty_class_and_whatever_stands_in_the_padding(self, variant):
        everyone = make_samples()
        keep = (everyone.subject != 2) | (everyone.y != 0)
        keep &= (everyone.subject != 4) | (np.arange(len(everyone)) % 2 == 0)
        columns = {name: getattr(everyone, name)[keep] for name in ("x", "features", "y", "subject", "time")}
        fewer = dataclasses.replace(everyone, **columns)

        def fill(setting, shift):
            rows = setting.training._replace(sample=setting.training.sample.copy())
            for client, size in enumerate(rows.size):
                rows.sample[client, size:] = (shift + 7 * client) % len(fewer)
            return dataclasses.replace(setting, training=rows)

        (state, info), (other, _) = (
            train(
                variant,
                fewer,
                PLANS["map"],
                change=lambda setting, n=shift: fill(setting, n),
                local_steps=None,
                local_epochs=1.0,
            )
            for shift in (0, 101)
        )
        assert np.isfinite(flat(state)).all()
        assert len(set(np.asarray(info.examples).tolist())) > 1 or variant == "centralised"
        np.testing.assert_array_equal(flat(state), flat(other))

    def test_training_moves_something(self, variant, samples, by_map):
        setting = build_problem(configure(variant), PLANS["map"], samples)
        before = initial_state(setting)
        assert np.abs(flat(by_map[variant]) - flat(before)).max() > 1e-3


@pytest.mark.parametrize("variant", ["fedprox", "perfedavg", "ditto", "bfln"])
def test_all_seeds_share_their_programs(variant, samples, monkeypatch):
    """What a seed decides is an argument, so that a compilation cache serves every seed."""
    programs = []
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda self: programs[-1].append(self.as_text()))
    for seed in (0, 1):
        config = configure(variant).model_copy(update={"seed": seed})
        setting = build_problem(config, PLANS["map"], samples)
        state = initial_state(setting)
        programs.append([])
        compile_round(setting, state, draw_cohort(config.federation, setting.training, setting.root, 1), "off")
        compile_personalise(setting, state, FineTuneOptions(method="finetune", steps=1))
    assert len(programs[0]) == 3
    assert programs[0] == programs[1]


@pytest.mark.parametrize("variant", KEEPING)
def test_only_those_who_worked_keep_something_new(variant, samples):
    sampled = {} if variant in ALONE else {"cohort": 2}
    config = configure(variant, **sampled)
    setting = build_problem(config, PLANS["map"], samples)
    before = initial_state(setting)
    after, _ = train(variant, samples, PLANS["map"], **sampled)
    worked = np.zeros(len(setting.training.size), bool)
    worked[draw_cohort(config.federation, setting.training, setting.root, 1).client] = True
    np.testing.assert_array_equal(after.clients.joined, worked)
    rows = [
        np.asarray(a != b).reshape(len(worked), -1)
        for a, b in zip(*map(jax.tree.leaves, (after.clients.state, before.clients.state)), strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(rows, axis=1).any(axis=1), worked)


@pytest.mark.parametrize("variant", ["fedavg-adam", "fednova", "scaffold", "bfln"])
def test_a_round_in_which_nobody_counts_leaves_the_server_alone(variant, samples):
    config = configure(variant)
    setting = build_problem(config, PLANS["map"], samples)
    state = initial_state(setting)
    cohort = draw_cohort(config.federation, setting.training, setting.root, 1)
    one_round = compile_round(setting, state, cohort, "off")
    state, _ = one_round(state, cohort, 1, 0.1)
    after, _ = one_round(state, cohort._replace(weight=np.zeros_like(cohort.weight)), 2, 0.1)
    np.testing.assert_array_equal(flat((after.params, after.server)), flat((state.params, state.server)))


@pytest.mark.parametrize("variant", OWNING)
def test_own_models_are_what_the_method_says(variant, samples):
    """Taken as they are; and after more steps of the method, another for every client."""
    setting = build_problem(configure(variant), PLANS["map"], samples)
    state, _ = train(variant, samples, PLANS["map"], rounds=2)
    as_they_are = personalise(setting, state, OwnOptions(method="own"))
    for client in range(6):
        view = setting.algorithm.download(state.params, client)
        kept = jax.tree.map(lambda a, c=client: a[c], state.clients.state) if state.clients else ()
        expected = setting.algorithm.personal_model(view, kept)
        np.testing.assert_allclose(flat(jax.tree.map(lambda a, c=client: a[c], as_they_are)), flat(expected), atol=1e-7)
    options = OwnOptions(method="own", steps=2, lr=0.1)
    any_steps = compile_personalise(setting, state, options)
    np.testing.assert_allclose(flat(any_steps(state, 0)), flat(as_they_are), atol=1e-7)
    after = any_steps(state, 2)
    np.testing.assert_array_equal(flat(after), flat(personalise(setting, state, options)))
    changed = [
        np.abs(
            flat(jax.tree.map(lambda a, c=c: a[c], after)) - flat(jax.tree.map(lambda a, c=c: a[c], as_they_are))
        ).max()
        for c in range(6)
    ]
    assert (min(changed) > 0) == (variant != "bfln")


@pytest.mark.parametrize("variant", ["fedavg", "scaffold", "ditto", "fedrep", "bfln", "perfedavg"])
def test_no_test_sample_is_in_reach_of_personalisation(variant, samples):
    """Scrambling every test label and window leaves the clients' own models as they were."""
    rng = np.random.default_rng(0)
    late = samples.time >= 60
    scrambled = dataclasses.replace(samples, x=samples.x.copy(), y=samples.y.copy())
    scrambled.x[late] = rng.standard_normal(scrambled.x[late].shape)
    scrambled.y[late] = rng.integers(0, 3, late.sum())
    results = []
    for data in (samples, scrambled):
        setting = build_problem(configure(variant), PLANS["shard"], data)
        state = initial_state(setting)
        tuned = personalise(setting, state, FineTuneOptions(method="finetune", steps=2))
        own = personalise(setting, state, OwnOptions(method="own", steps=2)) if variant in OWNING else ()
        results.append(flat((tuned, own)))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("variant", "personalise", "said"),
    [
        ("centralised", "own", "has no personal models of its own: set personalise.method = 'finetune'"),
        ("fedavg", "own", "has no personal models of its own: set personalise.method = 'finetune'"),
        ("fedrep", "none", "no model that is a classifier by itself: set personalise.method = 'own' or 'finetune'"),
    ],
)
def test_personalisation_that_the_method_cannot_give_is_refused(variant, personalise, said, samples):
    table = configure(variant).model_dump(mode="json", exclude_none=True) | {"personalise": {"method": personalise}}
    with pytest.raises(BoflError, match=said):
        build_problem(load_config(table), PLANS["map"], samples)


@pytest.mark.parametrize(
    ("variant", "federation", "said"),
    [
        ("bfln", {"clusters": 7}, "federation.clusters = 7, but there are 6 clients"),
        ("fedrep", {"own_layers": ["Dense_9"]}, r"layers \['Dense_9'\] cannot be each client's own in a network of"),
    ],
)
def test_options_that_do_not_fit_the_network_or_the_clients_are_refused(variant, federation, said, samples):
    with pytest.raises(BoflError, match=said):
        build_problem(configure(variant, **federation), PLANS["map"], samples)


def test_fedbn_needs_layers_that_normalise(samples):
    config = configure("fedbn")
    plain = config.model_copy(update={"model": configure("fedavg").model})
    with pytest.raises(BoflError, match=r"set model\.norm = 'group'"):
        build_problem(plain, PLANS["map"], samples)
