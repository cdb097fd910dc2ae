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


def test_a_convolution_over_time_or_over_a_volume_has_a_map_of_its_own_places():
    """HiResCAM behind the last convolution sums to the logit less its bias; the map is where the layer's activation is."""
    layers = keras.layers
    for shape, conv, places in (((12, 2), layers.Conv1D, (10,)), ((5, 6, 4, 1), layers.Conv3D, (3, 4, 2))):
        keras.utils.set_random_seed(4)
        parts = [conv(3, 3, activation="softplus", name="last"), layers.Flatten(), layers.Dense(2)]
        model = keras.Sequential([keras.Input(shape), *parts])
        x = np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32)
        found = kx.attribute(model, x, "hires_cam", target=1)
        assert found.values.shape == (3, *places)
        whole = found.values.reshape(3, -1).sum(1)
        np.testing.assert_allclose(whole, found.score - to_numpy(model.layers[-1].bias)[1], rtol=1e-4, atol=1e-5)
        for method in ("grad_cam", "grad_cam_plus_plus", "layer_cam", "score_cam"):
            assert kx.attribute(model, x, method, target=1, layer="last").values.shape == (3, *places)


@pytest.mark.tensorflow
@pytest.mark.torch  # JAX takes eight seconds to compile it; the table of kinds has volumes there
def test_a_volume_of_depth_one_is_an_image(cnn, images):
    """The same weights as Conv3D over a single slice: each map number for number, Score-CAM's but for the order of summation."""
    layers = keras.layers
    parts = [layers.Conv3D(k, (1, 3, 3), activation="softplus", name=name) for k, name in ((4, "first"), (5, "second"))]
    deep = keras.Sequential(
        [keras.Input((1, 8, 8, 2)), *parts, layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    deep.set_weights([w[None] if w.ndim == 4 else w for w in cnn.get_weights()])
    for method in ("grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "score_cam"):
        flat = kx.attribute(cnn, images, method, target=TARGET).values
        volume = kx.attribute(deep, images[:, None], method, target=TARGET).values
        assert volume.shape == (6, 1, 4, 4)
        np.testing.assert_allclose(volume[:, 0], flat, rtol=1e-5, atol=1e-6)


def test_a_mask_is_enlarged_along_each_axis_as_keras_enlarges_an_image():
    """Rows and columns of `keras.ops.image.resize` are one product each, to larger and to smaller sides."""
    from keras_xai.attribution.score_cam import linear_weights

    small = np.random.default_rng(3).normal(size=(1, 4, 7, 1)).astype(np.float32)
    for sides in ((8, 21), (9, 5)):
        expected = to_numpy(keras.ops.image.resize(small, sides, interpolation="bilinear", data_format="channels_last"))
        rows, columns = (linear_weights(a, b) for a, b in zip(small.shape[1:3], sides, strict=True))
        np.testing.assert_allclose(rows @ small[0, ..., 0] @ columns.T, expected[0, ..., 0], atol=1e-5)


def test_a_wrapper_gives_the_output_that_its_layer_has_over_all_steps():
    """A convolution of each picture of a video: a map over time, height and width."""
    layers = keras.layers
    keras.utils.set_random_seed(5)
    video = layers.TimeDistributed(layers.Conv2D(3, 3, activation="relu"), name="pictures")
    model = keras.Sequential([keras.Input((4, 8, 8, 1)), video, layers.GlobalAveragePooling3D(), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(2, 4, 8, 8, 1)).astype(np.float32)
    assert kx.attribute(model, x, "grad_cam", target=0).values.shape == (2, 4, 6, 6)


def test_a_convolutional_recurrence_gives_the_map_of_its_last_state():
    """A video whose frames become one state: a map over height and width."""
    layers = keras.layers
    keras.utils.set_random_seed(5)
    recurrence = layers.ConvLSTM2D(3, 3, name="recurrence")
    model = keras.Sequential([keras.Input((4, 8, 8, 1)), recurrence, layers.Flatten(), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(2, 4, 8, 8, 1)).astype(np.float32)
    hires_cam = kx.attribute(model, x, "hires_cam", target=1)
    assert hires_cam.values.shape == (2, 6, 6)
    whole = hires_cam.values.reshape(2, -1).sum(1)
    np.testing.assert_allclose(whole, hires_cam.score - to_numpy(model.layers[-1].bias)[1], rtol=1e-3, atol=1e-5)


def test_a_map_needs_no_gradient_at_the_input():
    """Of truth values, which have none; the map is that of the same numbers."""
    layers = keras.layers
    keras.utils.set_random_seed(5)
    x = np.random.default_rng(0).uniform(size=(2, 7, 7, 1)) > 0.5
    parts = [layers.Conv2D(3, 3, activation="relu", name="pictures"), layers.Flatten(), layers.Dense(2)]
    numbers = keras.Sequential([keras.Input((7, 7, 1)), *parts])
    inputs = keras.Input((7, 7, 1), dtype="bool")
    model = keras.Model(inputs, numbers(keras.ops.cast(inputs, "float32")))
    for method in ("grad_cam", "layer_cam"):
        values = kx.attribute(model, x, method, target=0).values
        expected = kx.attribute(numbers, x.astype(np.float32), method, target=0).values
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(kx.InvalidInput, match="No gradient leads from the score back to x"):
        kx.attribute(model, x, "saliency", target=0)


@pytest.mark.full
@pytest.mark.tensorflow  # text is a tensor there alone
def test_a_map_of_text_that_the_model_itself_splits():
    """Its layers forget how many samples there are; the numbers are those of the same model of tokens."""
    layers = keras.layers
    keras.utils.set_random_seed(5)
    split = layers.TextVectorization(vocabulary=["a", "dog", "cat", "sat", "ran"], output_sequence_length=5)
    parts = [layers.Embedding(7, 3, name="words"), layers.Conv1D(4, 2, activation="gelu", name="pairs")]
    tokens = keras.Sequential([keras.Input((5,), dtype="int64"), *parts, layers.GlobalMaxPooling1D(), layers.Dense(2)])
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, tokens(split(inputs)))
    x = np.array([["a dog ran"], ["a cat sat a dog"]], object)
    of_tokens = to_numpy(split(keras.ops.convert_to_tensor(x)))
    cases = [("hires_cam", None), ("saliency", "pairs"), ("input_x_gradient", "words")]
    for method, layer in cases:
        values = kx.attribute(model, x, method, target=1, layer=layer).values
        expected = kx.attribute(tokens, of_tokens, method, target=1, layer=layer).values
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
        assert values.any()
