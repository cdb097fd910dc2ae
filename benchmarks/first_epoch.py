"""Measure what `WeightGradients` costs in the first epoch of a deep model, while functions are traced and compiled.

    python -m benchmarks.first_epoch [--blocks 100] [--rounds 3]

The model is a chain of residual blocks of LayerNormalization and Dense: 4 variables each, 402 with a hundred of them. Each
training runs in a process of its own, all of them in turns; a figure is the CPU time of the first epoch, the table has the
median of the rounds and its ratio to the plain one's. Beside it, how often the model's own code ran, and what building the
statistics took of the recording step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from statistics import median

TRAININGS = {"plain": None, "default": 3, "every step": "all"}
BAR = 1.6  # of the default, to plain


def train(blocks: int, samples: int | str | None) -> dict[str, float]:
    """One training: CPU seconds of its first epoch, traces of the model's code, seconds that statistics took to build."""
    import keras
    import numpy as np

    import keras_xai as kx
    from keras_xai.backend.tensorflow.gradient_sums import GradientSums

    statistics = 0.0
    add = GradientSums.add

    def timed(*args: object, **options: object) -> None:
        nonlocal statistics
        began = time.process_time()
        add(*args, **options)
        statistics += time.process_time() - began

    GradientSums.add = timed
    traces = 0

    class Counted(keras.Model):
        def train_step(self, data: object) -> object:
            nonlocal traces
            traces += 1
            return super().train_step(data)

    class Clock(keras.callbacks.Callback):
        seconds = 0.0

        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.began = time.process_time()

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            self.seconds = self.seconds or time.process_time() - self.began

    keras.utils.set_random_seed(0)
    inputs = hidden = keras.Input((32,))
    for _ in range(blocks):
        hidden = hidden + keras.layers.Dense(32, activation="relu")(keras.layers.LayerNormalization()(hidden))
    model = Counted(inputs, keras.layers.Dense(3)(hidden))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    random, clock = np.random.default_rng(0), Clock()
    with tempfile.TemporaryDirectory() as log_dir:
        ours = (
            [] if samples is None else [kx.WeightGradients(log_dir, samples_per_epoch=samples, on_flag=lambda r: None)]
        )
        x, y = random.normal(size=(320, 32)).astype(np.float32), random.integers(0, 3, 320)
        model.fit(x, y, batch_size=32, epochs=2, verbose=0, callbacks=[*ours, clock])
    return {"seconds": clock.seconds, "traces": traces, "statistics": statistics}


def main() -> None:
    """Measure and print the table; with `--one` a single training, in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=TRAININGS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train(options.blocks, TRAININGS[options.one])))
        return
    results: dict[str, list[dict[str, float]]] = {name: [] for name in TRAININGS}
    for _ in range(options.rounds):
        for name in TRAININGS:
            command = [sys.executable, "-m", "benchmarks.first_epoch", "--blocks", str(options.blocks), "--one", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
    plain = median(result["seconds"] for result in results["plain"])
    print(f"{4 * options.blocks + 2} variables")
    print("| training | first epoch, CPU s | ratio to plain | traces of the model's code | statistics, s | bar |")
    print("|---|---|---|---|---|---|")
    for name, rows in results.items():
        seconds = median(row["seconds"] for row in rows)
        verdict = ""
        if name == "default":
            verdict = f"≤ {BAR}: {'met' if seconds / plain <= BAR else 'missed'}"
        traces, statistics = rows[0]["traces"], median(row["statistics"] for row in rows)
        print(
            f"| {name} | {seconds:.1f} | {seconds / plain:.2f} | {traces:.0f} | {statistics:.2f} | {verdict} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
