"""What outputs say: by the head, the loss and the labels, once; every reading that is possible, and every doubt."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx
from keras_xai.errors import InvalidInput
from keras_xai.model.task import Task, classes_of, columns_of, decide, loss_kind, resolve_target

LAYERS = keras.layers
ZERO_ONE = np.array([0, 1, 1, 0])
SIGNS = np.array([-1, 1, 1, -1])
DEGREES = np.array([-7, 3, 12, 0])
ONE = np.array([[0.2], [0.7], [1.4], [-3.0]], np.float32)
THREE = np.array([[0.1, 2.0, -1.0], [3.0, 0.0, 0.0], [-5.0, 0.0, 1.0], [0.0, 0.5, 0.2]], np.float32)
SHARES = np.array([[0.1, 0.7, 0.2], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]], np.float32)
ONE_HOT = np.eye(3)[[0, 2, 1, 0]]
SEVERAL = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])


def own_loss(y, outputs):
    return keras.ops.mean(keras.ops.abs(y - outputs))


def weighted_binary_crossentropy(y, outputs):
    return own_loss(y, outputs)


LOGITS = {"from_logits": True}
TABLE = {
    # head, outputs, loss, y, named -> kind, space, link
    "sigmoid": ("sigmoid", ONE, "binary_crossentropy", ZERO_ONE, "binary", "logit", "sigmoid"),
    "sigmoid without labels": ("sigmoid", ONE, None, None, "binary", "logit", "sigmoid"),
    "sigmoid for a share": ("sigmoid", ONE, "mse", np.array([0.1, 0.4, 0.5, 1]), "number", "raw", ""),
    "one logit": ("", ONE, keras.losses.BinaryCrossentropy(**LOGITS), ZERO_ONE, "binary", "logit", "sigmoid"),
    "one hinge": ("", ONE, "hinge", SIGNS, "binary", "logit", ""),
    "one number": ("", ONE, "mse", DEGREES, "number", "raw", ""),
    "one number of 0 and 1": ("", ONE, "mae", ZERO_ONE, "number", "raw", ""),
    "a count": ("", ONE, "poisson", np.array([3, 1, 0, 8]), "number", "raw", ""),
    "an own loss of floats": ("", ONE, own_loss, ZERO_ONE.astype("f4"), "number", "raw", ""),
    "an own loss of integers": ("", ONE, own_loss, DEGREES, "number", "raw", ""),
    "an own loss of booleans": ("", ONE, own_loss, ZERO_ONE == 1, "binary", "logit", "sigmoid"),
    "an own crossentropy": ("", ONE, weighted_binary_crossentropy, ZERO_ONE, "binary", "probability", "sigmoid"),
    "never compiled, one": ("", ONE, None, DEGREES, "number", "raw", ""),
    "softmax": ("softmax", SHARES, "sparse_categorical_crossentropy", [0, 2, 1, 0], "classes", "logit", "softmax"),
    "softmax with mse": ("softmax", SHARES, "mse", ONE_HOT, "classes", "logit", "softmax"),
    "logits": (
        "",
        THREE,
        keras.losses.SparseCategoricalCrossentropy(**LOGITS),
        [0, 2, 1, 0],
        "classes",
        "logit",
        "softmax",
    ),
    "shares of a custom head": ("", SHARES, "categorical_crossentropy", ONE_HOT, "classes", "probability", "softmax"),
    "categorical hinge": ("", THREE, "categorical_hinge", ONE_HOT, "classes", "logit", ""),
    "several sigmoids": ("sigmoid", SHARES, "binary_crossentropy", SEVERAL, "labels", "logit", "sigmoid"),
    "one of several sigmoids": ("sigmoid", SHARES, "binary_crossentropy", [0, 2, 1, 0], "classes", "logit", "sigmoid"),
    "an autoencoder of pixels": ("sigmoid", SHARES, "mse", SHARES, "numbers", "raw", ""),
    "several numbers": ("", THREE, "mse", THREE, "numbers", "raw", ""),
    "several numbers of 0 and 1": ("", THREE, "huber", SEVERAL, "numbers", "raw", ""),
    "quantiles": ("", THREE, own_loss, None, "numbers", "raw", ""),
    "an own loss of classes": ("", THREE, own_loss, [0, 2, 1, 0], "classes", "logit", "softmax"),
    "an own loss of one-hot rows": ("", THREE, own_loss, ONE_HOT, "classes", "logit", "softmax"),
    "an own loss of labels": ("", THREE, own_loss, SEVERAL, "labels", "logit", "sigmoid"),
    "never compiled": ("", THREE, None, None, "classes", "logit", "softmax"),
    "never compiled, shares": ("", SHARES, None, None, "classes", "probability", "softmax"),
    "never compiled, numbers for labels": ("", THREE, None, THREE, "numbers", "raw", ""),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_task(case):
    """Kind, space and link of each; the width is that of the outputs."""
    head, outputs, loss, y, *expected = TABLE[case]
    task = decide(head, outputs, loss, None if y is None else np.asarray(y), named=False)
    assert [task.kind, task.space, task.link] == expected
    assert task.width == outputs.shape[1]
    assert bool(task.remark) == case.startswith("never compiled") * (task.kind == "classes")


def test_integers_of_one_unit_under_an_own_loss_are_ambiguous():
    """Two classes or numbers: both readings are in the error, names decide."""
    for y in (ZERO_ONE, SIGNS):
        with pytest.raises(InvalidInput, match=r"class_names= for classes .* floats for numbers"):
            decide("", ONE, own_loss, y, named=False)
        assert decide("", ONE, own_loss, y, named=True).kind == "binary"


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        ("mse", "regression"),
        ("mean_squared_error", "regression"),
        (keras.losses.Huber(), "regression"),
        (keras.losses.mean_absolute_error, "regression"),
        (keras.losses.BinaryFocalCrossentropy(), "binary"),
        (keras.losses.CategoricalCrossentropy(name="mine"), "categorical"),
        (keras.losses.SquaredHinge(), "hinge"),
        (keras.losses.CategoricalHinge(), "categorical hinge"),
        (keras.losses.Dice(), "binary"),
        (weighted_binary_crossentropy, "binary"),
        (own_loss, "unknown"),
        (keras.losses.get("sparse_categorical_crossentropy"), "categorical"),
        (None, "none"),
    ],
)
def test_losses_by_what_they_are(loss, kind):
    """Names, classes, functions, a name of the user's own."""
    assert loss_kind(loss) == kind


