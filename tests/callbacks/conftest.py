"""A small real training."""

import keras
import numpy as np
import pytest


def small_model(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, activation="relu"), keras.layers.Dropout(0.1), keras.layers.Dense(3)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def small_data() -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(0)
    x = r.normal(size=(96, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 0)


@pytest.fixture
def model():
    return small_model()


@pytest.fixture(scope="session")
def data():
    return small_data()


@pytest.fixture
def fit(data):
    """`fit(model, *callbacks, epochs=3)` on the small data."""

    def run(model, *callbacks, epochs=3, **keywords):
        return model.fit(*data, epochs=epochs, batch_size=32, verbose=0, callbacks=list(callbacks), **keywords)

    return run
