"""What `WeightGradients` costs, beside training without it and beside `keras.callbacks.TensorBoard(histogram_freq=1)`.

    python -m benchmarks.overhead [--rounds 12] [--only mlp cnn transformer] [--plot docs/images/overhead.svg]
                                  [--share 1.0]  a part of the samples, to try the benchmark itself

All variants of a model train at the same time, a twelfth of an epoch each in turn and in an order drawn anew each time, so
that whatever else the machine does falls on all of them alike. An epoch's cost is the CPU time of the whole process in
the turns from its begin to the begin of the next, all callbacks included. Every epoch gives one ratio to the same epoch of
the plain training; the table shows their median with a 95 % bootstrap interval. A bar is met where the interval's
lower end is at or below it; where no step is sampled, the interval has to hold 1. The first epoch of each variant, in
which functions are traced, is left out and told apart.
"""

from __future__ import annotations

import argparse
import platform
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import keras
import numpy as np

import keras_xai as kx

CALLBACKS: dict[str, Callable[[Path], list[keras.callbacks.Callback]]] = {
    "plain": lambda log_dir: [],
    "plain again": lambda log_dir: [],
    "no step sampled": lambda log_dir: [kx.WeightGradients(log_dir, every=lambda epoch: False)],
    "default": lambda log_dir: [kx.WeightGradients(log_dir)],
    "every step": lambda log_dir: [kx.WeightGradients(log_dir, samples_per_epoch="all")],
    "Keras TensorBoard, histograms": lambda log_dir: [keras.callbacks.TensorBoard(log_dir, histogram_freq=1)],
}
BARS = {"mlp": 1.02, "cnn": 1.01, "transformer": 1.01}  # for the default
TURNS = 12  # an epoch


def mlp() -> tuple[keras.Model, np.ndarray, np.ndarray, int]:
    """784-128-64-10, 60,000 samples in batches of 32: 1,875 steps."""
    layers = keras.layers
    widths = [layers.Dense(128, activation="relu"), layers.Dense(64, activation="relu"), layers.Dense(10)]
    return keras.Sequential([keras.Input((784,)), *widths]), *samples(60_000, 784), 32


def cnn() -> tuple[keras.Model, np.ndarray, np.ndarray, int]:
    """Five convolutions on 32 × 32 × 3, 5,000 samples in batches of 64: 79 steps."""
    layers = keras.layers
    stack: list[keras.layers.Layer] = [keras.Input((32, 32, 3))]
    for filters in (16, 32):
        stack += [layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(2)]
        stack += [layers.MaxPooling2D(), layers.Dropout(0.1)]
    stack += [layers.Conv2D(64, 3, padding="same", activation="relu"), layers.GlobalAveragePooling2D()]
    return keras.Sequential([*stack, layers.Dense(10)]), *samples(5_000, 32, 32, 3), 64


def transformer() -> tuple[keras.Model, np.ndarray, np.ndarray, int]:
    """Two blocks of width 64 with 4 heads on 32 tokens, 5,000 samples in batches of 32: 157 steps."""
    layers = keras.layers
    inputs = keras.Input((32,), dtype="int32")
    x = layers.Embedding(2_000, 64)(inputs)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 16, dropout=0.1)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(64)(layers.Dense(128, activation="relu")(x))]))
    outputs = layers.Dense(10)(layers.GlobalAveragePooling1D()(x))
    tokens = np.random.default_rng(0).integers(0, 2_000, (5_000, 32))
    return keras.Model(inputs, outputs), tokens, tokens[:, 0] % 10, 32


