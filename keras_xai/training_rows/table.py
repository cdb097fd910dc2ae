"""The table of all training rows: grows by the rows of each epoch, and becomes a record."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.backend.row_watch import LoggedRows
from keras_xai.digests import joined
from keras_xai.row_records import EARLY, RowTask, TrainingRows, keyed

Float = NDArray[np.float64]

SUMS = ("probability", "squares", "early", "correct", "loss")  # over epochs
LAST = ("last_probability", "last_right", "last_loss")
COUNTS = ("visits", "early_visits", "forgetting")
MAX_CELLS = 1 << 26  # rows times classes, above which it is not counted what rows are taken for


class RowTable:
    """Figures of groups of rows that share values and label; a visit is an epoch, in which a group's rows count as their mean.

    Args:
        numbers: keys (n) of the user's rows in their order, see `keyed`; None where every new row is taken as it comes.
        digests: (n) of these.
        max_rows: that are taken as they come.
    """

    def __init__(self, numbers: NDArray[np.int64] | None, digests: NDArray[np.int64] | None, max_rows: int) -> None:
        self.has_numbers = numbers is not None
        self.unmatched = 0
        self.matched = 0
        self.new_in_epoch = 0  # groups that were seen for the first time
        self.rows_in_epoch = 0
        self._max_rows = max_rows
        self._row_digest = digests
        self._classes = 0
        self._columns: dict[str, Float] = {}
        self._epoch: Float = np.zeros((0, 4))  # of each group in this epoch: count, sums of probability, right and loss
        self._votes: NDArray[np.uint8] | None = None  # (groups, classes) epochs in which it was taken for one
        # Of the run that is continued: groups, the class that each was taken for, and in how many epochs.
        self._past_votes: tuple[NDArray[np.int64], NDArray[np.int64], Float] | None = None
        self._digests = np.zeros(0, np.int64)
        self._labels = np.zeros(0)
        self._group_of: NDArray[np.int64] | None = None  # of each of the user's rows
        if numbers is None:
            self._keys, self._order = np.zeros(0, np.int64), np.zeros(0, np.int64)
        else:
            unique, self._group_of = np.unique(numbers, return_inverse=True)
            self._keys, self._order = unique, np.arange(len(unique))
            self._grow(len(unique))

    @property
    def size(self) -> int:
        """The number of groups."""
        return len(self._labels)

    def add(self, rows: LoggedRows, task: RowTask, classes: int) -> None:
        """Add rows of the present epoch."""
        self.unmatched += rows.lost
        if not len(rows.digests):
            return
        self._classes = classes if task == "class" else 0
        figures = rows.figures.astype(np.float64)
        label, prediction, loss, probability = figures.T
        digests = joined(rows.digests)
        keys = keyed(digests, label)
        if not self.has_numbers:
            self._take_new(keys, digests, label)
        places = np.minimum(np.searchsorted(self._keys, keys), max(0, len(self._keys) - 1))
        is_known = self._keys[places] == keys if len(self._keys) else np.zeros(len(keys), bool)
        self.unmatched += int((~is_known).sum())
        self.matched += int(is_known.sum())
        self.rows_in_epoch += len(keys)
        groups = self._order[places[is_known]]
        right = np.where(np.isfinite(prediction), prediction == label, np.nan) if task == "class" else prediction
        self._labels[groups] = label[is_known]
        self._digests[groups] = digests[is_known]
        values = np.stack([np.ones(len(keys)), probability, right, loss], 1)[is_known]
        for column in range(values.shape[1]):
            self._epoch[:, column] += np.bincount(groups, values[:, column], self.size)
        self._vote(groups, prediction[is_known])

    def _vote(self, groups: NDArray[np.int64], prediction: Float) -> None:
        if not self._classes or self.size * self._classes > MAX_CELLS:
            self._votes = None
            return
        if self._votes is None:
            self._votes = np.zeros((self.size, self._classes), np.uint8)
            if self._past_votes is not None:
                past_groups, read_as, votes = self._past_votes
                inside = (read_as >= 0) & (read_as < self._classes)
                self._votes[past_groups[inside], read_as[inside]] = votes[inside]
        is_early = np.isfinite(prediction) & (self._columns["early_visits"][groups] < EARLY)
        classes = prediction[is_early].astype(np.int64)
        inside = (classes >= 0) & (classes < self._classes)
        at = groups[is_early][inside], classes[inside]
        self._votes[at] = np.minimum(self._votes[at], 254) + 1  # of copies in one batch one counts

    def _take_new(self, keys: NDArray[np.int64], digests: NDArray[np.int64], labels: Float) -> None:
        """Add a group for each key that is new, while there is room."""
        new, first = np.unique(keys, return_index=True)
        is_new = ~np.isin(new, self._keys, assume_unique=True)
        first = np.sort(first[is_new])[: max(0, self._max_rows - self.size)]
        if not len(first):
            return
        self.new_in_epoch += len(first)
        begin = self.size
        self._grow(begin + len(first))
        merged = np.concatenate([self._keys, keys[first]])
        order = np.concatenate([self._order, np.arange(begin, self.size)])
        by_key = np.argsort(merged, kind="stable")
        self._keys, self._order = merged[by_key], order[by_key]
        self._digests[begin:], self._labels[begin:] = digests[first], labels[first]

    def _grow(self, size: int) -> None:
        more = size - self.size
        for name in (*SUMS, *COUNTS, *LAST):
            self._columns[name] = np.concatenate([self._columns.get(name, np.zeros(0)), np.zeros(more)])
        self._epoch = np.concatenate([self._epoch, np.zeros((more, 4))])
        self._digests = np.concatenate([self._digests, np.zeros(more, np.int64)])
        self._labels = np.concatenate([self._labels, np.full(more, np.nan)])
        if self._votes is not None:
            self._votes = np.concatenate([self._votes, np.zeros((more, self._votes.shape[1]), np.uint8)])

    def end_epoch(self) -> None:
        """Make the rows of the epoch a visit of each group that was seen in it."""
        visited = np.flatnonzero(self._epoch[:, 0])
        probability, right, loss = (self._epoch[visited, 1:] / self._epoch[visited, :1]).T
        columns = self._columns
        is_early = columns["early_visits"][visited] < EARLY
        is_right = right > 0.5
        forgotten = (columns["visits"][visited] > 0) & (columns["last_right"][visited] > 0.5) & ~is_right
        columns["forgetting"][visited] += forgotten
        columns["visits"][visited] += 1
        columns["early_visits"][visited] += is_early
        columns["probability"][visited] += probability
        columns["squares"][visited] += probability**2
        columns["early"][visited] += np.where(is_early, probability, 0.0)
        columns["correct"][visited] += right
        columns["loss"][visited] += loss
        columns["last_probability"][visited] = probability
        columns["last_right"][visited] = right
        columns["last_loss"][visited] = loss
        self._epoch[:] = 0.0
        self.new_in_epoch = self.rows_in_epoch = 0

    def resume(self, past: TrainingRows) -> None:
        """Take over the figures of the run that is continued; before the first rows of this one."""
        visited = np.flatnonzero(past.visits > 0)
        keys = keyed(past.digest[visited], past.label[visited])
        if not self.has_numbers:
            self._take_new(keys, past.digest[visited], np.asarray(past.label[visited], np.float64))
            self.new_in_epoch = 0
        places = np.minimum(np.searchsorted(self._keys, keys), max(0, len(self._keys) - 1))
        is_known = self._keys[places] == keys if len(self._keys) else np.zeros(len(keys), bool)
        groups, visited = self._order[places[is_known]], visited[is_known]
        columns, visits = self._columns, past.visits[visited].astype(np.float64)
        early = np.minimum(visits, EARLY)
        self._labels[groups], self._digests[groups] = past.label[visited], past.digest[visited]
        mean, spread = (
            np.asarray(past.probability[visited], np.float64),
            np.asarray(past.variability[visited], np.float64),
        )
        columns["visits"][groups], columns["early_visits"][groups] = visits, early
        columns["probability"][groups], columns["squares"][groups] = mean * visits, (spread**2 + mean**2) * visits
        columns["early"][groups] = past.early_probability[visited] * early
        columns["correct"][groups], columns["loss"][groups] = (
            past.correctness[visited] * visits,
            past.loss[visited] * visits,
        )
        columns["last_probability"][groups], columns["last_loss"][groups] = (
            past.last_probability[visited],
            past.last_loss[visited],
        )
        columns["last_right"][groups] = np.nan  # is not recorded: the first visit is no forgetting
        columns["forgetting"][groups] = np.maximum(0, past.forgetting[visited])
        self._past_votes = (groups, past.read_as[visited], early)
        self.unmatched = past.unmatched

    def record(self, update: int, task: RowTask, missing: str = "") -> TrainingRows:
        """Return the table as a record, a row for each of the user's, or for each group."""
        columns = self._columns
        visits, early = columns["visits"], columns["early_visits"]
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = columns["probability"] / visits
            variance = np.maximum(columns["squares"] / visits - mean**2, 0.0)
            figures: dict[str, Any] = {
                "label": np.where(visits > 0, self._labels, np.nan),
                "probability": mean,
                "variability": np.sqrt(variance),
                "early_probability": columns["early"] / early,
                "correctness": columns["correct"] / visits,
                "loss": columns["loss"] / visits,
            }
        for name in ("last_probability", "last_loss"):
            figures[name] = np.where(visits > 0, columns[name], np.nan)
        is_known = np.isfinite(columns["correct"]) & (visits > 0)
        read_as = np.full(self.size, -1, np.int64)
        if self._votes is not None and self.size:
            voted = self._votes.any(1)
            read_as[voted] = self._votes[voted].argmax(1)
        rows: Any = slice(None) if self._group_of is None else self._group_of
        with np.errstate(over="ignore"):
            floats = {name: values[rows].astype(np.float32) for name, values in figures.items()}
        return TrainingRows(
            epoch=update,
            task=task,
            digest=self._digests if self._row_digest is None else self._row_digest,
            visits=visits[rows].astype(np.int64),
            forgetting=np.where(is_known, columns["forgetting"], -1)[rows].astype(np.int64),
            read_as=read_as[rows],
            has_numbers=self.has_numbers,
            unmatched=self.unmatched,
            missing=missing,
            **floats,
        )
