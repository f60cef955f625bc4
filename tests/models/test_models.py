"""Networks: shapes, patches against a convolution, gradients against those of plain expressions."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from pydantic import TypeAdapter, ValidationError

from bofl_jax.core.errors import BoflError
from bofl_jax.models import (
    MODELS,
    Architecture,
    ArchitectureOptions,
    Cnn1dOptions,
    LinearOptions,
    LstmOptions,
    MlpOptions,
    build,
    parameter_count,
)
from bofl_jax.models.layers import GroupNorm, PatchConv, patches, relu_max_pool, segment_statistics, transposed_matmul

OPTIONS = {
    "cnn1d": Cnn1dOptions(),
    "cnn1d-group": Cnn1dOptions(norm="group"),
    "cnn1d-pool-flatten": Cnn1dOptions(pool=True, head="flatten", channels=(4, 8), kernels=(7, 5), strides=(2, 1)),
    "lstm": LstmOptions(frame=7),
    "mlp": MlpOptions(hidden=(8, 6)),
    "linear": LinearOptions(),
}


def test_every_architecture_is_in_the_suite_and_the_order_is_kept():
    assert list(MODELS) == ["cnn1d", "lstm", "mlp", "linear"]
    assert {options.name for options in OPTIONS.values()} == set(MODELS)


class MeanOptions(ArchitectureOptions):
    name: Literal["mean"] = "mean"
    hidden: int = 5


class Mean(nn.Module):
    """Dense layers on the mean of each channel over time."""

    options: MeanOptions
    classes: int

    @nn.compact
    def __call__(self, x, features, embed=False):
        hidden = nn.Dense(self.options.hidden)(jnp.concatenate([x.mean(axis=1), features], axis=1))
        return hidden if embed else nn.Dense(self.classes)(hidden)


def test_an_architecture_that_is_registered_can_be_built(monkeypatch):
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS))
    MODELS.register(Architecture(MeanOptions, Mean, min_window=lambda _: 4))
    options = TypeAdapter(MODELS.section_type()).validate_python({"name": "mean", "hidden": 3})
    model = build(options, window=4, leads=2, features=1, classes=2)
    assert parameter_count(model.init(jax.random.key(0))) == 3 * 3 + 3 + 3 * 2 + 2
    assert (model.embedding_size, model.head_layers, model.norm_layers) == (3, {"Dense_1"}, set())
    with pytest.raises(BoflError, match=r"model\.mean needs windows of at least 4 samples, these have 3"):
        build(options, window=3, leads=2, features=1, classes=2)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_head_turns_the_representation_into_logits(name):
    model = build(OPTIONS[name], window=64, leads=1, features=3, classes=4)
    params = model.init(jax.random.key(0))
    x, features = jax.random.normal(jax.random.key(1), (2, 64, 1)), jax.random.normal(jax.random.key(2), (2, 3))
    embedding = model.embed(params, x, features)
    assert embedding.shape == (2, model.embedding_size)
    (head,) = model.head_layers
    logits = embedding @ params[head]["kernel"] + params[head]["bias"]
    np.testing.assert_allclose(model.apply(params, x, features), logits, atol=1e-5)
    assert model.norm_layers == {layer for layer in params if layer.startswith("GroupNorm")}
    assert bool(model.norm_layers) == (name == "cnn1d-group")


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
def test_the_output_of_a_sample_depends_on_its_features_but_not_on_its_batch(name):
    model = build(OPTIONS[name], window=128, leads=1, features=3, classes=4)
    params = model.init(jax.random.key(0))
    x, features = jax.random.normal(jax.random.key(1), (4, 128, 1)), jax.random.normal(jax.random.key(2), (4, 3))
    whole = model.apply(params, x, features)
    np.testing.assert_allclose(model.apply(params, x[:1], features[:1])[0], whole[0], atol=1e-5)
    assert np.abs(model.apply(params, x, features + 1) - whole).max() > 1e-4


def test_the_networks_of_the_clinical_baselines_have_the_published_sizes():
    small = Cnn1dOptions(channels=(8, 16, 32), hidden=48, input_stride=2)
    assert parameter_count(build(small, 128, 1, 7, 4).init(jax.random.key(0))) == 10_036
    assert parameter_count(build(Cnn1dOptions(), 128, 1, 7, 4).init(jax.random.key(0))) == 30_180


@pytest.mark.parametrize("name", OPTIONS)
def test_a_network_works_without_features(name):
    model = build(OPTIONS[name], window=64, leads=1, features=0, classes=2)
    assert model.apply(model.init(jax.random.key(0)), jnp.ones((2, 64, 1)), jnp.zeros((2, 0))).shape == (2, 2)


def test_a_window_that_is_too_short_is_refused_and_the_shortest_is_accepted():
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


def test_group_norm_equals_that_of_flax_with_the_batch_last():
    x = 3 * jax.random.normal(jax.random.key(0), (6, 10, 4)) + 1
    ours, theirs = GroupNorm(3), nn.GroupNorm(3)
    plain, _ = theirs.init_with_output(jax.random.key(1), x.T)
    np.testing.assert_allclose(ours.init_with_output(jax.random.key(1), x)[0].T, plain, atol=1e-5)


def test_the_transposed_product_and_its_gradients_equal_those_of_the_plain_product():
    weight, x, pull = (jax.random.normal(jax.random.key(n), shape) for n, shape in enumerate([(5, 3), (5, 8), (3, 8)]))

    def slopes(multiply):
        value, back = jax.vjp(multiply, weight, x)
        return value, *back(pull)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        slopes(transposed_matmul),
        slopes(lambda w, x: w.T @ x),
    )
    squares = [
        jax.grad(lambda w, f=f: jnp.sum(jax.grad(lambda w: jnp.sum(f(w, x) ** 3))(w) ** 2))(weight)
        for f in (transposed_matmul, lambda w, x: w.T @ x)
    ]
    np.testing.assert_allclose(*squares, rtol=1e-4)
