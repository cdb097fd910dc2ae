"""Compare what the callbacks report that they cost with what they are measured to cost.

    python -m benchmarks.reported_cost [--rounds 3] [--size 96]

MobileNetV2 on noise, three epochs of ten steps, with `WeightGradients` and without, each training in a process of its own, in
turns. Clocks count CPU time, on both sides, since wall time on a shared machine is another one each time. The first epoch's
measured figure is the difference of the medians; the column "told" holds what the record of that epoch has in `cost_seconds`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from statistics import median

BAR = 0.5  # of the measured figure: how far the reported one may lie from it


def train(size: int, watched: bool) -> dict[str, float]:
    """One training: CPU seconds of its first epoch and of the later ones, and what is reported of both."""
    import keras
    import numpy as np

    import keras_xai as kx
    from keras_xai.backend.tensorflow import gradient_recorder
    from keras_xai.callbacks.overhead import Stopwatch
    from keras_xai.gradients import tap

    tap.clock = gradient_recorder.clock = time.process_time
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((size, size, 3), weights=None, classes=5)
    model.compile("adam", "sparse_categorical_crossentropy")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(320, size, size, 3)).astype(np.float32), random.integers(0, 5, 320)
    marks = []

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict | None = None) -> None:
            marks.append(time.process_time())

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            marks.append(time.process_time())

    with tempfile.TemporaryDirectory() as log_dir:
        ours = [kx.WeightGradients(log_dir, on_flag=lambda record: None)] if watched else []
        for callback in ours:
            callback.cost = Stopwatch(time.process_time)
        model.fit(x, y, batch_size=32, epochs=3, verbose=0, callbacks=[*ours, Clock()])
        history = kx.load(log_dir)["."].history if watched else []
    first, *later = np.diff(marks).tolist()
    reported = {"told": history[0].cost_seconds, "told later": history[-1].cost_seconds} if history else {}
    return {"first": first, "later": median(later), **reported}


def main() -> None:
    """Measure and print the table; with `--one` a single training, in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--one", choices=("plain", "watched"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train(options.size, options.one == "watched")))
        return
    rows: dict[str, list[dict[str, float]]] = {"plain": [], "watched": []}
    for _ in range(options.rounds):
        for name, results in rows.items():
            command = [sys.executable, "-m", "benchmarks.reported_cost", "--size", str(options.size), "--one", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
            results.append(json.loads(done.stdout.splitlines()[-1]))
    medians: dict[tuple[str, str], float] = {}
    for name, results in rows.items():
        for key in results[0]:
            medians[name, key] = median(row[key] for row in results)
    print("| epoch | plain, CPU s | watched, CPU s | measured | told | bar |")
    print("|---|---|---|---|---|---|")
    for title, key, reported_key in (("first", "first", "told"), ("later", "later", "told later")):
        plain, watched, reported = medians["plain", key], medians["watched", key], medians["watched", reported_key]
        measured = watched - plain
        met = abs(reported - measured) <= BAR * abs(measured)
        verdict = ""
        if key == "first":
            verdict = f"within {BAR:.0%}: {'met' if met else 'missed'}"
        print(f"| {title} | {plain:.2f} | {watched:.2f} | {measured:.2f} | {reported:.2f} | {verdict} |")


if __name__ == "__main__":
    main()
