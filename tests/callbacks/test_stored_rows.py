"""Inputs of rows beside the gallery: each once, within bounds that hold for a whole run, also one that is continued."""

from types import SimpleNamespace

import numpy as np

import keras_xai as kx
from keras_xai.callbacks.stored_rows import MAX_BYTES, MAX_ROWS, StoredRows

SIDE = 200  # averaged over 2 × 2 pixels: more than 128


def images(count):
    return np.broadcast_to(
        np.linspace(0, 1, SIDE * SIDE * 3, dtype="f4").reshape(SIDE, SIDE, 3), (count, SIDE, SIDE, 3)
    )


def test_pictures_are_averaged_and_take_at_most_8_mib():
    """A byte a value: 100 × 100 × 3 of them a picture."""
    samples = images(400)
    stored = StoredRows(kx.Probe(samples, np.arange(400) % 2))
    record = stored.record(0, "chosen", range(400))
    assert len(record.rows) == MAX_BYTES // (100 * 100 * 3) == 279
    expected = samples[0].reshape(100, 2, 100, 2, 3).mean((1, 3))
    np.testing.assert_allclose(record.x[5], expected, rtol=1e-5)
    assert stored.record(1, "chosen", range(279, 400)) is None


def test_a_row_is_written_once_and_512_at_most():
    """The most important first."""
    probe = kx.Probe(np.zeros((600, 4), "f4"), np.arange(600) % 2)
    stored = StoredRows(probe)
    assert stored.record(0, "suspects", [7, 3]).rows.tolist() == [7, 3]
    assert stored.record(1, "chosen", [3, 8]).rows.tolist() == [8]
    assert len(stored.record(2, "chosen", range(600)).rows) == MAX_ROWS - 3
    assert stored.record(3, "chosen", range(600)) is None


def test_the_bound_is_that_of_the_run_and_not_of_its_parts():
    """What stands in the records of a run that is continued has taken its room."""
    probe = kx.Probe(images(400), np.arange(400) % 2)
    record = StoredRows(probe).record(0, "chosen", range(200))
    resumed = StoredRows(probe)
    resumed.resume(SimpleNamespace(stored_samples=record))
    assert resumed.record(1, "chosen", range(400)).rows.tolist() == list(range(200, 279))


def test_a_probe_that_is_not_stored_is_not_written():
    """Not one row of it."""
    probe = kx.Probe(np.zeros((8, 2), "f4"), np.arange(8) % 2, store="none")
    assert StoredRows(probe).record(0, "chosen", [1]) is None
