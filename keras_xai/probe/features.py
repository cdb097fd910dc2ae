"""Features: the parts of a sample that are scored as one, their names, and how values are summed over them.

`FeatureMap` holds one layout for each input: columns, cells or segments of an image, channels of a series, words.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_xai.frames import Names
from keras_xai.probe.chunks import row_chunks
from keras_xai.probe.names import Groups, Shape, name_count
from keras_xai.spatial import SpatialShape, kind_of_input
from keras_xai.tree import leaves

OTHER = "other"  # all tokens together that are not scored by themselves
SCORED_VOCABULARY = 500  # a larger vocabulary is scored by the words that the probe holds
Float = NDArray[np.float64]


class Layout(Protocol):
    """The features of one input."""

    @property
    def count(self) -> int:
        """Number of features F, counted without making their names."""

    @property
    def names(self) -> Sequence[str]:
        """(F) names of the features."""

    @property
    def entry_names(self) -> Sequence[str]:
        """Names of the parts that `owners` tells apart: `names`, but positions where words are scored."""

    def owners(self) -> NDArray[np.int64]:
        """Return, in the shape of a sample, the part that each entry belongs to."""

    def pool(self, values: Float) -> Float:
        """Sum values (B, ...) over the entries of each part: (B, F)."""


@dataclass(frozen=True)
class Columns:
    """Entries of a sample by themselves, or summed by the groups that the user names."""

    shape: Shape
    names_of_entries: Sequence[str]
    groups: Groups | None = None

    @property
    def count(self) -> int:
        return math.prod(self.shape) if self.groups is None else len(self.groups)

    @property
    def names(self) -> Sequence[str]:
        return self.names_of_entries if self.groups is None else list(self.groups)

    @property
    def entry_names(self) -> Sequence[str]:
        return self.names

    def owners(self) -> NDArray[np.int64]:
        owners = np.arange(math.prod(self.shape))
        for feature, members in enumerate((self.groups or {}).values()):
            owners[members] = feature
        return owners.reshape(self.shape)

    def pool(self, values: Float) -> Float:
        columns = values.reshape(len(values), -1)
        if self.groups is None:
            return columns
        return np.stack([columns[:, members].sum(1) for members in self.groups.values()], 1)


@dataclass(frozen=True)
class Channels:
    """The channels of a series (T, C), each over all its time steps."""

    shape: Shape
    names: Sequence[str]

    @property
    def count(self) -> int:
        return self.shape[-1]

    @property
    def entry_names(self) -> Sequence[str]:
        return self.names

    def owners(self) -> NDArray[np.int64]:
        return np.broadcast_to(np.arange(self.shape[1]), self.shape)

    def pool(self, values: Float) -> Float:
        return np.asarray(values.sum(1))


@dataclass(frozen=True)
class Cells:
    """Cells of an image or a volume, see `SpatialShape.cells`; an incomplete one at the far edges counts."""

    shape: Shape
    spatial: SpatialShape

    @property
    def count(self) -> int:
        return math.prod(self.spatial.cells[1])

    @property
    def names(self) -> Sequence[str]:
        cells = np.ndindex(*self.spatial.cells[1])
        if len(self.spatial.positions) == 3:
            return [f"depth {depth} row {row} column {column}" for depth, row, column in cells]
        return [f"block ({row},{column})" for row, column in cells]

    @property
    def entry_names(self) -> Sequence[str]:
        return self.names

    def owners(self) -> NDArray[np.int64]:
        sides, counts = self.spatial.cells
        cell: NDArray[np.int64] = np.zeros(self.spatial.positions, np.int64)
        for position, side, count in zip(np.indices(self.spatial.positions), sides, counts, strict=True):
            cell = cell * count + position // side
        return _over_channels(cell, self.spatial, self.shape)

    def pool(self, values: Float) -> Float:
        sides, counts = self.spatial.cells
        sums = self.spatial.sum_over_channels(values)
        missing = [
            (0, side * count - length)
            for side, count, length in zip(sides, counts, self.spatial.positions, strict=True)
        ]
        sums = np.pad(sums, [(0, 0), *missing])
        cells_and_sides = itertools.chain(*zip(counts, sides, strict=True))
        within_cells = tuple(range(2, 2 * len(sides) + 1, 2))
        cells = sums.reshape(len(sums), *cells_and_sides).sum(within_cells)
        return np.asarray(cells.reshape(len(sums), math.prod(counts)))


@dataclass(frozen=True, eq=False)
class Segments:
    """Segments of an image or a volume, as an integer map (H, W) or (D, H, W) of the user's says."""

    shape: Shape
    spatial: SpatialShape
    segments: NDArray[np.int64]

    @property
    def count(self) -> int:
        return len(np.unique(self.segments))

    @property
    def names(self) -> Sequence[str]:
        return [f"segment {segment}" for segment in np.unique(self.segments)]

    @property
    def entry_names(self) -> Sequence[str]:
        return self.names

    def owners(self) -> NDArray[np.int64]:
        numbers = np.unique(self.segments, return_inverse=True)[1].reshape(self.spatial.positions)
        return _over_channels(numbers, self.spatial, self.shape)

    def pool(self, values: Float) -> Float:
        sums = self.spatial.sum_over_channels(values)
        return np.stack([sums[:, self.segments == segment].sum(1) for segment in np.unique(self.segments)], 1)


