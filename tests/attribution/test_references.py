"""Numbers that somebody else computes: a slow loop in numpy, or another definition of the same thing."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from tests.frameworks import array as to_numpy

pytestmark = pytest.mark.every_backend


def mlp(weights, x):
    """The logits of a tanh network in float64."""
    w1, b1, w2, b2 = (w.astype(np.float64) for w in weights)
    return np.tanh(x @ w1 + b1) @ w2 + b2


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3, activation="softmax")]
    )
    return model, np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def test_saliency_is_the_slope_of_the_logit(net):
    """Central differences of the network written out in numpy, float64."""
    model, x = net
    values = kx.attribute(model, x, "saliency", target=1).values
    for f in range(4):
        step = np.zeros(4)
        step[f] = 1e-5
        slope = (mlp(model.get_weights(), x + step)[:, 1] - mlp(model.get_weights(), x - step)[:, 1]) / 2e-5
        np.testing.assert_allclose(values[:, f], slope, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_equal_a_fine_riemann_sum(net):
    """2,000 midpoints of slopes by differences, float64, from another baseline than zero."""
    model, x = net
    base = np.full(4, 0.3, np.float32)
    a = kx.attribute(model, x, "integrated_gradients", target=2, baseline=base, n_steps=50)
    weights, expected = model.get_weights(), np.zeros_like(x, dtype=np.float64)
    for alpha in (np.arange(2000) + 0.5) / 2000:
        z = base + alpha * (x - base)
        for f in range(4):
            step = np.zeros(4)
            step[f] = 1e-5
            expected[:, f] += (mlp(weights, z + step)[:, 2] - mlp(weights, z - step)[:, 2]) / 2e-5 / 2000
    np.testing.assert_allclose(a.values, expected * (x - base), rtol=1e-4, atol=1e-6)


def test_grad_cam_equals_its_definition_by_a_rebuilt_graph(cnn, images):
    """Keras' own recipe: a functional model to the layer; behind it stands one dense layer, whose kernel is the gradient."""
    a = kx.attribute(cnn, images, "grad_cam", target=1)
    to_layer = keras.Model(cnn.inputs[0], cnn.get_layer("second").output)
    activation = to_numpy(to_layer(images))
    gradient = to_numpy(cnn.layers[-1].kernel)[:, 1].reshape(activation.shape[1:])
    weight = gradient.mean((0, 1))
    np.testing.assert_allclose(a.values, np.maximum((weight * activation).sum(-1), 0), rtol=1e-4, atol=1e-6)


def test_the_logit_is_found_behind_every_head():
    """Softmax and sigmoid, as activation, layer, Lambda and in a subclass; after another op there is none to find."""
    layers = keras.layers
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax")])
    heads = {
        "softmax": [layers.Dense(2, activation="softmax")],
        "sigmoid": [layers.Dense(1, activation="sigmoid")],
        "layer": [layers.Dense(2), layers.Softmax()],
        "activation": [layers.Dense(2), layers.Activation("softmax")],
        "lambda": [layers.Dense(2), layers.Lambda(keras.ops.softmax)],
        "nested": [inner],
    }
    for name, head in heads.items():
        assert kx.attribute(keras.Sequential([keras.Input((3,)), *head]), x).space == "logit", name
    late = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax"), layers.Rescaling(0.5)])
    assert kx.attribute(late, x).space == "probability"


def test_permutation_importance_equals_a_loop_over_predict(net):
    """Breiman's definition with `model.evaluate`, the same permutations."""
    model, _ = net
    model.compile(loss="sparse_categorical_crossentropy")
    r = np.random.default_rng(5)
    x, y = r.normal(size=(40, 4)).astype(np.float32), r.integers(0, 3, 40)
    names, values = kx.importance(model, (x, y), "permutation", seed=7)
    generator = np.random.default_rng(7)
    orders = [generator.permutation(40) for _ in range(5)]
    plain = model.evaluate(x, y, verbose=0)
    for f in range(4):
        lost = []
        for order in orders:
            shuffled = x.copy()
            shuffled[:, f] = x[order, f]
            lost.append(model.evaluate(shuffled, y, verbose=0))
        assert values[f] == pytest.approx(np.mean(lost) - plain, abs=1e-5)
    assert names == ["column 0", "column 1", "column 2", "column 3"]


