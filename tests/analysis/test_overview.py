"""The sentence a person reads first: every way alerts can come together, and what stands without any."""

from __future__ import annotations

import numpy as np
import pytest

from keras_xai.analysis.event_sentence import event_sentence
from keras_xai.analysis.formatting import count, percent, power, short
from keras_xai.analysis.overview import summary
from keras_xai.events import events
from keras_xai.records import Alert, Importance, Predictions
from keras_xai.run import Run
from keras_xai.summary.store import FileStore
from tests.run_in_epochs import RunInEpochs
from tests.summary.prediction_records import predictions_of_kind


def alert(epoch, source, verdict, name="dose", before=0.02, after=0.5, z=9.0, rising=False):
    return Alert(epoch, source, verdict, rising, ((name, before, after, 1, z),), 9.0, 6.0)


CHANGED, MOVED = "data changed", "reliance moved"
SENTENCES = [
    (
        [alert(14, "live", CHANGED), alert(16, "clean", MOVED)],
        "Epoch 14: the training data changed in dose, and by epoch 16 the model relies on it.",
    ),
    (
        [alert(14, "live", CHANGED, before=0.5, after=0.0), alert(15, "clean", MOVED, before=0.5, after=0.1)],
        "Epoch 14: the training data changed in dose, and by epoch 15 the model relies less on it.",
    ),
    (
        [alert(14, "data", CHANGED), alert(17, "clean", MOVED, name="age")],
        "Epoch 14: the training data changed in dose, and by epoch 17 the model moved its reliance to age.",
    ),
    (
        [alert(16, "live", CHANGED), alert(15, "clean", MOVED, name="age")],
        "Epoch 15: the model moved its reliance to age, and at epoch 16 the training data changed in dose.",
    ),
    (
        [alert(14, "live", CHANGED), alert(14, "clean", MOVED)],
        "Epoch 14: the training data changed in dose, and at once the model relies on it.",
    ),
    ([alert(14, "live", CHANGED)], "Epoch 14: the training data changed in dose."),
    ([alert(9, "clean", MOVED)], "Epoch 9: the model moved its reliance to dose."),
    (
        [alert(9, "clean", MOVED, before=0.5, after=0.1, rising=True)],
        "Epoch 9: the model moved its reliance away from dose while the learning rate was rising.",
    ),
    ([alert(9, "clean", MOVED, name=",")], "Epoch 9: the model moved its reliance to “,”."),
    ([Alert(3, "live", CHANGED, False, ())], "Epoch 3: the training data changed."),
    ([Alert(3, "clean", MOVED, False, ())], "Epoch 3: the model moved its reliance elsewhere."),
]


@pytest.mark.parametrize(("alerts", "sentence"), SENTENCES)
def test_an_event_is_told_in_one_sentence(alerts, sentence):
    """Live and clean alarms within three epochs are one event; its sentence names epoch, feature and direction."""
    (event,) = events(alerts)
    assert event_sentence(event) == sentence


def test_alerts_join_up_to_three_epochs_apart():
    """Three epochs join, four do not; a source speaks once in an event."""
    near, far = alert(17, "clean", MOVED), alert(18, "clean", MOVED)
    assert [len(event) for event in events([alert(14, "live", CHANGED), near])] == [2]
    assert [len(event) for event in events([alert(14, "live", CHANGED), far])] == [1, 1]
    assert [len(event) for event in events([alert(14, "live", CHANGED), alert(15, "live", CHANGED)])] == [1, 1]


@pytest.mark.parametrize(
    ("alerts", "sentence", "later"),
    [
        (
            [alert(14, "live", CHANGED), alert(40, "clean", MOVED)],
            "Epoch 14: the training data changed in dose, and by epoch 40 the model relies on it.",
            "",
        ),
        (
            [alert(14, "live", CHANGED), alert(18, "live", CHANGED), alert(25, "live", CHANGED)],
            "Epoch 14: the training data changed in dose.",
            "The same again at epoch 18, epoch 25.",
        ),
        (
            [alert(14, "live", CHANGED), alert(30, "clean", MOVED, before=0.5, after=0.1)],
            "Epoch 14: the training data changed in dose.",
            "Later, epoch 30: the model moved its reliance away from dose.",
        ),
        (
            [alert(14, "live", CHANGED), alert(20, "live", CHANGED, name="age"), alert(31, "clean", MOVED, name="age")],
            "Epoch 14: the training data changed in dose.",
            "Later, epoch 20: the training data changed in age, and by epoch 31 the model relies on it.",
        ),
    ],
)
def test_what_recurs_is_told_with_the_first(alerts, sentence, later):
    """A feature that moves the same way again belongs to the first sentence, however much later; every other has its own."""
    told = summary(nothing(epochs=list(range(45)), alerts=alerts))
    assert told.sentence == sentence
    assert told.detail == later
    assert (
        summary(nothing(epochs=list(range(45)), alerts=alerts), 15).sentence
        == "Epoch 14: the training data changed in dose."
    )


