"""The laws that every attribution method obeys."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.engine import Engine
from keras_xai.attribution.method import named

ON_INPUT = [name for name, method in METHODS.items() if method.on_input]
COMPLETE = [name for name, method in METHODS.items() if method.complete]


def fits(method, model):
    return METHODS[method].on_input or model.name != "mlp"


@pytest.mark.parametrize("method", METHODS)
def test_shape_and_dtype(method, case):
    """float32, one value an input, or a map (B, h, w); a target, a score, a prediction a sample."""
    model, x = case
    if not fits(method, model):
        with pytest.raises(kx.InvalidInput, match="spatial"):
            kx.attribute(model, x, method)
        return
    a = kx.attribute(model, x, method)
    assert a.values.dtype == np.float32
    assert a.values.shape == x.shape if METHODS[method].on_input else (a.values.ndim, len(a.values)) == (3, len(x))
    assert np.isfinite(a.values).all()
    outputs = np.asarray(model(x, training=False))
    np.testing.assert_array_equal(a.target, outputs.argmax(1))
    np.testing.assert_array_equal(a.prediction, outputs.argmax(1))
    np.testing.assert_allclose(a.outputs, outputs, rtol=1e-5)
    assert a.space == "logit"


@pytest.mark.parametrize("method", METHODS)
def test_a_samples_map_is_the_same_alone_and_in_a_batch(method, case):
    """Neighbours in a batch, and the size of a chunk, do not matter."""
    model, x = case
    if not fits(method, model):
        return
    whole = kx.attribute(model, x, method, target=1).values
    for b in (0, 3):
        np.testing.assert_allclose(
            kx.attribute(model, x[b : b + 1], method, target=1).values[0], whole[b], atol=2e-6, rtol=1e-4
        )
    engine = Engine(model, {method: named(method, {}, METHODS)}, x, chunk=4)
    small = engine([x], [np.zeros_like(x)], np.ones(len(x), np.int64))[method].values
    np.testing.assert_allclose(small, whole, atol=2e-6, rtol=1e-4)
    assert engine.traces == 1


@pytest.mark.parametrize("method", METHODS)
def test_two_compilers_agree(method, case):
    """TensorFlow's own executor and XLA give the same map."""
    model, x = case
    if not fits(method, model):
        return
    target = np.full(len(x), 2)
    plain, xla = (
        Engine(model, {method: named(method, {}, METHODS)}, x, jit=jit)([x], [np.zeros_like(x)], target)[method].values
        for jit in (False, True)
    )
    np.testing.assert_allclose(xla, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_explaining_leaves_no_trace(method, case):
    """Weights, global generators and the layers' own attributes are as before."""
    model, x = case
    before = [v.numpy().copy() for v in model.variables]
    attributes = {id(layer): set(vars(layer)) for layer in model._flatten_layers()}
    keras.utils.set_random_seed(3)
    drawn = np.random.random()
    keras.utils.set_random_seed(3)
    if fits(method, model):
        kx.attribute(model, x, method)
    assert np.random.random() == drawn
    for v, w in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), w)
    assert {id(layer): set(vars(layer)) for layer in model._flatten_layers()} == attributes


@pytest.mark.parametrize("method", ON_INPUT)
def test_zero_on_inputs_the_model_does_not_use(method):
    """A column with zero weights gets nothing."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(2)])
    kernel = model.layers[0].kernel.numpy()
    kernel[2] = 0
    model.layers[0].kernel.assign(kernel)
    values = kx.attribute(model, np.random.default_rng(0).normal(size=(5, 4)), method).values
    assert (values[:, 2] == 0).all()
    assert (values[:, [0, 1, 3]] != 0).any()


@pytest.mark.parametrize("method", ON_INPUT)
def test_exact_on_a_linear_model(method):
    """score = w·x: the gradient is w, a contribution is w·x."""
    w = np.array([1.0, -2.0, 0.5], np.float32)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([w[:, None]])
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = np.tile(w, (5, 1)) if method == "saliency" else w * x
    np.testing.assert_allclose(kx.attribute(model, x, method).values, expected, rtol=1e-5)


@pytest.mark.parametrize("method", COMPLETE)
def test_completeness(method, case):
    """The values sum to score − baseline score, as far as the recorded error says."""
    model, x = case
    a = kx.attribute(model, x, method, target=0)
    total = a.values.reshape(len(x), -1).sum(1, dtype=np.float64)
    difference = a.score.astype(np.float64) - a.baseline_score
    np.testing.assert_allclose(
        a.completeness_error, np.abs(total - difference) / np.abs(difference), rtol=1e-3, atol=1e-6
    )
    assert a.completeness_error.max() < 1e-3  # smooth nets


@pytest.mark.parametrize("method", METHODS)
def test_docstrings_say_what_a_reader_needs(method):
    """Formula, paper, cost, an example."""
    text = METHODS[method].__doc__
    assert "arXiv" in text
    assert "Cost:" in text
    assert "values =" in text
    assert f'method="{method}"' in text