def samples(count: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a class that can be learned from it."""
    x = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    return x, (x.reshape(count, -1)[:, :10] ** 2).argmax(1)


MODELS = {"mlp": mlp, "cnn": cnn, "transformer": transformer}


class Turns:
    """Lets one of several threads run at a time, each once a round, in an order drawn anew for every round."""

    def __init__(self, names: Iterable[str]) -> None:
        self._go = {name: threading.Semaphore(0) for name in names}
        self._yielded = threading.Semaphore(0)
        self._gone: set[str] = set()

    def wait(self, name: str) -> None:
        """Until it is one's turn."""
        self._go[name].acquire()

    def give(self, name: str, *, for_good: bool = False) -> None:
        """End one's turn."""
        if for_good:
            self._gone.add(name)
        self._yielded.release()

    def run(self) -> None:
        """Round after round, until all have gone for good."""
        order = random.Random(0)
        while left := [name for name in self._go if name not in self._gone]:
            for name in order.sample(left, len(left)):
                self._go[name].release()
                self._yielded.acquire()


class Clock(keras.callbacks.Callback):
    """CPU seconds of each of one's own epochs, others' turns left out."""

    def __init__(self, name: str, turns: Turns) -> None:
        super().__init__()
        self.name, self.turns = name, turns
        self.seconds: list[float] = []
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._give()
        self.seconds.append(0.0)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch and batch % -(-self.params["steps"] // TURNS) == 0:
            self._give()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._stop()

    def _give(self) -> None:
        self._stop()
        self.turns.give(self.name)
        self.turns.wait(self.name)
        self._began = time.process_time()

    def _stop(self) -> None:
        if self.seconds:
            self.seconds[-1] += time.process_time() - self._began


def measured(
    make: Callable[[], tuple[keras.Model, np.ndarray, np.ndarray, int]],
    rounds: int,
    share: float = 1.0,
    variants: Mapping[str, Callable[[Path], list[keras.callbacks.Callback]]] = CALLBACKS,
) -> dict[str, list[float]]:
    """CPU seconds of `rounds` + 2 epochs of each variant; the first and the last are not to be used."""
    turns = Turns(variants)
    clocks = {name: Clock(name, turns) for name in variants}
    faults: list[BaseException] = []

    def train(name: str, log_dir: Path) -> None:
        turns.wait(name)
        try:
            keras.utils.set_random_seed(0)
            model, x, y, batch_size = make()
            x, y = x[: int(share * len(x))], y[: int(share * len(y))]
            model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            callbacks = [clocks[name], *variants[name](log_dir)]
            model.fit(x, y, batch_size=batch_size, epochs=rounds + 2, verbose=0, callbacks=callbacks)
        except BaseException as fault:
            faults.append(fault)
        finally:
            turns.give(name, for_good=True)

    with tempfile.TemporaryDirectory() as directory:
        threads = [
            threading.Thread(target=train, args=(name, Path(directory) / name.replace(" ", "_"))) for name in variants
        ]
        for thread in threads:
            thread.start()
        turns.run()
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]
    return {name: clock.seconds for name, clock in clocks.items()}


def interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """The median and its 95 % interval, by 10,000 resamplings."""
    drawn = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(drawn, 1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def main() -> None:
    """Measure, print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    rows: list[tuple[str, str, float, float, float]] = []
    print(f"{platform.processor() or platform.machine()}, {keras.backend.backend()}, Keras {keras.__version__}")
    print("| model | training | first epoch, CPU s | epoch, CPU s | ratio to plain, median [95 %] | bar |")
    print("|---|---|---|---|---|---|")
    for kind in options.only:
        seconds = measured(MODELS[kind], options.rounds, options.share)
        plain = np.array(seconds["plain"][1:-1])
        for name, values in seconds.items():
            own = np.array(values[1:-1])
            middle, low, high = interval(own / plain)
            rows.append((kind, name, middle, low, high))
            met = ""
            if name == "no step sampled":
                met = f"1: {'met' if low <= 1 <= high else 'missed'}"
            elif name == "default":
                met = f"≤ {BARS[kind]:g}: {'met' if low <= BARS[kind] else 'missed'}"
            print(
                f"| {kind} | {name} | {values[0]:.2f} | {np.median(own):.2f} |"
                f" {middle:.3f} [{low:.3f}, {high:.3f}] | {met} |",
                flush=True,
            )
    if options.plot:
        options.plot.write_text(drawn(rows), encoding="utf-8")


def drawn(rows: list[tuple[str, str, float, float, float]]) -> str:
    """Medians as dots and intervals as bars on a common scale, as SVG."""
    left, width, step = 260, 460, 22
    top = max(1.05, max(high for *_, high in rows))
    bottom = min(0.99, min(low for *_, low, _ in rows))

    def x(ratio: float) -> float:
        return left + (ratio - bottom) / (top - bottom) * width

    height = 40 + step * len(rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<line x1="{x(1):.1f}" y1="10" x2="{x(1):.1f}" y2="{height - 24}" stroke="#999" stroke-dasharray="3 3"/>',
    ]
    for k, (kind, name, middle, low, high) in enumerate(rows):
        y = 22 + step * k
        colour = "#1a6fb4" if "Keras" not in name else "#b4531a"
        out += [
            f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{kind}: {name}</text>',
            f'<line x1="{x(low):.1f}" y1="{y}" x2="{x(high):.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>',
            f'<circle cx="{x(middle):.1f}" cy="{y}" r="4" fill="{colour}"/>',
            f'<text x="{x(high) + 8:.1f}" y="{y + 4}" fill="#555">{middle:.3f}</text>',
        ]
    out += [
        f'<text x="{x(1):.1f}" y="{height - 8}" text-anchor="middle" fill="#555">1 = plain (CPU time an epoch)</text>'
    ]
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    main()