def test_a_loss_that_comes_down_from_one_of_keras():
    """By its class."""

    class Mine(keras.losses.MeanSquaredError):
        pass

    assert loss_kind(Mine()) == "regression"


BINARY, MARGIN = Task("binary", 1, "logit", "probability", "sigmoid"), Task("binary", 1, "logit", "logit")
CLASSES, NUMBERS = Task("classes", 3, "logit", "logit", "softmax"), Task("numbers", 3, "raw", "raw")
LABELS, NUMBER = Task("labels", 3, "logit", "logit", "sigmoid"), Task("number", 1, "raw", "raw")


def test_true_classes_however_they_are_written():
    """Integers, floats, a column, one-hot rows, signs, booleans."""
    expected = [0, 2, 1, 0]
    for y in (np.array(expected), np.array(expected, "f4"), np.array(expected, "f8")[:, None], ONE_HOT):
        assert classes_of(y, CLASSES).tolist() == expected
    for y, task in ((ZERO_ONE, BINARY), (ZERO_ONE == 1, BINARY), (ZERO_ONE[:, None] * 1.0, BINARY), (SIGNS, MARGIN)):
        assert classes_of(np.asarray(y), task).tolist() == [0, 1, 1, 0]
    assert classes_of(SIGNS * 1.0, MARGIN).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("y", "task", "text"),
    [
        (SIGNS, BINARY, "class -1: classes count from 0. The signs −1 and"),
        (np.array([0, 1, 2, 3]), CLASSES, "holds the class 3, the model's output has 3 classes"),
        (np.array([0, 1, 2, 1]), BINARY, "holds the class 2, the model's output has 2 classes"),
        (np.array([0.5, 1, 0, 1]), CLASSES, "holds 0.5: classes are whole numbers"),
        (np.zeros((4, 5)), CLASSES, r"shape \(4, 5\).*rows of 3 columns"),
        (np.eye(3)[[0, 1, 2, 0]] - 0.5, CLASSES, "holds -0.5: rows of one class each"),
    ],
)
def test_labels_that_do_not_fit(y, task, text):
    """What came, what is expected."""
    with pytest.raises(InvalidInput, match=text):
        classes_of(y, task)


