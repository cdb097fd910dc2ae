"""Deletion, insertion and randomisation against closed forms."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution.metrics.ranks import rank_correlation

layers = keras.layers


@pytest.fixture(scope="module")
def linear():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [2.0], [4.0], [-8.0]], np.float32)])
    return model, np.ones((2, 4), np.float32)


def test_deletion_and_insertion_follow_the_order_of_the_values(linear):
    """score = w·x: each entry takes its weight with it, the largest value first; the two curves mirror each other."""
    model, x = linear
    values = np.array([[1.0, 2.0, 4.0, -8.0], [9.0, 8.0, 7.0, 6.0]])
    found = kx.metrics.deletion(model, x, values, steps=4)
    np.testing.assert_allclose(found, [[-1, -5, -7, -8, 0], [-1, -2, -4, -8, 0]], atol=1e-5)
    np.testing.assert_allclose(
        kx.metrics.insertion(model, x, values, steps=4), [[0, 4, 6, 7, -1], [0, 1, 3, 7, -1]], atol=1e-5
    )
    np.testing.assert_allclose(kx.metrics.deletion(model, x, values, steps=2)[:, 1], [-7, -4], atol=1e-5)
    from_one = kx.metrics.deletion(model, 2 * x, values, steps=4, baseline=1.0)
    np.testing.assert_allclose(from_one[:, [0, -1]], [[-2, -1]] * 2, atol=1e-5)


def test_a_pixel_goes_with_its_channels_and_a_coarse_map_is_enlarged(cnn, images):
    """(B, h, w) maps stand for the pixels under them: the same curve as the map enlarged by hand."""
    coarse = np.random.default_rng(0).normal(size=(6, 4, 4))
    fine = np.repeat(np.repeat(coarse, 2, 1), 2, 2)
    found = kx.metrics.deletion(cnn, images, coarse, target=1, steps=4)
    np.testing.assert_allclose(found, kx.metrics.deletion(cnn, images, fine, target=1, steps=4), rtol=1e-5)
    both = np.stack([fine, np.zeros_like(fine)], -1)
    np.testing.assert_allclose(found, kx.metrics.deletion(cnn, images, both, target=1, steps=4), rtol=1e-5)
    half = images.copy()
    for b in range(6):
        gone = np.argsort(-fine[b].ravel(), kind="stable")[:32]
        half[b].reshape(64, 2)[gone] = 0
    expected = kx.attribute(cnn, half, "saliency", target=1).score
    np.testing.assert_allclose(found[:, 2], expected, rtol=1e-4, atol=1e-5)


def test_a_good_order_falls_sooner_than_a_bad_one(cnn, images):
    """Occlusion's own order against its reverse."""
    values = kx.attribute(cnn, images, "occlusion", target=1, window=1).values
    good, bad = (kx.metrics.deletion(cnn, images, sign * values, target=1).mean() for sign in (1, -1))
    assert good < bad


def test_randomisation_sees_the_weights_and_puts_them_back():
    """Saliency of a linear model is its weights: shuffled, the ranks differ; the input itself never does."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((40,)), layers.Dense(8, activation="tanh"), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    before = [w.copy() for w in model.get_weights()]
    found = kx.metrics.randomisation(model, x, "saliency")
    assert list(found) == [model.layers[1].name, model.layers[0].name]
    assert abs(found[model.layers[0].name]) < 0.5
    for w, v in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, v)


def test_rank_correlation_is_spearmans():
    """scipy's, with ties."""
    from scipy.stats import spearmanr

    a, b = np.array([1.0, 2.0, 2.0, 5.0, 0.0]), np.array([0.5, 3.0, 1.0, 1.0, 0.0])
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, np.zeros(5)) == 0.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"values": np.zeros((2, 3))}, r"\(2, 3\), x has \(2, 4\)"),
        ({"steps": 0}, "positive integer"),
        ({"values": [np.zeros((2, 4)), np.zeros((2, 1))]}, "2 arrays, x has 1"),
        ({"target": 3, "x": np.ones((2, 5))}, r"\(5,\)"),
    ],
)
def test_bad_input_is_an_error_in_words(linear, arguments, words):
    """What came, what is expected."""
    model, x = linear
    with pytest.raises(kx.InvalidInput, match=words):
        kx.metrics.deletion(model, **{"x": x, "values": np.zeros((2, 4))} | arguments)


def test_a_map_of_a_layers_steps_orders_the_steps_of_a_series():
    """(B, t) of a convolution: all channels of the steps that lie in the largest value go first."""
    keras.utils.set_random_seed(0)
    parts = [keras.layers.Conv1D(3, 2, strides=2, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 2)), *parts])
    x = np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
    values = kx.attribute(model, x, "hires_cam", target=0).values
    curve = kx.metrics.deletion(model, x, values, target=0, steps=4)
    order = np.argsort(-values, axis=1, kind="stable")
    changed = x.copy()
    for row, step in enumerate(order[:, 0]):
        changed[row, 2 * step : 2 * step + 2] = 0
    np.testing.assert_allclose(
        curve[:, 1], kx.attribute(model, changed, "saliency", target=0).score, rtol=1e-4, atol=1e-6
    )
