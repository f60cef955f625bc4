"""Networks: shapes, patches against a convolution, gradients against finite oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from pydantic import ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.models import Cnn1dOptions, LstmOptions, build, parameters
from bofl_jax.models.layers import GroupNorm, PatchConv, patches, product, relu_max_pool, segment_statistics

OPTIONS = {
    "cnn1d": Cnn1dOptions(),
    "cnn1d-group": Cnn1dOptions(norm="group"),
    "cnn1d-pool-flatten": Cnn1dOptions(pool=True, head="flatten", channels=(4, 8), kernels=(7, 5), strides=(2, 1)),
    "lstm": LstmOptions(frame=7),
}


@pytest.mark.parametrize("length", [17, 32, 33])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 5, 7, 8])
def test_patches_times_matrix_is_a_convolution(length, stride, kernel):
    x = jax.random.normal(jax.random.key(0), (2, length, 3))
    layer = PatchConv(4, kernel, stride)
    variables = layer.init(jax.random.key(1), x)
    weight = variables["params"]["kernel"].reshape(kernel, 2, 4)
    expected = jax.lax.conv_general_dilated(x, weight, (stride,), "SAME", dimension_numbers=("CWN", "WIO", "CWN"))
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=2e-5)
    assert patches(x, kernel, stride).shape == (kernel * 2, -(-length // stride), 3)


@pytest.mark.parametrize("length", [8, 9])
def test_relu_max_pool_and_its_gradient(length):
    x = jax.random.normal(jax.random.key(0), (2, length, 3))

    def plain(x):
        kept = x[:, : length // 2 * 2].reshape(2, length // 2, 2, 3)
        return jax.nn.relu(kept.max(axis=2))

    np.testing.assert_array_equal(relu_max_pool(x), plain(x))
    weight = jax.random.normal(jax.random.key(1), plain(x).shape)
    ours = jax.grad(lambda x: jnp.sum(relu_max_pool(x) * weight))(x)
    np.testing.assert_array_equal(ours, jax.grad(lambda x: jnp.sum(plain(x) * weight))(x))


def test_segment_statistics_by_hand():
    x = jnp.array([[[1.0], [3.0], [-2.0], [0.0], [9.0]]])
    np.testing.assert_allclose(segment_statistics(x, 2), [[3.0], [0.0], [2.0], [-1.0]])


@pytest.mark.parametrize("name", OPTIONS)
def test_a_network_is_written_for_one_batch_and_vmaps_over_clients(name):
    model = build(OPTIONS[name], window=128, leads=2, features=3, classes=4)
    params = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 3))
    x, features = jax.random.normal(jax.random.key(1), (3, 5, 128, 2)), jax.random.normal(jax.random.key(2), (3, 5, 3))
    together = jax.jit(jax.vmap(model.apply))(params, x, features)
    assert together.shape == (3, 5, 4)
    assert together.dtype == jnp.float32
    for client in range(3):
        alone = model.apply(jax.tree.map(lambda a, c=client: a[c], params), x[client], features[client])
        np.testing.assert_allclose(together[client], alone, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_sample_does_not_see_its_batch_but_does_see_its_features(name):
    model = build(OPTIONS[name], window=128, leads=1, features=3, classes=4)
    params = model.init(jax.random.key(0))
    x, features = jax.random.normal(jax.random.key(1), (4, 128, 1)), jax.random.normal(jax.random.key(2), (4, 3))
    whole = model.apply(params, x, features)
    np.testing.assert_allclose(model.apply(params, x[:1], features[:1])[0], whole[0], atol=1e-5)
    assert np.abs(model.apply(params, x, features + 1) - whole).max() > 1e-4


def test_the_clinical_reference_networks_have_the_published_sizes():
    small = Cnn1dOptions(channels=(8, 16, 32), hidden=48, input_stride=2)
    assert parameters(build(small, 128, 1, 7, 4).init(jax.random.key(0))) == 10_036
    assert parameters(build(Cnn1dOptions(), 128, 1, 7, 4).init(jax.random.key(0))) == 30_180


@pytest.mark.parametrize("name", OPTIONS)
def test_no_features_at_all(name):
    model = build(OPTIONS[name], window=64, leads=1, features=0, classes=2)
    assert model.apply(model.init(jax.random.key(0)), jnp.ones((2, 64, 1)), jnp.zeros((2, 0))).shape == (2, 2)


def test_a_window_that_is_too_short_is_refused_and_the_shortest_works():
    options = Cnn1dOptions(pool=True, head="flatten", channels=(4, 4), kernels=(3, 3), strides=(2, 2))
    with pytest.raises(BoflError, match="at least 11 samples, these have 10"):
        build(options, window=10, leads=1, features=0, classes=2)
    model = build(options, window=11, leads=1, features=0, classes=2)
    assert model.apply(model.init(jax.random.key(0)), jnp.ones((2, 11, 1)), jnp.zeros((2, 0))).shape == (2, 2)


@pytest.mark.parametrize(
    "bad", [{"channels": (8,)}, {"channels": ()}, {"norm": "group", "groups": 5}, {"kernels": (0, 1, 1)}]
)
def test_options_that_do_not_fit_are_refused(bad):
    with pytest.raises(ValidationError):
        Cnn1dOptions(**bad)


def test_group_norm_is_flaxs_with_the_batch_last():
    x = 3 * jax.random.normal(jax.random.key(0), (6, 10, 4)) + 1
    ours, theirs = GroupNorm(3), nn.GroupNorm(3)
    plain, _ = theirs.init_with_output(jax.random.key(1), x.T)
    np.testing.assert_allclose(ours.init_with_output(jax.random.key(1), x)[0].T, plain, atol=1e-5)


def test_the_product_and_its_gradients_are_those_of_a_plain_one():
    weight, x, pull = (jax.random.normal(jax.random.key(n), shape) for n, shape in enumerate([(5, 3), (5, 8), (3, 8)]))

    def slopes(multiply):
        value, back = jax.vjp(multiply, weight, x)
        return value, *back(pull)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), slopes(product), slopes(lambda w, x: w.T @ x)
    )
    squares = [
        jax.grad(lambda w, f=f: jnp.sum(jax.grad(lambda w: jnp.sum(f(w, x) ** 3))(w) ** 2))(weight)
        for f in (product, lambda w, x: w.T @ x)
    ]
    np.testing.assert_allclose(*squares, rtol=1e-4)
