"""Files of a version that knew less."""

import numpy as np

import keras_xai as kx
from keras_xai.records import FLAGS, STATISTICS, Epoch, Flag, Gradients
from keras_xai.summary.codec import gradients as codec
from keras_xai.summary.writer import Writer


def test_gradients_that_were_written_with_fewer_flags_are_read(tmp_path, monkeypatch):
    """Flags are added at the end: the columns of those that were there keep their meaning."""
    statistics = {name: np.full(1, k, np.float32) for k, name in enumerate(STATISTICS)}
    flags = (Flag("dense/kernel", FLAGS[1], 2),)
    edges = np.array([1, 2, 4], np.float32)
    record = Gradients(3, ("dense/kernel",), statistics, np.array([[5, 7]], np.float32), edges, 9, flags)
    with monkeypatch.context() as patch:
        patch.setattr(codec, "FLAGS", FLAGS[:2])
        writer = Writer(tmp_path / "keras_xai")
        writer.write([record, Epoch(3, 0.0, 1.0, 0.1, 1e-3, {})])
        writer.close()
    (back,) = kx.load(tmp_path)["."].weight_gradients
    assert (back.steps, back.flags, back.histogram.tolist()) == (9, flags, [[5, 7]])
    assert {name: values.tolist() for name, values in back.statistics.items()} == {
        name: [k] for k, name in enumerate(STATISTICS)
    }
