"""The rows of a probe that are looked at one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput, unknown
from keras_xai.tree import leaves

Rows = NDArray[np.int64]

FIXED_RULES = ("balanced", "per class")  # by the labels alone: the same rows at every update
CHANGING_RULES = ("wrong", "worst loss", "suspects")  # by what the model says at an update
RULES = (*FIXED_RULES, *CHANGING_RULES)


@dataclass(frozen=True, eq=False)
class Selection:
    """The rows of a probe that a gallery shows: by a rule or by their numbers, and beside these rows that are pinned.

    Attributes:
        rule: one of `RULES`; "rows" where they are given.
        rows: the rows that are given; None for a rule.
        pinned: rows that stand first, whatever the rule.
    """

    rule: str
    rows: Rows | None
    pinned: Rows

    @classmethod
    def of(cls, gallery: Any, pinned: Any, size: int) -> Selection:
        """Return the selection that a user asks for.

        Args:
            gallery: one of `RULES`, or rows of the probe, a list or array of whole numbers.
            pinned: rows of the probe.
            size: B, the rows of the probe.

        Raises:
            InvalidInput: an unknown rule; rows that are no whole numbers, out of range, or there twice.
        """
        pinned_rows = np.zeros(0, np.int64) if pinned is None else checked_rows("pinned", pinned, size)
        if isinstance(gallery, str):
            if gallery not in RULES:
                raise unknown("rule of a gallery", gallery, RULES)
            return cls(gallery, None, pinned_rows)
        rows = checked_rows("gallery", gallery, size)
        if not len(rows):
            raise InvalidInput("gallery names no row: give at least one, or a rule such as 'balanced'.")
        return cls("rows", rows, pinned_rows)

    @property
    def changes(self) -> bool:
        """True where the rule chooses other rows at each update, beside the fixed ones."""
        return self.rule in CHANGING_RULES

    def check_labels(self, *, has_labels: bool) -> None:
        """Check that a probe has the labels that the rule needs.

        Raises:
            InvalidInput: it has none.
        """
        if not has_labels and self.rule not in ("balanced", "rows"):
            raise InvalidInput(
                f"gallery={self.rule!r} needs labels, and the probe has none: give Probe(x, y), or gallery='balanced', or the "
                f"numbers of rows."
            )

    def check_classes(self, *, has_classes: bool) -> None:
        """Check that the labels are such as the rule needs; known once a model has said what they mean.

        Raises:
            InvalidInput: a rule of classes, and the labels are numbers.
        """
        if not has_classes and self.rule in ("wrong", "suspects", "per class"):
            raise InvalidInput(
                f"gallery={self.rule!r} needs labels that are classes, and those of the probe are numbers to this model: "
                f"gallery='worst loss' shows the rows with the largest error."
            )

    def fixed_rows(self, classes: NDArray[np.int64] | None, size: int, count: int) -> Rows:
        """Return the rows that are explained at every update: the pinned ones, then those of the rule.

        A rule that changes with the model has those of "balanced", so that something can be compared over epochs.

        Args:
            classes: (B,) the class of each row; None where there are no classes.
            size: B.
            count: how many, the pinned ones among them; of given rows all are taken.
        """
        if self.rows is not None:
            return first_of(self.pinned, self.rows)
        count = max(0, count - len(self.pinned))
        left = np.setdiff1d(np.arange(size), self.pinned)
        if classes is not None and self.rule == "per class":
            rows = per_class_rows(classes[left], count)
        else:
            rows = balanced_rows(None if classes is None else classes[left], len(left), count)
        return np.concatenate([self.pinned, left[rows]])


def checked_rows(name: str, rows: Any, size: int) -> Rows:
    """Return row numbers as the user gave them.

    Args:
        name: of the argument, for the message.
        rows: a list or array of whole numbers, (n).
        size: B, the rows of the probe.

    Raises:
        InvalidInput: no whole numbers, out of range, or one of them twice.

    Example:
        >>> checked_rows("pinned", [3, 0], 4).tolist()
        [3, 0]
    """
    expected = f"expected row numbers of the probe, whole numbers from 0 to {size - 1}, each once"
    if not isinstance(rows, (list, tuple, range)) and not hasattr(rows, "dtype"):
        raise InvalidInput(f"{name}={rows!r}: {expected}.")
    numbers = as_array(list(rows) if isinstance(rows, range) else rows, name)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        hint = " Of a mask np.flatnonzero(mask) gives the numbers." if numbers.dtype.kind == "b" else ""
        raise InvalidInput(f"{name} has shape {numbers.shape} and dtype {numbers.dtype}: {expected}.{hint}")
    outside = numbers[(numbers < 0) | (numbers >= size)]
    if outside.size:
        raise InvalidInput(f"{name} holds {outside[0]}, the probe has {size} rows: {expected}.")
    values, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        raise InvalidInput(f"{name} holds {values[counts > 1][0]} more than once: {expected}.")
    return numbers.astype(np.int64)


def first_of(first: Rows, others: Rows) -> Rows:
    """Return some rows, then those of others that are not among them.

    Example:
        >>> first_of(np.array([4, 2]), np.array([1, 2, 3])).tolist()
        [4, 2, 1, 3]
    """
    return np.concatenate([first, others[~np.isin(others, first)]])


def per_class_rows(classes: NDArray[np.int64], count: int) -> Rows:
    """Choose the same number of rows of each class, in row order: as many as go into `count`, at least one of each.

    A class with fewer rows gives all it has. Of more classes than `count` the largest give one each.

    Args:
        classes: (B,) the class of each row.
        count: rows to choose at most.

    Example:
        >>> per_class_rows(np.array([0, 0, 0, 0, 1, 1, 2]), 6).tolist()
        [0, 1, 4, 5, 6]
    """
    labels, class_sizes = np.unique(classes, return_counts=True)
    if len(labels) > count:
        labels = np.sort(labels[np.argsort(-class_sizes, kind="stable")[:count]])
    of_each = count // max(1, len(labels))
    rows = [np.flatnonzero(classes == label)[:of_each] for label in labels]
    return np.concatenate([np.zeros(0, np.int64), *rows]).astype(np.int64)


def rows_by_rule(rule: str, right: NDArray[np.bool_], loss: NDArray[Any], believed: NDArray[Any], count: int) -> Rows:
    """Choose the rows of a rule that changes with the model; of equal ones the first.

    Args:
        rule: one of `CHANGING_RULES`.
        right: (B,) True where the model predicts the label.
        loss: (B,) of each row; rows without a finite one are not chosen.
        believed: (B,) mean over updates of the probability of the label.
        count: rows to choose at most.

    Returns:
        Row numbers: of "wrong" and "worst loss" the largest loss first, of "suspects" those whose label was believed least.

    Example:
        >>> right, loss = np.array([True, False, False]), np.array([0.1, 0.9, 2.0])
        >>> rows_by_rule("wrong", right, loss, np.exp(-loss), 8).tolist()
        [2, 1]
    """
    key = believed if rule == "suspects" else -loss
    order = np.argsort(key, kind="stable")
    may_be_chosen = np.isfinite(key)
    if rule == "wrong":
        may_be_chosen &= ~right
    return order[may_be_chosen[order]][:count].astype(np.int64)


def balanced_rows(classes: NDArray[np.int64] | None, size: int, count: int) -> Rows:
    """Choose rows class by class: as many of each as go in evenly, in row order, the remainder from the largest classes.

    Args:
        classes: (B,) the class of each row; None where there are no classes, and the first rows are taken.
        size: B.
        count: rows to choose; at most B are.

    Returns:
        Row numbers, grouped by class.

    Example:
        >>> balanced_rows(np.array([0, 0, 0, 1, 1, 2]), 6, 4).tolist()
        [0, 1, 3, 5]
    """
    count = min(count, size)
    if classes is None:
        return np.arange(count)
    labels, class_sizes = np.unique(classes, return_counts=True)
    largest_first = np.argsort(-class_sizes, kind="stable")
    chosen_of_class = np.zeros(len(labels), np.int64)
    while chosen_of_class.sum() < count:
        # One more of every class that still has rows, the largest classes first when not all fit.
        with_rows_left = [k for k in largest_first if chosen_of_class[k] < class_sizes[k]]
        for k in with_rows_left[: count - chosen_of_class.sum()]:
            chosen_of_class[k] += 1
    rows = [np.flatnonzero(classes == label)[:n] for label, n in zip(labels, chosen_of_class, strict=True)]
    return np.concatenate(rows).astype(np.int64)


def rows_of_baseline(baseline: Any, x: Any, rows: Rows) -> Any:
    """Return the baseline of some rows: one for each where there is one for each, else the same for all.

    Args:
        baseline: None, an array, or a list or dict of such.
        x: the samples, in their structure.
        rows: row numbers.
    """

    def take(base: Any, array: NDArray[Any]) -> Any:
        return np.asarray(base)[rows] if np.shape(base) == array.shape else base

    if isinstance(baseline, Mapping):
        arrays = x if isinstance(x, dict) else {}
        return {name: take(base, arrays[name]) if name in arrays else base for name, base in baseline.items()}
    if isinstance(baseline, (list, tuple)) and len(leaves(x)) > 1:
        return [take(base, array) for base, array in zip(baseline, leaves(x), strict=False)]
    return take(baseline, leaves(x)[0])
