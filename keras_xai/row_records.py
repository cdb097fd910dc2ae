"""The record of all training rows: what the train step itself computed of each, over the epochs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from keras_xai.digests import row_digest
from keras_xai.errors import InvalidInput
from keras_xai.updates import AtUpdate

RowTask = Literal["class", "labels", "value"]
ROW_TASKS: tuple[RowTask, ...] = get_args(RowTask)
EARLY = 5  # epochs in which a wrong label is not yet memorised

COLUMNS = (
    "label",
    "visits",
    "probability",
    "variability",
    "early_probability",
    "last_probability",
    "correctness",
    "forgetting",
    "loss",
    "last_loss",
    "read_as",
)

Float = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class TrainingRows(AtUpdate):
    """Figures that the train step computed of each row (n) of its data, over the epochs so far.

    They are of the step's own forward pass: in training mode, with dropout, and before the step's update. So they depend on the
    order of the rows: a row that comes late in an epoch meets a model that has learned from the others.

    Rows are those of `x`, in its order, where the callback has it; else each different row in the order in which it first came,
    see `find`. Rows of the same values and label share their figures. All figures are NaN, `label` too, of a row that no step has
    seen (`visits` is 0), as those of a validation split.
    """

    epoch: int
    task: RowTask  # "class", "labels" (several a row) or "value", of which only the losses are known
    digest: NDArray[np.int64]  # (n) see `kx.row_digest`
    label: Float  # (n) the label that the training saw: a class or a number; NaN where there are several
    visits: NDArray[np.int64]  # (n) epochs in which it was seen
    probability: Float  # (n) mean over epochs of the probability of the label, 0 to 1
    variability: Float  # (n) its standard deviation
    early_probability: Float  # (n) the mean over the first `EARLY` epochs alone
    last_probability: Float  # (n) in the last epoch that saw it
    correctness: Float  # (n) share of epochs in which the prediction was right
    # (n) changes from right to wrong from one epoch to the next (Toneva et al. 2019); −1: not known
    forgetting: NDArray[np.int64]
    loss: Float  # (n) mean over epochs of the model's own loss, before weights
    last_loss: Float  # (n) in the last epoch
    read_as: NDArray[np.int64]  # (n) the class that most of the first `EARLY` epochs took it for; −1 where not known
    has_numbers: bool = True  # rows are those of the callback's x; else each different row as it came
    unmatched: int = 0  # visits of rows that are none of x, or for which there was no room
    missing: str = ""  # why rows were not logged from some step on, "" where all were
    step: int | None = None

    @property
    def label_quality(self) -> Float:
        """(n) how far each label is to be believed, 0 to 1.

        It is the probability of the label over the first `EARLY` epochs, less its mean over the rows with this label, from
        -1 to 1 scaled to 0 to 1, so that 0.5 is the mean of its class: a class that is learned late is no worse than another
        (as cleanlab adjusts probabilities, Northcutt et al. 2021). Of rows with several labels it is the probability as it
        is. NaN for rows that were not visited, and for numbers.
        """
        quality = np.asarray(self.early_probability, np.float64)
        if self.task != "class":
            return quality
        visited = np.isfinite(quality)
        _, classes = np.unique(self.label[visited], return_inverse=True)
        means = np.bincount(classes, quality[visited]) / np.maximum(1, np.bincount(classes))
        adjusted = np.full_like(quality, np.nan)
        adjusted[visited] = (1 + quality[visited] - means[classes]) / 2
        return adjusted

    def suspects(self, most: int | None = 20) -> NDArray[np.int64]:
        """Return the rows to look at first: those with the lowest label quality; of a model of numbers those with the
        highest loss.

        Args:
            most: how many of them; None for all, in their order.
        """
        score = -np.asarray(self.loss, np.float64) if self.task == "value" else self.label_quality
        visited = np.flatnonzero(np.isfinite(score))
        return np.asarray(visited[np.argsort(score[visited], kind="stable")][:most], np.int64)

    def find(self, x: Any, y: Any = None) -> NDArray[np.int64]:
        """Return the row of this table for each row of x (m), −1 for one that no step has seen.

        Args:
            x: as `fit` got it.
            y: (m) its labels, as classes or numbers, or one-hot (m, K) of classes; where one row of values has several
                labels it is found by them. Without y such a row is found by its values alone, the first in the table.

        Raises:
            InvalidInput: another number of labels than of rows.
        """
        digests = row_digest(x)
        keys = self.digest
        if y is not None:
            label = np.asarray(y)
            is_one_hot = self.task == "class" and label.ndim == 2 and label.shape[1] > 1
            label = label.argmax(1) if is_one_hot else label.reshape(-1)
            if len(label) != len(digests):
                raise InvalidInput(f"y has {np.asarray(y).shape} entries for {len(digests)} rows: one label a row.")
            digests, keys = keyed(digests, label), keyed(keys, self.label)
        visited = np.flatnonzero(self.visits > 0)
        order = visited[np.argsort(keys[visited], kind="stable")]
        places = np.searchsorted(keys[order], digests)
        inside = places < len(order)
        rows = np.full(len(digests), -1, np.int64)
        candidates = order[places[inside]]
        rows[inside] = np.where(keys[candidates] == digests[inside], candidates, -1)
        return rows

    def columns(self) -> Mapping[str, NDArray[Any]]:
        """Return the figures of each row by name, as `to_frame` has them."""
        return {name: getattr(self, name) for name in COLUMNS}

    def to_frame(self) -> Any:
        """Return the table as a pandas frame, a row a training row.

        Raises:
            ImportError: pandas is not installed.
        """
        return _frame(dict(self.columns()))

    def to_cleanlab(self) -> Any:
        """Return a pandas frame in the form of cleanlab's `CleanLearning.find_label_issues`, which `CleanLearning.fit` takes.

        Its columns are `is_label_issue` (most of the first epochs took the row for another class than its label),
        `label_quality` (0 to 1), `given_label` and `predicted_label`. Only with row numbers, the callback's `x`, is it in
        the order of the data. A row that was not seen is no issue, and has quality 1.

        Raises:
            InvalidInput: the model has no classes.
            ImportError: pandas is not installed.
        """
        if self.task != "class":
            raise InvalidInput(f"The rows have {self.task} outputs: cleanlab's label issues are of classes.")
        visited = np.asarray(self.visits) > 0
        label = np.where(visited, np.nan_to_num(np.asarray(self.label, np.float64), nan=-1.0), -1).astype(np.int64)
        return _frame(
            {
                "is_label_issue": visited & (self.read_as >= 0) & (self.read_as != label),
                "label_quality": np.where(visited, np.nan_to_num(self.label_quality, nan=0.0), 1.0),
                "given_label": label,
                "predicted_label": np.where(visited, self.read_as, label),
            }
        )


def keyed(digests: NDArray[np.int64], labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return one key a row of its digest and its label; a NaN stands for no label."""
    bits = np.nan_to_num(np.asarray(labels, np.float32), nan=0.0) + np.float32(0.0)  # -0.0 becomes 0.0
    mixed = bits.view(np.int32).astype(np.uint32).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray(digests ^ (mixed ^ (mixed >> np.uint64(29))).view(np.int64))


def _frame(columns: dict[str, NDArray[Any]]) -> Any:
    return importlib.import_module("pandas").DataFrame(columns)
