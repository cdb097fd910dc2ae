"""Runs of a few epochs, written as the callbacks write them."""

import keras_xai as kx
from keras_xai.records import Epoch
from keras_xai.summary.writer import Writer


def write(directory, records, epochs, start=0, probe=None):
    writer = Writer(directory, start)
    if probe is not None:
        writer.write([probe])
    for epoch in epochs:
        writer.write(records(epoch))
    writer.close()
    return writer.path


def through_a_file(tmp_path, records, epochs=range(3), start=0):
    """A run of these records, read back."""
    writer = Writer(tmp_path / "keras_xai", start=start)
    writer.write([Epoch(epoch, 1e9 + epoch, 1.0, 0.1, 1e-3, {}) for epoch in epochs])
    writer.write(records)
    writer.close()
    return kx.load(tmp_path)["."]
