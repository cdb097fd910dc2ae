"""Training rows beside the probe: which update is shown, which features, which rows, and why there is nothing to show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from keras_xai.alert_words import BLIND_WORDS
from keras_xai.analysis.event_sentence import event_sentence
from keras_xai.analysis.overview import summary
from keras_xai.analysis.reliance_gap import (
    alarmed_names,
    blind_since,
    carriers_in_words,
    compared_at,
    differing_names,
    features_of_largest_z,
    features_that_say_most,
    why_not_compared,
)
from keras_xai.events import events
from keras_xai.records import BLINDNESSES, Alert, Reliance, RelianceGap, Stop
from keras_xai.run import load
from tests.reliance_records import ALARM_EPOCH, SENTENCE, SHIFT_EPOCH, ShortcutRun
from tests.run_in_epochs import RunInEpochs

NAN = np.nan


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("gap")
    ShortcutRun(root).write()
    return load(root)["."]


def update(epoch, live, probe, z=None, blind="", strata=2):
    """One update of features "a", "b", …"""
    live, probe = np.asarray(live, float), np.asarray(probe, float)
    z = np.ones(len(live)) if z is None else np.asarray(z, float)
    names = tuple("abcdefgh"[: len(live)])
    known = np.full(len(live), 0.1)
    return Reliance(
        epoch,
        names,
        np.arange(len(live)),
        z,
        live - probe,
        live,
        probe,
        known,
        known,
        known,
        known,
        strata,
        20,
        30,
        blind,
    )


def nothing(**records):
    """A run of which only these records were written."""
    empty = {
        "alerts": [],
        "stops": [],
        "slices": [],
        "reliance": [],
        "gap": None,
        "importance": None,
        "importance_live": None,
    }
    return RunInEpochs(**{**empty, "probe": None, **records})


def test_an_update_is_the_last_that_compared_something(run):
    """Epoch 0 compared nothing; an epoch without an update shows the one before."""
    assert run.gap.epochs.tolist() == list(range(1, 12))
    assert [compared_at(run.gap, epoch) for epoch in (None, 11, 4, 1, 0)] == [10, 10, 3, 0, None]
    gap = RelianceGap.of([update(0, [0.1, 0.2], [0.1, 0.2]), update(2, [NAN, NAN], [NAN, NAN], strata=2)])
    assert compared_at(gap, 5) == 0
    assert compared_at(None) is None


def test_features_that_say_most_are_those_of_either_side():
    """By the larger of both magnitudes, signs aside; those of alerts are among them, and nothing that was not recorded."""
    gap = RelianceGap.of([update(0, [0.1, -0.4, 0.0, NAN, 0.01], [0.1, 0.0, 0.3, NAN, 0.0])])
    assert features_that_say_most(gap, 0, 2, []) == [1, 2]
    assert features_that_say_most(gap, 0, 2, ["e"]) == [1, 4]
    assert features_that_say_most(gap, 0, 9, ["unknown"]) == [1, 2, 0, 4]
    assert features_that_say_most(gap, 0, 1, ["a", "e"]) == [0]


def test_the_largest_z_is_that_of_any_update_so_far():
    """One that fell again is followed still; later updates do not count."""
    zs = [[1, 9, 2], [3, 0, 2], [8, 0, 2]]
    gap = RelianceGap.of([update(epoch, [0.1] * 3, [0.1] * 3, z) for epoch, z in enumerate(zs)])
    assert features_of_largest_z(gap, 1, 2, []) == [1, 0]
    assert features_of_largest_z(gap, 2, 3, []) == [1, 0, 2]
    assert features_of_largest_z(gap, 0, 1, ["c"]) == [2]


def test_alarms_and_rows_that_differ_are_told_apart(run):
    """Before its alert a feature is neither."""
    assert alarmed_names(run, ALARM_EPOCH - 1) == []
    assert alarmed_names(run) == ["leak"]
    assert differing_names(run, SHIFT_EPOCH - 1) == []
    assert differing_names(run) == ["age"]


@pytest.mark.parametrize("blind", BLINDNESSES)
def test_every_reason_is_a_clause(blind):
    """What the record says is said in words: none of them looks like a quiet run."""
    blinded = update(0, [NAN], [NAN], [NAN], blind=blind, strata=0)
    why = why_not_compared(nothing(reliance=[blinded], importance=object()))
    assert why == (BLIND_WORDS[blind] if blind else "the contributions of the features are not finite")


def test_without_records_the_callback_is_named(run):
    """A callback that was absent, that stopped, an older version, an epoch before the first comparison."""
    assert why_not_compared(nothing()) == "ImportanceDrift was not among the callbacks"
    stopped = nothing(stops=[Stop(2, "importance_drift", "no memory")])
    assert why_not_compared(stopped) == "ImportanceDrift stopped at epoch 2: no memory"
    assert "older version" in why_not_compared(nothing(importance=object()))
    assert why_not_compared(run) == why_not_compared(run, 1) == ""
    assert why_not_compared(run, 0) == BLIND_WORDS["too few rows of each class"]
    later = [update(3, [0.1], [0.1])]
    assert (
        why_not_compared(nothing(reliance=later, gap=RelianceGap.of(later)), 1) == "the first comparison is of epoch 3"
    )


def test_a_comparison_that_ended_says_since_when():
    """The last one is shown, with a sentence."""
    lost = update(2, [NAN], [NAN], [NAN], blind="live rows that could not be read", strata=0)
    updates = [update(0, [0.1], [0.1]), update(1, [0.1], [0.1])]
    broken = nothing(reliance=[*updates, lost], gap=RelianceGap.of(updates))
    assert blind_since(broken) == "Not compared since epoch 2: the live rows could not be read."
    assert blind_since(broken, 1) == ""
    assert blind_since(nothing()) == ""


def test_rows_that_carry_a_feature_in_words(run):
    """Class names where there are some; what is no single number is a dash."""
    (shortcut,) = [alert for alert in run.alerts if alert.is_alarm]
    assert [tuple(words) for words in carriers_in_words(shortcut, run)][:2] == [
        ("leak", "0", "0", "2.5", "90\u00a0%"),
        ("leak", "7", "1", "2.5", "80\u00a0%"),
    ]
    named = nothing(probe=SimpleNamespace(class_names=("sick", "well")))
    carriers = (("a", 3, 1.0, -0.25, NAN), ("a", 4, NAN, 0.5, 1e-3), ("a", 5, 7.0, 0.5, 1.0))
    alert = Alert(3, "gap", "training-only shortcut", False, (), rows=carriers)
    assert [words[2:] for words in carriers_in_words(alert, named)] == [
        ("well", "–", "−25\u00a0%"),
        ("–", "0.001", "50\u00a0%"),
        ("7", "1", "50\u00a0%"),
    ]


def test_a_shortcut_of_the_training_rows_is_the_sentence(run):
    """From its epoch on, with the z of the gap and both sides in the facts; rows that merely differ change none of it."""
    assert summary(run, ALARM_EPOCH - 1).sentence.startswith("No alert so far")
    words = summary(run)
    sentence = SENTENCE.format("leak")
    assert words.sentence == f"{sentence[0].upper()}{sentence[1:]}."
    assert summary(run, ALARM_EPOCH).sentence == words.sentence
    assert (words.gap, words.alarm, words.feature, words.before) == (True, True, "leak", 0)
    assert words.advice.startswith("Check how this feature gets into the training rows")
    _, z, share, _ = words.facts
    assert (z.value, z.was, z.alarm) == ("25.0", "limit 4.25", True)
    assert (share.value, share.was, share.alarm) == ("38\u00a0%", "probe 1.0\u00a0%", True)
    assert "differ from the probe" not in words.detail


def drift(epoch, source="live", verdict="data changed"):
    return Alert(epoch, source, verdict, False, (("dose", 0.02, 0.5, 1, 9.0),), 9.0, 6.0)


def test_a_shortcut_comes_before_a_change_that_was_earlier(run):
    """It was there before; the change is told after it."""
    both = nothing(
        **{name: getattr(run, name) for name in (
            "epochs", "history", "gap", "reliance", "probe", "importance", "importance_live", "data_score", "weight_gradients",
            "missing_epochs", "doubts", "stops",
        )}, alerts=[drift(1), *run.alerts, drift(9)],
    )  # fmt: skip
    words = summary(both)
    assert words.sentence.startswith("In the training rows leak speaks")
    assert words.detail.endswith("Before, epoch 1: the training data changed in dose. The same again at epoch 9.")
    assert summary(both, 2).sentence == "Epoch 1: the training data changed in dose."


def test_rows_that_differ_alone_are_no_news(run):
    """No sentence, no alarm, no advice: they are listed elsewhere."""
    calm = nothing(
        **{name: getattr(run, name) for name in (
            "epochs", "history", "gap", "reliance", "probe", "importance", "importance_live", "data_score", "weight_gradients",
            "missing_epochs", "doubts", "stops",
        )}, alerts=[alert for alert in run.alerts if not alert.is_alarm],
    )  # fmt: skip
    words = summary(calm)
    assert words.sentence.startswith("No alert so far")
    assert (words.alarm, words.gap, words.advice) == (False, False, "")


def test_an_alert_with_a_sentence_says_it():
    """Of a rule as of a gap; one full stop, a capital at its start, nothing of it markup."""
    broken = Alert(5, "rule", "rule broken", False, (("leak", 0.02, 0.1, 0, NAN),), sentence="leak gives 10 % of it.")
    (event,) = events([broken])
    assert event_sentence(event) == "Leak gives 10 % of it."


def test_further_shortcuts_are_listed_by_name(run):
    """Their sentences would say the same again."""
    names = "abcdefg"
    more = [
        Alert(
            4 + i, "gap", "training-only shortcut", False, ((name, 0.0, 0.1, 1, 5.0),), 5.0, 4.25, sentence="so it is"
        )
        for i, name in enumerate(names)
    ]
    several = nothing(
        **{name: getattr(run, name) for name in (
            "epochs", "history", "gap", "reliance", "probe", "importance", "importance_live", "data_score", "weight_gradients",
            "missing_epochs", "doubts", "stops",
        )}, alerts=[*run.alerts, *more],
    )  # fmt: skip
    assert "Later the same is so of a, b, c, d, e and 2 others." in summary(several).detail
