"""Rows of a tensor whose number is known at run time only."""

from __future__ import annotations

from typing import NamedTuple

import keras

from keras_xai.backend.protocol import Tensor


class FittedRows(NamedTuple):
    """The rows of a tensor whose number of rows is known at run time only."""

    rows: Tensor  # (samples, ...) filled up with zeros where the tensor has fewer
    count: Tensor  # number of rows that the tensor has


def fit_rows(tensor: Tensor, samples: int) -> FittedRows:
    """Cut or fill up a tensor (?, ...), whose number of rows is known at run time only, to (samples, ...)."""
    ops = keras.ops
    count = ops.convert_to_tensor(ops.shape(tensor)[0], "int32")
    filled = ops.concatenate([tensor, ops.zeros((1, *tensor.shape[1:]), tensor.dtype)])
    return FittedRows(ops.take(filled, ops.minimum(ops.arange(samples, dtype="int32"), count), axis=0), count)
