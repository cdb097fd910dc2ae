"""What another process does to a file that is being written."""

from __future__ import annotations

import os

import pytest

import keras_xai as kx
from keras_xai.summary.writer import Writer


@pytest.mark.parametrize("left", [0, 10, 200])
def test_a_file_that_somebody_cut_takes_nothing_more(tmp_path, records, left):
    """The flush after it raises; nothing stands behind a hole, and what is left of the file is left alone."""
    writer = Writer(tmp_path / "keras_xai")
    writer.write(records(0))
    writer.flush()
    os.truncate(writer.path, left)
    writer.write(records(1))
    with pytest.raises(OSError, match="was cut short by somebody else"):
        writer.flush()
    assert writer.path.stat().st_size == left
    with pytest.raises(ValueError, match="is closed"):
        writer.write(records(2))
    writer.close()
    assert writer.path.stat().st_size == left
    assert kx.load(tmp_path)["."].epochs == []


def test_a_file_that_grew_is_written_on(tmp_path, records):
    """Only what is missing is a loss."""
    writer = Writer(tmp_path / "keras_xai")
    writer.write(records(0))
    writer.flush()
    with open(writer.path, "ab"):
        pass
    writer.write(records(1))
    writer.close()
    assert kx.load(tmp_path)["."].epochs == [0, 1]
