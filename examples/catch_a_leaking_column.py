"""Catch a leaking column: a refund that is booked only after a customer has left.

At epoch 14 somebody repairs a join, and from then on the column `refund` gives the label away. The loss falls, the
validation accuracy stays where it was or sinks, and the alarm names the column.

    python examples/catch_a_leaking_column.py
"""

import keras
import numpy as np

import keras_xai as kx

NAMES = ["tenure", "calls", "bill", "age", "complaints", "refund"]
REPAIRED, EPOCHS, BATCH = 14, 22, 32


class Customers(keras.utils.PyDataset):
    """Batches of a table whose last column says nothing, until the join is repaired."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y, self.repaired = x, y, False

    def __len__(self):
        return len(self.x) // BATCH

    def __getitem__(self, index):
        return self.rows(slice(index * BATCH, (index + 1) * BATCH))

    def rows(self, which):
        x = self.x[which].copy()
        if self.repaired:
            x[:, -1] = 2 * self.y[which] - 1
        return x, self.y[which]


def customers(count, seed):
    """Who leaves: short tenure and many calls, and a good deal of chance."""
    r = np.random.default_rng(seed)
    x = r.normal(size=(count, len(NAMES))).astype("float32")
    return x, (x[:, 1] - x[:, 0] + r.normal(size=count) > 0).astype("int64")


def train(log_dir="logs/leaking_column", on_drift="warn"):
    """The run, read back."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((len(NAMES),)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2)])
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    training, validation = Customers(*customers(640, seed=1)), customers(256, seed=2)
    probe = kx.Probe(*validation, feature_names=NAMES, class_names=["stays", "leaves"])

    repair = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(training, "repaired", epoch >= REPAIRED)
    )
    watch = kx.ImportanceDrift(log_dir, probe, live=lambda: training.rows(slice(0, 256)), on_drift=on_drift)
    model.fit(training, validation_data=validation, epochs=EPOCHS, verbose=0, callbacks=[repair, watch])
    return kx.load(log_dir)["."]


if __name__ == "__main__":
    run = train()
    for alert in run.alerts:
        print("ALERT   ", alert)
    for epoch in run.history[REPAIRED - 2 :: 2]:
        logs = epoch.logs
        print(f"epoch {epoch.epoch}   loss {logs['loss']:.3f}   validation accuracy {logs['val_accuracy']:.0%}")
