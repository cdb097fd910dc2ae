"""A small real training."""

import keras
import pytest

from tests.callbacks.small_training import small_data, small_model


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
        keras.utils.set_random_seed(1)  # on PyTorch a global generator shuffles
        return model.fit(*data, epochs=epochs, batch_size=32, verbose=0, callbacks=list(callbacks), **keywords)

    return run
