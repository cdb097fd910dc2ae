"""Frames of event files: whole ones are read, others cost nothing, and what is lost is said."""

from __future__ import annotations

import os
import struct
import tracemalloc

import pytest
from tensorboard.compat.proto import event_pb2

import keras_xai as kx
from keras_xai.summary import event_files
from keras_xai.summary.event_files import events, framed, masked_crc
from keras_xai.summary.writer import Writer
from tests.summary.runs import write


def head(length):
    packed = struct.pack("<Q", length)
    return packed + masked_crc(packed)


def event(step, size=0):
    return framed(event_pb2.Event(step=step, file_version="x" * size).SerializeToString())


def steps_and_damage(path):
    damage: list[str] = []
    return [event.step for event in events(path, damage)], damage


@pytest.mark.parametrize("length", [100 << 30, 1 << 29, 1 << 28])
def test_a_sparse_file_is_not_taken_into_memory(tmp_path, length):
    """A few kilobytes on the disk whose frame says gigabytes, the check sum of its length right; what follows is read."""
    path = tmp_path / "events.out.tfevents.1"
    with open(path, "wb") as file:
        file.write(event(1) + head(length))
        file.seek(length + 4, os.SEEK_CUR)
        file.write(event(2))
    tracemalloc.start()
    steps, damage = steps_and_damage(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert steps == [1, 2]
    assert len(damage) == 1
    assert peak < 100 << 20


def test_a_long_frame_is_read_where_its_check_sum_is_right(tmp_path, monkeypatch):
    """In pieces, and again when it is known to be whole."""
    monkeypatch.setattr(event_files, "_PIECE_BYTES", 1000)
    path, damaged = tmp_path / "whole", tmp_path / "damaged"
    path.write_bytes(event(1, 5000) + event(2, 999) + event(3))
    assert steps_and_damage(path) == ([1, 2, 3], [])
    content = bytearray(path.read_bytes())
    content[3000] ^= 1
    damaged.write_bytes(content)
    assert steps_and_damage(damaged) == ([2, 3], ["1 damaged record of damaged passed over"])


def test_what_could_not_be_read_back_is_not_written(tmp_path, records, monkeypatch):
    """A record longer than the longest is an error that says so, and nothing of it is in the file."""
    monkeypatch.setattr(event_files, "MAX_EVENT_BYTES", 2 << 20)
    writer = Writer(tmp_path / "keras_xai")
    writer.write(records(0))
    long = records(1)
    vars(long[-1]).update(notes=("x" * (3 << 20),))
    with pytest.raises(ValueError, match="a record of 3 MiB: one of 2 MiB at most"):
        writer.write(long)
    writer.write(records(2))
    writer.close()
    assert kx.load(tmp_path)["."].epochs == [0, 2]


@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"garbage "])
def test_zeros_and_garbage_at_a_record_are_said(tmp_path, records, fill):
    """A hole, or foreign bytes, where a record should begin: what stands before is read, the place is named."""
    path = write(tmp_path / "keras_xai", records, range(3))
    whole = path.read_bytes()
    path.write_bytes(whole + fill * 64 + whole)
    with pytest.warns(UserWarning, match=f"is damaged at byte {len(whole)}, what follows is passed over"):
        assert kx.load(tmp_path)["."].epochs == [0, 1, 2]


def test_a_file_cut_back_to_nothing_among_others_is_said(tmp_path, records):
    """What a resumed training wrote later is read; that something came before is not hidden."""
    first = write(tmp_path / "keras_xai", records, range(3))
    write(tmp_path / "keras_xai", records, [3, 4], start=3)
    os.truncate(first, 0)
    run = kx.load(tmp_path)["."]
    with pytest.warns(UserWarning, match=f"{first.name} is empty: what it held is lost"):
        assert run.epochs == [3, 4]
    assert run.doubts


def test_whole_frames_that_are_no_events_are_said(tmp_path):
    """Their check sums are right, what they hold is foreign."""
    path = tmp_path / "events"
    path.write_bytes(framed(b"\xff\xff no message") + event(1))
    assert steps_and_damage(path) == ([1], ["1 damaged record of events passed over"])


def test_a_file_that_cannot_be_opened_is_said(tmp_path):
    """It may have been removed a moment ago."""
    steps, (said,) = steps_and_damage(tmp_path / "events")
    assert (steps, said) == ([], "events cannot be read: No such file or directory")