def test_importance_is_the_mean_magnitude(cnn, images):
    """Mean |attribution|, summed over a cell's pixels and channels."""
    names, values = kx.importance(cnn, images, "saliency")
    expected = np.abs(kx.attribute(cnn, kx.Probe(images), "saliency").values).sum(-1).mean(0)
    np.testing.assert_allclose(values, expected.ravel(), rtol=1e-5)
    assert names[9] == "block (1,1)"


def test_kinks_are_run_again_with_more_steps():
    """A ReLU net with 2 steps: the samples above 1 % are rerun at 64, and are better."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32) * 3
    rough = kx.attribute(model, x, "integrated_gradients", n_steps=64)
    rerun = kx.attribute(model, x, "integrated_gradients", n_steps=2)
    np.testing.assert_allclose(np.median(rerun.completeness_error), np.median(rough.completeness_error), atol=0.01)


@pytest.mark.tensorflow  # the switch is TensorFlow's
def test_debugging_functions_eagerly_changes_nothing(net):
    """Under tf.config.run_functions_eagerly(True) the logit is still the logit, and the switch stays as it was."""
    import tensorflow as tf

    model, x = net
    expected = kx.attribute(model, x, "saliency")
    tf.config.run_functions_eagerly(True)
    try:
        found = kx.attribute(model, x, "saliency")
        assert tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)
    assert found.space == "logit"
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)


def test_dropout_that_is_always_on_is_not_moved():
    """A model that draws in inference too: its seed state is put back, so training goes on as without us."""
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dropout(0.5, seed=1)(inputs, training=True)))
    before = [to_numpy(v) for v in model.variables]
    kx.attribute(model, x, "saliency")
    for v, w in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(to_numpy(v), w)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "salience"}, "Did you mean 'saliency'"),
        ({"n_step": 3}, "no option 'n_step'.*n_steps"),
        ({"n_steps": 0}, "positive integer"),
        ({"quadrature": "simpson"}, "midpoint"),
        ({"target": 3}, r"class 3, the output has 3 classes \(0 to 2\)"),
        ({"target": [0, 1]}, r"\(2,\)"),
        ({"baseline": np.zeros(3)}, r"\(3,\).*\(6, 8, 8, 2\)"),
        ({"output": "left"}, "no output 'left'"),
        ({"method": "grad_cam", "layer": "secnd"}, "Did you mean 'second'"),
        ({"method": "grad_cam", "layer": "flatten"}, "needs places"),
    ],
)
def test_bad_input_is_an_error_in_words(cnn, images, arguments, words):
    """What came, what is expected, what to do."""
    if arguments.get("layer") == "flatten":
        arguments = arguments | {"layer": next(layer.name for layer in cnn.layers if "flatten" in layer.name)}
    with pytest.raises(kx.InvalidInput, match=words):
        kx.attribute(cnn, images, **arguments)


def test_samples_of_another_shape_name_both_shapes(cnn):
    """The model's shape and the one that came."""
    with pytest.raises(kx.InvalidInput, match=r"\(9, 9, 2\).*\(8, 8, 2\)"):
        kx.attribute(cnn, np.zeros((2, 9, 9, 2), np.float32))


def test_integers_are_numbers_unless_the_model_takes_tokens(cnn):
    """uint8 images are explained as floats, as `fit` feeds them; text is not, which is said."""
    x = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 2)).astype(np.uint8)
    np.testing.assert_array_equal(
        kx.attribute(cnn, x, "saliency").values, kx.attribute(cnn, x.astype(np.float32), "saliency").values
    )
    with pytest.raises(kx.InvalidInput, match="dtype <U1"):
        kx.attribute(cnn, np.full((3, 8, 8, 2), "a"), "saliency")


def test_every_method_is_in_the_table():
    """Each file of the room that defines a method is listed, under the file's name."""
    room = Path(kx.__file__).parent / "attribution"
    defining = {
        p.stem
        for p in room.glob("*.py")
        if "    def values(self, batch" in p.read_text() or "(LayerMap):" in p.read_text()
    }
    # Of the margin, which the reliance gap is made of, nobody asks by name.
    assert set(METHODS) == defining - {"method", "layer_map", "margin"}
