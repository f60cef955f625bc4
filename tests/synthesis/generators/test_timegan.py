"""TimeGAN: its phases, labels and frames, and federated training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.synthesis.base import ClientSamples, SampleShape
from bofl_jax.synthesis.generators.class_moments import PairedSums, blended_moments, class_sums, moment_loss
from bofl_jax.synthesis.generators.sequences import Sequences, from_unit, to_unit
from bofl_jax.synthesis.generators.timegan import TRAINED_NETWORKS, TimeganOptions, timegan
from bofl_jax.synthesis.generators.timegan_networks import supervised_loss

SHAPE = SampleShape(window=8, leads=2, features=1, classes=("0", "1"), fs=10.0)
AUTHORS = {"decay": False, "shared": 0.0, "average": 0.0, "balance": 0.0}
"""As in the code of the authors of TimeGAN."""
SMALL = {"hidden": 6, "layers": 1, "frame": 2, "rounds": 1, "steps": 40, "batch": 32, "lr": 5e-3}


def options(**changed):
    return TimeganOptions(**AUTHORS | SMALL | changed)


KEY = jax.random.key(0)


def sines(n=200, padding=8, filler=0.0, seed=0):
    """Sines about 10 in class 0, about 14 in class 1, and padding; the feature is -3 or 5."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    angle = rng.uniform(0.2, 0.9, (n, 1, 2)) * np.arange(8)[:, None] + rng.uniform(0, 1, (n, 1, 2))
    x, features = np.sin(angle) + 10 + 4 * y[:, None, None], (8.0 * y - 3)[:, None] + 0.1 * rng.normal(size=(n, 1))
    x, features, y = (np.concatenate([part, np.full((padding, *part.shape[1:]), filler)]) for part in (x, features, y))
    return ClientSamples(jnp.float32(x), jnp.float32(features), jnp.asarray(y).astype(jnp.int32), jnp.int32(n))


@pytest.fixture(scope="module")
def generator():
    return timegan(SHAPE, options())


@pytest.fixture(scope="module")
def updates(generator):
    """The compiled client updates, by stage."""
    return {stage.name: jax.jit(stage.client_update) for stage in generator.stages}


def train(generator, updates, samples, turns=1):
    """The state, and the losses of every phase by its turns."""
    state, losses = generator.init(KEY), {}
    for number, (name, update) in enumerate(updates.items()):
        losses[name] = []
        for turn in range(turns if name != "scale" else 1):
            state, loss = update(state, samples, jax.random.fold_in(KEY, 10 * number + turn))
            losses[name].append(float(loss))
    return state, losses


@pytest.fixture(scope="module")
def trained_state(generator, updates):
    return train(generator, updates, sines(), turns=8)


def test_the_first_phases_lower_their_losses(trained_state):
    """By a quarter at least, over eight turns; a phase that trains nothing keeps it to the noise of minibatches."""
    losses = trained_state[1]
    assert list(losses) == ["scale", "embed", "supervise", "joint"]
    for name in ("embed", "supervise"):
        assert losses[name][-1] < 0.75 * losses[name][0]


def test_the_last_phase_brings_the_moments_of_samples_close_to_those_of_the_data(generator, trained_state):
    """At least four times as close as before it."""
    before = generator.init(KEY)
    before = before._replace(statistics=trained_state[0].statistics)
    real = real_frames()[..., :80]
    gaps = [gap(real, drawn_frames(generator, state, 80)) for state in (before, trained_state[0])]
    assert gaps[1] < gaps[0] / 4


def gap(x, made, y=None, classes=1):
    """V of two batches of the same classes."""
    y = jnp.zeros(x.shape[-1], jnp.int32) if y is None else y
    own = PairedSums(class_sums(x, y, classes), class_sums(made, y, classes))
    return moment_loss(own, own, 0.0)


def real_frames():
    """Class 1 of the data, as sequences ``[T, L, B]``."""
    samples = sines()
    rows = np.flatnonzero(samples.y[: samples.size] == 1)
    return jnp.moveaxis(samples.x[rows], 0, -1)


