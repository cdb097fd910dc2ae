"""Contributions to the margin: against closed forms and finite differences, for every kind of task, by gradient and exchange."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.attribution import METHODS
from keras_xai.attribution.explainer import ProbeExplainer
from keras_xai.attribution.margin import MarginExplainer
from keras_xai.attribution.method import make_method

pytestmark = pytest.mark.every_backend

R = np.random.default_rng(0)
X = (R.normal(size=(40, 4)) + 3).astype(np.float32)
K = 3
CLASSES = R.integers(0, K, 40)
LABELS = R.integers(0, 2, (40, K))


def linear(units, activation=None, loss="mse"):
    """A linear model with an output, and its kernel."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    model.set_weights([R.normal(size=(4, units)).astype(np.float32), R.normal(size=units).astype(np.float32)])
    model.compile("sgd", loss)
    return model


def margins(model, y, by_exchange=False, **keywords):
    explainer = ProbeExplainer(model, kx.Probe(X, y, **keywords), {"saliency": make_method("saliency", {}, METHODS)})
    return MarginExplainer(model, explainer, by_exchange=by_exchange)


def contributions(*arguments, **keywords):
    margin = margins(*arguments, **keywords)
    return margin.contributions(margin.probe)


def logits(model):
    kernel, bias = model.get_weights()
    return X.astype(np.float64) @ kernel + bias


CENTRED = X.astype(np.float64) - X.mean(0, dtype=np.float64)


def of_classes(model, y):
    """(x − x̄) times the kernel of the true class less the mean kernel of the others, weighted by what the model gives them."""
    kernel, z = model.get_weights()[0], logits(model)
    others = np.where(np.eye(K)[y] > 0, -np.inf, z)
    weight = np.exp(others - others.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    return CENTRED * (kernel.T[y] - weight @ kernel.T)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("softmax", "sparse_categorical_crossentropy"),
        (None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (None, "categorical_hinge"),
    ],
)
def test_classes(activation, loss):
    """z of the true class less the log-sum of the others: probabilities and logits give the same."""
    model = linear(K, activation, loss)
    y = np.eye(K)[CLASSES] if loss == "categorical_hinge" else CLASSES
    np.testing.assert_allclose(contributions(model, y), of_classes(model, CLASSES), rtol=2e-4, atol=2e-4)


def test_classes_where_nothing_but_probabilities_is_there():
    """As of the mean of two nets: log p less the log of the others' sum is the margin of the logits behind."""
    inner = linear(K)
    x = keras.Input((4,))
    z = inner(x)
    both = keras.ops.softmax(z), keras.ops.softmax(z)
    model = keras.Model(x, (both[0] + both[1]) / 2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert margins(model, CLASSES).task.space == "probability"
    np.testing.assert_allclose(contributions(model, CLASSES), of_classes(inner, CLASSES), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("activation", "loss", "signs"), [("sigmoid", "binary_crossentropy", False), (None, "hinge", True)]
)
def test_one_unit(activation, loss, signs):
    """The logit, with the sign of the class."""
    model, y = linear(1, activation, loss), CLASSES > 0
    sign = np.where(y, 1, -1)[:, None]
    labels = sign[:, 0] if signs else y.astype(int)
    expected = CENTRED * model.get_weights()[0].T * sign
    np.testing.assert_allclose(contributions(model, labels), expected, rtol=1e-4, atol=1e-4)


def test_several_labels():
    """The sum of all logits, each with the sign of its label; rows are compared within combinations of labels."""
    model = linear(K, "sigmoid", "binary_crossentropy")
    expected = CENTRED * ((2 * LABELS - 1) @ model.get_weights()[0].T)
    np.testing.assert_allclose(contributions(model, LABELS), expected, rtol=1e-4, atol=1e-4)
    margin = margins(model, LABELS)
    strata = margin.strata(margin.probe)
    same = (LABELS[:, None] == LABELS[None]).all(2)
    np.testing.assert_array_equal(strata[:, None] == strata[None], same)


@pytest.mark.parametrize("target", [None, 1, "sum"])
def test_numbers(target):
    """The number that is explained, or the sum; the direction is the caller's."""
    width = 1 if target is None else K
    model, y = linear(width), R.normal(size=(40, width)).astype(np.float32)
    margin = margins(model, y, target=target)
    kernel = model.get_weights()[0]
    column, truth = (kernel.sum(1), y.sum(1)) if target == "sum" else (kernel[:, target or 0], y[:, target or 0])
    np.testing.assert_allclose(margin.contributions(margin.probe), CENTRED * column, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(margin.target(margin.probe), truth, rtol=1e-6)
    assert set(margin.strata(margin.probe)) == {0}


def test_by_exchange():
    """The margin less that with the column of another row of the probe, one column at a time."""
    model = linear(1, "sigmoid", "binary_crossentropy")
    y = (CLASSES > 0).astype(int)
    donors = np.random.default_rng(0).permutation(40)
    expected = (X - X[donors]) * model.get_weights()[0].T * np.where(y, 1, -1)[:, None]
    np.testing.assert_allclose(contributions(model, y, by_exchange=True), expected, rtol=1e-4, atol=1e-4)


def test_other_rows_are_compared_with_the_probe():
    """Training rows have the probe's mean row as their reference, not their own."""
    model = linear(1, "sigmoid", "binary_crossentropy")
    margin = margins(model, (CLASSES > 0).astype(int))
    rows = kx.Probe(X + 2, np.ones(40, int))
    expected = (CENTRED + 2) * model.get_weights()[0].T
    np.testing.assert_allclose(margin.contributions(rows), expected, rtol=1e-4, atol=1e-4)


def test_tokens_are_compared_with_the_mean_embedding():
    """Of all tokens of the probe; a word's contribution is the sum over its places."""
    tokens = R.integers(1, 9, (40, 5))
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), keras.layers.Embedding(9, 3), keras.layers.GlobalAveragePooling1D()]
        + [keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile("sgd", "binary_crossentropy")
    table, kernel = R.normal(size=(9, 3)).astype(np.float32), R.normal(size=(3, 1)).astype(np.float32)
    model.set_weights([table, kernel, np.zeros(1, np.float32)])
    y = (CLASSES > 0).astype(int)
    probe = kx.Probe(tokens, y, kind="tokens")
    margin = MarginExplainer(
        model, ProbeExplainer(model, probe, {"saliency": make_method("saliency", {}, METHODS)}), by_exchange=False
    )
    each = (table[tokens] - table[tokens].mean((0, 1))) @ kernel[:, 0] / 5 * np.where(y, 1, -1)[:, None]
    expected = np.stack([np.where(tokens == token, each, 0).sum(1) for token in range(1, 9)], 1)
    np.testing.assert_allclose(margin.contributions(margin.probe)[:, :8], expected, rtol=1e-4, atol=1e-5)
