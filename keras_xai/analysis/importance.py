"""Importance over epochs: its sources, ranks and alerts. A feature that was not measured is NaN, not 0, and has no rank."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe import Probe
from keras_xai.recorded import Recorded
from keras_xai.records import Alert, Importance, Source
from keras_xai.spatial import SPATIAL_KINDS

MARKED_FEATURES = 3  # of each alert


def importance_of(run: Recorded, source: str | None = None) -> tuple[Source, Importance] | None:
    """Return the importance of a source, or of the live rows where there are some, else of the fixed probe; with its source."""
    by_source = sources(run)
    order: list[Source] = [name for name in by_source if name == source]
    order += ["live", "clean"]
    for name in order:
        importance = by_source[name]
        if importance is not None and len(importance.updates):
            return name, importance
    return None


def sources(run: Recorded) -> dict[Source, Importance | None]:
    """Return the importance of every source, None where it was not recorded."""
    return {"live": run.importance_live, "clean": run.importance, "data": run.data_score}


def measured_at(importance: Importance, epoch: int | None) -> int:
    """Return the index of the epoch to show: the last one up to `epoch` at which some share is finite.

    Where there is none it is the nearest earlier one.
    """
    end = len(importance.updates) if epoch is None else int(np.searchsorted(importance.updates, epoch, side="right"))
    finite = np.flatnonzero(np.isfinite(importance.share[:end]).any(1))
    return int(finite[-1]) if finite.size else max(0, end - 1)


def unmeasured_at(importance: Importance, epoch: int | None = None) -> list[str]:
    """Return the features that were not measured at an epoch at which others were."""
    if not len(importance.updates):
        return []
    share = importance.share[measured_at(importance, epoch)]
    if not np.isfinite(share).any():
        return []
    return [name for name, value in zip(importance.names, share, strict=True) if not np.isfinite(value)]


def ranks(share: NDArray[Any]) -> NDArray[np.float64]:
    """Rank the shares (E, F) of each epoch: 1 is the largest, equal shares keep the order of the features, NaN has no rank."""
    order = np.argsort(-np.nan_to_num(share, nan=-1.0), axis=1, kind="stable")
    rank = np.empty(share.shape)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(1.0, 1 + share.shape[1]), share.shape), axis=1)
    return np.where(np.isfinite(share), rank, np.nan)


def leading_first(share: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return at most `count` features (F): those with the largest shares, and after them those that were not measured."""
    unmeasured = np.flatnonzero(~np.isfinite(share)) if np.isfinite(share).any() else np.zeros(0, np.int64)
    unmeasured = unmeasured[: count // 3]
    order = np.argsort(-np.nan_to_num(share, nan=-1.0), kind="stable")
    measured = order[~np.isin(order, unmeasured)][: count - len(unmeasured)]
    return np.concatenate([measured, unmeasured])


def burn_in_end(importance: Importance) -> int | None:
    """Return the first epoch at which an alarm is possible, None before it; updates that are not finite do not count."""
    updates = importance.updates[np.isfinite(importance.share).any(1)]
    return int(updates[importance.burn_in]) if len(updates) > importance.burn_in else None


def alerted_features(run: Recorded, epoch: int | None = None) -> list[str]:
    """Return the features of alerts up to an epoch, three of each: they are drawn in the alarm colour."""
    alerts = [alert for alert in run.alerts if alert.is_alarm and (epoch is None or alert.update <= epoch)]
    return list(dict.fromkeys(move.name for alert in alerts for move in alert.features[:MARKED_FEATURES]))


def alarm_epochs(run: Recorded) -> list[int]:
    """Return the epochs of alerts that are alarms, which charts mark."""
    return [alert.update for alert in run.alerts if alert.is_alarm]


def cells_of(probe: Probe | None) -> tuple[int, ...] | None:
    """Return how many cells the features are along each axis, rows and columns of an image or depth, rows and columns.

    Returns:
        None where the features are no such map.
    """
    if probe is None or probe.kind not in SPATIAL_KINDS:
        return None
    cells = probe.spatial.cells[1]
    is_regular = not isinstance(probe.groups, np.ndarray) and len(probe.features) == math.prod(cells)
    return cells if is_regular else None


def lasted_until(alert: Alert, run: Recorded) -> int:
    """Return the last epoch up to which the score stayed over its limit after an alert."""
    if alert.source == "gap" or alert.source == "rule":
        return alert.update
    importance = sources(run)[alert.source]
    if importance is None:
        return alert.update
    later = importance.updates > alert.update
    over = later & (importance.score > importance.limit)  # NaN is not over
    end = min(importance.updates[later & ~over], default=np.inf)
    return max([alert.update, *importance.updates[over & (importance.updates < end)].tolist()])
