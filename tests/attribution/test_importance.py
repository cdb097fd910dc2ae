"""Permutation importance beside its definition: every kind of input and of loss."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_xai as kx

R = 3


def twin(model, probe, seed=0):
    """Breiman's definition, one copy at a time: numpy shuffles, and Keras says its loss of all rows at once."""
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(probe.size) for _ in range(R)]

    def lost(inputs):
        return model.test_on_batch(inputs if len(inputs) > 1 else inputs[0], probe.y)

    x = [np.asarray(a) for a in probe.inputs]
    shuffled = []
    for feature in range(len(probe.feature_map.entry_names)):
        masks = [part == feature for part in probe.feature_map.parts()]
        shuffled.append(
            [lost([np.where(m[None], a[order], a) for a, m in zip(x, masks, strict=True)]) for order in orders]
        )
    return np.mean(shuffled, 1) - lost(x)


def drawn(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def a_table():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    model.compile(loss=keras.losses.MeanSquaredError(reduction="sum"))
    return model, kx.Probe(drawn(20, 4), drawn(20), groups={"first": [0, 2]})


def more_rows_than_a_pass_holds():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    model.compile(loss="sparse_categorical_crossentropy")
    return model, kx.Probe(drawn(1030, 3), np.arange(1030) % 2)


def a_picture():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2, "softmax")]
    )
    model.compile(loss="categorical_crossentropy")
    return model, kx.Probe(drawn(70, 6, 6, 1), np.eye(2, dtype=np.float32)[np.arange(70) % 2])


def two_inputs():
    layers = keras.layers
    a, b = keras.Input((2,)), keras.Input((3,))
    model = keras.Model([a, b], layers.Dense(1, "sigmoid")(layers.Concatenate()([a, b])))
    model.compile(loss="binary_crossentropy")
    return model, kx.Probe([drawn(16, 2), drawn(16, 3)], np.arange(16) % 2)


def tokens():
    layers = keras.layers
    stack = [layers.Embedding(9, 4, mask_zero=True), layers.GlobalAveragePooling1D(), layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((5,), dtype="int32"), *stack])
    model.compile(loss="sparse_categorical_crossentropy")
    return model, kx.Probe(np.random.default_rng(0).integers(0, 9, (12, 5)), np.arange(12) % 2, kind="tokens")


def with_loss(loss, units=1, activation="sigmoid"):
    def case():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation)])
        model.compile(loss=loss)
        y = np.arange(24) % 2
        return model, kx.Probe(drawn(24, 3), y if units == 1 else np.eye(2, dtype=np.float32)[y])

    return case


def correlation(y, outputs):
    """A loss of the user's that ties the rows together."""
    ops = keras.ops
    y, outputs = ops.reshape(ops.cast(y, "float32"), (-1,)), ops.reshape(outputs, (-1,))
    y, outputs = y - ops.mean(y), outputs - ops.mean(outputs)
    return -ops.sum(y * outputs) / ops.sqrt(ops.sum(y**2) * ops.sum(outputs**2))


LOSSES = {
    "an object for one unit": with_loss(keras.losses.BinaryCrossentropy()),
    "hinge": with_loss("hinge", activation=None),
    "huber": with_loss("huber"),
    "Keras' own that ties rows together": with_loss(keras.losses.Dice(), units=2),
    "the user's that ties rows together": with_loss(correlation),
    "from logits": with_loss(keras.losses.CategoricalCrossentropy(from_logits=True), units=2, activation=None),
}


@pytest.mark.parametrize(
    "case", [a_table, more_rows_than_a_pass_holds, a_picture, two_inputs, tokens, *LOSSES.values()]
)
def test_permutation_is_what_its_definition_says(case):
    """Groups, chunks, cells, several inputs and integers; losses that are functions, objects, means and sums."""
    keras.utils.set_random_seed(0)
    model, probe = case()
    names, values = kx.importance(model, probe, "permutation", n_repeats=R)
    expected = twin(model, probe)
    assert len(names) == len(expected) > 1
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(values, expected, atol=2e-6 * max(1, probe.size / 100), rtol=1e-4)


def test_permutation_reads_the_weights_and_the_loss_of_now():
    """Nothing is kept from call to call: another weight, another loss, another layer's function are seen at once."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(loss="mse")
    probe = kx.Probe(drawn(20, 2), drawn(20))
    kx.importance(model, probe, "permutation", n_repeats=R)
    model.set_weights([np.array([[3.0], [0.0]], np.float32)])
    model.compile(loss="mae")
    model.layers[-1].activation = keras.activations.tanh
    _, values = kx.importance(model, probe, "permutation", n_repeats=R)
    np.testing.assert_allclose(values, twin(model, probe), atol=1e-6)
    assert values[1] == 0.0


def test_a_dropout_that_is_always_on_draws_alike_for_every_copy():
    """A column without weight makes no difference, and the dropout's own generator stays where it was."""

    class Always(keras.layers.Dropout):
        def call(self, inputs, training=False):
            return super().call(inputs, training=True)

    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(Always(0.5, seed=1)(inputs)))
    model.set_weights([w if w.shape != (2, 1) else np.array([[2.0], [0.0]], np.float32) for w in model.get_weights()])
    model.compile(loss="mse")
    before = [keras.ops.convert_to_numpy(v).copy() for v in model.variables]
    x = drawn(30, 2)
    _, values = kx.importance(model, (x, 2 * x[:, 0]), "permutation")
    assert values[0] > 0
    assert values[1] == 0.0
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
