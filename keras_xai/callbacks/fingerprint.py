"""Rows and features of some samples that are other ones than before, found without a copy of the samples."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe import Probe
from keras_xai.records import Changed

MAX_NAMED = 5  # features that a difference names
MAX_COMPARED = 1024  # features; of more it is not known in which rows one differs
ENTRIES_AT_ONCE = 2**18  # of 8 bytes each


class Difference(NamedTuple):
    """The difference of two reads of the same rows."""

    changed: Changed
    # The parts that differ, and in which share of the rows, 0 to 1; the largest first.
    shares: tuple[tuple[str, float], ...] = ()

    def joined(self, later: Difference) -> Difference:
        """Return this and a later one as one."""
        rows = _larger(self.changed.rows, later.changed.rows)
        labels = _larger(self.changed.labels, later.changed.labels)
        return Difference(Changed(rows, labels, later.changed.of), later.shares or self.shares)


def _larger(first: int, second: int) -> int:
    """Return the larger of two counts, of which −1 is one that is not known."""
    return -1 if min(first, second) < 0 else max(first, second)


class Fingerprint(NamedTuple):
    """64 bits for each row and each feature, and for each label: equal for equal contents, and, but for one pair in 2⁶⁴, for
    no others."""

    rows: NDArray[np.uint64]  # (B)
    columns: NDArray[np.uint64]  # (F)
    entries: NDArray[np.uint64] | None  # (B, F) of not too many features: then it is known in which rows one differs
    labels: NDArray[np.uint64]  # (B)
    tokens: NDArray[np.int64] | None = None  # (B, T) of texts, which are few numbers: their words are what is named

    @classmethod
    def of(cls, rows: Probe, like: Probe) -> Fingerprint:
        """Return that of rows whose features are those of the probe `like`; one pass over them."""
        arrays = [like.feature_map.as_table(as_numbers(rows.x))] if like.is_columns else rows.inputs
        parts = [_sums(array, owner) for array, owner in zip(arrays, like.feature_map.owners(), strict=True)]
        whole = [entries for _, _, entries in parts if entries is not None]
        y: NDArray[Any] = np.zeros((rows.size, 1)) if rows.y is None else rows.y.reshape(rows.size, -1)
        return cls(
            rows=np.sum([by_row for by_row, _, _ in parts], 0, np.uint64),
            columns=np.concatenate([by_column for _, by_column, _ in parts]),
            entries=np.concatenate(whole, 1) if len(whole) == len(parts) else None,
            labels=_sums(y, np.zeros(y.shape[1], np.int64))[0],
            tokens=rows.inputs[0].astype(np.int64) if like.feature_map.by_word else None,
        )

    def compare(self, before: Fingerprint, like: Probe) -> Difference:
        """Return what differs from `before`, which is of as many rows."""
        labels = self.labels != before.labels
        shares = {"labels": float(labels.mean())} | self._shares(before, like)
        differing = [(name, share) for name, share in shares.items() if share != 0]
        named = sorted(differing, key=lambda part: -part[1])[:MAX_NAMED]
        if labels.any() and "labels" not in dict(named):
            named[-1] = ("labels", shares["labels"])  # a change of labels is never shown as one of the inputs alone
        changed = Changed(int((self.rows != before.rows).sum()), int(labels.sum()), len(labels))
        return Difference(changed, tuple(named))

    def _shares(self, before: Fingerprint, like: Probe) -> dict[str, float]:
        """Return in which share of the rows each feature differs; NaN where that is not known, 0 where it does not."""
        if self.tokens is not None and before.tokens is not None:
            return _words(self.tokens, before.tokens, like)
        if self.entries is not None and before.entries is not None:
            share = (self.entries != before.entries).mean(0)
        else:
            share = np.where(self.columns != before.columns, np.nan, 0.0)
        return dict(zip(like.feature_map.entry_names, share.tolist(), strict=True))


def _words(tokens: NDArray[np.int64], before: NDArray[np.int64], like: Probe) -> dict[str, float]:
    """Return the words that came in the place of others, and in which share of the rows."""
    is_other = tokens != before
    names = like.feature_map.word_names
    shares = {int(token): (is_other & (tokens == token)).any(1).mean() for token in np.unique(tokens[is_other])}
    return {names.get(token, f"token {token}"): float(share) for token, share in shares.items()}


def _sums(
    array: NDArray[Any], owner: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64] | None]:
    """Return (B), (F) and, of few features, (B, F): the sum of the entries' bits, each times an odd number of its own."""
    owners, size = owner.reshape(-1), len(array)
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    odd, of_rows = _odd(len(owners), 0), _odd(size, 1)
    by_row, by_column = np.zeros(size, np.uint64), np.zeros(len(starts), np.uint64)
    entries = np.zeros((size, len(starts)), np.uint64) if len(starts) <= MAX_COMPARED else None
    step = max(1, ENTRIES_AT_ONCE // max(1, len(owners)))
    for begin in range(0, size, step):
        rows = slice(begin, begin + step)
        bits = _bits(array[rows])
        bits += np.uint64(1)
        bits *= odd
        summed = np.add.reduceat(bits[:, order], starts, axis=1)
        by_row[rows] = summed.sum(1)
        by_column += (summed * of_rows[rows, None]).sum(0)
        if entries is not None:
            entries[rows] = summed
    return by_row, by_column, entries


def _odd(count: int, seed: int) -> NDArray[np.uint64]:
    """Return odd numbers of 64 bits."""
    return np.random.default_rng(seed).integers(0, 2**63, count, np.uint64) * np.uint64(2) + np.uint64(1)


def _bits(array: NDArray[Any]) -> NDArray[np.uint64]:
    """Return (B, N) the bytes of each entry as a number."""
    flat = np.ascontiguousarray(as_numbers(array).reshape(len(array), -1))
    if flat.dtype.itemsize > 8:
        flat = flat.astype(np.float64)
    return flat.view(f"u{flat.dtype.itemsize}").astype(np.uint64)


def as_numbers(values: Any) -> Any:
    """Return rows whose texts are numbers from 0 to 1, equal for equal texts: enough to see that they changed."""
    if isinstance(values, dict):
        return {key: as_numbers(array) for key, array in values.items()}
    if isinstance(values, list):
        return [as_numbers(array) for array in values]
    if values.dtype.kind not in "OSU":
        return values
    codes = {text: zlib.crc32(repr(text).encode()) / 2**32 for text in set(values.ravel().tolist())}
    return np.asarray([codes[text] for text in values.ravel().tolist()]).reshape(values.shape)
