"""Sixty epochs hold no more than twenty did: counted, not weighed; `benchmarks.memory` weighs a thousand. A large probe is."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from pathlib import Path

import keras
import pytest

import keras_xai as kx
from benchmarks._probe_memory import measured
from tests.callbacks.small_training import small_data, small_model

FROM, TO = 20, 60


class Count(keras.callbacks.Callback):
    """Counts what the process holds as some epochs begin."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def on_epoch_begin(self, epoch, logs=None):
        if epoch not in (FROM - 1, FROM, TO - 1):  # the first count leaves weak references of its own
            return
        gc.collect()
        objects = Counter(type.__repr__(type(thing)) for thing in gc.get_objects())
        functions = [f for f in gc.get_objects() if hasattr(type(f), "experimental_get_tracing_count")]
        self.seen[epoch] = {
            "files": len(os.listdir("/proc/self/fd")),
            "threads": threading.active_count(),
            "functions": len(functions),
            "traces": sum(f.experimental_get_tracing_count() for f in functions),
            "objects": objects,
        }


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:integrated_gradients")  # eight steps beside kinks, which is said once
def test_sixty_epochs_hold_no_more_than_twenty_did(tmp_path):
    """Files, threads, compiled functions, their traces, and objects of any type."""
    x, y = small_data()
    count, model = Count(), small_model()
    watch = kx.Explain(tmp_path, (x, y), live=(x, y), on_drift=lambda alert: None, on_error="raise")
    model.fit(x, y, epochs=TO, batch_size=32, verbose=0, callbacks=[count, watch])
    _, first, last = count.seen.values()
    for what in ("files", "threads", "functions", "traces"):
        assert last[what] == first[what], what
    grown = {name: n - first["objects"][name] for name, n in last["objects"].items() if n > first["objects"][name] + 10}
    assert grown == {}
    assert len(kx.load(tmp_path)["."].epochs) == TO


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
def test_a_large_probe_takes_what_was_told():
    """200 images of 224 × 224 in a process of their own: 115 MiB, with `Explain` about twice as much on top of a training."""
    taken = measured("Explain", 200, 224, "float32")
    assert 0.5 * taken["told"] < taken["taken"] < 1.5 * taken["told"]
    assert taken["taken"] - taken["held"] < 3 * taken["held"]  # 2.2; on a busy machine up to 2.7
