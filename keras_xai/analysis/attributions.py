"""Attributions as the views show them: the choice of a method, the title of a sample, small maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import percent, short
from keras_xai.analysis.outputs import (
    LARGE_COMPLETENESS_ERROR,
    class_name,
    finite_at,
    has_classes,
    number,
    outputs_at,
    titles_of,
)
from keras_xai.errors import unknown
from keras_xai.recorded import OfProbe, Recorded
from keras_xai.records import Attribution, Float, Outputs, Quantity
from keras_xai.spatial import SPATIAL_KINDS, box_means

THUMBNAIL_PIXELS = 32  # longer side of a thumbnail, at most
SMALL_VOLUME_CELLS = 16  # along each axis of a volume whose maps are compared
MAP_PIXELS = 64  # longer side of a map in a figure, at most


def methods_of(run: Recorded) -> tuple[str, ...]:
    """Return the methods that were written, and those of the untrained model alone where nothing else was written yet."""
    return tuple(sorted({*run.methods, *run.methods_before}))


def method_named(run: Recorded, method: str | None) -> str:
    """Return the method asked for, else the one that a view opens with; "" where none was written.

    Images and volumes open with saliency, which also shows what the model would react to. Tables, texts and series open with
    a method that gives contributions, integrated gradients first, and not with a gradient, which is a slope.

    Raises:
        InvalidInput: the run has no such method.
    """
    methods = methods_of(run)
    if method and method not in methods:
        raise unknown("method", method, methods)
    if method:
        return method
    image = run.probe is not None and run.probe.kind in SPATIAL_KINDS
    contributions = [name for name in methods if run.method_quantity(name) == "contribution"]
    preferred = ("saliency", "integrated_gradients") if image else ("integrated_gradients", *contributions)
    return next((name for name in (*preferred, *methods) if name in methods), "")


def is_magnitude(kind: str, quantity: Quantity) -> bool:
    """Return True where values are shown without a sign: slopes at words, which have no value that could grow."""
    return kind == "tokens" and quantity == "slope"


def recorded_update(run: Recorded, method: str, epoch: int | None) -> int:
    """Return the number of the update whose attributions are shown for another one."""
    table = outputs_at(run, method, epoch)
    return 0 if table is None else int(table.updates[finite_at(table, epoch)[0]])


def inputs_of(attribution: Attribution | None) -> list[Any]:
    """Return the values of an attribution, one array an input."""
    if attribution is None:
        return []
    values = attribution.values
    if isinstance(values, Mapping):
        return list(values.values())
    return values if isinstance(values, list) else [values]


def arrays_of(attribution: Attribution) -> list[NDArray[Any]]:
    """Return the values of an attribution, one array an input; the columns of a table as one array (B, F)."""
    arrays = [np.asarray(array) for array in inputs_of(attribution)]
    is_table = attribution.kind == "table" and len(arrays) > 1
    if is_table and all(array.shape[1:] in ((), (1,)) for array in arrays):
        return [np.stack([array.reshape(-1) for array in arrays], 1)]
    return arrays


def reach_of(values: Float) -> tuple[float, float]:
    """Return the range of some bars, lowest and highest value, with zero inside; (0, 1) where all are zero."""
    finite = values[np.isfinite(values)]
    low, high = min(0.0, float(finite.min(initial=0))), max(0.0, float(finite.max(initial=0)))
    return (low, high) if high > low else (0.0, 1.0)


def true_class(run: OfProbe, table: Outputs, sample: int) -> int | None:
    """Return the true class of a sample, None where it has none."""
    classes = run.probe.classes if run.probe is not None and has_classes(table) else None
    return None if classes is None or sample >= len(classes) else int(classes[sample])


def sample_title(run: Recorded, method: str, sample: int, epoch: int | None) -> str:
    """Return a sample in a few words: `7 read as 3, 60 %`; `sample 4, 21.5` where there are no classes."""
    table = outputs_at(run, method, epoch)
    if table is None:
        return f"sample {sample}"
    return title_at(run, table, finite_at(table, epoch)[0], sample)


def title_at(run: OfProbe, table: Outputs, at: int, sample: int) -> str:
    """Return the same at the index of an update in a table of outputs."""
    classes, values = titles_of(table)
    true, prediction = true_class(run, table, sample), classes[at, sample]
    value = float(values[at, sample])
    name = f"sample {sample}" if true is None else class_name(run, true)
    if true is not None and np.isfinite(prediction) and int(prediction) != true:
        name = f"{name} read as {class_name(run, int(prediction))}"
    elif true is None and np.isfinite(prediction):
        name = f"{name}: {class_name(run, int(prediction))}"
    if not np.isfinite(value):
        return name
    return f"{name}, {number(table, value)}{_residual(run, table, sample, value)}"


def _residual(run: OfProbe, table: Outputs, sample: int, value: float) -> str:
    """Return ", true 151, −58" of an output that is one number with a label; else ""."""
    labels = None if run.probe is None else run.probe.y
    if table.task != "number" or labels is None or np.shape(labels) not in ((len(labels),), (len(labels), 1)):
        return ""
    true = float(np.asarray(labels, np.float64).reshape(-1)[sample])
    return f", true {short(true)}, {'−' if value < true else '+'}{short(abs(value - true))}"


def error_warning(table: Outputs, at: int, sample: int) -> str:
    """Return a warning where the completeness error is so large that a sample's attributions do not add up; else ""."""
    if table.completeness_error is None:
        return ""
    error = float(table.completeness_error[at, sample])
    return f"completeness error {percent(error)}" if error > LARGE_COMPLETENESS_ERROR else ""


def pooled_map(values: Float, pixels: int = MAP_PIXELS) -> Float:
    """Return a map (h, w) averaged down to at most `pixels` on its longer side."""
    step = -(-max(values.shape) // pixels)
    return values if step == 1 else np.asarray(_block_means(values[None], step)[0])


def thumbnails(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return maps (B, h, w) averaged down to at most 32 × 32, float32; of volumes (B, d, h, w) every slice."""
    maps = np.asarray(values, np.float32)
    if maps.ndim == 4:
        small = thumbnails(maps.reshape(-1, *maps.shape[2:]))
        return small.reshape(*maps.shape[:2], *small.shape[1:])
    step = -(-max(maps.shape[1:]) // THUMBNAIL_PIXELS)
    return _block_means(maps, step) if step > 1 else maps


def slice_magnitudes(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return Σ |values| of each slice (B, d) of maps (B, d, h, w); what is not finite counts nothing."""
    magnitudes = np.abs(np.asarray(values, np.float64))
    return np.asarray(np.where(np.isfinite(magnitudes), magnitudes, 0.0).sum((2, 3)))


def small_volumes(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return maps (B, d, h, w) averaged down to at most 16 cells along each axis, float32."""
    maps = np.asarray(values, np.float32)
    return box_means(maps, [-(-length // SMALL_VOLUME_CELLS) for length in maps.shape[1:]])


def _block_means(maps: NDArray[Any], step: int) -> NDArray[Any]:
    """Return the means of step × step pixels of (B, h, w); at the right and lower edge the last pixel is repeated."""
    size, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (0, -height % step), (0, -width % step)), mode="edge")
    blocks = padded.reshape(size, padded.shape[1] // step, step, padded.shape[2] // step, step)
    return np.asarray(blocks.mean((2, 4)))
