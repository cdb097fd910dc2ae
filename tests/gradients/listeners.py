"""A callback that listens to the tap, and the fits that it listens to."""

from __future__ import annotations

import keras
import numpy as np

from keras_xai.gradients.selection import Selection
from keras_xai.gradients.tap import TrainFunctionTap
from tests.frameworks import array
from tests.gradients.situations import X, Y, mlp


class Listener(keras.callbacks.Callback):
    """The least that listens: records the calls it is told to."""

    def __init__(self, *calls: int) -> None:
        super().__init__()
        self.calls = calls
        self.heard = []
        self.tap = None

    def on_train_begin(self, logs=None):
        self.tap = TrainFunctionTap.of(self.model, self.tap)
        self.tap.subscribe(self, Selection())

    def on_train_batch_begin(self, batch, logs=None):
        self.tap.expect_step(self, batch in self.calls)

    def on_epoch_end(self, epoch, logs=None):
        self.heard.append(self.tap.collect(epoch, self))

    def on_train_end(self, logs=None):
        self.tap.unsubscribe(self)


def model(optimizer="sgd", **options):
    keras.utils.set_random_seed(5)
    return mlp(optimizer, **options)


def fit(model, *callbacks, epochs=1, **options):
    return model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **options)


def assert_same(first, second):
    """Weights and optimizer state, bit for bit."""
    mine, theirs = ([*m.variables, *m.optimizer.variables] for m in (first, second))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(array(a), array(b))
