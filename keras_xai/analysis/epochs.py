"""The choice among recorded updates: the record to show at one, the frames of a film strip, the ends of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.recorded import Recorded

FILM_EPOCHS = 24  # frames of a film strip; of more each would be too small to see


def position(epochs: Sequence[int] | NDArray[Any], epoch: int | None) -> int:
    """Return the index of the last of `epochs` up to `epoch`; of the last of all for None, of the first where none is earlier.

    Example:
        >>> position([0, 2, 4], 3), position([0, 2, 4], None), position([2, 4], 1)
        (1, 2, 0)
    """
    if epoch is None:
        return len(epochs) - 1
    return max(0, int(np.searchsorted(np.asarray(epochs), epoch, side="right")) - 1)


def film_epochs(epochs: Sequence[int], alerts: Sequence[int], count: int = FILM_EPOCHS) -> list[int]:
    """Choose at most `count` epochs for a film strip: evenly spread, the first, the last and the alerted among them."""
    if len(epochs) <= count:
        return list(epochs)
    alerted = [epochs[position(epochs, epoch)] for epoch in alerts][: count - 2]
    chosen = {epochs[0], epochs[-1], *alerted}
    for index in np.linspace(0, len(epochs) - 1, count):
        if len(chosen) < count:  # the epochs of alerts have taken some of the frames
            chosen.add(epochs[round(index)])
    return sorted(chosen)


def epoch_ends(run: Recorded) -> list[int]:
    """Return the numbers of the updates that are the end of an epoch, in a run that counts in steps; else []."""
    if run.unit == "epoch":
        return []
    return [record.update for record in run.history if record.ends_epoch]