def drawn_frames(generator, state, n=100):
    """Class 1 as drawn."""
    return jnp.moveaxis(draw(generator, state, label=1, n=n).x, 0, -1)


def draw(generator, state, label, n=100):
    """Samples, without a compiled program of their own for every n."""
    return generator.sample(generator.finalize(state), KEY, jnp.int32(label), n)


@pytest.mark.parametrize("name", ["embed", "supervise", "joint"])
def test_a_phase_trains_only_its_networks(updates, trained_state, name):
    before, _ = trained_state
    after, _ = updates[name](before, sines(), KEY)
    moved = {
        network
        for network, params in after.params.items()
        if any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (params, before.params[network])), strict=True))
    }
    assert moved == set(before.params if name == "joint" else TRAINED_NETWORKS[name])


def test_labels_condition_the_samples(generator, trained_state):
    """The classes' levels are 10 and 14, their features -3 and 5: draws must be on the right side of the middle."""
    draws = [draw(generator, trained_state[0], label) for label in (0, 1)]
    assert draws[0].x.mean() < 12 < draws[1].x.mean()
    assert draws[0].features.mean() < 1 < draws[1].features.mean()


def test_samples_are_in_the_range_of_the_data(generator, trained_state):
    drawn = draw(generator, trained_state[0], label=1)
    samples = sines(padding=0)
    assert drawn.x.shape == (100, 8, 2)
    assert drawn.features.shape == (100, 1)
    for made, real in ((drawn.x, samples.x), (drawn.features[:, None], samples.features[:, None])):
        middle, sd = real.mean(axis=(0, 1)), real.std(axis=(0, 1))
        assert np.all(np.abs(made - middle) <= 4.001 * sd)
    assert drawn.x.std() > 0


def test_without_scaling_samples_are_in_the_unit_interval():
    generator = timegan(SHAPE, options(scaling="none"))
    assert [stage.name for stage in generator.stages] == ["embed", "supervise", "joint"]
    drawn = generator.sample(generator.finalize(generator.init(KEY)), KEY, jnp.int32(0), 20)
    assert drawn.x.min() > 0
    assert drawn.x.max() < 1


def test_padding_changes_no_bit(generator, updates):
    zero, full = (train(generator, updates, sines(padding=8, filler=filler))[0] for filler in (0.0, np.nan))
    jax.tree.map(np.testing.assert_array_equal, zero, full)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(zero))


def test_training_continues_from_the_mean_of_two_clients(generator, updates):
    ours, theirs = sines(), sines(seed=1)
    state = train(generator, updates, ours)[0]
    one, other = (updates["joint"](state, samples, KEY)[0] for samples in (ours, theirs))
    both = jax.tree.map(lambda a, b: 0.3 * a + 0.7 * b, one, other)
    assert {leaf.dtype for leaf in jax.tree.leaves(both)} == {jnp.dtype("float32")}
    after, loss = updates["joint"](both, ours, KEY)
    assert np.isfinite(loss)
    assert after.step == both.step + options().steps == 3 * options().steps
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, generator.init(KEY))


@pytest.mark.parametrize("name", ["embed", "supervise", "joint"])
def test_nan_in_the_samples_makes_the_loss_nan(updates, trained_state, name):
    samples = sines()
    spoilt = samples._replace(x=jnp.full_like(samples.x, jnp.nan))
    assert np.isnan(updates[name](trained_state[0], spoilt, KEY)[1])
    assert np.isfinite(updates[name](trained_state[0], samples, KEY)[1])


@pytest.fixture(scope="module")
def other(trained_state):
    """What `trained_state` becomes with a gate that is always shut and a long moving average, in one step."""
    state = trained_state[0]._replace(step=jnp.float32(1e6))
    update = timegan(SHAPE, options(gate=1e6, average=0.9, steps=1)).stages[-1].client_update
    return jax.jit(update)(state, sines(), KEY)[0]


def test_the_discriminator_is_not_trained_below_its_gate(other, trained_state):
    """That it moves above it is tested with the phases."""
    for part in ("params", "opt_state"):
        name = {"params": "discriminator", "opt_state": "discriminate"}[part]
        jax.tree.map(np.testing.assert_array_equal, getattr(other, part)[name], getattr(trained_state[0], part)[name])
    assert other.opt_state["generate"][0].count == trained_state[0].opt_state["generate"][0].count + 2


