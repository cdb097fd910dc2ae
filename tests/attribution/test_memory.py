"""How much memory a large probe takes."""

import subprocess
import sys

import pytest

SIDE, CHANNELS, SAMPLE = 96, 3, 96 * 96 * 3 * 4  # bytes

PROGRAM = """
import resource, sys
import keras, numpy as np
import keras_xai as kx
layers, rows = keras.layers, int(sys.argv[1])
model = keras.Sequential([
    keras.Input((96, 96, 3)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
    layers.Conv2D(16, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax"),
])
x = np.random.default_rng(0).random((rows, 96, 96, 3), np.float32)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
kx.attribute(model, x[:64], "integrated_gradients", n_steps=2, verbose=False)  # one chunk: what a pass needs
before = peak()
a = kx.attribute(model, x, "integrated_gradients", n_steps=2, verbose=False)
assert a.values.shape == x.shape
print(peak() - before)
"""


@pytest.mark.full
def test_a_large_probe_goes_through_in_chunks():
    """512 × 96 × 96 × 3 after 64 of them: copies of what comes in and goes out (57 MB each), no activations (290 MB each)."""
    grown = int(subprocess.check_output([sys.executable, "-c", PROGRAM, "512"], text=True).split()[-1])
    assert grown < 8 * 512 * SAMPLE
