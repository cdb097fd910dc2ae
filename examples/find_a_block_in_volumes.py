"""Find what a 3-D network looks at: a scanner's mark in a corner of the volumes, and not the lesion.

Scans of 16 × 16 × 16 voxels hold a round lesion or none. In training most scans of the sick come from a scanner that leaves a
bright block in a far corner; the validation scans do not. The accuracy there stays low, and the alarm names the cell.

    python examples/find_a_block_in_volumes.py
"""

import keras
import numpy as np

import keras_xai as kx

SIDE, EPOCHS = 16, 5
BLOCK = (slice(12, 14), slice(2, 4), slice(2, 4))  # depth, rows, columns: one cell, "depth 6 row 1 column 1"


def scans(count, seed):
    """Noise, and in every second scan a lesion somewhere in the middle: too faint to be always seen."""
    r = np.random.default_rng(seed)
    x = r.normal(0, 1, (count, SIDE, SIDE, SIDE, 1)).astype("float32")
    y = np.arange(count) % 2
    position = np.indices((SIDE, SIDE, SIDE))
    for scan in np.flatnonzero(y):
        centre = r.uniform(6, 10, 3)[:, None, None, None]
        x[scan, ..., 0] += 0.9 * np.exp(-np.square(position - centre).sum(0) / 8)
    return x, y


def with_block(x, y, share, seed):
    """The same scans, with the block in this share of the sick."""
    x, drawn = x.copy(), np.random.default_rng(seed).random(len(x)) < share
    x[((y == 1) & drawn, *BLOCK)] += 4
    return x, y


def train(log_dir="logs/volumes", on_drift="warn"):
    """The run, read back."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    convolutions = [
        layers.Conv3D(6, 3, strides=2, padding="same", activation="relu"),
        layers.Conv3D(8, 3, activation="relu"),
    ]
    model = keras.Sequential([keras.Input((SIDE, SIDE, SIDE, 1)), *convolutions, layers.Flatten(), layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    training, validation = with_block(*scans(320, seed=1), share=0.9, seed=3), scans(128, seed=2)
    probe = kx.Probe(*validation, class_names=["healthy", "sick"])  # (B, D, H, W, C) is a volume

    watch = [
        kx.ImportanceDrift(log_dir, probe, live=training, on_drift=on_drift),
        kx.ProbeAttributions(log_dir, probe, ["saliency", "integrated_gradients"], samples=12),
    ]
    model.fit(*training, validation_data=validation, epochs=EPOCHS, verbose=0, callbacks=watch)
    return kx.load(log_dir)["."]


if __name__ == "__main__":
    run = train()
    for alert in run.alerts:
        print("ALERT   ", alert)
    run.figure("probe_attributions").write_html("logs/volumes/slices.html")  # a slider goes through the slices