def test_columns_of_labels_and_numbers():
    """(B, K) or (B); signs of a multi-label hinge are 0 and 1."""
    assert columns_of(SEVERAL, LABELS).tolist() == SEVERAL.tolist()
    assert columns_of(2 * SEVERAL - 1, LABELS).tolist() == SEVERAL.tolist()
    assert columns_of(DEGREES, NUMBER).tolist() == DEGREES.tolist()
    with pytest.raises(InvalidInput, match=r"y has shape \(4,\), the model's output has 3 columns"):
        columns_of(DEGREES, NUMBERS)


def test_targets():
    """Numbers, names, "sum"; what the task does not have is refused."""
    assert resolve_target(1, BINARY, 2, None, None).tolist() == [1, 1]
    assert resolve_target([0, 2], CLASSES, 2, None, None).tolist() == [0, 2]
    assert resolve_target("b", CLASSES, 2, None, ("a", "b", "c")).tolist() == [1, 1]
    assert resolve_target("sum", NUMBERS, 2, None, None).tolist() == [-1, -1]
    assert resolve_target(None, CLASSES, 2, np.array([2, 1]), None).tolist() == [2, 1]
    assert resolve_target(None, CLASSES, 2, None, None) is None
    assert resolve_target(None, NUMBER, 2, None, None).tolist() == [0, 0]
    for target, task, text in (
        (2, BINARY, "class 2, the output has 2 classes"),
        (-1, CLASSES, "class -1"),
        (3, NUMBERS, "column 3, the output has 3 columns"),
        (1, NUMBER, "column 1"),
        (1.0, CLASSES, "dtype float64"),
        ("x", CLASSES, "expected a number from 0 to 2"),
        ("sum", CLASSES, "expected a number from 0 to 2"),
        (None, NUMBERS, r'target= \(0 to 2\), or target="sum", or output='),
    ):
        with pytest.raises(InvalidInput, match=text):
            resolve_target(target, task, 2, None, None)
    with pytest.raises(InvalidInput, match=r"target= \(low, middle, high\)"):
        resolve_target(None, NUMBERS, 2, None, ("low", "middle", "high"))


# On a model.


def linear(weights, activation=None, loss=None):
    weights = np.asarray(weights, np.float32)
    model = keras.Sequential([keras.Input((len(weights),)), LAYERS.Dense(weights.shape[1], activation, use_bias=False)])
    model.set_weights([weights])
    if loss:
        model.compile("sgd", loss)
    return model


X = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]], np.float32)
W = np.array([[1.0], [2.0]], np.float32)
METHODS = ("saliency", "input_x_gradient", "integrated_gradients", "deeplift", "occlusion", "kernel_shap")


@pytest.mark.parametrize("method", METHODS)
def test_class_0_of_one_unit_is_the_negative_logit(method):
    """Values, score, baseline score of class 0 are those of class 1 with the other sign; a target of 2 is refused."""
    model = linear(W, "sigmoid", "binary_crossentropy")
    zero, one = (kx.attribute(model, X, method, target=target) for target in (0, 1))
    np.testing.assert_array_equal(zero.score, -one.score)
    np.testing.assert_allclose(one.score, X @ W[:, 0], rtol=1e-6)
    np.testing.assert_allclose(zero.values, -one.values, atol=1e-5)
    assert zero.target.tolist() == [0, 0, 0]
    assert zero.task == "binary"
    with pytest.raises(InvalidInput, match="class 2, the output has 2 classes"):
        kx.attribute(model, X, method, target=2)


