"""`kx.influence` of a model as it stands: against autodiff of the last layer's weights row by row, and on planted labels."""

import keras
import numpy as np
import pytest

import keras_xai as kx
from tests.frameworks import array, value_and_gradients

R = np.random.default_rng(0)
X = R.normal(size=(6, 4)).astype(np.float32)
CLASSES = R.integers(0, 3, 6)
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
BINARY = (X[:, 0] > 0).astype(np.int32)
NUMBERS = R.normal(size=6).astype(np.float32)
LAYERS, LOSSES = keras.layers, keras.losses


def network(head, loss=None, *behind):
    """A network of one hidden layer and these layers behind it."""
    keras.utils.set_random_seed(1)
    hidden = [LAYERS.Dense(5, "tanh"), LAYERS.Dropout(0.5)]
    model = keras.Sequential([keras.Input((4,)), *hidden, head, *behind])
    model.compile("sgd", loss)
    return model


def row_gradients(model, layer, x, y):
    """The slow twin: the gradient (P,) of each row's loss, as `fit` computes it, by all weights of a layer."""
    rows = []
    for k in range(len(x)):
        batch_x, batch_y = x[k : k + 1], y[k : k + 1]

        def loss(batch_x=batch_x, batch_y=batch_y):
            outputs = model(keras.ops.convert_to_tensor(batch_x), training=False)
            return model.compute_loss(x=batch_x, y=keras.ops.convert_to_tensor(batch_y), y_pred=outputs)

        _, gradients = value_and_gradients(loss, layer.trainable_variables)
        rows.append(np.concatenate([array(gradient).reshape(-1) for gradient in gradients]))
    return np.stack(rows).astype(np.float64)


class Squares(keras.losses.Loss):
    """A loss of the user's own."""

    def call(self, y_true, y_pred):
        return keras.ops.sum(keras.ops.square(y_true - y_pred), axis=-1)


def mean_cube(y_true, y_pred):
    """A function that gives one number for the batch."""
    return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** 3)


CASES = {
    "one sigmoid": (lambda: LAYERS.Dense(1, "sigmoid"), "binary_crossentropy", BINARY),
    "one sigmoid, smoothed": (
        lambda: LAYERS.Dense(1, "sigmoid"),
        LOSSES.BinaryCrossentropy(label_smoothing=0.2),
        BINARY,
    ),
    "one logit": (lambda: LAYERS.Dense(1), LOSSES.BinaryCrossentropy(from_logits=True), BINARY),
    "softmax, integers": (lambda: LAYERS.Dense(3, "softmax"), "sparse_categorical_crossentropy", CLASSES),
    "softmax, one-hot, smoothed": (
        lambda: LAYERS.Dense(3, "softmax"),
        LOSSES.CategoricalCrossentropy(label_smoothing=0.1),
        ONE_HOT,
    ),
    "softmax, by its short name": (lambda: LAYERS.Dense(3, "softmax"), "crossentropy", CLASSES),
    "logits": (lambda: LAYERS.Dense(3), LOSSES.SparseCategoricalCrossentropy(from_logits=True), CLASSES),
    "without bias": (lambda: LAYERS.Dense(3, "softmax", use_bias=False), "categorical_crossentropy", ONE_HOT),
    "labels": (lambda: LAYERS.Dense(3, "sigmoid"), "binary_crossentropy", ONE_HOT),
    "a number": (lambda: LAYERS.Dense(1), "mse", NUMBERS),
    "a number, absolute": (lambda: LAYERS.Dense(1), "mae", NUMBERS),
    "a number, huber": (lambda: LAYERS.Dense(1), LOSSES.Huber(delta=0.3), NUMBERS),
    "numbers": (lambda: LAYERS.Dense(3), "mse", ONE_HOT),
    "a loss of one's own": (lambda: LAYERS.Dense(3), Squares(), ONE_HOT),
    "a loss of the batch": (lambda: LAYERS.Dense(3, "softplus"), mean_cube, ONE_HOT),
}


QUICK = ("one sigmoid", "softmax, integers", "softmax, one-hot, smoothed", "a number, huber", "a loss of the batch")


