"""Hashes of samples, by which the rows and features that changed are found without a copy of the samples."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.probe import Probe
from keras_xai.records import Changed

MAX_NAMED_FEATURES = 5  # of a difference
MAX_FEATURES_BY_ROW = 1024  # of more features no hash of each row is kept: in which rows one differs is not known
CHUNK_ENTRIES = 2**18  # hashed at once, 8 bytes each


class Difference(NamedTuple):
    """The difference of two reads of the same rows."""

    changed: Changed
    # The features that differ, "labels" among them, with the share of the rows in which they do, 0 to 1; the largest
    # share first. NaN: it is not known in which rows.
    shares: tuple[tuple[str, float], ...] = ()

    def joined(self, later: Difference) -> Difference:
        """Return this difference and a later one as a single one."""
        rows = _larger(self.changed.rows, later.changed.rows)
        labels = _larger(self.changed.labels, later.changed.labels)
        return Difference(Changed(rows, labels, later.changed.of), later.shares or self.shares)


def _larger(first: int, second: int) -> int:
    """Return the larger of two counts; −1, a count that is not known, where one of them is."""
    return -1 if min(first, second) < 0 else max(first, second)


class Fingerprint(NamedTuple):
    """Hashes of samples: equal for equal contents, and, but for one pair in 2⁶⁴, for no others."""

    rows: NDArray[np.uint64]  # (B) of each sample
    columns: NDArray[np.uint64]  # (F) of each feature over all samples
    entries: NDArray[np.uint64] | None  # (B, F) of each feature in each sample; None for more than 1,024 features
    labels: NDArray[np.uint64]  # (B)
    tokens: NDArray[np.int64] | None = None  # (B, T) of texts: the tokens themselves, to name the words that changed

    @classmethod
    def of(cls, rows: Probe, probe: Probe) -> Fingerprint:
        """Return the hashes of rows whose features are those of `probe`; one pass over the rows."""
        arrays = [probe.feature_map.as_table(as_numbers(rows.x))] if probe.is_columns else rows.inputs
        owners = probe.feature_map.owners()
        hashes = [_hashes(array, owner) for array, owner in zip(arrays, owners, strict=True)]
        entries = [by_entry for _, _, by_entry in hashes if by_entry is not None]
        y: NDArray[Any] = np.zeros((rows.size, 1)) if rows.y is None else rows.y.reshape(rows.size, -1)
        return cls(
            rows=np.sum([by_row for by_row, _, _ in hashes], 0, np.uint64),
            columns=np.concatenate([by_column for _, by_column, _ in hashes]),
            entries=np.concatenate(entries, 1) if len(entries) == len(hashes) else None,
            labels=_hashes(y, np.zeros(y.shape[1], np.int64))[0],
            tokens=rows.inputs[0].astype(np.int64) if probe.feature_map.by_word else None,
        )

    def compare(self, before: Fingerprint, probe: Probe) -> Difference:
        """Return what differs from `before`, the hashes of as many rows with the features of `probe`."""
        labels = self.labels != before.labels
        shares = {"labels": float(labels.mean())} | self._shares(before, probe)
        differing = [(name, share) for name, share in shares.items() if share != 0]
        named = sorted(differing, key=lambda feature: -feature[1])[:MAX_NAMED_FEATURES]
        if labels.any() and "labels" not in dict(named):
            named[-1] = ("labels", shares["labels"])  # a change of labels is never shown as one of the inputs alone
        changed = Changed(int((self.rows != before.rows).sum()), int(labels.sum()), len(labels))
        return Difference(changed, tuple(named))

    def _shares(self, before: Fingerprint, probe: Probe) -> dict[str, float]:
        """Return, by feature, the share of rows in which it differs; NaN where it does in rows that are not known."""
        if self.tokens is not None and before.tokens is not None:
            return _word_shares(self.tokens, before.tokens, probe)
        if self.entries is not None and before.entries is not None:
            share = (self.entries != before.entries).mean(0)
        else:
            share = np.where(self.columns != before.columns, np.nan, 0.0)
        return dict(zip(probe.feature_map.entry_names, share.tolist(), strict=True))


def row_hashes(arrays: list[NDArray[Any]]) -> NDArray[np.uint64]:
    """Return a hash of each row (B) of some inputs: numbers of any dtype are equal where they are as float32."""
    hashes = np.zeros(len(arrays[0]), np.uint64)
    for number, array in enumerate(arrays):
        flat = array.reshape(len(array), -1)
        flat = flat.astype(np.float32) if flat.dtype.kind in "fiub" else flat
        by_row = _hashes(flat, np.zeros(flat.shape[1], np.int64))[0]
        hashes += by_row * np.uint64(2 * number + 1)
    return hashes


def _word_shares(tokens: NDArray[np.int64], before: NDArray[np.int64], probe: Probe) -> dict[str, float]:
    """Return the words that replaced others, each with the share of rows in which it did."""
    is_other = tokens != before
    names = probe.feature_map.word_names
    shares = {int(token): (is_other & (tokens == token)).any(1).mean() for token in np.unique(tokens[is_other])}
    return {names.get(token, f"token {token}"): float(share) for token, share in shares.items()}


def _hashes(
    array: NDArray[Any], owner: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64] | None]:
    """Return the hashes of the rows (B), of the features (F) and, of few features, of each in each row (B, F).

    A hash is a sum of the entries' bits, each times an odd number of its own, modulo 2⁶⁴.

    Args:
        array: (B, ...) values.
        owner: (...) the number of the feature that each entry of a row belongs to.
    """
    owners, size = owner.reshape(-1), len(array)
    order = np.argsort(owners, kind="stable")
    starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
    entry_factors, row_factors = _odd_numbers(len(owners), 0), _odd_numbers(size, 1)
    by_row, by_column = np.zeros(size, np.uint64), np.zeros(len(starts), np.uint64)
    entries = np.zeros((size, len(starts)), np.uint64) if len(starts) <= MAX_FEATURES_BY_ROW else None
    step = max(1, CHUNK_ENTRIES // max(1, len(owners)))
    for begin in range(0, size, step):
        rows = slice(begin, begin + step)
        bits = _bits(array[rows])
        bits += np.uint64(1)  # an entry of 0 counts as well
        bits *= entry_factors
        summed = np.add.reduceat(bits[:, order], starts, axis=1)
        by_row[rows] = summed.sum(1)
        by_column += (summed * row_factors[rows, None]).sum(0)
        if entries is not None:
            entries[rows] = summed
    return by_row, by_column, entries


def _odd_numbers(count: int, seed: int) -> NDArray[np.uint64]:
    """Return (count) random odd numbers of 64 bits, the same at every call."""
    return np.random.default_rng(seed).integers(0, 2**63, count, np.uint64) * np.uint64(2) + np.uint64(1)


def _bits(array: NDArray[Any]) -> NDArray[np.uint64]:
    """Return (B, N) the bytes of each entry as a number."""
    flat = np.ascontiguousarray(as_numbers(array).reshape(len(array), -1))
    if flat.dtype.itemsize > 8:
        flat = flat.astype(np.float64)
    return flat.view(f"u{flat.dtype.itemsize}").astype(np.uint64)


def as_numbers(values: Any) -> Any:
    """Return an array, or a dict or list of arrays, with each text as a hash from 0 to 1: enough to see that it changed."""
    if isinstance(values, dict):
        return {key: as_numbers(array) for key, array in values.items()}
    if isinstance(values, list):
        return [as_numbers(array) for array in values]
    if values.dtype.kind not in "OSU":
        return values
    codes = {text: zlib.crc32(repr(text).encode()) / 2**32 for text in set(values.ravel().tolist())}
    return np.asarray([codes[text] for text in values.ravel().tolist()]).reshape(values.shape)
