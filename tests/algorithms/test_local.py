"""Local algorithms against closed forms on quadratics, batches against their law."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bofl_jax import algorithms
from bofl_jax.algorithms.base import split_support_query
from bofl_jax.core.errors import BoflError

RNG = np.random.default_rng(0)
DIM = 4
A = np.diag([0.5, 1.0, 2.0, 3.0]).astype(np.float32) + 0.1
ALPHA = 0.05


def quadratic(params, batch):
    """f(w) = 1/2 (w - c)' A (w - c), with c the mean of the batch: gradient A (w - c), Hessian A."""
    gap = params - batch.features.mean(axis=0)
    return 0.5 * gap @ jnp.asarray(A) @ gap


def make_batch(size=6, seed=0):
    features = jax.random.normal(jax.random.key(seed), (size, DIM))
    return algorithms.Batch(jnp.zeros((size, 1, 1)), features, jnp.zeros(size, jnp.int32))


W = jnp.asarray(RNG.standard_normal(DIM), jnp.float32)
FIRST = W - 0.5
SGD = optax.sgd(1.0)
LR = 0.1


def stream(steps=1, size=6, lr=LR):
    """Batches of their own for every step and part."""
    batches = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(make_batch(size, seed) for seed in range(20)))

    def batch(step, part):
        return jax.tree.map(lambda leaf: leaf[step + 10 * part], batches)

    return algorithms.LocalData(batch, size, jnp.int32(steps), jnp.float32(lr))


def mean_of(step, part=0):
    return np.asarray(make_batch(seed=step + 10 * part).features.mean(axis=0), np.float64)


def play(algorithm, steps=1, shared=None, kept=None):
    """One client's round from ``shared`` (W): update, kept, info."""
    shared = W if shared is None else shared
    kept = algorithm.init(FIRST, shared) if kept is None else kept
    return algorithm.train(shared, kept, stream(steps))


def slope(w, centre):
    return A @ (np.asarray(w, np.float64) - centre)


def descend(w, steps, pull=0.0, centre=None, part=0):
    """Plain descent on the quadratics of a stream, in float64."""
    w = np.asarray(w, np.float64)
    for step in range(steps):
        w = w - LR * (slope(w, mean_of(step, part)) + (pull * (w - centre) if pull else 0))
    return w


def test_sgd_closed_form():
    update, kept, info = play(algorithms.fedavg(quadratic, SGD), 3)
    np.testing.assert_allclose(W + update, descend(W, 3), rtol=1e-5, atol=1e-6)
    gap = np.asarray(W) - mean_of(0)
    _, _, first = play(algorithms.fedavg(quadratic, SGD), 1)
    assert float(first.loss) == pytest.approx(0.5 * gap @ A @ gap, rel=1e-5)
    assert (kept, int(info.examples)) == ((), 18)


