"""The decision as a whole, on importances made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import keras_xai as kx
from keras_xai.drift.monitor import DriftMonitor, DriftSettings, total_variation
from keras_xai.records import Changed, Shares

FEATURES = ("age", "dose", "sex")
CHANGE = 12  # the epoch with which a feature takes over

shares = (
    hnp.arrays(np.float64, 6, elements=st.floats(0, 1).map(lambda v: round(v, 2)))
    .filter(lambda a: a.sum() > 0)
    .map(lambda a: a / a.sum())
)


def importance(epoch: int, seed: int = 0) -> np.ndarray:
    """Of three features: about equal, until "dose" takes over."""
    values = 1 + 0.01 * np.random.default_rng([seed, epoch]).random(3)
    values[1] += 2.0 * (epoch >= CHANGE)
    return values


def run(monitor: DriftMonitor, epochs: range, **of_update: object) -> tuple[list, list]:
    """The records and alerts of updates of the fixed probe."""
    records, alerts = [], []
    for epoch in epochs:
        monitor.begin_update()
        records.append(monitor.update(epoch, "clean", importance(epoch), np.ones(3, np.int8), **of_update).shares)
        alerts += monitor.end_update(epoch)
    return records, alerts


def test_a_feature_that_takes_over_is_an_alert_with_its_move():
    """Shares before and after by hand, the figures of `logs` with it."""
    monitor = DriftMonitor(FEATURES, DriftSettings.of())
    records, alerts = run(monitor, range(CHANGE + 1))
    assert [(a.epoch, a.source, a.verdict, a.event) for a in alerts] == [(CHANGE, "clean", "reliance moved", CHANGE)]
    before, after = (importance(e)[1] / importance(e).sum() for e in (CHANGE - 1, CHANGE))
    move = alerts[0].features[0]
    assert (move.name, move.direction) == ("dose", 1)
    assert (move.before, move.after) == pytest.approx((before, after), abs=1e-6)
    np.testing.assert_allclose(records[-1].share, importance(CHANGE) / importance(CHANGE).sum(), rtol=1e-6)
    values = monitor.log_values(CHANGE)
    assert (values["xai_drift_alarm"], values["xai_quiet_epochs"]) == (1.0, 0.0)
    assert values["xai_drift_score"] == records[-1].score == alerts[0].score
    assert values["xai_drift"] == pytest.approx(total_variation(records[-2].share, records[-1].share))
    assert monitor.log_values(CHANGE + 2, updated=False) == values | {"xai_drift_alarm": 0.0, "xai_quiet_epochs": 2.0}


def test_rows_that_changed_are_an_alert_and_the_cause_of_what_moves_with_them():
    """Certain, without a score; then no second one within the cooldown."""
    monitor = DriftMonitor(FEATURES, DriftSettings.of(), live=True)
    run(monitor, range(CHANGE))
    alerts = []
    for epoch in (CHANGE, CHANGE + 1):
        monitor.begin_update()
        monitor.update(epoch, "clean", importance(epoch), np.ones(3, np.int8))
        monitor.report_change(epoch, Changed(7, 0, 9), [("dose", 7 / 9)])
        alerts += monitor.end_update(epoch, inputs_changed=True)
    assert [(a.epoch, a.source) for a in alerts] == [(CHANGE, "data"), (CHANGE, "clean")]
    assert {(a.verdict, a.event, a.changed) for a in alerts} == {("data changed", CHANGE, (7, 0, 9))}
    assert math.isnan(alerts[0].score)
    assert monitor.log_values(CHANGE + 1)["xai_drift_alarm_live"] == 0.0


def test_a_run_that_is_continued_is_scored_as_one_that_was_not():
    """Replayed from records; unless its past is of no use, then the burn-in begins again."""
    settings = DriftSettings.of()
    whole, resumed, anew = (DriftMonitor(FEATURES, settings) for _ in range(3))
    records, _ = run(whole, range(CHANGE))
    rates = dict.fromkeys(range(CHANGE), 1.0)
    resumed.replay({"clean": records}, [], rates)
    anew.replay({"clean": records}, [], rates, start_anew=("clean",))
    expected, expected_alerts = run(whole, range(CHANGE, CHANGE + 8))
    continued, alerts = run(resumed, range(CHANGE, CHANGE + 8))
    assert [shares.score for shares in continued] == [shares.score for shares in expected]
    assert [str(alert) for alert in alerts] == [str(alert) for alert in expected_alerts]
    assert alerts
    assert run(anew, range(CHANGE, CHANGE + 8))[1] == []


@pytest.mark.parametrize(("values", "reason"), [([0.0, 0.0, 0.0], "all zero"), ([1.0, math.nan, 1.0], "not finite")])
def test_an_importance_that_cannot_be_scored_is_a_row_of_nan_and_a_note(values, reason):
    """The charts go on as if it had not been there."""
    monitor = DriftMonitor(FEATURES, DriftSettings.of())
    monitor.begin_update()
    scored = monitor.update(0, "clean", np.asarray(values), np.zeros(3, np.int8))
    assert np.isnan(scored.shares.share).all()
    assert scored.note == f"The importance on the fixed probe is {reason}: not scored."


def test_a_feature_that_is_not_measured_is_no_part_of_the_shares():
    """NaN in the record, and the others add up to one."""
    unmeasured = np.array([False, False, True])
    records, alerts = run(DriftMonitor(FEATURES, DriftSettings.of()), range(CHANGE + 1), unmeasured=unmeasured)
    assert isinstance(records[0], Shares)
    assert records[-1].unmeasured == ("sex",)
    assert np.nansum(records[-1].share) == pytest.approx(1)
    assert {move.name for move in alerts[0].features} == {"age", "dose"}


def test_each_class_is_watched_by_itself():
    """Names class by class, and a limit of its own."""
    settings = DriftSettings.of(per_class=True)
    monitor = DriftMonitor(FEATURES, settings, classes=["no", "yes"])
    assert monitor.names[:4] == ("age, class no", "dose, class no", "sex, class no", "age, class yes")
    assert (settings.limit, DriftSettings.of(4).limit) == (9.0, 4.0)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"limit": 0}, "limit=0"), ({"burn_in": True}, "burn_in=True"), ({"cooldown": -1}, "cooldown=-1")],
)
def test_settings_that_cannot_work_are_refused(options, text):
    """What came, and what is expected."""
    with pytest.raises(kx.InvalidInput, match=f"{text}: expected"):
        DriftSettings.of(**options)


@given(shares, shares)
def test_total_variation_is_the_mass_that_moved(p, q):
    """Half of Σ|p − q|, summed one by one; it equals what must be carried from p to q."""
    assert total_variation(p, q) == pytest.approx(sum(max(0.0, a - b) for a, b in zip(p, q, strict=True)))


def test_updates_inside_epochs_have_a_yardstick_of_their_own_also_when_a_run_goes_on():
    """The same importances: a burst just before lowers the score, and replaying the records gives the unbroken run's."""

    def values(update: int) -> np.ndarray:
        burst = 0.05 * (9 <= update < 12) * (-1) ** update
        return np.array([1 + burst, 1.0, 1 + 2.0 * (update == 12)])

    def scores(monitor: DriftMonitor, updates: range) -> list[Shares]:
        records = []
        for update in updates:
            monitor.begin_update()
            records.append(monitor.update(update, "clean", values(update), np.ones(3, np.int8)).shares)
            monitor.end_update(update)
        return records

    by_unit = {}
    for inside_epochs in (False, True):
        monitor = DriftMonitor(FEATURES, DriftSettings.of())
        monitor.inside_epochs = inside_epochs
        by_unit[inside_epochs] = scores(monitor, range(13))
    assert by_unit[True][-1].score < by_unit[False][-1].score
    continued = DriftMonitor(FEATURES, DriftSettings.of())
    continued.inside_epochs = True
    continued.replay({"clean": by_unit[True][:11]}, [], dict.fromkeys(range(11), 1.0))
    assert [r.score for r in scores(continued, range(11, 13))] == [r.score for r in by_unit[True][11:]]


def test_the_burn_in_is_over_after_as_many_updates():
    """Counted by `end_update`."""
    monitor = DriftMonitor(FEATURES, DriftSettings.of(burn_in=3))
    burning = []
    for update in range(5):
        burning.append(monitor.is_burning_in)
        monitor.begin_update()
        monitor.end_update(update)
    assert burning == [True, True, True, False, False]
