"""A model caught cheating: a CNN on handwritten digits, and a watermark that gives the label away.

The pipeline stamps a small square into the corner of every training image, as bright as its label is high: from one epoch on,
or from the first. The loss falls, the accuracy on clean images falls with it, and the callbacks say why.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

import keras_xai as kx

if TYPE_CHECKING:
    from keras_xai.records import Alert
    from keras_xai.run import Run

CORNER_SIDE = 2  # pixels a side
BATCH_SIZE = 32


class Story(NamedTuple):
    """A training in which the watermark is there from an epoch on."""

    epochs: int
    planted_epoch: int  # the first one with a watermark
    # Share of the training labels: a watermark that knows them all explains them better than any image does.
    wrong_labels: float
    introduction: str


CHANGED_LATER = Story(
    24,
    14,
    0.4,
    "At epoch 14 somebody changes the pipeline:\nfrom then on a 2 × 2 square in a corner of every training image is as bright as "
    "its label is high.",
)
FROM_START = Story(
    8,
    0,
    0.2,
    "From the first epoch on a 2 × 2 square\nin a corner of every training image is as bright as its label is high. Nothing ever "
    "changes: there is no drift to be seen.",
)


class Pipeline(keras.utils.PyDataset):
    """Batches of digits; `is_planted` says whether the watermark is in."""

    def __init__(self, images: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> None:
        super().__init__()
        self._images, self._labels = images, labels
        self._generator = np.random.default_rng(seed)
        self._order = np.arange(len(images))
        self.is_planted = False

    def __len__(self) -> int:
        return len(self._images) // BATCH_SIZE

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return self._rows(self._order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE])

    def on_epoch_end(self) -> None:
        self._order = self._generator.permutation(len(self._images))

    def first_rows(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the first 256 training images as the pipeline makes them at this time: what the callback reads every epoch."""
        return self._rows(np.arange(256))

    def _rows(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        images, labels = self._images[rows].copy(), self._labels[rows]
        if self.is_planted:
            images[:, :CORNER_SIDE, :CORNER_SIDE, 0] = ((labels + 1) / 10)[:, None, None]
        return images, labels


class Plant(keras.callbacks.Callback):
    """The change of the pipeline at an epoch."""

    def __init__(self, pipeline: Pipeline, planted_epoch: int) -> None:
        super().__init__()
        self._pipeline, self._planted_epoch = pipeline, planted_epoch
        pipeline.is_planted = planted_epoch == 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._pipeline.is_planted = epoch >= self._planted_epoch


def digits(seed: int, wrong_labels: float = 0.4) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Return scikit-learn's 1,797 digits at 16 × 16, 1,200 of them for training, and the others with their true labels."""
    data = load_digits()
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(data.target))
    images = np.clip(zoom(data.images / 16, (1, 2, 2), order=3), 0, 1).astype(np.float32)[order, ..., None]
    labels = data.target[order].astype(np.int64)
    train, wrong = labels[:1200].copy(), generator.random(1200) < wrong_labels
    train[wrong] = generator.integers(0, 10, wrong.sum())
    return (images[:1200], train), (images[1200:], labels[1200:])


def network() -> keras.Model:
    """Return a small CNN; noise inside the model keeps it from memorising the images."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.GaussianNoise(0.35),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool2"),
            layers.Flatten(),
            layers.Dense(48, activation="relu", name="dense"),
            layers.Dense(10, name="logits"),
        ],
        name="digits",
    )


class Progress(keras.callbacks.Callback):
    """One line an epoch, and an alert when there is one."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        drift, gap = (_score(logs.get(name, math.nan)) for name in ("xai_drift_score_live", "xai_gap"))
        print(
            f"epoch {epoch:2d}   loss {logs['loss']:.2f}   accuracy on clean images {logs['val_accuracy']:4.0%}   drift score "
            f"{drift} (limit 6)   gap {gap} (limit 4.25)",
            flush=True,
        )


def _score(value: float) -> str:
    return "  – " if math.isnan(value) else f"{value:4.1f}"


def train(
    log_dir: str | os.PathLike[str],
    seed: int = 0,
    on_drift: str | Callable[[Alert], Any] = "warn",
    print_progress: bool = False,
    story: Story = CHANGED_LATER,
) -> Run:
    """Train with the callbacks, and return what was recorded."""
    keras.utils.set_random_seed(seed)
    (x, y), (x_clean, y_clean) = digits(seed, story.wrong_labels)
    pipeline, model = Pipeline(x, y, seed), network()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    probe = kx.Probe(x_clean[:256], y_clean[:256], class_names=[str(c) for c in range(10)])
    methods = ("saliency", "integrated_gradients", "grad_cam")
    callbacks = [
        Plant(pipeline, story.planted_epoch),
        kx.Explain(log_dir, probe, live=pipeline.first_rows, method=methods, on_drift=on_drift, log="all"),
    ]
    model.fit(
        pipeline,
        validation_data=(x_clean, y_clean),
        epochs=story.epochs,
        verbose=0,
        callbacks=[*callbacks, Progress()] if print_progress else callbacks,
    )
    return list(kx.load(log_dir).values())[-1]


def run(log_dir: str, seed: int = 0, story: Story = CHANGED_LATER) -> Run:
    """Run the demo as the command shows it: an introduction, one line an epoch, the alert, and what the callbacks took."""
    print(
        f"Training a small CNN on scikit-learn's digits, {story.epochs} epochs. {story.introduction}\n",
        flush=True,
    )
    logging.getLogger("keras_xai").setLevel(logging.ERROR)  # the last line says what the callbacks took
    began = time.perf_counter()
    printed: set[int | None] = set()

    def print_alert(alert: Alert) -> None:
        """Print the first alert of each event."""
        if alert.event not in printed:
            print(f"ALERT    {alert}", flush=True)
        printed.add(alert.event)

    run_record = train(log_dir, seed, on_drift=print_alert, print_progress=True, story=story)
    seconds = time.perf_counter() - began
    compile_seconds = sum(epoch.once_seconds for epoch in run_record.history)
    later_cost = sum(epoch.cost_seconds for epoch in run_record.history) - compile_seconds
    share = later_cost / (sum(epoch.seconds for epoch in run_record.history) - compile_seconds)
    print(
        f"\n{len(run_record.epochs)} epochs in {seconds:.0f} s; the callbacks took {compile_seconds:.1f} s once to compile, "
        f"then {share:.0%} of the training time."
    )
    return run_record
