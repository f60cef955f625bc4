"""TimeGAN: what its phases learn, how labels and frames enter, and that clients can train it together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bofl_jax.core.errors import BoflError
from bofl_jax.synthesis.base import Examples, Shape
from bofl_jax.synthesis.generators.moments import Tallies, mixed, moment_gap, tally
from bofl_jax.synthesis.generators.timegan import PLAYERS, TimeganSettings, narrow, timegan, wide
from bofl_jax.synthesis.generators.timegan_networks import Sequences, foretold

SHAPE = Shape(window=8, leads=2, features=1, classes=2, fs=10.0)
SETTINGS = TimeganSettings(hidden=6, layers=1, frame=2, rounds=1, steps=40, batch=32, lr=5e-3)
KEY = jax.random.key(0)


def sines(n=200, padding=8, filler=0.0, seed=0):
    """Sines about 10 in class 0, about 14 in class 1, and padding; the feature is -3 or 5."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    angle = rng.uniform(0.2, 0.9, (n, 1, 2)) * np.arange(8)[:, None] + rng.uniform(0, 1, (n, 1, 2))
    x, features = np.sin(angle) + 10 + 4 * y[:, None, None], (8.0 * y - 3)[:, None] + 0.1 * rng.normal(size=(n, 1))
    x, features, y = (np.concatenate([part, np.full((padding, *part.shape[1:]), filler)]) for part in (x, features, y))
    return Examples(jnp.float32(x), jnp.float32(features), jnp.asarray(y).astype(jnp.int32), jnp.int32(n))


@pytest.fixture(scope="module")
def generator():
    return timegan(SHAPE, SETTINGS)


@pytest.fixture(scope="module")
def works(generator):
    """The compiled stages, by name."""
    return {stage.name: jax.jit(stage.work) for stage in generator.stages}


def trained(generator, works, given, turns=1):
    """The state, and the losses of every phase by its turns."""
    state, losses = generator.start(KEY), {}
    for number, (name, work) in enumerate(works.items()):
        losses[name] = []
        for turn in range(turns if name != "scale" else 1):
            state, loss = work(state, given, jax.random.fold_in(KEY, 10 * number + turn))
            losses[name].append(float(loss))
    return state, losses


@pytest.fixture(scope="module")
def learnt(generator, works):
    return trained(generator, works, sines(), turns=8)


def test_the_first_phases_lower_their_losses(learnt):
    """By a quarter at least, over eight turns; a phase that trains nothing keeps it to the noise of minibatches."""
    losses = learnt[1]
    assert list(losses) == ["scale", "embed", "supervise", "joint"]
    for name in ("embed", "supervise"):
        assert losses[name][-1] < 0.75 * losses[name][0]


def test_the_last_phase_brings_draws_to_the_datas_moments(generator, learnt):
    """At least four times as close as before it."""
    before = generator.start(KEY)
    before = before._replace(scale=learnt[0].scale)
    real = real_frames()[..., :80]
    gaps = [gap(real, drawn_frames(generator, state, 80)) for state in (before, learnt[0])]
    assert gaps[1] < gaps[0] / 4


def gap(x, made, y=None, classes=1):
    """V of two batches of the same classes."""
    y = jnp.zeros(x.shape[-1], jnp.int32) if y is None else y
    own = Tallies(tally(x, y, classes), tally(made, y, classes))
    return moment_gap(own, own, 0.0)


def real_frames():
    """Class 1 of the data, as sequences ``[T, L, B]``."""
    given = sines()
    rows = np.flatnonzero(given.y[: given.size] == 1)
    return jnp.moveaxis(given.x[rows], 0, -1)


def drawn_frames(generator, state, n=100):
    """Class 1 as drawn."""
    return jnp.moveaxis(draw(generator, state, label=1, n=n).x, 0, -1)


def draw(generator, state, label, n=100):
    """Samples, without a compiled program of their own for every n."""
    return generator.sample(generator.finish(state), KEY, jnp.int32(label), n)


@pytest.mark.parametrize("name", ["embed", "supervise", "joint"])
def test_a_phase_trains_its_networks_only(works, learnt, name):
    before, _ = learnt
    after, _ = works[name](before, sines(), KEY)
    moved = {
        network
        for network, params in after.params.items()
        if any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (params, before.params[network])), strict=True))
    }
    assert moved == set(before.params if name == "joint" else PLAYERS[name])


def test_labels_condition_the_samples(generator, learnt):
    """The classes' levels are 10 and 14, their features -3 and 5: draws must be on the right side of the middle."""
    draws = [draw(generator, learnt[0], label) for label in (0, 1)]
    assert draws[0].x.mean() < 12 < draws[1].x.mean()
    assert draws[0].features.mean() < 1 < draws[1].features.mean()


def test_samples_are_in_reach_of_the_data(generator, learnt):
    drawn = draw(generator, learnt[0], label=1)
    given = sines(padding=0)
    assert drawn.x.shape == (100, 8, 2)
    assert drawn.features.shape == (100, 1)
    for made, real in ((drawn.x, given.x), (drawn.features[:, None], given.features[:, None])):
        middle, sd = real.mean(axis=(0, 1)), real.std(axis=(0, 1))
        assert np.all(np.abs(made - middle) <= 4.001 * sd)
    assert drawn.x.std() > 0


