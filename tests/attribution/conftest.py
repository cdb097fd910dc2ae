"""Models that are built once for all the tests of a worker."""

import keras
import numpy as np
import pytest

layers = keras.layers


class Subclassed(keras.Model):
    """A model without a graph of layers."""

    def __init__(self):
        super().__init__(name="subclassed")
        self.conv = layers.Conv2D(4, 3, activation="softplus", name="conv")
        self.pool = layers.GlobalAveragePooling2D()
        self.out = layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.out(self.pool(self.conv(x)))


def _table():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(8, activation="tanh"), layers.Dense(3, activation="softmax")], name="mlp"
    )


def _functional():
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 2))
    h = layers.Conv2D(4, 3, activation="softplus", name="first")(x)
    h = layers.Conv2D(5, 3, activation="softplus", name="second")(h)
    return keras.Model(x, layers.Dense(3, activation="softmax")(layers.Flatten()(h)), name="cnn")


def _subclassed():
    keras.utils.set_random_seed(2)
    model = Subclassed()
    model(np.zeros((1, 8, 8, 2), np.float32))
    return model


MODELS = {"table": _table, "functional": _functional, "subclassed": _subclassed}


@pytest.fixture(scope="session", params=MODELS)
def case(request):
    """(model, x): a built model and six samples."""
    model = MODELS[request.param]()
    shape = (6, 5) if request.param == "table" else (6, 8, 8, 2)
    return model, np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="session")
def cnn():
    return _functional()


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(1).normal(size=(6, 8, 8, 2)).astype(np.float32)
