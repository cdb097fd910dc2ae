"""The CAM family against the same thing written out with numpy loops."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import array as to_numpy

TARGET = 1

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def parts(cnn, images):
    """Activation A and gradient G of the last convolution for the logit of class 1, (6, 4, 4, 5)."""
    _, first, second, _, last = cnn.layers
    activation = to_numpy(second(first(images)))
    # The logit is linear in it: a dense layer of all places.
    column, bias = to_numpy(last.kernel)[:, TARGET], to_numpy(last.bias)[TARGET]
    gradient = np.broadcast_to(column.reshape(activation.shape[1:]), activation.shape)
    logit = activation.reshape(len(activation), -1) @ column + bias
    return activation.astype(np.float64), gradient.astype(np.float64), logit


def test_grad_cam_plus_plus_is_the_papers_loop(cnn, images, parts):
    """α, w and the map place by place, with the first three derivatives of exp(score), whose scale is then taken off."""
    A, G, logit = parts
    found = kx.attribute(cnn, images, "grad_cam_plus_plus", target=TARGET).values
    for b in range(2):
        scale, expected = np.exp(np.float64(logit[b])), np.zeros((4, 4))
        for c in range(5):
            weight, total = 0.0, A[b, :, :, c].sum()
            for i in range(4):
                for j in range(4):
                    g = G[b, i, j, c]
                    alpha = scale * g**2 / (2 * scale * g**2 + total * scale * g**3)
                    weight += alpha * max(scale * g, 0)
            expected += weight / scale * A[b, :, :, c]
        np.testing.assert_allclose(found[b], np.maximum(expected, 0), rtol=1e-4, atol=1e-5)


def test_hires_cam_sums_to_the_logit_less_its_bias(cnn, images, parts):
    """Behind the last convolution of a network that ends in one dense layer; signed."""
    A, G, logit = parts
    found = kx.attribute(cnn, images, "hires_cam", target=TARGET).values
    np.testing.assert_allclose(found, (A * G).sum(-1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.sum((1, 2)), logit - to_numpy(cnn.layers[-1].bias)[TARGET], rtol=1e-4)
    assert (found < 0).any()


def test_layer_cam_weighs_each_place_by_its_own_gradient(cnn, images, parts):
    """ReLU(Σ ReLU(G) A)."""
    A, G, _ = parts
    found = kx.attribute(cnn, images, "layer_cam", target=TARGET).values
    np.testing.assert_allclose(found, np.maximum((np.maximum(G, 0) * A).sum(-1), 0), rtol=1e-4, atol=1e-5)


def test_score_cam_is_a_loop_over_channels(cnn, images, parts):
    """One picture a channel through the model itself, from another baseline than zero."""
    A, _, _ = parts
    base = np.float32(0.25)
    found = kx.attribute(cnn, images, "score_cam", target=TARGET, baseline=base).values
    logits = keras.Model(cnn.input, cnn.layers[-2].output)
    dense = cnn.layers[-1]
    low, high = A.min((1, 2), keepdims=True), A.max((1, 2), keepdims=True)
    shown = ((A - low) / (high - low)).astype(np.float32)
    scores = []
    for c in range(5):
        mask = to_numpy(keras.ops.image.resize(shown[..., c : c + 1], (8, 8), interpolation="bilinear"))
        flat = to_numpy(logits(base + mask * (images - base)))
        scores.append((flat @ to_numpy(dense.kernel) + to_numpy(dense.bias))[:, TARGET])
    power = np.exp(np.stack(scores, 1).astype(np.float64))
    weight = power / power.sum(1, keepdims=True)
    np.testing.assert_allclose(found, np.maximum((weight[:, None, None] * A).sum(-1), 0), rtol=1e-4, atol=1e-5)


def test_an_activation_behind_a_channels_first_convolution_is_channels_first():
    """A layer that does not say where its channels are follows the model's convolutions."""
    from keras_xai.model.layers import is_channels_first

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((2, 8, 8)), layers.Conv2D(3, 3, data_format="channels_first"), layers.ReLU(), layers.Flatten()]
    )
    assert is_channels_first(model.layers[1], model)
    assert not is_channels_first(layers.Conv2D(3, 3, data_format="channels_last"), model)
