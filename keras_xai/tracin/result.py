"""The influence of training rows on rows that are explained, and its rankings: numpy alone."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput, check_int

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LISTED = 5  # rows of either side in the text


@dataclass(frozen=True)
class RankedRows:
    """Training rows in the order of their influence, the strongest first.

    Attributes:
        indices: (k,) numbers of the training rows.
        scores: (k,) their relative influence, all above 0 or all below.
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indices)

    def top(self, k: int = 10) -> RankedRows:
        """Return the first `k`; fewer where there are no more.

        Raises:
            InvalidInput: `k` is not a positive integer.
        """
        k = check_int("k", k)
        return RankedRows(self.indices[:k], self.scores[:k])


class TopRows(NamedTuple):
    """The training rows with the strongest influence, on either side."""

    proponents: RankedRows  # training on them lowers the loss
    opponents: RankedRows  # training on them raises it


@dataclass(frozen=True, eq=False)
class Influence:
    """The influence of training rows on the loss of some rows, in the last layer.

    A score is ∇L(training row) · ∇L(explained row), the gradients with respect to the last layer's weights: the loss of the
    explained row that a step of gradient descent on the training row alone takes away, to first order, by the learning rate.
    Above 0 the training row is a proponent, below 0 an opponent. Rows are ranked by `relative`.

    Attributes:
        scores: (B, N) of N training rows on B explained rows; NaN where a gradient is not finite. Read from a run they are
            divided by the length of the training row's gradient, and NaN where they were not among the strongest.
        layer: the path of the layer whose weights are looked at.
        loss: the name of the loss.
        labels: (N, ...) of the training rows; None where they are not known.
        explained_labels: (B, ...) of the explained rows, likewise.
        checkpoints: over how many states of the model the scores are a sum.
        rows: (N,) numbers of the training rows where they were drawn from more; None where they count from 0.
        lengths: (N,) of the training rows' gradients; None where the scores are divided by them, or are to be ranked as they are.

    Example:
        >>> influence = Influence(np.array([[2.0, -1.0, 0.5]], "float32"), "head", "mse")
        >>> influence.proponents.indices.tolist(), influence.opponents.indices.tolist()
        ([0, 2], [1])
    """

    scores: NDArray[np.float32]
    layer: str
    loss: str
    labels: NDArray[Any] | None = None
    explained_labels: NDArray[Any] | None = None
    checkpoints: int = 1
    rows: NDArray[np.int64] | None = None
    lengths: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, row: Any) -> Influence:
        """Return the influence on one of the explained rows, by its number, or on some of them."""
        if isinstance(row, (int, np.integer)):
            if not -len(self) <= row < len(self):
                raise IndexError(f"row {row}: {len(self)} rows were explained")
            row = [int(row)]
        labels = None if self.explained_labels is None else self.explained_labels[row]
        return Influence(
            self.scores[row], self.layer, self.loss, self.labels, labels, self.checkpoints, self.rows, self.lengths
        )

    @property
    def total(self) -> NDArray[np.float64]:
        """(N,) influence on the summed loss of the explained rows."""
        return np.asarray(self.scores.sum(0, dtype=np.float64))

    @property
    def relative(self) -> NDArray[np.float64]:
        """(N,) the same by the length of each training row's gradient: of one explained row in the order of the cosine.

        Rows that are still wrong have long gradients, which point a little at everything; 0 where a gradient is 0.
        """
        if self.lengths is None:
            return self.total
        lengths = self.lengths.astype(np.float64)
        return np.divide(self.total, lengths, out=np.zeros_like(lengths), where=lengths > 0)

    @property
    def proponents(self) -> RankedRows:
        """All training rows that lower the summed loss of the explained rows, the strongest first."""
        return self._ranked(above=True)

    @property
    def opponents(self) -> RankedRows:
        """All training rows that raise it, the strongest first."""
        return self._ranked(above=False)

    def top(self, k: int = 10) -> TopRows:
        """Return the `k` strongest proponents and opponents; of one explained row, `influence[row].top(k)`.

        Raises:
            InvalidInput: `k` is not a positive integer.
        """
        return TopRows(self.proponents.top(k), self.opponents.top(k))

    def plot(self, x_train: Any = None, *, k: int = 10, theme: str = "light") -> Figure:
        """Return a plotly figure: the strongest proponents and opponents as bars, with their labels.

        Args:
            x_train: the training rows, of which those of images are drawn beside their bars.
            k: bars a side.
            theme: "light" or "dark".

        Raises:
            InvalidInput: `k` is not a positive integer; another number of training rows.
        """
        draw = importlib.import_module("keras_xai.plot").influence
        figure: Figure = draw(self, x_train, k=check_int("k", k), theme=theme)
        return figure

    def label(self, index: int) -> str:
        """Return the label of a training row, by its number, as a word; "" where it is not known."""
        if self.rows is None:
            return label_word(self.labels, index)
        places = np.flatnonzero(self.rows == index)
        return label_word(self.labels, int(places[0])) if places.size else ""

    def _ranked(self, *, above: bool) -> RankedRows:
        values = self.relative
        places = np.flatnonzero(values > 0 if above else values < 0)
        order = places[np.argsort(-np.abs(values[places]), kind="stable")]
        return RankedRows(order if self.rows is None else self.rows[order], values[order].astype(np.float32))

    def __repr__(self) -> str:
        size = f"{len(self):,} row{'' if len(self) == 1 else 's'} × {self.scores.shape[1]:,} training rows"
        first = f"Influence({size}, layer {self.layer!r}, loss {self.loss!r})"
        sides = []
        for name, rows in zip(("proponents", "opponents"), self.top(LISTED), strict=True):
            words = [f"{index} ({score:.3g})" for index, score in zip(rows.indices, rows.scores, strict=True)]
            sides.append(f"{name} {', '.join(words) or 'none'}")
        return f"{first}\n  {'; '.join(sides)}"

    def _repr_html_(self) -> str:
        # What draws a result stands above it: it is imported when it is asked for.
        words: str = importlib.import_module("keras_xai.cards").influence_card(self)
        return words


def label_word(labels: NDArray[Any] | None, index: int) -> str:
    """Return the label of a row as a word: its class, also where it is one-hot, or its number; "" of several numbers."""
    if labels is None:
        return ""
    label = np.asarray(labels[index]).reshape(-1)
    if label.size > 1:
        is_one_hot = bool(((label == 0) | (label == 1)).all() and label.sum() == 1)
        return str(int(label.argmax())) if is_one_hot else ""
    value = label[0]
    is_whole = label.dtype.kind in "iub" or float(value).is_integer()
    return str(int(value)) if is_whole else f"{float(value):.4g}"


def check_rows(influence: Influence, count: int) -> None:
    """Raise where there are not as many rows as scores.

    Raises:
        InvalidInput: another number of them.
    """
    size = influence.scores.shape[1]
    needed = size if influence.rows is None else int(influence.rows.max(initial=-1)) + 1
    if count < needed or (influence.rows is None and count != size):
        raise InvalidInput(
            f"x_train has {count} rows, the influence is of {size}, up to number {needed - 1}: give all of them."
        )
