"""Which alarms belong together, and what is said of them."""

from __future__ import annotations

from keras_xai.drift.event_tracker import EventTracker
from keras_xai.records import Alert, Changed


def alarm(epoch, source, verdict="reliance moved", changed=None):
    return Alert(epoch, source, verdict, False, (), 9.0, 6.0, changed=changed)


def assigned(tracker, *updates):
    """(event, verdict) of each alarm; an update is a list of alarms of one epoch, which is also its number."""
    return [(a.event, a.verdict) for alarms in updates for a in tracker.assign(alarms[0].epoch, alarms)]


def test_what_follows_a_change_of_the_rows_is_that_change():
    """On the live rows at once, on the probe two epochs later: one event; five epochs later it is another."""
    rows = Changed(9, 0, 9)
    tracker = EventTracker()
    first = [alarm(5, "clean"), alarm(5, "data", "data changed", rows)]
    assert assigned(tracker, first, [alarm(7, "live")], [alarm(10, "clean")]) == [
        (5, "data changed"),
        (5, "data changed"),
        (5, "data changed"),
        (10, "reliance moved"),
    ]
    assert tracker.assign(11, [alarm(11, "live")])[0].changed is None


def test_an_event_lasts_while_a_score_stays_over_its_limit():
    """A leak that the model takes up over many epochs: the alarm after the cooldown is the same event; after a calm update
    it is not."""
    for calm, expected in ((None, (5, "data changed")), (8, (9, "reliance moved"))):
        tracker, before = EventTracker(), EventTracker()
        first = tracker.assign(5, [alarm(5, "data", "data changed", Changed(9, 0, 9))], over_limit=True)
        for update in (6, 7, 8):
            tracker.assign(update, [], over_limit=update != calm)
        before.restore(first, list(range(9)), {k for k in range(5, 9) if k != calm})
        for after in (tracker, before):
            assert [(a.event, a.verdict) for a in after.assign(9, [alarm(9, "live")], over_limit=True)] == [expected]


def test_what_moved_before_the_rows_changed_has_another_cause():
    """Reads repeated until then: the earlier alarm keeps its verdict."""
    later = alarm(6, "data", "data changed", Changed(3, 0, 9))
    assert assigned(EventTracker(), [alarm(5, "clean")], [later]) == [(5, "reliance moved"), (6, "data changed")]


def test_a_late_data_score_explains_what_came_before():
    """It may come up to two updates after the attribution alarm: the event is one about the data from then on."""
    tracker = EventTracker()
    updates = [[alarm(5, "live")], [alarm(7, "data", "data changed")], [alarm(8, "clean")]]
    assert assigned(tracker, *updates) == [(5, "reliance moved"), (5, "data changed"), (5, "data changed")]


def test_a_continued_run_goes_on_with_its_last_event():
    """Restored from the alarms and the epochs of the updates before."""
    whole, resumed = EventTracker(), EventTracker()
    before = whole.assign(1, [alarm(10, "data", "data changed", Changed(1, 0, 9))])
    resumed.restore(before, [5, 10, 15])
    for tracker in (whole, resumed):
        assert [(a.event, a.verdict) for a in tracker.assign(3, [alarm(20, "clean")])] == [(10, "data changed")]