def test_prox_closed_form_and_mu_zero_is_sgd():
    update, _, _ = play(algorithms.fedprox(quadratic, SGD, mu=0.7), 3)
    np.testing.assert_allclose(W + update, descend(W, 3, 0.7, np.asarray(W)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        play(algorithms.fedprox(quadratic, SGD, mu=0.0), 3)[0], play(algorithms.fedavg(quadratic, SGD), 3)[0]
    )


@pytest.mark.parametrize("route", ["exact", "hvp", "first_order"])
def test_meta_gradient_closed_form(route):
    inner, outer = (half.features.mean(axis=0) for half in split_support_query(make_batch()))
    adapted = W - ALPHA * A @ (W - inner)
    expected = A @ (adapted - outer)
    if route != "first_order":
        expected = (np.eye(DIM) - ALPHA * A) @ expected
    algorithm = algorithms.perfedavg(quadratic, SGD, ALPHA, route)
    update, _, info = play(algorithm)
    np.testing.assert_allclose(-update / LR, expected, rtol=2e-4, atol=1e-5)
    assert float(info.loss) == pytest.approx(float(0.5 * (adapted - outer) @ A @ (adapted - outer)), rel=1e-5)
    assert not algorithm.has_global


def test_exact_and_hvp_agree_on_a_network_and_differ_from_first_order(samples):
    from bofl_jax.models import Cnn1dOptions, build

    model = build(Cnn1dOptions(pool=True, channels=(4,), kernels=(5,), strides=(1,), hidden=8), 32, 1, 2, 3)
    loss = algorithms.cross_entropy(model.apply, np.ones(3, np.float32))
    batch = algorithms.take(
        algorithms.Batch(*map(jnp.asarray, (samples.x, samples.features, samples.y))), jnp.arange(16)
    )
    params = model.init(jax.random.key(0))
    data = algorithms.LocalData(lambda *_: batch, 16, jnp.int32(1), jnp.float32(1))
    after = {}
    for route in ("exact", "hvp", "first_order"):
        train = algorithms.perfedavg(loss, SGD, 0.5, route).train
        after[route] = jax.flatten_util.ravel_pytree(jax.jit(lambda p, train=train: train(p, (), data)[0])(params))[0]
    np.testing.assert_allclose(after["exact"], after["hvp"], atol=2e-6)
    assert np.abs(after["exact"] - after["first_order"]).max() > 1e-4


def test_nova_sends_the_mean_step_and_their_number():
    update, _, _ = play(algorithms.fednova(quadratic, SGD), 3)
    np.testing.assert_allclose(W + 3 * update["direction"], descend(W, 3), rtol=1e-5, atol=1e-6)
    assert float(update["steps"]) == 3


def test_scaffold_by_hand():
    algorithm = algorithms.scaffold(quadratic, SGD)
    variate, mine = jnp.full(DIM, 0.3), jnp.full(DIM, -0.2)
    shared = {"params": W, "variate": variate}
    update, kept, _ = algorithm.train(shared, mine, stream(3))
    y = np.asarray(W, np.float64)
    for step in range(3):
        y = y - LR * (slope(y, mean_of(step)) + 0.5)
    np.testing.assert_allclose(W + update["params"], y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept, -0.2 - 0.3 + (np.asarray(W) - y) / (3 * LR), rtol=1e-4)
    np.testing.assert_allclose(update["variate"], kept - mine, rtol=1e-6)
    assert algorithm.model(algorithm.initial_shared(W)) is W
    np.testing.assert_array_equal(algorithm.init(FIRST, shared), jnp.zeros(DIM))


def test_scaffold_without_variates_is_sgd():
    algorithm = algorithms.scaffold(quadratic, SGD)
    update, _, _ = play(algorithm, 3, shared=algorithm.initial_shared(W))
    np.testing.assert_allclose(update["params"], play(algorithms.fedavg(quadratic, SGD), 3)[0], rtol=1e-6)


def test_ditto_by_hand():
    own = W + 1
    update, kept, info = play(algorithms.ditto(quadratic, SGD, strength=0.7, personal_steps=2), 3, kept=own)
    np.testing.assert_allclose(W + update, descend(W, 3), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept, descend(own, 2, 0.7, np.asarray(W), part=1), rtol=1e-5, atol=1e-6)
    assert int(info.examples) == 5 * 6
    assert algorithms.ditto(quadratic, SGD, 0.7).init(FIRST, W) is W


def test_ditto_without_pull_is_training_alone():
    own = W + 1
    _, kept, _ = play(algorithms.ditto(quadratic, SGD, strength=0.0), 3, kept=own)
    np.testing.assert_allclose(kept, descend(own, 3, part=1), rtol=1e-5, atol=1e-6)


def test_pfedme_by_hand():
    algorithm = algorithms.pfedme(quadratic, strength=2.0, personal_lr=0.05, inner_steps=3, decay=0.01)
    update, kept, info = play(algorithm, 2, kept=W + 7)
    w = theta = np.asarray(W, np.float64)
    for step in range(2):
        for _ in range(3):
            theta = theta - 0.05 * (slope(theta, mean_of(step)) + 2.0 * (theta - w) + 0.01 * theta)
        w = w - LR * 2.0 * (w - theta)
    np.testing.assert_allclose(W + update, w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept, theta, rtol=1e-5, atol=1e-6)
    assert int(info.examples) == 2 * 3 * 6


def test_pfedme_solves_the_envelope():
    """With many inner steps theta is the prox point ``(A + lambda I)^-1 (A c + lambda w)``."""
    algorithm = algorithms.pfedme(quadratic, strength=2.0, personal_lr=0.1, inner_steps=400)
    _, theta, _ = play(algorithm, 1)
    expected = np.linalg.solve(A + 2 * np.eye(DIM), A @ mean_of(0) + 2 * np.asarray(W))
    np.testing.assert_allclose(theta, expected, rtol=1e-4)


@pytest.mark.parametrize("adaptive", [False, True])
def test_apfl_by_hand(adaptive):
    algorithm = algorithms.apfl(quadratic, SGD, mixing=0.4, adaptive=adaptive)
    kept = algorithm.init(FIRST, W)._replace(own=W + 1)
    update, after, _ = play(algorithm, 2, kept=kept)
    w, v, a = np.asarray(W, np.float64), np.asarray(W + 1, np.float64), 0.4
    for step in range(2):
        w = w - LR * slope(w, mean_of(step))
        g = slope(a * v + (1 - a) * w, mean_of(step))
        v, a = v - LR * a * g, np.clip(a - LR * g @ (v - w), 0, 1) if adaptive else a
    np.testing.assert_allclose(W + update, w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after.own, v, rtol=1e-5, atol=1e-6)
    assert float(after.mixing) == pytest.approx(a, abs=1e-6)
    np.testing.assert_allclose(algorithm.personal_model(W, after), a * v + (1 - a) * np.asarray(W), rtol=1e-5)


BODY, HEAD = slice(0, 2), slice(2, 4)


def layered(params, batch):
    """The same quadratic of a network of two layers."""
    return quadratic(jnp.concatenate([params["body"], params["head"]]), batch)


def test_own_layers_train_with_the_others_and_stay():
    algorithm = algorithms.own_layers(layered, SGD, {"head"})
    shared, own = {"body": W[BODY]}, {"head": W[HEAD]}
    update, kept, _ = algorithm.train(shared, own, stream(3))
    expected = descend(W, 3)
    np.testing.assert_allclose(W[BODY] + update["body"], expected[BODY], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept["head"], expected[HEAD], rtol=1e-5, atol=1e-6)
    whole = {"body": FIRST[BODY], "head": FIRST[HEAD]}
    assert list(algorithm.initial_shared(whole)) == list(update) == ["body"]
    np.testing.assert_array_equal(algorithm.init(whole, shared)["head"], FIRST[HEAD])
    assert list(algorithm.personal_model(shared, own)) == ["body", "head"]
    assert not algorithm.has_global


def test_fedrep_fits_the_head_first_and_then_the_body():
    algorithm = algorithms.fedrep(layered, SGD, {"head"}, head_steps=2)
    update, kept, info = algorithm.train({"body": W[BODY]}, {"head": W[HEAD]}, stream(3))
    w = np.asarray(W, np.float64)
    for step in range(2):
        w[HEAD] -= LR * slope(w, mean_of(step, 1))[HEAD]
    np.testing.assert_allclose(kept["head"], w[HEAD], rtol=1e-5, atol=1e-6)
    for step in range(3):
        w[BODY] -= LR * slope(w, mean_of(step))[BODY]
    np.testing.assert_allclose(W[BODY] + update["body"], w[BODY], rtol=1e-5, atol=1e-6)
    assert int(info.examples) == 5 * 6


@pytest.mark.parametrize("own", [{"neck"}, set(), {"head", "body"}])
def test_layers_that_cannot_be_ones_own_are_refused(own):
    with pytest.raises(BoflError, match="name some of these, and not all"):
        algorithms.own_layers(layered, SGD, own).initial_shared({"head": W, "body": W})


def test_clustered_trains_its_own_model_and_describes_itself():
    def embed(params, batch):
        return params + batch.features

    algorithm = algorithms.bfln(quadratic, SGD, embed, classes=2, clients=3, clusters=2, prototype_steps=2)
    shared = algorithm.initial_shared(W)
    shared["models"] = shared["models"].at[1].add(1.0)
    shared["cluster"] = jnp.array([0, 1, 0])
    view = algorithm.download(shared, jnp.int32(1))
    np.testing.assert_array_equal(view, W + 1)
    update, kept, info = algorithm.train(view, (), stream(3))
    trained = descend(W + 1, 3)
    np.testing.assert_allclose(view + update["params"], trained, rtol=1e-5, atol=1e-6)
    seen = 6 * (2 * trained + mean_of(0, 1) + mean_of(1, 1))
    np.testing.assert_allclose(update["prototype"], np.stack([seen, np.zeros(DIM)]), rtol=1e-4, atol=1e-4)
    assert update["count"].tolist() == [12, 0]
    assert (kept, int(info.examples)) == ((), 5 * 6)
    assert algorithm.personal_model(view, ()) is view


def test_alone_goes_on_where_it_stopped():
    algorithm = algorithms.local_only(quadratic, optax.sgd(1.0, momentum=0.9))
    kept = algorithm.init(W, ())
    for part in (0, 1):
        sent, kept, _ = algorithm.train(
            (), kept, stream(2)._replace(batch=lambda s, p, o=part: stream().batch(s, p + o))
        )
        assert sent == ()
    w, velocity = np.asarray(W, np.float64), np.zeros(DIM)
    for part in (0, 1):
        for step in range(2):
            velocity = 0.9 * velocity + slope(w, mean_of(step, part))
            w = w - LR * velocity
    np.testing.assert_allclose(algorithm.personal_model((), kept), w, rtol=1e-5, atol=1e-6)


def test_halves_refuse_a_single_sample():
    with pytest.raises(BoflError, match="batch_size to 2"):
        split_support_query(make_batch(size=1))


def test_class_weights():
    counts = np.array([900, 100, 0])
    np.testing.assert_array_equal(algorithms.class_weights(counts, "none"), [1, 1, 0])
    inverse, root = algorithms.class_weights(counts, "inverse"), algorithms.class_weights(counts, "sqrt")
    assert inverse[1] / inverse[0] == pytest.approx(9)
    assert root[1] / root[0] == pytest.approx(3)
    assert inverse[:2].mean() == pytest.approx(1)
    assert inverse[2] == 0


def test_cross_entropy_is_the_weighted_mean():
    logits = jnp.asarray(RNG.standard_normal((6, 3)), jnp.float32)
    y = jnp.array([0, 1, 2, 0, 1, 2])
    weights = np.array([1.0, 2.0, 0.5], np.float32)
    loss = algorithms.cross_entropy(lambda *_: logits, weights)
    batch = algorithms.Batch(jnp.zeros((6, 1, 1)), jnp.zeros((6, 0)), y)
    each = -np.log(np.asarray(jax.nn.softmax(logits)))[np.arange(6), y]
    assert float(loss({}, batch)) == pytest.approx((weights[np.asarray(y)] * each).mean(), rel=1e-5)


def sampler(sampling="replacement", batch=5, scale=0.0, noise=0.0):
    return algorithms.Sampler(batch, sampling, scale, noise)


def test_batches_with_replacement_are_uniform_over_the_real_rows():
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: sampler().positions(key, jnp.int32(0), jnp.int32(4), None))(keys)
    counts = np.bincount(np.asarray(drawn).ravel(), minlength=8)
    assert counts[4:].sum() == 0
    assert np.abs(counts[:4] / 20000 - 0.25).max() < 0.015


