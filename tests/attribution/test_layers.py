"""Attribution at a layer of the model."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import array as to_numpy

layers = keras.layers
METHODS = ("saliency", "input_x_gradient", "integrated_gradients", "internal_influence", "deeplift")

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def net():
    """A table's network, its samples, and its weights in float64."""
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(7, activation="tanh", name="first"), layers.Dense(6, activation="softplus", name="second")]
    model = keras.Sequential([keras.Input((5,)), *hidden, layers.Dense(3, activation="softmax")])
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    return model, x, [w.astype(np.float64) for w in model.get_weights()]


def units(weights, x):
    """The two hidden layers written out, and the slopes of the logit of class 1 at them."""
    w1, b1, w2, b2, w3, _ = weights
    first = np.tanh(x @ w1 + b1)
    before = first @ w2 + b2
    slope_second = np.broadcast_to(w3[:, 1], before.shape)
    slope_first = (slope_second / (1 + np.exp(-before))) @ w2.T
    return first, np.log1p(np.exp(before)), slope_first, slope_second


def test_slopes_and_products_are_those_written_out(net):
    """At both layers, in their shapes."""
    model, x, weights = net
    first, second, slope_first, slope_second = units(weights, x)
    for layer, activation, slope in (("first", first, slope_first), ("second", second, slope_second)):
        a = kx.attribute(model, x, "saliency", layer=layer, target=1)
        np.testing.assert_allclose(a.values, slope, rtol=1e-4, atol=1e-6)
        assert (a.title, a.completeness_error) == (f"Saliency at {layer}", None)
        values = kx.attribute(model, x, "input_x_gradient", layer=layer, target=1).values
        np.testing.assert_allclose(values, slope * activation, rtol=1e-4, atol=1e-6)


def test_conductance_and_influence_equal_a_fine_sum(net):
    """2,000 steps of the path in float64, from another baseline than zero; conductance is complete."""
    model, x, weights = net
    base = np.full(5, 0.3, np.float32)
    points = np.linspace(0, 1, 2001)
    at = [units(weights, base + a * (x - base)) for a in points]
    activation, slope = np.stack([u[0] for u in at]), np.stack([u[2] for u in at])
    middle = (slope[1:] + slope[:-1]) / 2
    a = kx.attribute(model, x, "integrated_gradients", layer="first", target=1, baseline=base)
    np.testing.assert_allclose(a.values, (middle * np.diff(activation, axis=0)).sum(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(a.values.sum(1), a.score - a.baseline_score, rtol=1e-3, atol=1e-5)
    assert a.quadrature_error.max() < 0.01
    b = kx.attribute(model, x, "internal_influence", layer="first", target=1, baseline=base)
    np.testing.assert_allclose(b.values, middle.mean(0), rtol=1e-4, atol=1e-5)


def test_deeplift_of_the_last_hidden_layer_is_its_change_times_the_weights(net):
    """Nothing but a dense layer stands behind it; at the layer in front it is complete."""
    model, x, weights = net
    change = units(weights, x)[1] - units(weights, np.zeros_like(x))[1]
    found = kx.attribute(model, x, "deeplift", layer="second", target=1)
    np.testing.assert_allclose(found.values, change * weights[4][:, 1], rtol=1e-4, atol=1e-5)
    found = kx.attribute(model, x, "deeplift", layer="first", target=1)
    assert found.completeness_error.max() < 1e-4


def test_chunks_of_a_pass_do_not_matter(net):
    """A pass of two steps, of some, and of all at once."""
    from keras_xai.attribution import METHODS as TABLE
    from keras_xai.attribution.engine import Engine
    from keras_xai.model.runner import ModelRunner

    model, x, _ = net
    found = []
    for chunk in (4, 20, 512):
        method = TABLE["integrated_gradients"](layer="first", n_steps=9)
        engine = Engine(ModelRunner(model, x, chunk=chunk), {"c": method})
        found.append(engine([x], [np.zeros_like(x)], np.full(4, 1))["c"].values)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def branches():
    """Two ways side by side."""
    keras.utils.set_random_seed(1)
    x = keras.Input((6, 2))
    left = layers.Conv1D(3, 3, padding="same", activation="tanh", name="left")(x)
    right = layers.Conv1D(3, 1, activation="softplus", name="right")(x)
    h = layers.Conv1D(4, 2, activation="softplus")(layers.Add()([left, right]))
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(h)))
    return model, np.random.default_rng(0).normal(size=(3, 6, 2)).astype(np.float32)


