"""Names and groups of features, as users give them: checked against the shapes of the samples."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput, listed, unknown
from keras_xai.frames import Names
from keras_xai.spatial import SPATIAL_KINDS, SpatialShape, kind_of_input

Shape = tuple[int, ...]
Groups = dict[str, list[int]]  # the columns of each


def name_count(shape: Shape, kind: str) -> int:
    """Return how many names an input takes: of its columns, channels or positions; none where it is scored by cells.

    Args:
        shape: of one sample of the input.
    """
    if kind in SPATIAL_KINDS and len(shape) >= 2:
        return 0
    return shape[-1] if kind == "series" and len(shape) == 2 else math.prod(shape)


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of features as text, each once.

    Raises:
        InvalidInput: a name stands there twice.
    """
    names = tuple(map(str, names))
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise InvalidInput(f"feature_names holds the same name more than once: {listed(repeated)}.")
    return names


def resolve_names(
    requested: Names,
    frame_names: Sequence[Names],
    shapes: Sequence[Shape],
    kind: str,
    *,
    is_columns: bool,
    x_shape: Shape,
) -> Names:
    """Return one name for each column, channel or position of all inputs, as the user or the frames name them.

    Args:
        requested: by the user, or None.
        frame_names: of each input's columns, None where no frame names them.
        shapes: of one sample, one an input.
        kind: of the samples, "" where it is open.
        is_columns: the inputs are the columns of one table.
        x_shape: of the first input, for error messages.

    Returns:
        Names of all inputs, or of one among several; None without names.

    Raises:
        InvalidInput: as many names as there are of nothing.
    """
    counts = [name_count(shape, kind) for shape in shapes]
    if requested is None:
        if not any(frame_names):
            return None
        all_names: list[str] = []
        for names, count in zip(frame_names, counts, strict=True):
            all_names += names or [f"column {i}" for i in range(count)]
        return tuple(all_names)
    if len(requested) == sum(counts) or (not kind and len(requested) == shapes[0][-1]):
        return requested
    if len(counts) > 1 and len(requested) in counts and not is_columns:
        return requested  # of one input among several
    if not any(counts):
        positions = SpatialShape.of_kind(kind_of_input(kind, shapes[0], shapes), shapes[0]).positions
        raise InvalidInput(
            f"feature_names has {len(requested)} names, x of shape {x_shape} is of kind {kind!r}: it is scored by cells; "
            f"name parts of it with groups= an integer map {positions}."
        )
    listed_shapes = " and ".join(str((*x_shape[:1], *shape)) for shape in shapes[:4]) + (
        " …" if len(counts) > 4 else ""
    )
    raise InvalidInput(
        f"feature_names has {len(requested)} names, x has {sum(counts)} features (shape {listed_shapes})."
    )


def resolve_segments(groups: Any, kind: str, positions: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the integer map (H, W) or (D, H, W) that says which segment each position of a sample belongs to.

    Args:
        groups: as a user gives it.
        kind: of the samples, "image" or "volume".
        positions: of one sample.

    Raises:
        InvalidInput: no integers, or not of the size of a sample.
    """
    segments = np.asarray(groups)
    if segments.shape != positions or not np.issubdtype(segments.dtype, np.integer):
        raise InvalidInput(
            f"groups has shape {segments.shape} and dtype {segments.dtype}: for {kind}s of {positions} an integer "
            f"map of that shape is expected."
        )
    return segments.astype(np.int64)


def resolve_groups(groups: Any, names: Sequence[str], count: int) -> Groups:
    """Return the columns of each group; a column that no group names is a group by itself.

    Args:
        groups: from a group's name to its columns, by name or number.
        names: of the columns, where they have names.
        count: of columns.

    Raises:
        InvalidInput: no dict, an unknown column, or one in two groups.
    """
    if not isinstance(groups, Mapping):
        raise InvalidInput(f"groups is a {type(groups).__name__}: expected a dict from a group's name to its columns.")
    columns: Groups = {}
    for group, members in groups.items():
        columns[str(group)] = [_column(member, group, names, count) for member in members]
    occurrences = Counter(itertools.chain(*columns.values()))
    repeated = [column for column, times in occurrences.items() if times > 1]
    if repeated:
        raise InvalidInput(f"groups: column {repeated[0]} is in more than one group.")
    for column in sorted(set(range(count)) - set(occurrences)):
        columns[names[column] if names else f"column {column}"] = [column]
    return columns


def _column(member: str | int, group: str, names: Sequence[str], count: int) -> int:
    """Return the number of a column that a group names."""
    if isinstance(member, str) and member not in names:
        available = names or [f"column {i}" for i in range(count)]
        raise unknown(f"feature in group {group!r} named", member, available)
    column = list(names).index(member) if isinstance(member, str) else int(member)
    if not 0 <= column < count:
        raise InvalidInput(f"groups[{group!r}] holds the column {column}, x has {count}.")
    return column
