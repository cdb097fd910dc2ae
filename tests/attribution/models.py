"""Small models: of a table, of images, and one without a graph of layers."""

import keras
import numpy as np

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


def table():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(8, activation="tanh"), layers.Dense(3, activation="softmax")], name="mlp"
    )


def functional():
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 2))
    h = layers.Conv2D(4, 3, activation="softplus", name="first")(x)
    h = layers.Conv2D(5, 3, activation="softplus", name="second")(h)
    return keras.Model(x, layers.Dense(3, activation="softmax")(layers.Flatten()(h)), name="cnn")


def subclassed():
    keras.utils.set_random_seed(2)
    model = Subclassed()
    model(np.zeros((1, 8, 8, 2), np.float32))
    return model


MODELS = {"table": table, "functional": functional, "subclassed": subclassed}
