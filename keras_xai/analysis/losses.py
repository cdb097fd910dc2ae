"""The loss of the gallery's samples over updates, and the true numbers beside predicted ones."""

from __future__ import annotations

import numpy as np

from keras_xai.analysis.outputs import SUM_OF_COLUMNS, has_classes, is_percent, probabilities
from keras_xai.probe import Probe
from keras_xai.probe.losses import class_losses, label_losses, number_losses
from keras_xai.records import Float, Outputs


def losses(table: Outputs, probe: Probe | None) -> Float:
    """Return the loss of each sample at each update (E, B); NaN where there is no label.

    Cross-entropy in nats of classes and of labels, squared error of numbers: see `probe.losses`. A class of which no
    probability was recorded has NaN, and so have margins.

    Args:
        table: outputs over updates.
        probe: the samples that they are of, with labels.
    """
    nothing = np.full(table.target.shape, np.nan)
    size = table.target.shape[1]
    if probe is None or probe.size != size or not table.outputs.size:
        return nothing
    if has_classes(table):
        if not is_percent(table) or probe.classes is None:
            return nothing
        return class_losses(probabilities(table), probe.classes)
    if probe.y is None or probe.y.size != size * table.outputs.shape[-1]:
        return nothing
    columns = probe.y.reshape(size, -1)
    if table.task == "labels":
        return label_losses(probabilities(table), columns > 0) if is_percent(table) else nothing
    return number_losses(table.outputs, columns)


def true_numbers(table: Outputs, probe: Probe | None) -> Float:
    """Return the true value of the number that is explained of each sample (E, B); NaN of other outputs and without labels."""
    size = table.target.shape[1]
    nothing = np.full(table.target.shape, np.nan)
    if table.task not in ("number", "numbers") or probe is None or probe.y is None or probe.size != size:
        return nothing
    columns = np.asarray(probe.y, np.float64).reshape(size, -1)
    if table.task == "number":
        return np.broadcast_to(columns[:, 0], table.target.shape) if columns.shape[1] == 1 else nothing
    target = np.asarray(table.target, np.int64)
    index = np.clip(target, 0, columns.shape[1] - 1)
    values = np.where(target < columns.shape[1], columns[np.arange(size), index], np.nan)
    return np.asarray(np.where(target == SUM_OF_COLUMNS, columns.sum(1), values), np.float64)
