"""`explained_words`: a clause for the people who look at the maps, on the score that these explain."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_xai.outputs.dense import BEST, Dense
from keras_xai.outputs.layer import LayerUnits

_PLURALS = {"pixel": "pixels", "voxel": "voxels", "token": "tokens", "box": "boxes"}


def unit_word(unit: str, kind: str) -> str:
    """Return a position of a dense output as a word, for samples of a kind.

    Example:
        >>> unit_word("pixel", "volume")
        'voxel'
    """
    return "voxel" if unit == "pixel" and kind == "volume" else unit


def explained_words(output: Any, *, has_labels: bool, kind: str = "") -> str:
    """Name the score that the maps explain, where it is another one than a class of the sample.

    Args:
        output: what `output=` takes.
        has_labels: the probe has some, one a position.
        kind: of the samples.

    Returns:
        A clause without a full stop; "" where the output says one thing a sample, or is a function.

    Example:
        >>> from keras_xai.outputs import segmentation
        >>> explained_words(segmentation(), has_labels=True)
        'the mean score of the class over the pixels that are labelled so; over all pixels where none is'
    """
    if isinstance(output, LayerUnits):
        return _unit(output)
    if not isinstance(output, Dense):
        return ""
    if output.position is not None:
        thing = "token" if output.name == "next_token" else "class"
        return f"the score of the {thing} at {_position(output)}"
    plural = _PLURALS[unit_word(output.unit, kind)]
    mean = f"the mean score of the class over the {plural}"
    if isinstance(output.over, np.ndarray):
        return f"{mean} of a mask"
    by_label = output.over == "label" or (output.over is None and has_labels)
    region = "that are labelled so" if by_label else "that the model reads so"
    return f"{mean} {region}; over all {plural} where none is"


def _position(output: Dense) -> str:
    position = output.position
    if output.unit == "box":
        if isinstance(position, str):
            return f"the box where it is {'most probable' if position == BEST else position}"
        if not isinstance(position, np.ndarray):
            return f"box {position}"
        if position.dtype.kind == "i":
            return "one box of each sample, by its number"
        return f"the box that overlaps {'coordinates of each sample' if position.ndim > 1 else position.tolist()} most"
    if isinstance(position, np.ndarray):
        return "one step of each sample"
    if position >= 0:
        return f"step {position}"
    return "the last step" if position == -1 else f"step {position}, counted from the end"


def _unit(output: LayerUnits) -> str:
    if output.unit is None:
        return f"a unit of the layer {output.path}"
    *place, number = output.unit
    at = f" at {tuple(place)}" if place else ""
    return f"unit {number} of the layer {output.path}{at}"