def test_the_networks_that_sample_are_averaged_as_configured(other, trained_state):
    state = trained_state[0]
    for after, kept in ((state, 0.0), (other, 0.9)):
        jax.tree.map(
            lambda average, old, new, kept=kept: np.testing.assert_allclose(
                average, kept * old + (1 - kept) * new, atol=1e-6
            ),
            after.ema_params["generator"],
            state.ema_params["generator"],
            after.params["generator"],
        )


def test_the_first_draws_do_not_depend_on_how_many_follow(generator, trained_state):
    few, many = (generator.sample(generator.finalize(trained_state[0]), KEY, jnp.int32(1), n).x for n in (3, 7))
    np.testing.assert_allclose(few, many[:3], atol=1e-4)
    assert np.abs(many[0] - many[1]).max() > 0


@pytest.mark.parametrize(("window", "leads", "features", "frame"), [(8, 2, 1, 2), (7, 1, 3, 3), (7, 2, 0, 1)])
def test_unfold_inverts_fold(window, leads, features, frame):
    sequences = Sequences(SampleShape(window, leads, features, ("0",), 1.0), frame)
    z = jax.random.normal(KEY, (4, window * leads + features))
    folded = sequences.fold(z)
    assert folded.shape == (-(-window // frame), frame * leads + features, 4)
    np.testing.assert_array_equal(folded[0, : frame * leads, 1], z[1, : frame * leads])
    np.testing.assert_allclose(sequences.unfold(folded), z, atol=1e-6)


def test_a_single_class_is_no_input():
    one, two = (
        timegan(SHAPE._replace(classes=classes), options()).init(KEY).params for classes in (("0",), SHAPE.classes)
    )
    for name, inputs in (("embedder", 5), ("recovery", 6), ("generator", 5), ("supervisor", 6), ("discriminator", 6)):
        sizes = [params[name]["params"]["GruStack_0"]["Gru_0"]["inputs"].shape[0] for params in (one, two)]
        assert sizes == [inputs, inputs + 2]


def test_losses_equal_those_computed_by_hand():
    h = jnp.array([0.0, 1.0, 3.0]).reshape(3, 1, 1)
    ahead = jnp.array([1.0, 1.0, 9.0]).reshape(3, 1, 1)
    assert supervised_loss(h, ahead) == pytest.approx((0 + 4) / 2)
    x, made = jnp.array([0.0, 2.0]).reshape(1, 1, 2), jnp.array([3.0, 9.0]).reshape(1, 1, 2)
    assert gap(x, made) == pytest.approx(abs(1 - 6) + abs(1 - 3), rel=1e-5)


def test_the_distance_between_classes_does_not_count_as_spread():
    """Every class drawn at its mean: the batch's moments are near, those within the classes are not."""
    y = jnp.array([0, 0, 1, 1, 1, 1])
    x = jnp.array([0.0, 0.04, 0.99, 1.01, 0.99, 1.01]).reshape(1, 1, 6)
    collapsed = jnp.array([0.02, 0.02, 1.0, 1.0, 1.0, 1.0]).reshape(1, 1, 6)
    assert gap(x, collapsed) < 1e-3
    expected = 2 / 6 * 0.02 + 4 / 6 * 0.01
    assert gap(x, collapsed, y, 3) == pytest.approx(expected, rel=0.1)  # class 2 is not there
    assert gap(x, x, y, 3) == 0


def test_the_mean_of_two_clients_class_sums_is_that_of_all_their_samples():
    x, y = jax.random.uniform(KEY, (3, 2, 12)), jnp.arange(12) % 3
    halves = [class_sums(x[..., :4], y[:4], 3), class_sums(x[..., 4:], y[4:], 3)]
    together = jax.tree.map(lambda a, b: (4 * a + 8 * b) / 12, *halves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), together, class_sums(x, y, 3))
    mean, variance = together.moments()
    np.testing.assert_allclose(mean[..., 1], x[..., 1::3].mean(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(variance[..., 1], x[..., 1::3].var(axis=-1), rtol=1e-3)


@pytest.mark.parametrize(("shared", "apart"), [(0.0, False), (1.0, True)])
def test_samples_move_apart_if_those_of_all_clients_are_too_close_together(shared, apart):
    """Real rows of all clients lie at .3 and .7, what they drew at .45 and .55; the client's own real ones are alike.

    Were it not for the others, its two drawn rows should come together.
    """
    y = jnp.zeros(2, jnp.int32)
    of_all = PairedSums(*(class_sums(jnp.array([[rows]]), y, 1) for rows in ([0.3, 0.7], [0.45, 0.55])))

    def of(made):
        own = PairedSums(class_sums(jnp.full((1, 1, 2), 0.5), y, 1), class_sums(made.reshape(1, 1, 2), y, 1))
        return moment_loss(own, of_all, shared)

    left, right = jax.grad(of)(jnp.array([0.44, 0.56]))
    assert (left > right) == apart
    assert (left < right) != apart


def test_moments_of_all_are_blended_in_with_the_gradient_of_the_own():
    """Class 0 is blended. No other client has class 1, so its own moments are kept."""
    x, y = jnp.array([[[0.2, 0.6, 0.4]]]), jnp.array([0, 0, 1])
    of_all = class_sums(jnp.array([[[0.5, 0.9]]]), jnp.zeros(2, jnp.int32), 2)

    def means(x):
        return blended_moments(class_sums(x, y, 2), of_all, 0.75)[0][0, 0]

    np.testing.assert_allclose(means(x), [0.75 * 0.7 + 0.25 * 0.4, 0.4], rtol=1e-6)
    np.testing.assert_allclose(jax.jacobian(means)(x)[:, 0, 0], [[0.5, 0.5, 0], [0, 0, 1]], rtol=1e-6)


def test_class_sums_of_the_last_phase_are_those_of_its_minibatches(trained_state):
    """Class shares of the data, and means of channels in reach of 0 and 1."""
    for side in trained_state[0].class_sums:
        assert side.share.sum() == pytest.approx(1)
        assert np.all((side.moments()[0] > 0) & (side.moments()[0] < 1))
    np.testing.assert_array_equal(trained_state[0].class_sums.real.share, trained_state[0].class_sums.synthetic.share)


def test_shared_moments_change_the_gradient_of_the_generator(trained_state):
    """Only from the second step on: before the first there are no samples of other clients."""
    state = trained_state[0]
    first = state._replace(class_sums=jax.tree.map(jnp.zeros_like, state.class_sums))
    updates = [jax.jit(timegan(SHAPE, options(steps=1, shared=share)).stages[-1].client_update) for share in (0.0, 1.0)]
    for samples, moved in ((first, False), (state, True)):
        own, shared = (jax.tree.leaves(update(samples, sines(), KEY)[0].params["generator"]) for update in updates)
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(own, shared, strict=True)) == moved


def test_the_unit_interval_is_four_deviations_wide_on_each_side():
    z = jnp.array([-5.0, -4.0, 0.0, 2.0, 4.0])
    np.testing.assert_allclose(to_unit(z, "channels"), [0, 0, 0.5, 0.75, 1], atol=1e-6)
    np.testing.assert_allclose(from_unit(to_unit(z[1:], "channels"), "channels"), z[1:], atol=1e-5)
    np.testing.assert_array_equal(from_unit(to_unit(z, "none"), "none"), z)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"frame": 5}, "at least two"), ({"scaling": "whiten"}, "channels")],
)
def test_options_that_do_not_fit_the_samples_are_rejected(wrong, named):
    with pytest.raises(BoflError, match=named):
        timegan(SHAPE, options(**wrong))


@pytest.mark.parametrize("name", ["frame", "hidden", "layers", "rounds", "steps", "batch"])
def test_impossible_options_are_rejected(name):
    with pytest.raises(ValidationError, match=f"{name}\n.*greater than or equal to 1"):
        options(**{name: 0})
