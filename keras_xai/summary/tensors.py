"""Tensors as protocol buffers: float32, strings, or blobs.

A single string is a tensor of rank 1, since TensorBoard's data server drops scalars of strings.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME

Content = list[bytes] | NDArray[Any]  # blobs or strings, or float32
Value = tuple[str, PluginData, Any]  # tag, constants, content
BLOB_KINDS = (
    PluginData.PROBE,
    PluginData.ATTRIBUTION,
    PluginData.MAPPINGS,
    PluginData.SLICES,
    PluginData.PREDICTIONS,
    PluginData.CHOSEN_ROWS,
    PluginData.STORED_SAMPLES,
    PluginData.INFLUENCE,
    PluginData.CONCEPTS,
)


def value(tag: str, data: PluginData, content: Any, *, first: bool) -> summary_pb2.Summary.Value:
    """Return the protocol buffer of one value.

    Args:
        tag: of the value.
        data: the constants of the tag.
        content: a list of bytes, or an array, which becomes float32.
        first: this is the first value of the tag in its file, which carries the constants.
    """
    if isinstance(content, list):
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=content)
        shape: tuple[int, ...] = (len(content),)
    else:
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_FLOAT, tensor_content=np.ascontiguousarray(content, "<f4").tobytes()
        )
        shape = content.shape
    tensor.tensor_shape.CopyFrom(
        tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in shape])
    )
    summary = summary_pb2.Summary.Value(tag=tag, tensor=tensor)
    if first:
        in_blobs = data.kind in BLOB_KINDS
        summary.metadata.data_class = (
            summary_pb2.DATA_CLASS_BLOB_SEQUENCE if in_blobs else summary_pb2.DATA_CLASS_TENSOR
        )
        summary.metadata.plugin_data.plugin_name = PLUGIN_NAME
        summary.metadata.plugin_data.content = data.SerializeToString()
    return summary


def content_of(tensor: Any) -> Content:
    """Return the content of a tensor's protocol buffer: strings, or float32.

    A single value for a larger shape, as TensorFlow may write it, is not repeated but refused: a few bytes could claim any
    amount of memory.

    Raises:
        Unreadable: another dtype, or another number of values than the shape has.
    """
    shape = checks.sides(tuple(int(dim.size) for dim in tensor.tensor_shape.dim))
    if tensor.dtype == types_pb2.DT_STRING:
        count: float = len(tensor.string_val)
    elif tensor.dtype == types_pb2.DT_FLOAT:
        count = len(tensor.tensor_content) / 4 or len(tensor.float_val)
    else:
        raise Unreadable(f"expected floats or strings, got a tensor of type {tensor.dtype}")
    if count != math.prod(shape):
        raise Unreadable(f"expected {math.prod(shape)} values for shape {shape}, got {count:g}")
    if tensor.dtype == types_pb2.DT_STRING:
        return list(tensor.string_val)
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").copy().reshape(shape)
    return np.asarray(tensor.float_val, np.float32).reshape(shape)


def only_string(content: Any) -> bytes:
    """Return the one string that a tensor of text holds.

    Raises:
        Unreadable: it holds another number of them, or no strings.
    """
    if not isinstance(content, list) or len(content) != 1:
        raise Unreadable(f"expected one string, got {len(content)} values")
    return bytes(content[0])
