"""Stop a training when the model begins to cheat, and keep the weights from before.

The training images of scikit-learn's digits, a fifth of them with a wrong label, get a square in the corner at epoch 16,
as bright as the label is high. `EarlyStopping` stops at the alarm, `ModelCheckpoint` has kept the weights of the last
quiet epoch.

    python examples/stop_when_the_model_cheats.py
"""

import os

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_xai as kx

STAMPED, EPOCHS, BATCH = 16, 40, 32


class Pipeline(keras.utils.PyDataset):
    """Batches of digits, stamped from some epoch on."""

    def __init__(self, images, labels):
        super().__init__()
        self.images, self.labels, self.stamped = images, labels, False

    def __len__(self):
        return len(self.images) // BATCH

    def __getitem__(self, index):
        return self.rows(slice(index * BATCH, (index + 1) * BATCH))

    def rows(self, which):
        images, labels = self.images[which].copy(), self.labels[which]
        if self.stamped:
            images[:, :2, :2, 0] = ((labels + 1) / 10)[:, None, None]
        return images, labels


def train(log_dir="logs/cheating"):
    """(model, history): where training stopped, with the weights from before the alarm."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images, labels = (digits.images / 16).astype("float32")[order, ..., None], digits.target[order]
    probe = kx.Probe(images[1024:1280], labels[1024:1280])
    labels[:1024:5] = (labels[:1024:5] + 1) % 10
    pipeline = Pipeline(images[:1024], labels[:1024])

    keras.utils.set_random_seed(0)
    layers = keras.layers
    net = [layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(24, "relu"), layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.GaussianNoise(0.35), *net])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    weights = os.path.join(log_dir, "before_the_alarm.weights.h5")
    quiet = {"monitor": "xai_quiet_epochs", "mode": "max"}  # grows by one an epoch, 0 at an alarm
    stamp = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(pipeline, "stamped", epoch >= STAMPED)
    )
    callbacks = [
        stamp,
        kx.ImportanceDrift(
            log_dir, probe, live=lambda: pipeline.rows(slice(0, 256))
        ),  # before those that read its keys
        keras.callbacks.EarlyStopping(**quiet, patience=1),
        keras.callbacks.ModelCheckpoint(weights, **quiet, save_best_only=True, save_weights_only=True),
    ]
    history = model.fit(pipeline, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    model.load_weights(weights)
    return model, history


if __name__ == "__main__":
    _, history = train()
    print(f"stopped after epoch {history.epoch[-1]} of {EPOCHS}; the weights are those of epoch {history.epoch[-2]}")