@dataclass(frozen=True, eq=False)
class Words:
    """Tokens by what they are, wherever they stand: the words that are scored, and all others as one."""

    positions: Columns
    tokens: NDArray[np.int64]  # (W) sorted
    word_names: Mapping[int, str]

    @property
    def count(self) -> int:
        return len(self.tokens) + 1

    @property
    def names(self) -> Sequence[str]:
        words = [self.word_names.get(token, f"token {token}") for token in self.tokens.tolist()]
        return [*words, OTHER]

    @property
    def entry_names(self) -> Sequence[str]:
        return self.positions.names

    def owners(self) -> NDArray[np.int64]:
        return self.positions.owners()

    def pool(self, values: Float) -> Float:
        return self.positions.pool(values)

    def pool_words(self, values: Float, tokens: NDArray[Any]) -> Float:
        """Sum values (B, T) over the tokens of each word: (B, W + 1)."""
        size, columns = len(values), self.count
        index = np.minimum(np.searchsorted(self.tokens, tokens), len(self.tokens) - 1)
        word = np.where(self.tokens[index] == tokens, index, len(self.tokens))
        flat_index = (np.arange(size)[:, None] * columns + word).ravel()
        sums = np.bincount(flat_index, values.reshape(size, -1).ravel(), size * columns)
        return sums.astype(np.float64).reshape(size, columns)


