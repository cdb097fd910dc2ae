"""Which importance there is: what was not measured is no zero, and has no rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_xai.records import Importance

Array = np.ndarray[Any, np.dtype[Any]]


def place(importance: Importance, epoch: int | None) -> int:
    """The place of the epoch to show: the last one up to `epoch` at which some share is finite, else the nearest earlier."""
    asked = len(importance.epochs) if epoch is None else int(np.searchsorted(importance.epochs, epoch, side="right"))
    finite = np.flatnonzero(np.isfinite(importance.share[:asked]).any(1))
    return int(finite[-1]) if finite.size else max(0, asked - 1)


def missing(importance: Importance, epoch: int | None = None) -> list[str]:
    """The features whose share was not measured at an epoch at which others' was."""
    share = importance.share[place(importance, epoch)] if len(importance.epochs) else np.zeros(0)
    if not np.isfinite(share).any():
        return []
    return [name for name, value in zip(importance.names, share, strict=True) if not np.isfinite(value)]


def ranks(share: Array) -> Array:
    """Rank 1 is the largest share of its epoch (E, F); equal shares keep the order of the features; NaN has no rank."""
    order = np.argsort(-np.nan_to_num(share, nan=-1.0), axis=1, kind="stable")
    out = np.empty(share.shape)
    np.put_along_axis(out, order, np.broadcast_to(np.arange(1.0, 1 + share.shape[1]), share.shape), axis=1)
    return np.where(np.isfinite(share), out, np.nan)


def burn_in_end(importance: Importance) -> int | None:
    """The first epoch at which an alarm is possible, None while there is none: updates that are not finite do not count."""
    updates = importance.epochs[np.isfinite(importance.share).any(1)]
    return int(updates[importance.burn_in]) if len(updates) > importance.burn_in else None
