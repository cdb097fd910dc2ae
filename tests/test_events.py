"""Alerts of one cause: one event, one verdict, one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_xai import judgement
from keras_xai.analysis.event_sentence import event_sentence
from keras_xai.events import events, line, with_events
from keras_xai.page import report
from keras_xai.records import Alert, Changed
from keras_xai.run import Run, load
from keras_xai.summary.store import FileStore
from keras_xai.summary.writer import Writer

MOVED = (("dose", 0.12, 0.4, 1, 8.0),)
ROWS = (("dose", 0.0, 0.8, 0, float("nan")),)


def alert(epoch, source, said="reliance moved", event=None, changed=None, features=MOVED, score=8.0):
    return Alert(epoch, source, said, False, features, score, 6.0, event, changed)


@pytest.fixture
def change():
    """Rows that differ at epoch 14, seen on the live rows at 15 and on the probe at 16; and a move of its own at 30."""
    rows = Changed(200, 0, 256)
    certain = alert(14, "data", "data changed", 14, rows, ROWS, float("nan"))
    later = [alert(15, "live", "data changed", 14, rows), alert(16, "clean", "data changed", 14, rows)]
    return [certain, *later, alert(30, "clean", event=30)]


def test_recorded_events_come_back_from_the_file(change, tmp_path):
    """Encode and decode: event, changed rows, verdict; NaN is NaN."""
    writer = Writer(Path(tmp_path), start=0)
    writer.write(change)
    writer.close()
    found = Run(FileStore(tmp_path)).alerts
    assert [(a.epoch, a.event, a.verdict, a.changed) for a in found] == [
        (a.epoch, a.event, a.verdict, a.changed) for a in change
    ]
    assert [str(a) for a in found] == [str(a) for a in change]
    assert [len(event) for event in events(found)] == [3, 1]


def test_old_files_derive_their_events():
    """Other sources at most three epochs later; one that says that the data changed speaks for all of its event."""
    old = [alert(14, "clean"), alert(16, "data", "data changed"), alert(18, "live"), alert(40, "live")]
    found = with_events(old)
    assert [(a.event, a.verdict) for a in found] == [(14, "data changed")] * 2 + [
        (18, "reliance moved"),
        (40, "reliance moved"),
    ]


def test_an_event_is_one_line(change):
    """What moved, how many rows differ, and who saw it when."""
    text = line(events(change)[0])
    assert text == (
        "epoch 14 (Keras prints 15): the training data changed: dose (12.00% → 40.00%, z +8.0); the live rows are not what "
        "they were: 200 of 256 rows; seen in the live rows themselves; seen on the live rows, score 8.0, limit 6 at epoch 15; "
        "seen on the fixed probe, score 8.0, limit 6 at epoch 16."
    )
    assert "nan" not in str(change[0])
    assert line([change[3]]) == str(change[3])


def test_changed_labels_are_named():
    """The pixels that moved with them are not what changed."""
    labels = Changed(0, 96, 256)
    certain = alert(3, "data", "data changed", 3, labels, (("labels", 0.0, 0.375, 0, float("nan")),), float("nan"))
    words = "the training labels changed; the live rows are not what they were: labels: 96 of 256; seen in"
    assert words in str(certain)
    both = line([certain, alert(4, "clean", "data changed", 3, labels)])
    assert "the training labels changed; moved: dose (12.00% → 40.00%, z +8.0); the live rows" in both


def test_check_and_report_tell_an_event_once(change, story, tmp_path):
    """One line of `check`, one row of the table."""
    made = story(tmp_path, kind="table")
    made.write(*range(4))
    writer = Writer(tmp_path / "keras_xai", start=4)
    writer.write(change)
    writer.close()
    run = load(tmp_path)["."]
    judged = judgement.judge(run)
    assert judged.status == judgement.ALARM
    assert [reason.partition(" (")[0] for reason in judged.reasons] == ["epoch 14", "epoch 30"]
    page = report(tmp_path, tmp_path / "page.html").read_text()
    assert page.count('<td class="alarm">') == 2
    assert "the live rows are not what they were: 200 of 256 rows" in page
    assert np.isnan(change[0].score)


def test_what_the_model_turns_to_among_what_changed_is_called_so():
    """A mark over two blocks: the rows changed in one, the probe shows the other, which changed too."""
    mark = (("block (0,0)", 0.1, 0.3, 1, 8.0), ("block (0,1)", 0.1, 0.3, 1, 7.0))
    event = [
        alert(14, "live", "data changed", 14, features=mark),
        alert(18, "clean", "data changed", 14, features=mark[1:]),
    ]
    start, _, end = event_sentence(event).partition(", and ")
    assert start == "Epoch 14: the training data changed in block (0,0)"
    assert end == "by epoch 18 the model relies on block (0,1), which changed too."
    event[1] = alert(18, "clean", "data changed", 14, features=mark)
    assert event_sentence(event).endswith("by epoch 18 the model relies on it.")


def test_the_report_says_of_each_share_where_it_was_seen(change, tmp_path):
    """One row an event, one line an alert."""
    writer = Writer(tmp_path / "logs" / "keras_xai", start=0)
    writer.write(change)
    writer.close()
    page = report(tmp_path / "logs", tmp_path / "report.html").read_text()
    assert "live rows, epoch 15: dose 12\u00a0% → 40\u00a0% (z +8.0)" in page
    assert "fixed probe, epoch 16: dose 12\u00a0% → 40\u00a0% (z +8.0)" in page