def _over_channels(numbers: NDArray[np.int64], spatial: SpatialShape, shape: Shape) -> NDArray[np.int64]:
    """Repeat the numbers of positions over the channels of a sample of this shape."""
    channels = 1 if spatial.channel_axis is None else (1, *shape)[spatial.channel_axis]
    return spatial.repeat_over_channels(numbers, channels)


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The features of a probe: how each entry of its inputs is named, grouped and summed.

    Args:
        kind: of the samples; "" where it is open.
        shapes: of one sample, one an input.
        keys: of the inputs, where they have names.
        feature_names: of columns, channels or positions, see `Probe`.
        groups: columns of each group, or segments of an image.
        scored_tokens: of each input the tokens that are scored by themselves, None for an input of numbers; None where no
            input is scored by word.
        word_names: the name of each token.
    """

    kind: str
    shapes: tuple[Shape, ...]
    keys: tuple[str, ...] | None
    feature_names: Names
    groups: Groups | NDArray[np.int64] | None
    scored_tokens: Sequence[NDArray[np.int64] | None] | None
    word_names: Mapping[int, str]

    @property
    def is_columns(self) -> bool:
        """True where the inputs are the columns of one table, each (B,) or (B, 1)."""
        return is_columns(self.kind, self.shapes, self.keys)

    @cached_property
    def layouts(self) -> list[Layout]:
        """One for each input; of a table that comes by columns one for all."""
        if self.is_columns:
            return [Columns((len(self.shapes),), self.column_names, self._column_groups)]
        return [self._layout(k, shape) for k, shape in enumerate(self.shapes)]

    def _layout(self, k: int, shape: Shape) -> Layout:
        kind = kind_of_input(self.kind, shape, self.shapes)
        if kind == "series":
            return Channels(shape, self.names_of(k))
        if kind:
            spatial = SpatialShape.of_kind(kind, shape)
            if isinstance(self.groups, np.ndarray) and self.groups.shape == spatial.positions:
                return Segments(shape, spatial, self.groups)
            return Cells(shape, spatial)
        columns = Columns(shape, _LazyNames(self, k), self._column_groups)
        tokens = None if self.scored_tokens is None else self.scored_tokens[k]
        return columns if tokens is None else Words(columns, tokens, self.word_names)

    @property
    def _column_groups(self) -> Groups | None:
        return self.groups if isinstance(self.groups, dict) else None

    @property
    def by_word(self) -> bool:
        """True where tokens are scored by what they are, not by where they stand."""
        return self.scored_tokens is not None

    @property
    def count(self) -> int:
        """F, without making the names."""
        return sum(layout.count for layout in self.layouts)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(F) names of what is scored: columns or their groups, image cells, channels, words."""
        return self._prefixed([layout.names for layout in self.layouts])

    @property
    def entry_names(self) -> tuple[str, ...]:
        """Names of the parts that `owners` and `parts` tell apart: `names`, but positions where words are scored."""
        return self._prefixed([layout.entry_names for layout in self.layouts])

    def _prefixed(self, names: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Put the input's key or number before names, where there are several inputs."""
        if len(self.shapes) == 1 or self.is_columns:
            return tuple(names[0])
        keys = self.keys or range(len(self.shapes))
        return tuple(f"{key}: {name}" for key, of_input in zip(keys, names, strict=True) for name in of_input)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns of a table that comes by columns, one an input."""
        names = self.feature_names or self.keys or ()
        return names if len(names) == len(self.shapes) else tuple(f"column {k}" for k in range(len(self.shapes)))

    def names_of(self, k: int) -> Sequence[str]:
        """Return the names of the columns, channels or positions of one input, whether they are grouped or not."""
        names, shape = self.given_names(k), self.shapes[k]
        if self.kind == "series" and len(shape) == 2:
            return names or [f"channel {c}" for c in range(shape[-1])]
        beside_series = self.kind == "series" and any(len(other) == 2 for other in self.shapes)
        noun = "position" if self.kind in ("tokens", "series") and not beside_series else "column"
        return names or [f"{noun} {i}" for i in range(math.prod(shape))]

    def given_names(self, k: int) -> Names:
        """Return those of `feature_names` that belong to one input; None where it has no names."""
        names = self.feature_names
        if not names:
            return None
        counts = [name_count(shape, self.kind) for shape in self.shapes]
        if len(names) == sum(counts):
            begin = sum(counts[:k])
            return names[begin : begin + counts[k]] or None
        return names if len(names) == counts[k] else None

    def in_inputs(self, inputs: Collection[int]) -> NDArray[np.bool_]:
        """Return (F) true for the features that lie in some inputs, wholly or in part.

        Args:
            inputs: their numbers.
        """
        if self.is_columns:
            (owners,) = self.owners()
            in_inputs = np.zeros(int(owners.max()) + 1, bool)
            in_inputs[owners[[k for k in range(len(owners)) if k in inputs]]] = True
            return in_inputs
        return np.concatenate([np.full(layout.count, k in inputs) for k, layout in enumerate(self.layouts)])

    def owners(self) -> list[NDArray[np.int64]]:
        """Return the part of `entry_names` that each entry of a sample belongs to, counted in its own input.

        Returns:
            An array in the shape of a sample, one an input; of a table that comes by columns one (F,) for all.
        """
        return [layout.owners() for layout in self.layouts]

    def parts(self) -> list[NDArray[np.int64]]:
        """Return the part of `entry_names` that each entry of a sample belongs to, counted over all inputs.

        Returns:
            An array in the shape of a sample, one an input.
        """
        if self.is_columns:
            (owners,) = self.owners()
            return [np.full(shape, owners[k]) for k, shape in enumerate(self.shapes)]
        parts: list[NDArray[np.int64]] = []
        begin = 0
        for owners in self.owners():
            parts.append(begin + owners)
            begin += int(owners.max()) + 1
        return parts

    def as_table(self, values: Any) -> NDArray[Any]:
        """Join the columns of a table that comes by columns, in the structure of `x`, into one table (B, F)."""
        return np.concatenate([np.asarray(part).reshape(-1, 1) for part in leaves(values)], 1)

    def pool(
        self,
        values: Any,
        transform: Callable[[Any], Any] = np.asarray,
        tokens: Sequence[NDArray[Any]] | None = None,
    ) -> Float:
        """Sum attributions or gradients over the entries of each feature.

        Args:
            values: (B, ...) an input, in the structure of `x`.
            transform: applied to the values before they are summed, as `np.abs`.
            tokens: (B, T) an input, what the values are of; needed where words are scored.

        Returns:
            (B, F) float64, in the order of `names`.
        """
        by_column = self.is_columns and not isinstance(values, np.ndarray)
        arrays = [self.as_table(values)] if by_column else leaves(values)
        pooled = []
        for k, (layout, array) in enumerate(zip(self.layouts, arrays, strict=True)):
            if isinstance(layout, Words):
                if tokens is None:
                    raise ValueError("words are summed by their tokens: give them")
                pooled.append(layout.pool_words(np.asarray(transform(array), np.float64), tokens[k]))
                continue
            chunks = row_chunks(np.asarray(array))
            pooled.append(np.concatenate([layout.pool(np.asarray(transform(rows), np.float64)) for rows in chunks]))
        return np.concatenate(pooled, 1)


class _LazyNames(Sequence[str]):
    """Names of one input's entries that are made when they are looked at: of a large input nobody may."""

    def __init__(self, features: FeatureMap, k: int) -> None:
        self._features, self._k = features, k

    @cached_property
    def _names(self) -> Sequence[str]:
        return self._features.names_of(self._k)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        return self._names[index]


def is_columns(kind: str, shapes: Sequence[Shape], keys: Sequence[str] | None) -> bool:
    """Return whether inputs are the columns of one table, each (B,) or (B, 1)."""
    several = keys is not None or len(shapes) > 1
    return several and kind in ("table", "") and all(shape in ((), (1,)) for shape in shapes)


def tokens_to_score(inputs: Sequence[NDArray[Any]], named: Collection[int]) -> list[NDArray[np.int64] | None] | None:
    """Choose the tokens of each input that are scored by themselves.

    Args:
        inputs: (B, T) tokens, or numbers.
        named: the tokens that the vocabulary names; those of a small one are all scored.

    Returns:
        Sorted tokens for each input, None for one of numbers; None where no input is of tokens.
    """
    tokens: list[NDArray[np.int64] | None] = []
    for array in inputs:
        of_tokens = array.dtype.kind in "iu" and array.ndim == 2
        tokens.append(np.unique(array).astype(np.int64) if of_tokens else None)
    if len(tokens) == 1 and tokens[0] is not None and len(named) <= SCORED_VOCABULARY:
        tokens[0] = np.union1d(tokens[0], np.asarray(list(named), np.int64))
    return tokens if any(of_input is not None for of_input in tokens) else None


def unique_words(vocabulary: Sequence[str] | Mapping[int, str] | None) -> dict[int, str]:
    """Return the name of each token of a vocabulary; a number is added to what more than one token is called."""
    if vocabulary is None:
        return {}
    pairs = vocabulary.items() if isinstance(vocabulary, Mapping) else enumerate(vocabulary)
    names = {int(token): str(word) for token, word in pairs}
    counts = Counter(names.values())
    unique = {}
    for token, word in names.items():
        is_clear = counts[word] == 1 and word not in ("", OTHER)
        unique[token] = word if is_clear else f"{word} (token {token})".strip()
    return unique
