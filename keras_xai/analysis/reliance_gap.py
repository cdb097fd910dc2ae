"""Training rows beside the probe: the update to show, the features that tell most, and why nothing was compared."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.alert_words import BLIND_WORDS
from keras_xai.analysis.formatting import short, signed_percent
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Alert, Reliance, RelianceGap


def gap_alerts(run: Recorded, epoch: int | None = None) -> list[Alert]:
    """Return the alerts of the gap up to an epoch, those that are no alarm too."""
    return [alert for alert in run.alerts if alert.source == "gap" and (epoch is None or alert.update <= epoch)]


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
    updates = np.flatnonzero(is_compared(gap) & (gap.updates <= until))
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


def why_not_compared(run: Recorded, epoch: int | None = None) -> str:
    """Return why training rows and probe were not compared at an epoch, as a clause; "" where they were."""
    if compared_at(run.gap, epoch) is not None:
        return ""
    if not run.reliance:
        is_absent = run.importance is None
        return why_absent(run, "ImportanceDrift") if is_absent else "the run was written by an older version"
    updates = [record for record in run.reliance if epoch is None or record.update <= epoch]
    if not updates:
        return f"the first comparison is of {run.reliance[0].moment}"
    return _why_blind(updates[-1])


def blind_since(run: Recorded, epoch: int | None = None) -> str:
    """Return since when a comparison that there was is no longer made, and why, as a sentence; "" where it is made."""
    at = compared_at(run.gap, epoch)
    if run.gap is None or at is None:
        return ""
    last = int(run.gap.updates[at])
    later = [record for record in run.reliance if record.update > last and (epoch is None or record.update <= epoch)]
    return f"Not compared since {later[0].moment}: {_why_blind(later[0])}." if later else ""


def _why_blind(update: Reliance) -> str:
    if not update.blind:
        return "the contributions of the features are not finite"
    return BLIND_WORDS[update.blind]


class CarrierWords(NamedTuple):
    """A training row that carries a feature, in words."""

    feature: str
    row: str  # its number in the source of the live rows
    label: str  # its class by name, or its number
    value: str  # of the feature in it; "–" where it is no single number
    share: str  # of the row's evidence that the feature gives


def carriers_in_words(alert: Alert, run: Recorded) -> list[CarrierWords]:
    """Return the training rows that carry an alert's features most, as tables show them."""
    return [
        CarrierWords(
            carrier.name,
            str(carrier.row),
            _label_in_words(carrier.label, run),
            short(carrier.value),
            signed_percent(carrier.share),
        )
        for carrier in alert.rows
    ]


def _label_in_words(label: float, run: Recorded) -> str:
    names = None if run.probe is None else run.probe.class_names
    if names and math.isfinite(label) and label == int(label) and 0 <= label < len(names):
        return names[int(label)]
    return f"{label:g}" if math.isfinite(label) else "–"
