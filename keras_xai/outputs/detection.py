"""`detection`: one class at one box of a detector's head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput
from keras_xai.outputs.dense import BEST, Dense, arguments_text, check_class

Field = str | int | slice | None


def detection(*, target: Any = None, box: Any = BEST, classes: Field = None, boxes: Field = None) -> Dense:
    """Explain why a detector sees a class at a box: the class's logit there.

    For heads that score every box or anchor: one output (B, N, K) of the classes of N boxes beside one of their coordinates, as
    the detectors of KerasCV and KerasHub have them in a dict, or a single tensor whose last axis holds both. What is scored is
    the head itself, before any suppression of overlapping boxes, which has no gradient. Maps (B, H, W, K) are N = H · W boxes.

    Args:
        target: the class: an integer, one of the probe's `class_names`, or (B,) integers. Default the class that the model says
            at the box.
        box: the number of a box, or (B,) of them; "best", the box where the class is most probable, of any class where none is
            named; or the coordinates (4,) or (B, 4) of a box, as the model's own: the one that overlaps it most.
        classes: the scores: the output of several by name or number, or columns of a single one as a slice. Default the output
            whose name says it ("classes", "classification", "cls_logits").
        boxes: the coordinates, corners (first, first, second, second) as the model gives them, likewise; read for `box=` with
            coordinates alone.

    Returns:
        What `output=` of `kx.attribute`, `kx.Probe` and the callbacks takes. Labels of a detector are boxes, which the loss
        matches with the model's: they are not read, and figures that need labels are left out.

    Raises:
        InvalidInput: an argument that is none of these; coordinates without `boxes`; no output that can be told to be the scores,
            when the model is there.

    Cost:
        A forward pass over the samples beside those of the method; two where coordinates are compared.

    Example:
        >>> import keras, keras_xai as kx, numpy as np
        >>> inputs = keras.Input((8, 8, 1))
        >>> hidden = keras.layers.Conv2D(4, 3, strides=4, padding="same")(inputs)
        >>> heads = {}
        >>> for name, width in (("boxes", 4), ("classes", 3)):
        ...     heads[name] = keras.layers.Reshape((-1, width))(keras.layers.Conv2D(width, 1)(hidden))
        >>> model = keras.Model(inputs, heads)
        >>> x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
        >>> result = kx.attribute(model, x, "saliency", output=kx.outputs.detection(target=1, box=0))
        >>> result.values.shape, result.target.tolist()
        ((2, 8, 8, 1), [1, 1])
    """
    target, position = check_class("target", target), _checked_box(box, boxes)
    arguments = arguments_text(
        target=(target, None), box=(position, BEST), classes=(classes, None), boxes=(boxes, None)
    )
    for name, value in (("classes", classes), ("boxes", boxes)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (str, int, slice))):
            raise InvalidInput(f"{name}={value!r}: expected an output by name or number, or a slice of the last axis.")
    return Dense(
        "detection",
        "box",
        target=target,
        position=position,
        output=None if isinstance(classes, slice) else classes,
        columns=classes if isinstance(classes, slice) else None,
        boxes=boxes,
        has_labels=False,
        arguments=arguments,
    )


def _checked_box(box: Any, boxes: Field) -> Any:
    if isinstance(box, str):
        if box == BEST:
            return box
        raise InvalidInput(f"box={box!r}: expected 'best', the number of a box, or its coordinates.")
    values = as_array(
        box, "box", advice="the number of a box is expected, (B,) of them, or coordinates (4,) or (B, 4)."
    )
    if values.dtype.kind in "iu" and values.ndim == 0 and not isinstance(box, bool) and values >= 0:
        return int(values)
    has_numbers = values.dtype.kind in "iu" and values.ndim == 1 and (len(values) != 4 or boxes is None)
    if has_numbers and values.min(initial=0) >= 0:
        return values.astype(np.int64)
    if values.dtype.kind in "iuf" and values.ndim in (1, 2) and values.shape[-1] == 4:
        return _coordinates(values, boxes)
    raise InvalidInput(
        f"box={box!r}: expected 'best', the number of a box, (B,) of them, or coordinates (4,) or (B, 4)."
    )


def _coordinates(values: NDArray[Any], boxes: Field) -> NDArray[np.float64]:
    if boxes is None:
        raise InvalidInput(
            "box= has the coordinates of a box, and nothing says which output has those of the model's: name it with boxes=."
        )
    return values.astype(np.float64)