def test_one_unit_is_explained_for_the_class_it_predicts_or_the_true_one():
    """Without a target, and with labels."""
    model = linear(W, "sigmoid", "binary_crossentropy")
    predicted = (X @ W[:, 0] > 0).astype(int)
    found = kx.attribute(model, X, "input_x_gradient")
    assert found.target.tolist() == predicted.tolist() == found.prediction.tolist()
    np.testing.assert_allclose(found.values, X * W[:, 0] * (2 * predicted - 1)[:, None], rtol=1e-6)
    labelled = kx.attribute(model, kx.Probe(X, [0, 0, 1]), "input_x_gradient")
    assert labelled.target.tolist() == [0, 0, 1]


def test_a_probability_without_a_logit():
    """Class 0 is 1 − p: score and values in closed form."""
    model = keras.Sequential(
        [keras.Input((2,)), LAYERS.Dense(1, use_bias=False), LAYERS.Lambda(lambda z: 0.5 + 0.1 * z)]
    )
    model.layers[0].set_weights([W])
    model.compile("sgd", "binary_crossentropy")
    found = kx.attribute(model, X, "integrated_gradients", target=0)
    assert found.space == "probability"
    np.testing.assert_allclose(found.score, 0.5 - 0.1 * X @ W[:, 0], rtol=1e-5)
    np.testing.assert_allclose(found.baseline_score, 0.5, rtol=1e-6)
    np.testing.assert_allclose(found.values, -0.1 * X * W[:, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_sum_of_several_numbers(method):
    """Is the sum of what each of them is explained by, for a linear model."""
    weights = np.array([[1.0, 2.0, 0.5], [0.0, 1.0, 3.0]], np.float32)
    model = linear(weights, loss="mse")
    total = kx.attribute(model, X, method, target="sum")
    np.testing.assert_allclose(total.score, (X @ weights).sum(1), rtol=1e-5)
    each = [kx.attribute(model, X, method, target=k).values for k in range(3)]
    np.testing.assert_allclose(total.values, np.sum(each, 0), rtol=1e-3, atol=1e-4)
    assert total.target.tolist() == [-1] * 3
    assert total.task == "numbers"


def test_a_model_that_was_never_compiled_says_how_it_is_read():
    """Several outputs are class logits."""
    found = kx.attribute(linear(np.ones((2, 3))), X, "saliency")
    assert found.task == "classes"
    assert "read as" in found.remark


def test_grad_cam_of_class_0_is_where_its_evidence_is():
    """A mark of class 0 at a corner: its map is there, and not for class 1."""
    x = np.random.default_rng(0).random((8, 16, 16, 1)).astype("float32") * 0.1
    x[:, 10:14, 10:14] += 1
    image = keras.Input((16, 16, 1))
    maps = LAYERS.Conv2D(1, 1, use_bias=False, name="maps")(image)
    said = LAYERS.Dense(1, "sigmoid", name="said")(LAYERS.Flatten()(LAYERS.AveragePooling2D(8)(maps)))
    model = keras.Model(image, said)
    model.get_layer("maps").set_weights([np.ones((1, 1, 1, 1), "float32")])
    model.get_layer("said").set_weights([np.array([[1.0], [0], [0], [-10]], "float32"), np.zeros(1, "float32")])
    found = kx.attribute(model, x, "grad_cam", target=0, layer="maps").values
    assert found.any()
    row, column = np.unravel_index(found[0].argmax(), found[0].shape)
    assert row >= 9
    assert column >= 9
    model.get_layer("said").set_weights([np.array([[10.0], [0], [0], [-10]], "float32"), np.zeros(1, "float32")])
    with pytest.raises(InvalidInput, match=r"grad_cam is zero everywhere.*hires_cam"):
        kx.attribute(model, x, "grad_cam", target=0, layer="maps")
