"""Training rows beside the probe: the update to show, the features that tell most, and why nothing was compared."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import count
from keras_xai.judgement import part_name, why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Alert, RelianceGap

UPDATES_RUNNING = 3  # over the limit, before it is an alarm


def gap_alerts(run: Recorded, epoch: int | None = None) -> list[Alert]:
    """Return the alerts of the gap up to an epoch, those that are no alarm too."""
    return [alert for alert in run.alerts if alert.source == "gap" and (epoch is None or alert.epoch <= epoch)]


def shortcut_alert(run: Recorded, epoch: int | None = None) -> Alert | None:
    """Return the first alarm of the gap up to an epoch: the model relies on what speaks in the training rows alone."""
    return next((alert for alert in gap_alerts(run, epoch) if alert.is_alarm), None)


def alarmed_names(run: Recorded, epoch: int | None = None) -> list[str]:
    """Return the features of the gap's alarms up to an epoch."""
    alarms = [alert for alert in gap_alerts(run, epoch) if alert.is_alarm]
    return list(dict.fromkeys(move.name for alert in alarms for move in alert.features))


def differing_names(run: Recorded, epoch: int | None = None) -> list[str]:
    """Return the features whose training rows merely differ, up to an epoch: they are no alarm."""
    alerts = [alert for alert in gap_alerts(run, epoch) if not alert.is_alarm]
    return list(dict.fromkeys(move.name for alert in alerts for move in alert.features))


def is_compared(gap: RelianceGap) -> NDArray[np.bool_]:
    """Return for each update (E) whether some feature was compared."""
    compared: NDArray[np.bool_] = (gap.strata > 0) & (np.isfinite(gap.live) & np.isfinite(gap.probe)).any(1)
    return compared


def compared_at(gap: RelianceGap | None, epoch: int | None = None) -> int | None:
    """Return the index of the last update up to an epoch that compared something; None where there is none."""
    if gap is None:
        return None
    until = math.inf if epoch is None else epoch
    updates = np.flatnonzero(is_compared(gap) & (gap.epochs <= until))
    return int(updates[-1]) if updates.size else None


def features_that_say_most(gap: RelianceGap, at: int, most: int, first: list[str]) -> list[int]:
    """Return at most `most` features, those that say most on either side at the top.

    Args:
        gap: over epochs.
        at: index of the update.
        most: number of features.
        first: names of features that are among them whatever they say.
    """
    strength = np.fmax(np.abs(gap.live[at]), np.abs(gap.probe[at]))
    return _largest(strength, most, [gap.names.index(name) for name in first if name in gap.names])


def features_of_largest_z(gap: RelianceGap, at: int, most: int, first: list[str]) -> list[int]:
    """Return at most `most` features, those whose z was largest at any update up to `at` on top; `first` as above."""
    z = np.nan_to_num(gap.z[: at + 1], nan=-1.0).max(0)
    z[z < 0] = np.nan  # not recorded at any of them
    return _largest(z, most, [gap.names.index(name) for name in first if name in gap.names])


def _largest(values: NDArray[np.floating], most: int, first: list[int]) -> list[int]:
    """Return the indices of the largest values, those of `first` among them; what is not finite is none of them."""
    order = [int(f) for f in np.argsort(-np.nan_to_num(values, nan=-1.0), kind="stable") if np.isfinite(values[f])]
    leading = [f for f in order if f in first][:most]
    leading += [f for f in order if f not in first][: most - len(leading)]
    return [f for f in order if f in leading]


def running_hits(gap: RelianceGap) -> NDArray[np.bool_]:
    """Return for each update and feature (E, F) whether its z is over the limit at this update and at the two before."""
    hits = np.nan_to_num(gap.z, nan=0.0) > gap.limit
    running = hits.copy()
    for before in range(1, UPDATES_RUNNING):
        running[before:] &= hits[:-before]
        running[:before] = False
    return running


def why_not_compared(run: Recorded, epoch: int | None = None) -> str:
    """Return why training rows and probe were not compared at an epoch, as a clause; "" where they were."""
    if compared_at(run.gap, epoch) is not None:
        return ""
    if run.gap is None:
        return _why_never(run)
    updates = run.gap.epochs <= (math.inf if epoch is None else epoch)
    if not updates.any():
        return f"the first comparison is of epoch {run.gap.epochs[0]}"
    if not (run.gap.strata[updates] > 0).any():
        rows = f"{count(int(run.gap.live_rows[0]), 'training row')} and {int(run.gap.probe_rows[0])} of the probe"
        return f"no class has four rows on both sides, among {rows}"
    return "the contributions of the features are not finite"


def _why_never(run: Recorded) -> str:
    """Return why a run never compared them."""
    stops = [stop for stop in run.stops if stop.part == "live_rows"]
    if run.importance is None and not run.reliance:
        return why_absent(run, "ImportanceDrift")
    if stops:
        return f"{part_name(stops[0].part)} stopped at epoch {stops[0].epoch}: {stops[0].reason.rstrip('.')}"
    if run.importance_live is None:
        return "no live rows were given (live=)"
    if run.probe is not None and run.probe.x is not None and run.probe.y is None:
        return "the probe has no labels"
    return "it was turned off (gap=False), the live rows have no labels, or an older version wrote the run"
