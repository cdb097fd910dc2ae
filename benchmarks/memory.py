"""Look for leaks in a long training with every callback: memory, files, threads and traces over its epochs.

    python -m benchmarks.memory [--epochs 1000] [--every 100]

The same small CNN is trained twice, each in a process of its own: alone, and with `Explain(live=...)`. The table shows
the resident memory of the process, the memory that TensorFlow holds on a GPU where there is one, open files, threads
and the traces of compiled functions. What grows with us and not without us is a leak.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

KEYS = {
    "resident": "resident memory, MiB",
    "device": "device memory, MiB",
    "files": "open files",
    "threads": "threads",
    "traces": "traces",
}


def train(watched: bool, epochs: int, every: int) -> None:
    """One training; a line of JSON every so many epochs."""
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_xai as kx

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch % every == 0 or epoch == epochs - 1:
                gc.collect()
                functions = [f for f in gc.get_objects() if hasattr(type(f), "experimental_get_tracing_count")]
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                devices = tf.config.list_physical_devices("GPU")
                device = tf.config.experimental.get_memory_info("GPU:0")["current"] if devices else 0
                counts = {
                    "epoch": epoch,
                    "resident": round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
                    "device": round(device / 2**20, 1),
                    "files": len(os.listdir("/proc/self/fd")),
                    "threads": threading.active_count(),
                    "traces": sum(f.experimental_get_tracing_count() for f in functions),
                }
                print(json.dumps(counts), flush=True)

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).random((256, 16, 16, 1)).astype(np.float32)
    y = (x[:, 4, 4, 0] > 0.5).astype(np.int64)
    layers = keras.layers
    stack = [keras.Input((16, 16, 1)), layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*stack, layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with tempfile.TemporaryDirectory() as log_dir:
        ours = [kx.Explain(log_dir, (x[:64], y[:64]), live=(x, y), on_drift=lambda alert: None)] if watched else []
        model.fit(x, y, epochs=epochs, batch_size=64, verbose=0, callbacks=[Look(), *ours])


def main() -> None:
    """Train both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--train", choices=("alone", "watched"), help="one training in this process")
    options = parser.parse_args()
    if options.train:
        train(options.train == "watched", options.epochs, options.every)
        return
    rows: dict[str, list[dict[str, float]]] = {}
    for kind in ("alone", "watched"):
        command = [sys.executable, "-m", "benchmarks.memory", "--train", kind]
        command += ["--epochs", str(options.epochs), "--every", str(options.every)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        rows[kind] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    print("| training | | " + " | ".join(f"epoch {row['epoch']}" for row in rows["alone"]) + " |")
    print("|---|---|" + "---|" * len(rows["alone"]))
    for kind, looks in rows.items():
        for key, words in KEYS.items():
            if any(row[key] for row in looks):
                print(f"| {kind} | {words} | " + " | ".join(f"{row[key]:g}" for row in looks) + " |")


if __name__ == "__main__":
    main()