def test_without_scaling_samples_are_in_the_unit_interval():
    generator = timegan(SHAPE, SETTINGS._replace(scaling="none"))
    assert [stage.name for stage in generator.stages] == ["embed", "supervise", "joint"]
    drawn = generator.sample(generator.finish(generator.start(KEY)), KEY, jnp.int32(0), 20)
    assert drawn.x.min() > 0
    assert drawn.x.max() < 1


def test_padding_changes_no_bit(generator, works):
    zero, full = (trained(generator, works, sines(padding=8, filler=filler))[0] for filler in (0.0, np.nan))
    jax.tree.map(np.testing.assert_array_equal, zero, full)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(zero))


def test_the_mean_of_two_clients_can_go_on(generator, works):
    ours, theirs = sines(), sines(seed=1)
    state = trained(generator, works, ours)[0]
    one, other = (works["joint"](state, given, KEY)[0] for given in (ours, theirs))
    both = jax.tree.map(lambda a, b: 0.3 * a + 0.7 * b, one, other)
    assert {leaf.dtype for leaf in jax.tree.leaves(both)} == {jnp.dtype("float32")}
    after, loss = works["joint"](both, ours, KEY)
    assert np.isfinite(loss)
    assert after.done == both.done + SETTINGS.steps == 3 * SETTINGS.steps
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, generator.start(KEY))


@pytest.mark.parametrize("name", ["embed", "supervise", "joint"])
def test_what_is_no_number_reaches_the_loss(works, learnt, name):
    given = sines()
    spoilt = given._replace(x=jnp.full_like(given.x, jnp.nan))
    assert np.isnan(works[name](learnt[0], spoilt, KEY)[1])
    assert np.isfinite(works[name](learnt[0], given, KEY)[1])


@pytest.fixture(scope="module")
def other(learnt):
    """What `learnt` becomes with a gate that is always shut and a long moving average, in one step."""
    state = learnt[0]._replace(done=jnp.float32(1e6))
    work = timegan(SHAPE, SETTINGS._replace(gate=1e6, average=0.9, steps=1)).stages[-1].work
    return jax.jit(work)(state, sines(), KEY)[0]


def test_the_discriminator_rests_below_its_gate(other, learnt):
    """That it moves above it is tested with the phases."""
    for part in ("params", "memory"):
        name = {"params": "discriminator", "memory": "discriminate"}[part]
        jax.tree.map(np.testing.assert_array_equal, getattr(other, part)[name], getattr(learnt[0], part)[name])
    assert other.memory["generate"][0].count == learnt[0].memory["generate"][0].count + 2


def test_what_is_drawn_with_is_averaged_if_asked(other, learnt):
    state = learnt[0]
    for after, kept in ((state, 0.0), (other, 0.9)):
        jax.tree.map(
            lambda average, old, new, kept=kept: np.testing.assert_allclose(
                average, kept * old + (1 - kept) * new, atol=1e-6
            ),
            after.average["generator"],
            state.average["generator"],
            after.params["generator"],
        )


def test_the_first_draws_do_not_depend_on_how_many_follow(generator, learnt):
    few, many = (generator.sample(generator.finish(learnt[0]), KEY, jnp.int32(1), n).x for n in (3, 7))
    np.testing.assert_allclose(few, many[:3], atol=1e-4)
    assert np.abs(many[0] - many[1]).max() > 0


