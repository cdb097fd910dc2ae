"""The class and the region of each sample of a dense output: chosen by a description, of labels or predictions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput
from keras_xai.model.positions import Layout
from keras_xai.model.task import Task, resolve_target
from keras_xai.outputs.dense import Dense

Region = NDArray[np.bool_]


class Regions(NamedTuple):
    """The class and the region that are explained of each sample."""

    target: NDArray[np.int64]  # (B,) the class or column
    region: Region  # (B, P) True inside


def candidates(spec: Dense, layout: Layout, counts: Region) -> Region:
    """(B, P) True at the positions that a description leaves: those of a mask, one step, else all that count.

    Args:
        spec: the description.
        layout: of the output.
        counts: (B, P) True at positions that count.

    Raises:
        InvalidInput: a mask of another shape, a step beyond the sequence or in its padding, a sample of which nothing counts.
    """
    nothing = np.flatnonzero(~counts.any(1))
    if nothing.size:
        raise InvalidInput(f"No {spec.unit} of sample {nothing[0]} counts: all of its labels or tokens are padding.")
    if isinstance(spec.over, np.ndarray):
        inside = _mask_of(spec.over, layout, len(counts))
        counted_inside = inside & counts
        return np.where(counted_inside.any(1, keepdims=True), counted_inside, inside)
    if spec.unit == "token" and spec.position is not None:
        return one_position(_steps(spec.position, counts), layout.size)
    return counts


def one_position(numbers: NDArray[np.int64], size: int) -> Region:
    """(B, P) True at one position of each sample alone."""
    return np.asarray(np.arange(size) == numbers[:, None])


def _mask_of(mask: Region, layout: Layout, size: int) -> Region:
    if mask.shape == layout.positions:
        return np.broadcast_to(mask.reshape(1, -1), (size, layout.size))
    if mask.shape[1:] == layout.positions and len(mask) == size:
        empty = np.flatnonzero(~mask.reshape(size, -1).any(1))
        if empty.size:
            raise InvalidInput(f"over is a mask of which nothing is true for sample {empty[0]}: there is no region.")
        return mask.reshape(size, layout.size)
    shape, shape_of_each = layout.positions, (size, *layout.positions)
    raise InvalidInput(
        f"over is a mask of shape {mask.shape}: expected {shape} for all samples, or {shape_of_each}, one for each. A mask for "
        f"each sample of a probe says nothing of other rows, as live ones: there over='label' does."
    )


def _steps(step: Any, counts: Region) -> NDArray[np.int64]:
    """(B,) the numbers of steps; negative ones are counted from the last that counts."""
    size, length = counts.shape
    steps = np.asarray(step, np.int64)
    if steps.shape not in ((), (size,)):
        raise InvalidInput(f"step has shape {steps.shape}: expected one step, or one for each of the {size} samples.")
    steps = np.broadcast_to(steps, (size,))
    order = np.argsort(~counts, axis=1, kind="stable")  # first the steps that count, in their order
    number = counts.sum(1)
    from_end = order[np.arange(size), np.clip(number + steps, 0, length - 1)]
    beyond = np.flatnonzero(np.where(steps < 0, number + steps < 0, steps >= length))
    if beyond.size:
        row = beyond[0]
        raise InvalidInput(f"There is no step {steps[row]} in sample {row}, which has {number[row]} that count.")
    chosen = np.where(steps < 0, from_end, np.clip(steps, 0, length - 1))
    padded = np.flatnonzero(~counts[np.arange(size), chosen])
    if padded.size:
        row = padded[0]
        raise InvalidInput(
            f"Step {steps[row]} of sample {row} is padding, or has a label that does not count; negative steps are counted from "
            f"the last one that does."
        )
    return chosen


def wanted_classes(spec: Dense, target: Any, task: Task, size: int, names: Any) -> NDArray[np.int64] | None:
    """(B,) the classes that are asked for: of a call or probe first, then those of a description; None where none is.

    Raises:
        InvalidInput: a class that the output does not have; none of several numbers.
    """
    chosen = spec.target if target is None else target
    if chosen is None and task.kind == "binary" and spec.background == 0:
        chosen = 1
    return resolve_target(chosen, task, size, None, names)


def regions_of(
    spec: Dense, task: Task, left: Region, source: NDArray[Any], requested: NDArray[np.int64] | None
) -> Regions:
    """The class and the region of each sample.

    Args:
        spec: the description.
        task: of each position.
        left: (B, P) the positions that are left by `candidates`.
        source: (B, P) the class of each position by labels or predictions; (B, P, K) of 0 and 1 where each column has its own.
        requested: (B,) classes; None for the commonest in `source`.
    """
    is_class = class_table(source, task)
    target = _commonest(is_class, left, spec.background) if requested is None else requested
    is_one_region = isinstance(spec.over, np.ndarray) or spec.position is not None
    if is_one_region or not (task.classes or task.kind == "labels"):
        return Regions(target, left)
    rows = np.arange(len(left))
    has_class = is_class[rows, :, np.maximum(target, 0)] if source.ndim == 3 else source == target[:, None]
    inside = left & has_class
    return Regions(target, np.where(inside.any(1, keepdims=True), inside, left))


def class_table(source: NDArray[Any], task: Task) -> NDArray[Any]:
    """Classes (B, P) as they are; where each column has its own (B, P, K) of truth values."""
    return source > 0 if source.ndim == 3 and task.kind == "labels" else source


def _commonest(classes: NDArray[Any], left: Region, background: int | None) -> NDArray[np.int64]:
    """(B,) the class of most positions that are left, the background where there is no other.

    Of truth values by column (B, P, K) it is the column of most.
    """
    if classes.ndim == 3:
        return np.asarray((classes & left[:, :, None]).sum(1).argmax(1), np.int64)
    chosen = np.zeros(len(classes), np.int64)
    for row, (of_row, inside) in enumerate(zip(classes, left, strict=True)):
        counts = np.bincount(of_row[inside & (of_row >= 0)])
        if background is not None and background < len(counts) and counts.sum() > counts[background]:
            counts[background] = 0
        chosen[row] = counts.argmax() if counts.size else 0
    return chosen


def label_of_region(source: NDArray[Any], region: Region, task: Task) -> NDArray[Any]:
    """The label of each region: the class of most of it (B,); of labels (B, K) of 0 and 1; of numbers their means."""
    if task.classes:
        return _commonest(source, region, None)
    share = region / region.sum(1, keepdims=True)
    means = np.einsum("bp,bpk->bk", share, source.astype(np.float64))
    if task.kind == "labels":
        return (means > 0.5).astype(np.int64)
    return means if task.width > 1 else means[:, 0]