@pytest.mark.parametrize("method", ["integrated_gradients", "deeplift"])
def test_layers_side_by_side_share_the_score(branches, method):
    """What one accounts for and what the other does is the whole; each alone is not, and a warning says why."""
    model, x = branches
    with pytest.warns(UserWarning, match="miss the score .* lead around the layer"):
        parts = [kx.attribute(model, x, method, layer=layer, target=1) for layer in ("left", "right")]
    whole = sum(part.values.sum((1, 2)) for part in parts)
    np.testing.assert_allclose(whole, parts[0].score - parts[0].baseline_score, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "method", ["integrated_gradients", *(pytest.param(m, marks=pytest.mark.full) for m in METHODS)]
)
def test_tokens_at_their_embedding_and_behind_it(method):
    """At the embedding the values of a token are its vector's, whose sum is what the method says of the token."""
    keras.utils.set_random_seed(0)
    x = keras.Input((6,), dtype="int32")
    h = layers.Conv1D(4, 2, activation="tanh", name="behind")(layers.Embedding(9, 4, name="embedding")(x))
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(h)))
    ids = np.array([[1, 2, 3, 4, 5, 6], [1, 7, 8, 2, 2, 3]])
    assert kx.attribute(model, ids, method, layer="behind", target=1).values.shape == (2, 5, 4)
    vectors = kx.attribute(model, ids, method, layer="embedding", target=1).values
    assert vectors.shape == (2, 6, 4)
    if method != "internal_influence":
        of_tokens = kx.attribute(model, ids, method, target=1).values
        np.testing.assert_allclose(vectors.sum(-1), of_tokens, rtol=1e-3, atol=1e-5)


def test_a_shared_layer_is_asked_for_by_its_input():
    """The values at one call; without a choice a warning names the call."""
    keras.utils.set_random_seed(0)
    shared = layers.Dense(3, activation="tanh", name="shared")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], layers.Dense(1)(layers.Concatenate()([shared(a), shared(b)])))
    x = [np.random.default_rng(k).normal(size=(2, 4)).astype(np.float32) for k in range(2)]
    found = kx.attribute(model, x, "input_x_gradient", layer="shared", input="b")
    expected = (
        np.tanh(x[1] @ to_numpy(shared.kernel) + to_numpy(shared.bias)) * to_numpy(model.layers[-1].kernel)[3:, 0]
    )
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    with pytest.warns(UserWarning, match="'shared' is called 2 times"):
        kx.attribute(model, x, "saliency", layer="shared")


class Windows(layers.Layer):
    """Two windows of each sample, one after the other."""

    def call(self, x):
        return keras.ops.reshape(x, (-1, 2))


def test_what_cannot_be_attributed_is_refused_in_words(net):
    """A layer that is not there, none at all, one that does not lead on, and one without a row for each sample."""
    model, x, _ = net
    with pytest.raises(kx.InvalidInput, match="Did you mean 'first'"):
        kx.attribute(model, x, "saliency", layer="frist")
    with pytest.raises(kx.InvalidInput, match=r"internal_influence is of the units of a layer: name one with layer="):
        kx.attribute(model, x, "internal_influence")
    with pytest.raises(kx.InvalidInput, match=r"input= chooses a call .* layer="):
        kx.attribute(model, x, "saliency", input=0)
    inputs = keras.Input((4,))
    h = layers.Reshape((4,))(keras.ops.reshape(Windows(name="windows")(inputs), (-1, 4)))
    split = keras.Model(inputs, layers.Dense(2)(h))
    with pytest.raises(kx.InvalidInput, match=r"'windows' gives float32 \(8, 2\) for 4 samples: a row of floats"):
        kx.attribute(split, x[:, :4], "saliency", layer="windows", target=0)
