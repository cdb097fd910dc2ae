"""The updates whose outputs are sent of a very long run: a page draws them as lines of a hundred pixels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_UPDATES = 1200


def sent_updates(
    updates: NDArray[np.int64], values: NDArray[np.floating], is_read: NDArray[np.bool_], always: Sequence[int] = ()
) -> NDArray[np.int64]:
    """Return the indices of the updates that are sent: all; of more than `MAX_UPDATES` about so many.

    Half of them are evenly spaced, with both ends. The others are those at which a sample is smallest or largest within a piece
    of the run. Further those of `always`, and both sides of every change of `is_read`: what a page takes for any update from the
    last one sent before it is then so.

    Args:
        updates: (E) numbers, sorted.
        values: (E, B) that are drawn.
        is_read: (E) whether anything is finite.
        always: the numbers of updates that are sent as well, as those of alarms.
    """
    count = len(updates)
    if count <= MAX_UPDATES:
        return np.arange(count)
    chosen = np.zeros(count, bool)
    chosen[np.linspace(0, count - 1, MAX_UPDATES // 2).round().astype(np.int64)] = True
    chosen[np.isin(updates, list(always))] = True
    turns = np.flatnonzero(np.diff(is_read))
    chosen[turns] = chosen[turns + 1] = True
    finite = np.isfinite(values)
    pieces = max(1, MAX_UPDATES // (4 * max(1, values.shape[1])))
    edges = np.linspace(0, count, pieces + 1).astype(np.int64)
    for start, end in itertools.pairwise(edges):
        piece, is_finite = values[start:end], finite[start:end]
        chosen[start + np.where(is_finite, piece, np.inf).argmin(0)] = True
        chosen[start + np.where(is_finite, piece, -np.inf).argmax(0)] = True
    return np.flatnonzero(chosen)
