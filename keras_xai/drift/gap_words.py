"""The sentences on a reliance gap, and on rows that differ before any training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_xai.drift.reliance_gap import Gap
from keras_xai.drift.row_comparison import COMMON_LIMIT, RowComparison, limit_of

NAMED_FEATURES = 3  # of a sentence


def shortcut_sentence(names: Sequence[str], features: Sequence[int], gap: Gap, rows: RowComparison) -> str:
    """Return the sentence on features that speak for the label in the training rows alone.

    Args:
        names: (F) of all features.
        features: those of the alert, the largest gap first.
        gap: of this update.
        rows: the values of both sets compared.
    """
    named = _named(names, features)
    many = len(features) > 1
    shares = [
        f"{names[f] if many else ''} live rows {_percent(gap.live[f])}, probe {_percent(gap.probe[f])}".strip()
        for f in features[:NAMED_FEATURES]
    ]
    sentence = (
        f"in the training rows {named} speak{'' if many else 's'} for the label, in the probe {'they do' if many else 'it does'} "
        f"not (share of the evidence: {'; '.join(shares)})"
    )
    limit = limit_of(COMMON_LIMIT, len(rows.common))
    if not (np.abs(rows.common[list(features[:NAMED_FEATURES])]) > limit).any():
        return sentence
    return f"{sentence}; {'their' if many else 'its'} values differ, too"


def differing_sentence(names: Sequence[str], features: Sequence[int], rows: RowComparison) -> str:
    """Return the sentence on features whose values differ alike in every class, and which the model uses."""
    shifts = [f"{names[f]} (by {rows.shift[f]:+.1f} sd)" for f in features[:NAMED_FEATURES]]
    pronoun = "it" if len(features) == 1 else "them"
    return f"the training rows themselves differ from the probe in {_joined(shifts, len(features))}, and the model uses {pronoun}"


def note_on_rows(names: Sequence[str], rows: RowComparison) -> str:
    """Return a note on what training rows and probe tell before any training, "" where they differ in nothing.

    No alarm: noise in the labels of the training rows looks the same.

    Args:
        names: (F)
        rows: the values of both sets compared.
    """
    dependent = _largest(rows.dependent, rows.depends_on_label())
    common = _largest(np.abs(rows.common), rows.rows_differ())
    parts = []
    if dependent:
        columns = [f"{names[f]} (z {rows.dependent[f]:.1f})" for f in dependent[:NAMED_FEATURES]]
        parts.append(
            f"the relation to the label differs between live rows and probe in {_joined(columns, len(dependent))}"
        )
    if common:
        columns = [
            f"{names[f]} (by {rows.shift[f]:+.1f} sd, z {abs(rows.common[f]):.1f})" for f in common[:NAMED_FEATURES]
        ]
        parts.append(f"the values themselves differ in {_joined(columns, len(common))}")
    if not parts:
        return ""
    return f"Before training: {'; '.join(parts)}. This is no alarm: noise in the training labels looks the same."


def _largest(values: np.ndarray, is_over: np.ndarray) -> list[int]:
    """Return the features over a limit, the largest value first."""
    return [int(f) for f in np.argsort(-values, kind="stable") if is_over[f]]


def _named(names: Sequence[str], features: Sequence[int]) -> str:
    return _joined([names[f] for f in features[:NAMED_FEATURES]], len(features))


def _percent(share: float) -> str:
    """Return a share in percent, without the sign of one that rounds to nothing."""
    text = f"{share:.1%}"
    return "0.0%" if text == "-0.0%" else text


def _joined(parts: Sequence[str], count: int) -> str:
    """Join parts as a sentence lists them, and count those that are left out."""
    more = count - len(parts)
    if more:
        return f"{', '.join(parts)} and {more} other{'s' * (more > 1)}"
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
