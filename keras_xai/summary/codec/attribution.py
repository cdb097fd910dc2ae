"""`Attribution` on the wire: a map for each gallery sample, and a float32 table of its scores and outputs.

The table is [B, 5 + K]: target, prediction, score, baseline score, completeness error, outputs; then R² and the quadrature
error, for methods that have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import LINKS, QUANTITIES, SPACES, TASKS, Attribution, Link, Quantity, Space, TaskKind
from keras_xai.spatial import SPATIAL_KINDS
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec.inputs import Inputs, decode_values
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value
from keras_xai.tree import leaves
from keras_xai.updates import BEFORE

TAG = f"{PLUGIN_NAME}/attributions/"  # and the method
TAG_OF_OUTPUTS = f"{PLUGIN_NAME}/outputs/"  # and the method
BEFORE_TRAINING = f"{PLUGIN_NAME}/before"  # the beginning of these tags for the untrained model
OLDER_SLOPES = ("saliency", "smoothgrad")  # methods of older versions, which did not write the quantity
MAX_OUTPUTS = 64  # columns of the model's output that are written


def encode(record: Attribution) -> Iterator[Value]:
    """Encode maps and outputs of one method."""
    values, inputs = record.values, leaves(record.values)
    tag, tag_of_outputs = tags_of(record.method, before_training=record.epoch == BEFORE)
    is_spatial = record.kind in SPATIAL_KINDS
    blobs = []
    for row in range(len(inputs[0])):  # one input after the other in each sample
        blobs += [pack(array[row], eight_bits=is_spatial and array.ndim > 2) for array in inputs]
    constants: dict[str, Any] = {"inputs": list(values) if isinstance(values, Mapping) else len(inputs)}
    yield tag, plugin_data(PluginData.ATTRIBUTION, method=record.method, options=constants), blobs

    constants = {
        "space": record.space,
        "task": record.task,
        "link": record.link,
        "complete": record.completeness_error is not None,
        "r2": record.r2 is not None,
        "quadrature": record.quadrature_error is not None,
    }
    if record.title:
        constants["title"] = record.title
    if record.quantity != "contribution":
        constants["quantity"] = record.quantity
    if record.layer:
        constants["layer"] = record.layer
    data = plugin_data(PluginData.OUTPUTS, method=record.method, options=constants)
    yield tag_of_outputs, data, _table(record, len(inputs[0]))


def tags_of(method: str, *, before_training: bool = False) -> tuple[str, str]:
    """Return the tags of a method's maps and of its outputs."""
    tags = TAG + method, TAG_OF_OUTPUTS + method
    if not before_training:
        return tags
    maps, outputs = (tag.replace(PLUGIN_NAME, BEFORE_TRAINING, 1) for tag in tags)
    return maps, outputs


def _table(record: Attribution, size: int) -> NDArray[np.float32]:
    """Return the table (B, 5 + K or more) of a record, see the module."""
    nan = np.full(size, np.nan)
    columns = [
        np.asarray(record.target, np.float64),
        np.asarray(record.prediction, np.float64).reshape(size, -1)[:, 0],
        record.score,
        nan if record.baseline_score is None else record.baseline_score,
        nan if record.completeness_error is None else record.completeness_error,
    ]
    blocks = [np.stack([np.asarray(column, np.float32).reshape(size) for column in columns], 1)]
    if record.outputs is not None:
        blocks.append(np.asarray(record.outputs, np.float32).reshape(size, -1)[:, :MAX_OUTPUTS])
    for figure in (record.r2, record.quadrature_error):
        if figure is not None:
            blocks.append(np.asarray(figure, np.float32).reshape(size, 1))
    return np.concatenate(blocks, 1)


@dataclass(frozen=True, eq=False)
class OutputConstants:
    """Constants that all outputs of one method have in common."""

    space: Space
    complete: bool
    r2: bool
    quadrature: bool
    task: TaskKind | None  # None where an older version wrote it
    link: Link
    title: str  # of the method; "" where an older version wrote it
    quantity: Quantity
    layer: str  # of whose units the values are, "" for any other values

    @classmethod
    def of(cls, data: PluginData) -> OutputConstants:
        constants = options(data)
        space = checks.word(constants.get("space", "raw"), SPACES)
        complete, r2, quadrature = (
            checks.flag(constants.get(name, False)) for name in ("complete", "r2", "quadrature")
        )
        task = constants.get("task")
        link = checks.word(constants.get("link", ""), LINKS)
        task = None if task is None else checks.word(task, TASKS)
        usual = "slope" if data.method in OLDER_SLOPES else "contribution"
        quantity = checks.word(constants.get("quantity", usual), QUANTITIES)
        title, layer = (checks.text(constants.get(name, "")) for name in ("title", "layer"))
        return cls(space, complete, r2, quadrature, task, link, title, quantity, layer)

    def read_as(self, width: int) -> tuple[TaskKind, Link]:
        """Return task and link of outputs with `width` columns; in an older file they follow from the space."""
        if self.task is not None:
            return self.task, self.link
        if self.space == "raw":
            return ("number" if width <= 1 else "numbers"), ""
        return ("binary", "sigmoid") if width == 1 else ("classes", "softmax")


def decode_outputs(epoch: int, constants: OutputConstants, table: Any) -> tuple[int, NDArray[Any]]:
    """Decode an epoch, and the table of its outputs as it was written."""
    table = checks.floats(table, (None, None))
    if not len(table) or table.shape[1] < 5 + constants.r2 + constants.quadrature:
        raise Unreadable(f"expected five columns or more for each sample, got the shape {table.shape}")
    checks.wholes(table[:, 0], (len(table),), -1, 2**31)
    return checks.epoch(epoch), table


def decode(epoch: int, inputs: Inputs, blobs: Any) -> tuple[int, Any]:
    """Decode an epoch, and its maps."""
    values = decode_values(inputs, blobs)
    for array in leaves(values):
        checks.floats(array, (None,) * array.ndim)
    return checks.epoch(epoch), values


def samples_of(values: Any) -> int:
    """Return the number of samples in the values of one or several inputs."""
    return len(leaves(values)[0])