def test_shuffled_batches_visit_every_row_once_an_epoch():
    drawer = sampler("shuffle", batch=3)
    order = drawer.order(jax.random.key(1), jnp.int32(6), 10)
    seen = [drawer.positions(jax.random.key(0), jnp.int32(step), jnp.int32(6), order).tolist() for step in range(4)]
    assert sorted(seen[0] + seen[1]) == list(range(6))
    assert seen[2] + seen[3] == seen[0] + seen[1]


def test_augmentation_has_the_stated_size_and_none_is_none():
    batch = algorithms.Batch(jnp.ones((2000, 8, 1)), jnp.zeros((2000, 0)), jnp.zeros(2000, jnp.int32))
    np.testing.assert_array_equal(sampler().augment(jax.random.key(0), batch).x, batch.x)
    scaled = np.asarray(sampler(scale=0.2).augment(jax.random.key(0), batch).x)
    assert 0.8 <= scaled.min() < 0.81
    assert 1.19 < scaled.max() <= 1.2
    assert np.ptp(scaled, axis=1).max() == 0
    noisy = np.asarray(sampler(noise=0.1).augment(jax.random.key(0), batch).x)
    assert (noisy - 1).std() == pytest.approx(0.1, rel=0.03)


def work(steps, size=4, capacity=6, fill=0, seed=0):
    index = jnp.arange(capacity).at[size:].set(fill)
    return algorithms.ClientTask(index, jnp.int32(size), jnp.int32(steps), jax.random.key(seed))


