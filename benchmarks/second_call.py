"""Measure what a first and a second call of an attribution take on each backend, side by side.

    python -m benchmarks.second_call [--backends tensorflow jax torch] [--rounds 15]

A second call is what a callback makes at each epoch, and a user in a notebook. The model is a small CNN, on 64 rows; each backend
runs in a process of its own, in turns, and the CPU time of the process counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

CALLS: dict[str, dict[str, Any]] = {
    "saliency": {},
    "integrated_gradients": {"n_steps": 32},
    "grad_cam": {},
    "deeplift": {},
    "kernel_shap": {"n_samples": 256},
}


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Seconds of the first and of the median later call of each method, on the backend of this process."""
    import keras
    import numpy as np

    from keras_xai.attribution.attributor import Attributor
    from keras_xai.attribution.progress import Progress

    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    x = np.random.default_rng(0).random((64, 12, 12, 1)).astype("float32")
    seconds = {}
    for method, options in CALLS.items():
        attributor = Attributor(model, x, method, target=1, options=options, progress=Progress(False))
        times = []
        for _ in range(rounds + 1):
            began = time.process_time()
            attributor()
            times.append(time.process_time() - began)
        seconds[method] = times[0], float(np.median(times[1:]))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="*", default=["tensorflow", "jax", "torch"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.rounds)))
        return
    results = {}
    for backend in options.backends:
        command = [sys.executable, "-m", "benchmarks.second_call", "--measure", "--rounds", str(options.rounds)]
        environment = os.environ | {"KERAS_BACKEND": backend}
        output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        results[backend] = json.loads(output.splitlines()[-1])
    print(f"| method | {' | '.join(options.backends)} | last over first |")
    print("|---" * (len(options.backends) + 2) + "|")
    for method in CALLS:
        pairs = [results[backend][method] for backend in options.backends]
        cells = [f"{1000 * second:.1f} ms (first {first:.2f} s)" for first, second in pairs]
        print(f"| {method} | {' | '.join(cells)} | {pairs[-1][1] / pairs[0][1]:.1f} |")


if __name__ == "__main__":
    main()
