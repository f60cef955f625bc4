"""What channels do to an update, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from bofl_jax.attacks import AdversaryOptions, channel

NAMES = ("sign-flip", "scale", "noise", "bit-flip")
KEY = jax.random.key(3)
NEEDS_BOTH = r"needs both adversary\.channel and adversary\.altered > 0"


def draw_update(seed, *lead):
    draw = np.random.default_rng(seed)
    shapes = {"bias": (5,), "kernel": (3, 4, 2), "scalar": ()}
    return {name: jnp.asarray(draw.normal(size=(*lead, *shape)), jnp.float32) for name, shape in shapes.items()}


UPDATE = draw_update(0)


def through(name, strength=1.0):
    """A bit flip has no strength."""
    options = {} if name == "bit-flip" else {"strength": strength}
    return channel(AdversaryOptions(channel=name, altered=0.5, **options))


def flat(tree):
    return np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(tree)])


def same(one, other):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, one, other)))


def flipped_bits(one, other):
    return [int(word).bit_count() for word in flat(one).view(np.uint32) ^ flat(other).view(np.uint32)]


def test_an_honest_channel_is_none():
    assert channel(AdversaryOptions()) is None


@pytest.mark.parametrize(("name", "factor"), [("sign-flip", -2.5), ("scale", 2.5)])
def test_a_factor_multiplies_every_parameter(name, factor):
    np.testing.assert_array_equal(flat(through(name, 2.5)(KEY, UPDATE)), np.float32(factor) * flat(UPDATE))


def test_an_integer_stays_an_integer_when_it_is_scaled():
    received = through("scale", 2.5)(KEY, {"count": jnp.array([2, -4], jnp.int32)})["count"]
    assert (received.dtype, received.tolist()) == (jnp.int32, [5, -10])


@pytest.mark.parametrize("strength", [0.1, 3.0])
def test_noise_is_normal_with_sd_in_units_of_the_root_mean_square(strength):
    """Over n = 200 000 parameters: mean within 5/sqrt(n) sds of 0, sd within 1 % (5/sqrt(2n) = 0.8 %)."""
    update = {"w": 7.0 * jax.random.normal(jax.random.key(1), (400, 500)), "b": jnp.zeros(200_000)}
    added = (flat(through("noise", strength)(KEY, update)) - flat(update)) / strength
    level = np.sqrt(np.mean(flat(update).astype(np.float64) ** 2))
    assert abs(added.mean()) < 5 * level / np.sqrt(len(added))
    assert added.std() == pytest.approx(level, rel=0.01)
    assert np.mean(np.abs(added) < level) == pytest.approx(0.6827, abs=0.005)


def test_noise_has_one_level_for_all_parameters():
    """Those that are zero get as much of it."""
    update = {"w": jnp.ones(50_000), "b": jnp.zeros(50_000)}
    received = through("noise")(KEY, update)
    assert float(received["b"].std()) == pytest.approx(float((received["w"] - 1).std()), rel=0.02)


def test_noise_leaves_an_update_of_zeros_alone():
    zeros = jax.tree.map(jnp.zeros_like, UPDATE)
    assert same(through("noise", 5.0)(KEY, zeros), zeros)


def test_a_bit_flip_changes_exactly_one_bit():
    received = jax.jit(jax.vmap(through("bit-flip"), (0, None)))(jax.random.split(KEY, 300), UPDATE)
    for number in range(300):
        one = jax.tree.map(lambda leaf: leaf[number], received)  # noqa: B023
        assert sum(flipped_bits(one, UPDATE)) == 1


def test_a_bit_flip_reaches_every_parameter_and_every_bit():
    """30 parameters and 32 bits: after 2 000 keys, missing one of either has a chance below 1e-25."""
    received = jax.jit(jax.vmap(through("bit-flip"), (0, None)))(jax.random.split(KEY, 2000), UPDATE)
    sent = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (2000, *leaf.shape)), UPDATE)
    changed = [np.asarray(a).view(np.uint32) ^ np.asarray(b).view(np.uint32) for a, b in _pairs(received, sent)]
    assert all((words != 0).any(axis=0).all() for words in changed)
    assert set(np.concatenate([words.reshape(-1) for words in changed]).tolist()) - {0} == {1 << b for b in range(32)}


def _pairs(one, other):
    return zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_types_are_kept(name):
    received = through(name, 2.0)(KEY, UPDATE)
    assert jax.tree.structure(received) == jax.tree.structure(UPDATE)
    assert [(a.shape, a.dtype) for a, _ in _pairs(received, UPDATE)] == [
        (b.shape, b.dtype) for _, b in _pairs(received, UPDATE)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_alters_something(name):
    assert not same(through(name, 2.0)(KEY, UPDATE), UPDATE)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_key_alters_alike(name):
    send = through(name)
    assert same(send(KEY, UPDATE), send(jax.random.key(3), UPDATE))


@pytest.mark.parametrize("name", ["noise", "bit-flip"])
def test_another_key_alters_otherwise(name):
    send = through(name)
    assert not same(send(KEY, UPDATE), send(jax.random.key(4), UPDATE))


@pytest.mark.parametrize("name", ["sign-flip", "scale"])
def test_a_channel_without_chance_does_not_heed_the_key(name):
    send = through(name, 2.0)
    assert same(send(KEY, UPDATE), send(jax.random.key(4), UPDATE))


@pytest.mark.parametrize("name", NAMES)
def test_compiled_and_side_by_side_are_as_one_by_one(name):
    """Within 1e-6: compiled, a product and a sum may be rounded once."""
    send, stack, keys = through(name, 2.0), draw_update(5, 4), jax.random.split(KEY, 4)
    together = jax.jit(jax.vmap(send))(keys, stack)
    for client in range(4):
        one = send(keys[client], jax.tree.map(lambda leaf: leaf[client], stack))  # noqa: B023
        received = jax.tree.map(lambda leaf: leaf[client], together)  # noqa: B023
        np.testing.assert_allclose(flat(received), flat(one), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_without_altered_updates_is_refused(name):
    with pytest.raises(ValidationError, match=NEEDS_BOTH):
        AdversaryOptions(channel=name)


def test_altered_updates_without_a_channel_are_refused():
    with pytest.raises(ValidationError, match=NEEDS_BOTH):
        AdversaryOptions(altered=0.5)


@pytest.mark.parametrize(
    "bad",
    [{"channel": "lose"}, {"altered": 1.1}, {"altered": -0.1}, {"strength": 0}, {"uninvited": -1}, {"duplicates": -1}],
)
def test_options_out_of_range_are_refused(bad):
    with pytest.raises(ValidationError):
        AdversaryOptions(**{"channel": "scale", "altered": 0.5} | bad)


@pytest.mark.parametrize("name", ["none", "bit-flip"])
def test_a_strength_that_nothing_would_read_is_refused(name):
    altered = 0.0 if name == "none" else 0.5
    with pytest.raises(ValidationError, match=r"has no strength: leave adversary\.strength out"):
        AdversaryOptions(channel=name, altered=altered, strength=2.0)