POOL = algorithms.Batch(
    jnp.zeros((6, 1, 1)), jnp.asarray(RNG.standard_normal((6, DIM)), jnp.float32), jnp.zeros(6, jnp.int32)
)


@pytest.mark.parametrize("sampling", ["replacement", "shuffle"])
class TestData:
    """What a client's stream of batches promises."""

    def batches(self, task, sampling, part=0):
        data = algorithms.local_data(sampler(sampling, 4), POOL, task, jnp.float32(LR))
        return np.stack([data.batch(jnp.int32(step), part).features for step in range(5)])

    def test_padding_never_matters(self, sampling):
        np.testing.assert_array_equal(self.batches(work(5, fill=3), sampling), self.batches(work(5, fill=5), sampling))

    def test_a_client_without_samples_is_harmless(self, sampling):
        assert np.isfinite(self.batches(work(0, size=0), sampling)).all()

    def test_parts_are_streams_of_their_own(self, sampling):
        first, second = (self.batches(work(5), sampling, part) for part in (0, 1))
        assert (first != second).any()
        assert set(map(tuple, second.reshape(-1, DIM))) <= set(map(tuple, np.asarray(POOL.features[:4])))

    def test_steps_run_in_order_and_none_without_work(self, sampling):
        def step(seen, batch):
            return seen * 10 + batch.features[0, 0], batch.features[1, 0]

        for steps in (0, 3):
            data = algorithms.local_data(sampler(sampling, 4), POOL, work(steps), jnp.float32(LR))
            seen, info = jax.jit(lambda data=data: data.run(step, jnp.float32(0)))()
            expected = self.batches(work(5), sampling)[:steps]
            by_hand = 0.0
            for batch in expected:
                by_hand = by_hand * 10 + batch[0, 0]
            assert float(seen) == pytest.approx(by_hand, rel=1e-5)
            assert float(info.loss) == pytest.approx(expected[:, 1, 0].mean() if steps else 0, rel=1e-5)
            assert int(info.examples) == 4 * steps
            _, more = data.run(step, jnp.float32(0), part=1, steps=2)
            assert int(more.examples) == (8 if steps else 0)
