"""The rule on the untrained model, and the activations that it reads."""

import keras
import numpy as np
import pytest

from keras_xai.probe import Probe
from keras_xai.training_checks.activation_reader import ActivationReader
from keras_xai.training_checks.activations import dead_units, saturated_activations
from keras_xai.training_checks.initialisation import initial_loss, poor_initialisation
from keras_xai.training_checks.thresholds import THRESHOLDS

X = np.random.default_rng(0).normal(size=(70, 5)).astype("float32")
Y = (X[:, 0] > 0).astype(np.int64)
PROBE = Probe(X, Y)
layers = keras.layers


def network(*hidden, units=3, **keywords):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), *hidden, layers.Dense(units, **keywords)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def judged(model):
    reader = ActivationReader(model, PROBE)
    reading = reader.read()
    return poor_initialisation(reading, reader.task, Y, THRESHOLDS)


@pytest.mark.every_backend
def test_figures_of_layers_are_those_of_their_outputs():
    """Saturated share, dead units and standard deviation against the layers' own outputs, over two chunks of rows."""
    hidden = [layers.Dense(40, "tanh", kernel_initializer="normal", name="a"), layers.Dense(6, "relu", name="b")]
    hidden[0].kernel_initializer.stddev = 3.0
    model = network(*hidden, layers.Dropout(0.5))
    reader = ActivationReader(model, PROBE)
    reader._runner.chunk = 48
    first, second = [layer for layer in reader.read().layers if layer.name in "ab"]
    a = keras.ops.convert_to_numpy(hidden[0](X))
    b = keras.ops.convert_to_numpy(hidden[1](a))
    assert (first.function, second.function) == ("tanh", "relu")
    assert first.saturated == pytest.approx((np.abs(a) > 0.99).mean(), abs=1e-6)
    assert second.dead == pytest.approx((np.abs(b).max(0) == 0).mean())
    assert first.std == pytest.approx(a.std(), rel=1e-4)
    assert np.isnan(first.dead)
    assert np.isnan(second.saturated)


@pytest.mark.every_backend
def test_reading_changes_nothing():
    """Weights, seeds of dropout and statistics of a batch normalisation are as before."""
    model = network(layers.Dense(6, "relu"), layers.BatchNormalization(), layers.Dropout(0.5))
    before = [keras.ops.convert_to_numpy(variable) for variable in model.variables]
    ActivationReader(model, PROBE).read()
    for earlier, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(earlier, keras.ops.convert_to_numpy(variable))


@pytest.mark.parametrize(
    "hidden",  # makes the layers: their names are those of the test's own session
    [
        lambda: [layers.Dense(16, "relu", kernel_initializer="he_normal") for _ in range(12)],
        lambda: [layers.Dense(16, "tanh") for _ in range(6)],
        lambda: [layers.Dense(16, "sigmoid") for _ in range(3)],
        lambda: [
            layers.Dense(16, kernel_initializer="he_normal"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.5),
        ],
    ],
)
def test_usual_initialisers_are_not_flagged(hidden):
    """Deep ReLU with He's, tanh and sigmoid with Glorot's, batch normalisation."""
    assert judged(network(*hidden())) == []


def test_a_last_layer_of_zeros_is_not_flagged():
    """It trains: its gradient is not zero."""
    assert judged(network(layers.Dense(8, "relu"), kernel_initializer="zeros")) == []


@pytest.mark.parametrize(
    ("hidden", "words"),
    [
        (
            lambda: [layers.Dense(16, "tanh", kernel_initializer=keras.initializers.RandomNormal(0, 30))],
            "within 0.01 of a bound",
        ),
        (
            lambda: [layers.Dense(16, "relu", bias_initializer=keras.initializers.Constant(-99))],
            "are zero for every row",
        ),
        (lambda: [layers.Dense(16, kernel_initializer="zeros")], "gives the same for every row"),
        (
            lambda: [
                layers.Dense(16, "tanh", kernel_initializer=keras.initializers.RandomNormal(0, 1e-2)) for _ in range(5)
            ],
            "the signal dies out",
        ),
        (
            lambda: [layers.Dense(16, kernel_initializer=keras.initializers.RandomNormal(0, 5)) for _ in range(5)],
            "the signal explodes",
        ),
    ],
    ids=["saturated", "dead", "constant", "dies", "explodes"],
)
def test_each_fault_is_named(hidden, words):
    """At the layer that shows it."""
    findings = judged(network(*hidden()))
    assert any(words in finding.sentence for finding in findings), findings
    assert {finding.kind for finding in findings} == {"poor initialisation"}


def test_the_initial_loss_is_that_of_keras():
    """Cross-entropy of logits and of probabilities, of several classes and of one sigmoid."""
    for units, activation in ((3, None), (3, "softmax"), (1, "sigmoid"), (1, None)):
        model = network(layers.Dense(4), units=units, activation=activation)
        losses = keras.losses
        loss = losses.SparseCategoricalCrossentropy if units > 1 else losses.BinaryCrossentropy
        model.compile("sgd", loss(from_logits=activation is None))
        reader = ActivationReader(model, PROBE)
        outputs = reader.read().outputs
        value, chance = initial_loss(outputs, reader.task, Y)
        assert value == pytest.approx(float(model.loss(Y[:, None] * 1.0, outputs)), rel=1e-3)
        assert chance == pytest.approx(np.log(max(units, 2)))


def test_a_loss_far_above_guessing_is_flagged():
    """Inputs a thousand times as large."""
    model = network(layers.Dense(16, "relu"))
    reader = ActivationReader(model, Probe(1000 * X, Y))
    (finding,) = poor_initialisation(reader.read(), reader.task, Y, THRESHOLDS)
    assert finding.name == "model"
    assert "guessing has 1.1" in finding.sentence


def test_layers_that_stand_at_a_bound_or_are_dead():
    """More than 90 %: not the softmax of an attention, not the final sigmoid, which is sure in the end."""
    hot = keras.initializers.RandomNormal(0, 99)
    model = network(layers.Dense(8, "sigmoid", name="gate", kernel_initializer=hot), units=1, activation="sigmoid")
    model.layers[-1].set_weights([99.0 * np.ones((8, 1)), np.zeros(1)])
    model.compile("sgd", "binary_crossentropy")
    reading = ActivationReader(model, PROBE).read()
    (finding,) = saturated_activations(reading.layers, THRESHOLDS)
    assert finding.name == "gate"
    assert dead_units(reading.layers, THRESHOLDS) == []
