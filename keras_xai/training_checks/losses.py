"""The rules on the loss: it does not fall any more though nothing is learned, it rises again, or val_loss does."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from keras_xai.training_checks.finding import MODEL, Finding, Unjudged
from keras_xai.training_checks.thresholds import Thresholds
from keras_xai.updates import UPDATES, Unit, named

MIN_LEARNED = 0.05  # part of its first value by which a loss falls that learns something
MIN_OVERFIT_RISE = 0.01  # of val_loss, as a part of its first value: below, both are next to nothing


class Loss(NamedTuple):
    """The losses of an update."""

    update: int
    loss: float  # mean over the steps since the update before; NaN where it is not finite
    val_loss: float | None  # None where nothing was validated


class LossHistory:
    """The losses of a training.

    Inside an epoch Keras' logs hold the mean since the epoch began: what came since the update before is worked out from it.

    Args:
        unit: in which the run counts.
    """

    def __init__(self, unit: Unit = "epoch") -> None:
        self.unit = unit
        self.losses: list[Loss] = []
        self._began = 0  # steps done before this epoch
        self._mean, self._steps = 0.0, 0  # of the epoch so far

    def add(self, update: int, loss: float | None, val_loss: float | None, *, ends_epoch: bool = True) -> None:
        """Add an update.

        Args:
            update: its number; in a run that counts in steps the steps done.
            loss: of Keras' logs; None where they have none.
            val_loss: likewise.
            ends_epoch: False for an update inside an epoch.
        """
        # The last update is made once more at train end.
        is_known = bool(self.losses) and update <= self.losses[-1].update
        if loss is not None and not is_known:
            self.losses.append(Loss(update, self._since_last(update, loss), val_loss if ends_epoch else None))
        if ends_epoch:
            self._began, self._mean, self._steps = update, 0.0, 0

    def _since_last(self, update: int, mean: float) -> float:
        steps = update - self._began
        if self.unit == "epoch" or steps <= self._steps:
            return mean
        loss = (mean * steps - self._mean * self._steps) / (steps - self._steps)
        self._mean, self._steps = mean, steps
        return loss


def loss_not_decreasing(
    history: LossHistory, thresholds: Thresholds, has_learned: bool | None
) -> Finding | Unjudged | None:
    """Judge whether the loss stands still or rises though nothing, or not all, was learned; a loss that has converged may.

    Args:
        history: of the training.
        thresholds: of all rules.
        has_learned: the predictions for the probe are better than guessing; None where that is not known.
    """
    losses, unit = history.losses, history.unit
    if not losses:
        return Unjudged("loss not decreasing", "no loss in the logs")
    values = np.asarray([loss.loss for loss in losses])
    if not math.isfinite(values[-1]):
        finite = np.flatnonzero(np.isfinite(values))
        first = int(finite[-1]) + 1 if finite.size else 0
        return Finding(
            "loss not decreasing",
            MODEL,
            math.nan,
            thresholds["loss not decreasing"],
            "the loss is not finite",
            "lower the learning rate, clip the gradients, look for NaN in the data",
            losses[first].update,
        )
    count = int(thresholds["loss updates"])
    if len(values) <= count:
        return Unjudged("loss not decreasing", f"{len(values)} of the {count + 1} updates that it takes")
    before, recent = np.where(np.isfinite(values), values, np.inf)[:-count], values[-count:]
    if not np.isfinite(before).any() or not np.isfinite(recent).all():
        return None
    at = int(before.argmin())
    best, first_loss = float(before[at]), float(before[np.isfinite(before)][0])
    fall = (best - float(recent.min())) / max(abs(best), 1e-12)
    if fall >= thresholds["loss not decreasing"]:
        return None
    fallen, median_since = first_loss - best, float(np.median(recent))
    since, lowest = losses[at].update, named(unit, losses[at].update)
    updates = f"{count} {UPDATES[unit]}"
    if median_since - best > thresholds["loss rise"] * fallen and fallen > MIN_LEARNED * abs(first_loss):
        return Finding(
            "loss not decreasing",
            MODEL,
            fall,
            thresholds["loss not decreasing"],
            f"the loss has not fallen for {updates}: it was {best:.4g} at {lowest} and its median since is {median_since:.4g}",
            "lower the learning rate, or look for what changed in the data",
            since,
        )
    if has_learned is True or (has_learned is None and fallen > MIN_LEARNED * abs(first_loss)):
        return None
    guessing = ", and predictions for the probe are no better than guessing" if has_learned is False else ""
    return Finding(
        "loss not decreasing",
        MODEL,
        fall,
        thresholds["loss not decreasing"],
        f"the loss has stood at {median_since:.4g} for {updates}, from {first_loss:.4g} at the begin{guessing}",
        "try another learning rate, and look whether labels belong to their rows and gradients reach the first layers",
        since,
    )


def overfit(history: LossHistory, thresholds: Thresholds) -> Finding | Unjudged | None:
    """Judge whether val_loss has risen for some validations while the loss fell."""
    validated = [loss for loss in history.losses if loss.val_loss is not None]
    if not validated:
        return Unjudged("overfit", "no val_loss in the logs: give validation_data to fit()")
    count = int(thresholds["overfit updates"])
    if len(validated) <= count:
        return Unjudged("overfit", f"{len(validated)} of the {count + 1} validations that it takes")
    values = np.asarray([loss.val_loss for loss in validated], np.float64)
    if not np.isfinite(values).any():
        return Unjudged("overfit", "val_loss is not finite")
    at = int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))
    since = values[at + 1 :]
    if len(since) < count or not np.isfinite(since[-count:]).all():
        return None
    best, last = float(values[at]), float(since[-count:].min())
    rise = (last - best) / max(abs(best), 1e-12)
    start = validated[at]
    falls = validated[-1].loss < start.loss
    if not falls or rise <= thresholds["overfit"] or last - best <= MIN_OVERFIT_RISE * abs(values[0]):
        return None
    lowest, unit = named(history.unit, start.update), history.unit
    times = f"{len(since)} epochs" if unit == "epoch" else f"{len(since)} validations"
    return Finding(
        "overfit",
        MODEL,
        rise,
        thresholds["overfit"],
        f"val_loss has risen for {times} from {best:.4g} ({lowest}) to {values[-1]:.4g} while loss fell from "
        f"{start.loss:.4g} to {validated[-1].loss:.4g}",
        f"stop at {lowest}, as EarlyStopping(restore_best_weights=True) does, or regularise",
        validated[at + 1].update,
    )
