"""Variants of a batch's rows, and their scores: what methods without gradients share."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from keras_xai.attribution.batch import Batch
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors


def score_variants(batch: Batch, count: int, variants: Callable[[Tensor], Tensors]) -> Tensor:
    """(n, count) the scores of `count` variants of each row, forward passes alone.

    Args:
        batch: the rows.
        count: of variants.
        variants: of numbers k (per,), the variants k of every row: (per, n, ...) an input.
    """
    ops, backend = keras.ops, get_backend()
    passes, per = batch.passes(count)
    # The last pass is filled up with copies of the last variant, which are cut off again.
    numbers = np.minimum(np.arange(passes * per), count - 1).reshape(passes, per)
    numbers = backend.constant(numbers.astype(np.int32))
    target = batch.repeated_target(per)

    def one_pass(k: Tensor) -> Tensor:
        rows = []
        for changed, x in zip(variants(numbers[k]), batch.x, strict=True):
            every = ops.broadcast_to(changed, (per, *x.shape))
            rows.append(ops.reshape(every, (-1, *x.shape[1:])))
        return ops.reshape(batch.score_of(rows, target), (per, batch.size))

    batch.loop_passes += passes
    scores = ops.reshape(backend.map(one_pass, passes, batch.progress), (passes * per, batch.size))
    return ops.transpose(scores[:count])


def apply_mask(batch: Batch, masks: Tensors, replacement: Tensors | None = None) -> Tensors:
    """(per, n, ...) an input: the rows where a mask is 1, their baseline (or a `replacement`) where it is 0.

    Args:
        batch: the rows.
        masks: (per, n or 1, ...) one for each input of the user's; they may lie in between, integers are kept from one half on.
        replacement: (per, n or 1, ...) one for each of `batch.x`; default the baseline.
    """
    ops = keras.ops
    if replacement is None:
        replacement = [b[None, :1] if batch.shared_baseline else b[None] for b in batch.baseline]
    rows = []
    for x, mask, other in zip(batch.x, batch.input_masks(masks), replacement, strict=True):
        if keras.backend.is_float_dtype(x.dtype):
            mask = ops.cast(mask, x.dtype)
            if mask.shape[1] == 1:  # a product that repeats along the rows alone takes half the time
                mask = ops.broadcast_to(mask, (mask.shape[0], 1, *x.shape[1:]))
            rows.append(mask * x[None] + (1 - mask) * other)  # exact at 0 and 1
        else:
            rows.append(ops.where(ops.cast(mask, "float32") >= 0.5, x[None], ops.cast(other, x.dtype)))
    return rows
