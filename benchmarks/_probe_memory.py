"""The memory that a probe takes in a training: measured in a process of its own, beside what the callbacks expect of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

ROWS = (
    ("Explain", 600, 224, "float32"),
    ("ImportanceDrift", 600, 224, "float32"),
    ("ProbeAttributions", 600, 224, "float32"),
    ("ProbeMappings", 600, 224, "float32"),
    ("Explain(mappings=True)", 600, 224, "float32"),
    ("Explain(live=data set)", 600, 224, "float32"),
    ("Explain", 600, 224, "uint8"),
    ("Explain", 600, 224, "float64"),
    ("Explain", 1500, 224, "float32"),
    ("Explain", 128, 448, "float32"),
    ("Explain", 128, 768, "float32"),
)


def peak() -> int:
    """Of this process' resident memory so far, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def measure(name: str, size: int, side: int, dtype: str) -> dict[str, int]:
    """One training in this process: what the callbacks expect and what they took, in bytes."""
    import keras
    import numpy as np

    import keras_xai as kx
    from keras_xai.callbacks import memory

    random = np.random.default_rng(0)
    layers = keras.layers
    stack = [layers.Conv2D(8, 3, strides=4, activation="relu"), layers.Conv2D(8, 3, strides=2, activation="relu")]
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((side, side, 3)), *stack])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = random.random((8, side, side, 3), np.float32), np.arange(8) % 2
    model.fit(images, labels, batch_size=4, epochs=1, verbose=0)
    before = peak()
    x = np.empty((size, side, side, 3), dtype)
    for row in range(size):
        image = random.random((side, side, 3), np.float32)
        x[row] = 255 * image if dtype == "uint8" else image
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as log_dir:
        probe = kx.Probe(x, np.arange(size) % 2)
        options = {"mappings": True} if "mappings=True" in name else {}
        options |= {"live": batches(x, probe.y)} if "live=" in name else {}
        callback = getattr(kx, name.partition("(")[0])(log_dir, probe, **options)
        model.fit(images, labels, batch_size=4, epochs=2, verbose=0, callbacks=[callback])
    return {"held": x.nbytes, "told": memory.expected_bytes(callback.needs), "taken": peak() - before}


def batches(x: Any, y: Any) -> Any:
    """A `tf.data` set that makes each batch when it is read."""
    import tensorflow as tf

    slices = [(x[begin : begin + 32], y[begin : begin + 32]) for begin in range(0, len(x), 32)]
    signature = (tf.TensorSpec((None, *x.shape[1:]), x.dtype), tf.TensorSpec((None,), y.dtype))
    return tf.data.Dataset.from_generator(lambda: iter(slices), output_signature=signature)


def measured(*row: str | int) -> dict[str, int]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.probe_memory", "--measure", *map(str, row)]
    root = Path(__file__).parents[1]
    output = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])
