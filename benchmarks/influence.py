"""Measures how often the copy of a row with a wrong label is its first opponent, and what the influence of live rows costs.

    python -m benchmarks.influence

Thirty rows of digits and of breast cancer, which nobody trains on as they are, stand among the training rows with a wrong
label. After each epoch they are asked with their right one: by the product of the gradients, by the product relative to the
length of the training row's gradient, and by sums of both over the epochs. Then the CPU time of `ImportanceDrift(influence=True)`
in an epoch of the CNN of `benchmarks.overhead`, beside that of a forward pass over all training rows.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits

import keras_xai as kx
from benchmarks._trainings import cnn
from keras_xai.tracin.watch import InfluenceWatch

COPIES = 30
EPOCHS = 15
SHOWN = (2, 9, 14)  # epochs


def main() -> None:
    digits, cancer = load_digits(), load_breast_cancer()
    print("first among opponents: data, epoch, then by product, relative, sum of products, sum of relative ones")
    _wrong_copies("digits", digits.data / 16, digits.target, 1200)
    _wrong_copies("cancer", (cancer.data - cancer.data.mean(0)) / cancer.data.std(0), cancer.target, 450)
    _cost()


def _wrong_copies(name: str, x: NDArray[Any], y: NDArray[Any], size: int) -> None:
    order = np.random.default_rng(0).permutation(len(x))
    x, y, classes = x[order].astype(np.float32), y[order], int(y.max()) + 1
    copied = slice(size, size + COPIES)
    x_train = np.concatenate([x[:size], x[copied]])
    y_train = np.concatenate([y[:size], (y[copied] + 1) % classes])
    keras.utils.set_random_seed(0)
    layers = keras.layers
    head = layers.Dense(classes, "softmax") if classes > 2 else layers.Dense(1, "sigmoid")
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(64, "relu"), layers.Dense(32, "relu"), head])
    loss = "sparse_categorical_crossentropy" if classes > 2 else "binary_crossentropy"
    model.compile(keras.optimizers.Adam(3e-3), loss)
    sums = [np.zeros((COPIES, len(x_train))) for _ in range(2)]
    for epoch in range(EPOCHS):
        model.fit(x_train, y_train, verbose=0)
        influence = kx.influence(model, x_train, y_train, x[copied], y[copied])
        assert influence.lengths is not None
        products = influence.scores.astype(np.float64)
        both = [products, products / np.maximum(influence.lengths, 1e-12)]
        sums = [total + values for total, values in zip(sums, both, strict=True)]
        if epoch in SHOWN:
            shares = [np.mean(values.argmin(1) == size + np.arange(COPIES)) for values in (*both, *sums)]
            print(f"{name:8}{epoch:4}  ", "  ".join(f"{share:4.0%}" for share in shares))


def _cost() -> None:
    model, x, y, batch = cnn()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    updates: list[float] = []
    steps = _Steps()
    measured = InfluenceWatch.update

    def timed(*arguments: Any) -> Any:
        begin = time.process_time()
        record = measured(*arguments)
        updates.append(time.process_time() - begin)
        return record

    InfluenceWatch.update = timed  # type: ignore[method-assign]
    live = x[128:], y[128:]
    watch = kx.ImportanceDrift(tempfile.mkdtemp(), (x[:128], y[:128]), live=live, influence=True)
    model.fit(x, y, batch_size=batch, epochs=4, verbose=0, callbacks=[steps, watch])
    model.predict(x, batch_size=256, verbose=0)
    begin = time.process_time()
    model.predict(x, batch_size=256, verbose=0)
    print(f"CNN, CPU s: steps of an epoch {np.median(steps.seconds[1:]):.2f}, influence {np.median(updates[1:]):.2f},")
    print(f"a pass over all rows {time.process_time() - begin:.2f}")


class _Steps(keras.callbacks.Callback):
    """Measures the CPU time from the begin of an epoch to the end of its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._begin = self._end = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = time.process_time()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._end = time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.seconds.append(self._end - self._begin)


if __name__ == "__main__":
    main()
