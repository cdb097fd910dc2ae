"""The slices of a run as they stood at an epoch, and which of their values a chart has room for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_xai.analysis.epochs import position
from keras_xai.analysis.formatting import count, percent
from keras_xai.recorded import Recorded
from keras_xai.records import Slices
from keras_xai.slice_accuracy import MIN_ROWS, largest_gap, worst_slice


def slices_at(run: Recorded, epoch: int | None) -> Slices | None:
    """Return the last record up to an epoch, the first where none is earlier; None without slices."""
    records = run.slices
    return records[position([record.update for record in records], epoch)] if records else None


def least_accurate(record: Slices, most: int) -> list[int]:
    """Return the numbers of the values to draw, the least accurate first; those of few rows come last.

    Args:
        record: of an epoch.
        most: how many values, at most.
    """
    accuracy = np.asarray(record.accuracy, np.float64)
    few_rows = np.asarray([value.rows < MIN_ROWS for value in record.values])
    order = np.lexsort((np.where(np.isnan(accuracy), np.inf, accuracy), few_rows))
    return [int(k) for k in order[:most]]


def important_features(record: Slices, values: Sequence[int], most: int) -> list[int]:
    """Return the numbers of the features to draw: those with the largest share in any of the values, in this order."""
    if record.importance is None:
        return []
    share = np.nan_to_num(np.asarray(record.importance.share, np.float64)[list(values)])
    share = np.concatenate([share, np.nan_to_num(np.asarray(record.importance.overall, np.float64))[None]])
    largest = share.max(0)
    return [int(f) for f in np.argsort(-largest, kind="stable")[:most] if largest[f] > 0]


def slices_sentence(record: Slices) -> str:
    """Describe an epoch: the worst slice, and the gap that is largest beyond chance where that is another one."""
    worst, gap = worst_slice(record), largest_gap(record)
    if worst is None:
        return f"No accuracy by slice: {why_no_accuracy(record)}."
    sentence = (
        f"{record.moment.capitalize()}: {percent(worst.accuracy)} right where {worst.value} "
        f"({count(worst.value.rows, 'row')}, 95 %: {percent(worst.low)} to {percent(worst.high)}), "
        f"{percent(record.overall_accuracy)} over all."
    )
    if gap is not None and gap.value != worst.value:
        sentence += f" Surer: {gap.value} is {points(gap.gap)} points below."
    return f"{sentence} {gap_sentence(record)}".strip()


def gap_sentence(record: Slices) -> str:
    """Describe the feature that speaks for the label in the rows of one value alone; "" where none does."""
    gaps = record.gaps
    if gaps is None or not gaps.z.size or not np.nanmax(np.nan_to_num(gaps.z)) > gaps.limit:
        return ""
    k = int(np.nanargmax(gaps.z))
    return (
        f"Where {record.values[k]}, {gaps.features[k]} speaks for the label; elsewhere it does not (z {gaps.z[k]:.1f})."
    )


def why_no_accuracy(record: Slices) -> str:
    """Return, as a clause, why there is no worst slice."""
    if not np.isfinite(record.accuracy).any():
        return "the probe has no labels that are classes, or the outputs are not finite"
    return f"no value has {MIN_ROWS} rows"


def points(share: float) -> str:
    """Format a difference of shares in percentage points.

    Example:
        >>> points(0.1234), points(-0.004)
        ('12', '-0.4')
    """
    return f"{100 * share:.{0 if abs(share) >= 0.0995 else 1}f}"
