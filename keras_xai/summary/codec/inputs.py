"""Maps of one or several inputs of a model, one blob a sample and input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_xai.summary import checks
from keras_xai.summary.arrays import unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.tag_constants import options

Inputs = tuple[str, ...] | int  # the names of a model's inputs, or how many there are


def inputs_of(data: PluginData) -> Inputs:
    """Return the inputs of the model whose maps a tag holds."""
    return inputs_in(options(data))


def inputs_in(constants: Mapping[str, Any]) -> Inputs:
    """Return the inputs that the options of a tag name: their names, or how many there are."""
    inputs = constants.get("inputs", 1)
    return checks.unique(checks.several(inputs, checks.text)) if isinstance(inputs, list) else checks.whole(inputs, 1)


def count_of(inputs: Inputs) -> int:
    """Return the number of inputs."""
    return inputs if isinstance(inputs, int) else len(inputs)


def decode_values(inputs: Inputs, blobs: Any) -> Any:
    """Return the maps of one epoch: an array, or a list or dict of arrays where the model takes several inputs."""
    count = count_of(inputs)
    if not isinstance(blobs, list) or not blobs or not count or len(blobs) % count:
        raise Unreadable(f"{len(blobs)} maps for {count} inputs")
    maps = unpacked(list(map(bytes, blobs)))
    for k, array in enumerate(maps):
        if array.shape != maps[k % count].shape or not array.size:
            raise Unreadable(f"expected a map of shape {maps[k % count].shape}, got {array.shape}")
    arrays = [np.stack(maps[k::count]) for k in range(count)]
    if isinstance(inputs, tuple):
        return dict(zip(inputs, arrays, strict=True))
    return arrays if count > 1 else arrays[0]