@pytest.mark.every_backend
@pytest.mark.parametrize("case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.full) for c in CASES])
def test_it_is_the_product_of_the_gradients_of_the_last_layer(case):
    """Every pair of rows: the inner product of their losses' gradients by kernel and bias, to rounding."""
    head, loss, y = CASES[case]
    model = network(head(), loss)
    gradients = row_gradients(model, model.layers[-1], X, y)
    influence = kx.influence(model, X, y, X[:3], y[:3])
    np.testing.assert_allclose(influence.scores, gradients[:3] @ gradients.T, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(influence.lengths, np.linalg.norm(gradients, axis=1), rtol=2e-5, atol=2e-6)
    assert influence.layer == model.layers[-1].name


@pytest.mark.every_backend
def test_layers_without_weights_behind_the_last_one_are_differentiated_through():
    """An activation of its own, or a scale, between the last weights and the loss."""
    model = network(LAYERS.Dense(3), "sparse_categorical_crossentropy", LAYERS.Rescaling(2.0), LAYERS.Softmax())
    head = model.layers[2]
    gradients = row_gradients(model, head, X, CLASSES)
    influence = kx.influence(model, X, CLASSES, X, CLASSES)
    np.testing.assert_allclose(influence.scores, gradients @ gradients.T, rtol=2e-5, atol=2e-6)
    assert influence.layer == head.name


@pytest.mark.every_backend
def test_weights_of_rows_scale_their_influence():
    """`sample_weight` multiplies a training row's loss, and with it its gradient."""
    model = network(LAYERS.Dense(1, "sigmoid"), "binary_crossentropy")
    weights = np.linspace(0, 2, 6)
    plain = kx.influence(model, X, BINARY, X[:2], BINARY[:2])
    weighted = kx.influence(model, X, BINARY, X[:2], BINARY[:2], sample_weight=weights)
    np.testing.assert_allclose(weighted.scores, plain.scores * weights, rtol=1e-5)


@pytest.mark.every_backend
def test_one_of_several_outputs_is_asked_with_its_own_loss_and_labels():
    """The last layer of the output that is named, and of no other; labels in a dict, as `fit` takes them."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((4,))
    hidden = LAYERS.Dense(5, "tanh")(inputs)
    kind, size = LAYERS.Dense(3, "softmax", name="kind")(hidden), LAYERS.Dense(1, name="size")(hidden)
    model = keras.Model(inputs, {"kind": kind, "size": size})
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    y = {"kind": CLASSES, "size": NUMBERS}
    alone = keras.Model(inputs, size)
    alone.compile("sgd", "mse")
    gradients = row_gradients(alone, model.get_layer("size"), X, NUMBERS)
    influence = kx.influence(model, X, y, X, y, output="size")
    np.testing.assert_allclose(influence.scores, gradients @ gradients.T, rtol=2e-5, atol=2e-6)
    assert influence.layer == "size"
    with pytest.raises(kx.InvalidInput, match="output="):
        kx.influence(model, X, y, X, y)


@pytest.mark.every_backend
def test_a_subclassed_model_is_read_as_it_runs_and_left_as_it_was():
    """No graph is needed; neither weights, nor the layer's activation, nor its seed differ afterwards."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.drop, self.head = LAYERS.Dense(5, "tanh"), LAYERS.Dropout(0.5), LAYERS.Dense(3, "softmax")

        def call(self, x, training=False):
            return self.head(self.drop(self.hidden(x), training=training))

    keras.utils.set_random_seed(3)
    model = Own()
    model(X)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before, activation, members = model.get_weights(), model.head.activation, sorted(vars(model.head))
    gradients = row_gradients(model, model.head, X, CLASSES)
    influence = kx.influence(model, X, CLASSES, X, CLASSES)
    np.testing.assert_allclose(influence.scores, gradients @ gradients.T, rtol=2e-5, atol=2e-6)
    assert all(map(np.array_equal, before, model.get_weights()))
    assert model.head.activation is activation
    assert sorted(vars(model.head)) == members


@pytest.mark.every_backend
def test_a_duplicate_with_the_wrong_label_is_the_first_opponent():
    """A row, its copy with its own label and its copy with the other: the first proponent and the first opponent."""
    x, y = R.normal(size=(200, 4)).astype(np.float32), None
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int32)
    model = network(LAYERS.Dense(1, "sigmoid"), "binary_crossentropy")
    model.optimizer.learning_rate = 0.1
    row = int(np.argmin(np.abs(x[:, 0] + x[:, 1] - 1)))
    x_train, y_train = np.concatenate([x, x[[row]]]), np.concatenate([y, 1 - y[[row]]])
    model.fit(x_train, y_train, epochs=3, verbose=0)
    influence = kx.influence(model, x_train, y_train, x[[row]], y[[row]])
    assert influence.opponents.indices[0] == 200
    np.testing.assert_allclose(
        influence.opponents.scores[0], influence.scores[0, 200] / influence.lengths[200], rtol=1e-5
    )
    assert "opponents 200 (" in repr(influence)


def test_the_ranking_of_several_rows_is_that_of_their_summed_loss():
    """One row's is `influence[row]`; proponents are above 0, opponents below, zeros and NaN neither."""
    from keras_xai.tracin.result import Influence

    influence = Influence(np.array([[3.0, -2.0, 0.0, np.nan], [-4.0, -2.0, 0.0, 1.0]], "float32"), "head", "mse")
    assert (influence.proponents.indices.tolist(), influence.opponents.indices.tolist()) == ([], [1, 0])
    assert influence[0].top(2).proponents.indices.tolist() == [0]
    assert influence[1].opponents.top(1).scores.tolist() == [-4.0]
    with pytest.raises(kx.InvalidInput, match="k=0"):
        influence.top(0)
    with pytest.raises(IndexError, match="2 rows"):
        influence[2]


def test_rows_are_ranked_relative_to_the_length_of_their_gradients_or_by_the_score():
    """The order of the cosine of one row; the product where it is asked for; a gradient of 0 is on neither side."""
    model = network(LAYERS.Dense(1, "sigmoid"), "binary_crossentropy")
    gradients = row_gradients(model, model.layers[-1], X, BINARY)
    products = gradients @ gradients[0]
    with np.errstate(invalid="ignore"):
        cosines = products / np.linalg.norm(gradients, axis=1)
    relative = kx.influence(model, X, BINARY, X[:1], BINARY[:1], sample_weight=[1, 1, 1, 1, 1, 0])
    ranked = [*relative.proponents.indices, *relative.opponents.indices[::-1]]
    assert ranked == [row for row in np.argsort(-cosines) if row != 5]
    plain = kx.influence(model, X, BINARY, X[:1], BINARY[:1], by="score")
    assert [*plain.proponents.indices, *plain.opponents.indices[::-1]] == np.argsort(-products).tolist()


def test_a_probe_brings_its_labels():
    """Rows and labels of a `Probe`; strings among its labels are its class names."""
    model = network(LAYERS.Dense(1, "sigmoid"), "binary_crossentropy")
    probe = kx.Probe(X, np.array(["no", "yes"])[BINARY])
    influence = kx.influence(model, probe, None, kx.Probe(X[:2], BINARY[:2]))
    np.testing.assert_array_equal(influence.scores, kx.influence(model, X, BINARY, X[:2], BINARY[:2]).scores)


REFUSED = {
    "the last layer with weights is 'own_scale'": lambda: kx.influence(
        network(LAYERS.Dense(1), "mse", LAYERS.BatchNormalization(name="own_scale")), X, NUMBERS, X, NUMBERS
    ),
    "compile it with the loss": lambda: kx.influence(network(LAYERS.Dense(1)), X, NUMBERS, X, NUMBERS),
    "y_train is missing": lambda: kx.influence(network(LAYERS.Dense(1), "mse"), X, None, X, NUMBERS),
    "y has shape \\(3,\\)": lambda: kx.influence(network(LAYERS.Dense(1), "mse"), X, NUMBERS, X, NUMBERS[:3]),
    "y_train holds the words": lambda: kx.influence(
        network(LAYERS.Dense(1, "sigmoid"), "binary_crossentropy"), X, ["a", "b"] * 3, X, BINARY
    ),
    "no ranking 'cosine'": lambda: kx.influence(network(LAYERS.Dense(1), "mse"), X, NUMBERS, X, NUMBERS, by="cosine"),
    "sample_weight": lambda: kx.influence(
        network(LAYERS.Dense(1), "mse"), X, NUMBERS, X, NUMBERS, sample_weight=[1.0, 2.0]
    ),
    "expected a Keras model": lambda: kx.influence("logs", X, NUMBERS, X, NUMBERS),
    "training rows, and rows to explain": lambda: kx.influence(network(LAYERS.Dense(1), "mse"), X, NUMBERS),
    "no layer 'heat'": lambda: kx.influence(network(LAYERS.Dense(1), "mse"), X, NUMBERS, X, NUMBERS, layer="heat"),
    "its output has 3 axes": lambda: kx.influence(
        network(LAYERS.RepeatVector(2), "mse", LAYERS.Dense(1), LAYERS.Flatten()), X, ONE_HOT[:, :2], X, ONE_HOT[:, :2]
    ),
    "NaN or infinite": lambda: kx.influence(network(LAYERS.Dense(1), "mse"), X, NUMBERS * np.nan, X, NUMBERS),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_asked_is_refused_in_words(message):
    """What came, what is expected and what to do."""
    with pytest.raises(kx.InvalidInput, match=f"(?i){message}"):
        REFUSED[message]()
