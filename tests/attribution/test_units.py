"""A layer's unit as what is explained."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import array as to_numpy

layers = keras.layers

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    parts = [layers.Conv2D(3, 3, activation="tanh", name="conv"), layers.Flatten()]
    hidden = layers.Dense(4, activation="sigmoid", name="hidden")
    model = keras.Sequential([keras.Input((6, 6, 1)), *parts, hidden, layers.Dense(2, activation="softmax")])
    return model, np.random.default_rng(0).normal(size=(3, 6, 6, 1)).astype(np.float32)


def test_the_score_is_the_units_activation(net):
    """Of a hidden unit its value and no logit behind it, of a channel its mean, or its value at a place."""
    model, x = net
    hidden = to_numpy(keras.Model(model.inputs[0], model.get_layer("hidden").output)(x))
    conv = to_numpy(keras.Model(model.inputs[0], model.get_layer("conv").output)(x))
    expected = {
        kx.outputs.layer("hidden", unit=2): hidden[:, 2],
        kx.outputs.layer("conv", unit=1): conv[..., 1].mean((1, 2)),
        kx.outputs.layer("conv", unit=(3, 0, 1)): conv[:, 3, 0, 1],
    }
    for output, score in expected.items():
        a = kx.attribute(model, x, "input_x_gradient", output=output)
        np.testing.assert_allclose(a.score, score, rtol=1e-5, atol=1e-6)
        assert (a.task, a.space) == ("number", "raw")
    a = kx.attribute(model, x, "saliency", output=kx.outputs.layer("hidden"), target=2)
    np.testing.assert_allclose(a.score, hidden[:, 2], rtol=1e-5)


def test_a_units_slope_at_a_place_stays_in_its_window(net):
    """The gradient of a convolution's unit is its kernel, scaled by the slope of its activation, and zero elsewhere."""
    model, x = net
    conv = model.get_layer("conv")
    a = kx.attribute(model, x, "saliency", output=kx.outputs.layer("conv", unit=(1, 2, 0)))
    slope = 1 - a.score**2
    expected = np.zeros_like(x)
    expected[:, 1:4, 2:5, 0] = slope[:, None, None] * to_numpy(conv.kernel)[None, :, :, 0, 0]
    np.testing.assert_allclose(a.values, expected, rtol=1e-4, atol=1e-6)


def test_what_is_no_unit_is_refused_in_words(net):
    """With the shape of the layer; a probe says which unit it explains."""
    model, x = net
    for unit, words in ((9, r"unit=\(9,\): layer 'hidden' has \(4,\)"), ((0, 0), r"give a unit, or its place")):
        with pytest.raises(kx.InvalidInput, match=words):
            kx.attribute(model, x, "saliency", output=kx.outputs.layer("hidden", unit=unit))
    with pytest.raises(kx.InvalidInput, match="Did you mean 'hidden'"):
        kx.attribute(model, x, "saliency", output=kx.outputs.layer("hiden", unit=0))
    with pytest.raises(kx.InvalidInput, match="number of a unit"):
        kx.outputs.layer("hidden", unit="a")
    assert str(kx.outputs.layer("conv", unit=(3, 0, 1))) == "layer('conv', unit=(3, 0, 1))"