def test_a_run_sums_itself_up_at_every_epoch(story, tmp_path):
    """Before the alert nothing is said of it; afterwards share before, after and rank stand in the facts."""
    story(tmp_path, kind="table").write(*range(12))
    run = Run(FileStore(tmp_path / "keras_xai"))
    assert "too early" in summary(run, 2).sentence
    assert summary(run, 5).sentence.startswith("No alert so far")
    assert not summary(run, 5).alarm
    assert summary(run, 6).sentence == "Epoch 6: the training data changed in age."
    told = summary(run)
    assert told.sentence == "Epoch 6: the training data changed in age, and by epoch 8 the model relies on it."
    assert (told.before, told.feature, told.alarm) == (5, "age", True)
    assert "Score 9.0 at epoch 6, limit 6." in told.detail
    accuracy, score, share, flags = told.facts
    assert (accuracy.value, accuracy.was, accuracy.alarm) == ("40\u00a0%", "was 90\u00a0%", True)
    assert (score.value, score.was, score.alarm) == ("1.1", "limit 6", False)
    assert (share.value, share.was) == ("50\u00a0%", "was 2.0\u00a0%")
    assert share.note == "age, rank 1 of 5"
    assert (flags.value, flags.alarm) == ("none", False)


def test_dead_gradients_are_the_news_where_nothing_drifts(story, tmp_path):
    """Without an alert the sentence is that of the flags, from the epoch they began."""
    story(tmp_path, kind="table", moves=None, dies=4).write(*range(8))
    run = Run(FileStore(tmp_path / "keras_xai"))
    assert summary(run, 3).sentence.startswith("No alert so far")
    assert summary(run).sentence == "Since epoch 4, 1 of 4 variables get no gradient: look at its weight gradients."
    assert summary(run).facts[3].note == "variables flagged: dead since epoch 4"


def nothing(**records):
    """A run of which only the records given were written."""
    empty = {"epochs": [], "history": [], "probe": None, "weight_gradients": [], "methods": (), "alerts": []}
    empty |= {"stops": [], "slices": [], "missing_epochs": [], "notes": [], "doubts": (), "reliance": [], "gap": None}
    return RunInEpochs(**{**empty, "importance": None, "importance_live": None, "data_score": None, **records})


def test_what_was_not_recorded_is_said():
    """No epoch, no watch, no metric: words, never an error and never a zero."""
    assert summary(nothing()).sentence == "No epochs yet."
    told = summary(nothing(epochs=[0, 1]))
    assert told.sentence == "2 epochs recorded; nothing here watches what the model relies on."
    assert [fact.value for fact in told.facts] == ["–"] * 4
    skipped = Importance(np.arange(2), ("a", "b"), np.full((2, 2), np.nan, "f4"), np.full(2, np.nan), 6.0)
    told = summary(nothing(epochs=[0, 1], importance=skipped))
    assert told.sentence == "No alert so far, but not all of this training was watched."
    assert told.faults == ("No importance could be measured since epoch 0: it is not finite, or zero everywhere.",)
    assert told.facts[1].note == "drift score: not finite since epoch 0"
    assert told.not_finite == 0


def test_without_a_metric_in_the_logs_it_is_the_share_of_the_probe_that_is_right():
    """As it was before the alert, too."""
    records = [predictions_of_kind("softmax", epoch) for epoch in range(2)]
    (accuracy, *_) = summary(nothing(epochs=[0, 1], predictions=Predictions.of(records))).facts
    assert accuracy.value == percent(records[1].accuracy)
    assert accuracy.note == "of the probe right, epoch 1"
    (metric, *_) = summary(nothing(epochs=[0])).facts
    assert (metric.value, metric.note) == ("–", "no metric in the logs")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.53, "53"), (0.0995, "10"), (0.046, "4.6"), (0.0021, "0.21"), (0.0, "0.00"), (1.0, "100"), (np.nan, None)],
)
def test_percent_has_two_telling_digits(value, shown):
    """53 %, 4.6 %, 0.21 %; what is not finite is a dash."""
    assert percent(value) == (f"{shown}\u00a0%" if shown else "–")


def test_numbers_read_as_people_write_them():
    """Powers, short numbers and plurals."""
    assert power(-12) == "10⁻¹²"
    assert power(3, 2) == "2³"
    assert [short(v) for v in (0.1, 2.34, 12.0, 123.4, 1.5e-5, np.inf)] == ["0.1", "2.34", "12", "123", "1.5×10⁻⁵", "–"]
    assert (count(1, "alert"), count(1200, "alert")) == ("1 alert", "1,200 alerts")