@pytest.mark.parametrize(("window", "leads", "features", "frame"), [(8, 2, 1, 2), (7, 1, 3, 3), (7, 2, 0, 1)])
def test_vectors_come_back_from_frames(window, leads, features, frame):
    sequences = Sequences(Shape(window, leads, features, 1, 1.0), frame)
    z = jax.random.normal(KEY, (4, window * leads + features))
    folded = sequences.fold(z)
    assert folded.shape == (-(-window // frame), frame * leads + features, 4)
    np.testing.assert_array_equal(folded[0, : frame * leads, 1], z[1, : frame * leads])
    np.testing.assert_allclose(sequences.unfold(folded), z, atol=1e-6)


def test_one_class_is_told_to_nobody():
    one, two = (timegan(SHAPE._replace(classes=classes), SETTINGS).start(KEY).params for classes in (1, 2))
    for name, inputs in (("embedder", 5), ("recovery", 6), ("generator", 5), ("supervisor", 6), ("discriminator", 6)):
        sizes = [params[name]["params"]["GruStack_0"]["Gru_0"]["inputs"].shape[0] for params in (one, two)]
        assert sizes == [inputs, inputs + 2]


def test_losses_by_hand():
    h = jnp.array([0.0, 1.0, 3.0]).reshape(3, 1, 1)
    ahead = jnp.array([1.0, 1.0, 9.0]).reshape(3, 1, 1)
    assert foretold(h, ahead) == pytest.approx((0 + 4) / 2)
    x, made = jnp.array([0.0, 2.0]).reshape(1, 1, 2), jnp.array([3.0, 9.0]).reshape(1, 1, 2)
    assert gap(x, made) == pytest.approx(abs(1 - 6) + abs(1 - 3), rel=1e-5)


def test_what_lies_between_classes_is_no_spread():
    """Every class drawn at its mean: the batch's moments are near, those within the classes are not."""
    y = jnp.array([0, 0, 1, 1, 1, 1])
    x = jnp.array([0.0, 0.04, 0.99, 1.01, 0.99, 1.01]).reshape(1, 1, 6)
    collapsed = jnp.array([0.02, 0.02, 1.0, 1.0, 1.0, 1.0]).reshape(1, 1, 6)
    assert gap(x, collapsed) < 1e-3
    expected = 2 / 6 * 0.02 + 4 / 6 * 0.01
    assert gap(x, collapsed, y, 3) == pytest.approx(expected, rel=0.1)  # class 2 is not there
    assert gap(x, x, y, 3) == 0


def test_tallies_of_two_clients_average_to_that_of_all_their_rows():
    x, y = jax.random.uniform(KEY, (3, 2, 12)), jnp.arange(12) % 3
    halves = [tally(x[..., :4], y[:4], 3), tally(x[..., 4:], y[4:], 3)]
    together = jax.tree.map(lambda a, b: (4 * a + 8 * b) / 12, *halves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), together, tally(x, y, 3))
    mean, variance = together.moments()
    np.testing.assert_allclose(mean[..., 1], x[..., 1::3].mean(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(variance[..., 1], x[..., 1::3].var(axis=-1), rtol=1e-3)


@pytest.mark.parametrize(("shared", "apart"), [(0.0, False), (1.0, True)])
def test_rows_spread_if_what_all_have_drawn_lies_too_close_together(shared, apart):
    """Real rows of all clients lie at .3 and .7, what they drew at .45 and .55; the client's own real ones are alike.

    Were it not for the others, its two drawn rows should come together."""
    y = jnp.zeros(2, jnp.int32)
    of_all = Tallies(*(tally(jnp.array([[rows]]), y, 1) for rows in ([0.3, 0.7], [0.45, 0.55])))

    def of(made):
        own = Tallies(tally(jnp.full((1, 1, 2), 0.5), y, 1), tally(made.reshape(1, 1, 2), y, 1))
        return moment_gap(own, of_all, shared)

    left, right = jax.grad(of)(jnp.array([0.44, 0.56]))
    assert (left > right) == apart
    assert (left < right) != apart


def test_moments_of_all_are_mixed_in_with_the_slope_of_the_own_alone():
    """Of class 0; nobody else has class 1, of which the own stay."""
    x, y = jnp.array([[[0.2, 0.6, 0.4]]]), jnp.array([0, 0, 1])
    of_all = tally(jnp.array([[[0.5, 0.9]]]), jnp.zeros(2, jnp.int32), 2)

    def means(x):
        return mixed(tally(x, y, 2), of_all, 0.75)[0][0, 0]

    np.testing.assert_allclose(means(x), [0.75 * 0.7 + 0.25 * 0.4, 0.4], rtol=1e-6)
    np.testing.assert_allclose(jax.jacobian(means)(x)[:, 0, 0], [[0.5, 0.5, 0], [0, 0, 1]], rtol=1e-6)


def test_tallies_of_the_last_phase_are_those_of_its_minibatches(learnt):
    """Class shares of the data, and means of channels in reach of 0 and 1."""
    for side in learnt[0].tallies:
        assert side.rows.sum() == pytest.approx(1)
        assert np.all((side.moments()[0] > 0) & (side.moments()[0] < 1))
    np.testing.assert_array_equal(learnt[0].tallies.real.rows, learnt[0].tallies.drawn.rows)


def test_shared_moments_change_how_the_generator_moves(learnt):
    """From the second step on: before the first nobody has drawn anything."""
    state = learnt[0]
    first = state._replace(tallies=jax.tree.map(jnp.zeros_like, state.tallies))
    works = [jax.jit(timegan(SHAPE, SETTINGS._replace(steps=1, shared=share)).stages[-1].work) for share in (0.0, 1.0)]
    for given, moved in ((first, False), (state, True)):
        own, shared = (jax.tree.leaves(work(given, sines(), KEY)[0].params["generator"]) for work in works)
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(own, shared, strict=True)) == moved


def test_the_unit_interval_is_four_deviations_wide_on_each_side():
    z = jnp.array([-5.0, -4.0, 0.0, 2.0, 4.0])
    np.testing.assert_allclose(narrow(z, "channels"), [0, 0, 0.5, 0.75, 1], atol=1e-6)
    np.testing.assert_allclose(wide(narrow(z[1:], "channels"), "channels"), z[1:], atol=1e-5)
    np.testing.assert_array_equal(wide(narrow(z, "none"), "none"), z)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"frame": 5}, "two"), ({"frame": 0}, "two"), ({"scaling": "whiten"}, "channels"), ({"layers": 0}, "1 or more")],
)
def test_settings_that_make_no_sense_are_refused(wrong, named):
    with pytest.raises(BoflError, match=named):
        timegan(SHAPE, SETTINGS._replace(**wrong))
