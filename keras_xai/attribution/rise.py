"""RISE."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.features import image_axes
from keras_xai.attribution.method import Method
from keras_xai.attribution.perturbation import apply_mask, score_variants
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int


@dataclasses.dataclass(frozen=True)
class Rise(Method):
    """The pixels whose presence in a random mask goes with a high score (Petsiuk et al. 2018, arXiv 1806.07421).

        values = 1 / (N·p) · Σ_k (score(x₀ + m_k·(x − x₀)) − s̄) · m_k

    Masks m_k are small random grids (`cells` a side, each cell kept with probability p), enlarged bilinearly and shifted at
    random; s̄ is the mean score over them. The paper has probabilities and no s̄; a logit has an arbitrary zero, which would
    show as the masks' own pattern. A (B, H, W) map at the image's resolution, signed, in score units. The masks follow from
    `seed` alone and are the same for every sample. Prefer it for a model without gradients; it is the slowest of all.

    Cost: `n_samples` forward passes.

    Args:
        n_samples: masks; the paper takes 4,000 to 8,000. A callback takes 128 where none are given.
        cells: of a mask, a side.
        probability: that a cell is kept.
        seed: of the masks.

    Raises:
        InvalidInput: an option out of range, an input that is no image.

    Example:
        >>> a = kx.attribute(model, images, method="rise", n_samples=200)
        >>> a.values.shape
        (16, 16, 16)
    """

    title: ClassVar[str] = "RISE"
    needs_gradient: ClassVar[bool] = False
    input_shaped: ClassVar[bool] = False

    n_samples: int = 512
    cells: int = 7
    probability: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_samples", "cells"):
            check_int(name, getattr(self, name))
        if not 0 < self.probability < 1:
            raise InvalidInput(f"probability={self.probability!r}: expected a number between 0 and 1.")

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_samples" in options else dataclasses.replace(self, n_samples=128)

    def values(self, batch: Batch) -> Tensors:
        ops, backend = keras.ops, get_backend()
        spatial = [image_axes(tuple(x.shape)) for x in batch.model_inputs]
        sizes = [
            (x.shape[axes[0]], x.shape[axes[1]]) for x, axes in zip(batch.model_inputs, spatial, strict=True) if axes
        ]
        if not sizes:
            shapes = ", ".join(str(tuple(x.shape)) for x in batch.model_inputs)
            raise InvalidInput(f"RISE covers parts of an image, a spatial input (n, h, w, c); x has {shapes}.")
        factors = self._factors(sizes)

        def masks(k: Tensor, size: tuple[int, int]) -> Tensor:
            """(per, h, w)"""
            down, across = (ops.take(factor, k, axis=0) for factor in factors[size])
            return ops.einsum("khs,kws->khw", down, across)

        def variants(k: Tensor) -> Tensors:
            by_input = []
            for x, axes in zip(batch.model_inputs, spatial, strict=True):
                if axes is None:
                    by_input.append(ops.ones((1, *[1] * len(x.shape))))
                    continue
                size = (x.shape[axes[0]], x.shape[axes[1]])
                sample = (side if axis in axes else 1 for axis, side in enumerate(x.shape) if axis)
                by_input.append(ops.reshape(masks(k, size), (k.shape[0], 1, *sample)))
            return apply_mask(batch, by_input)

        scores = score_variants(batch, self.n_samples, variants)
        centred = scores - ops.mean(scores, axis=1, keepdims=True)
        # The masks are made again rather than held, as many at a time as a pass holds images.
        per = min(self.n_samples, batch.chunk)
        rounds = -(-self.n_samples // per)
        index = np.arange(rounds * per).reshape(rounds, per)
        share = backend.constant((index < self.n_samples).astype(np.float32) / (self.n_samples * self.probability))
        index = backend.constant(np.minimum(index, self.n_samples - 1).astype(np.int32))

        def add_masks(k: Tensor, total: Tensors) -> Tensors:
            weight = ops.take(centred, index[k], axis=1) * share[k][None]
            return [total[0] + ops.tensordot(weight, masks(index[k], sizes[0]), 1)]

        return backend.fori_loop(add_masks, rounds, [ops.zeros((batch.size, *sizes[0]))])

    def _factors(self, sizes: Sequence[tuple[int, int]]) -> dict[tuple[int, int], tuple[Tensor, Tensor]]:
        """For each size (h, w) of an image tensors (n_samples, h, side) and (n_samples, w, side), whose products are the masks.

        Bilinear is a product of two hat functions. The masks themselves would take as much memory as n_samples images.
        """
        ops, backend = keras.ops, get_backend()
        generator = np.random.default_rng(self.seed)
        side = self.cells + 1  # one more, so that a shifted grid still covers the image
        grids = backend.constant((generator.random((self.n_samples, side, side)) < self.probability).astype(np.float32))
        shifts = backend.constant(generator.random((self.n_samples, 2)).astype(np.float32))

        def hats(axis: int, length: int) -> Tensor:
            """(n_samples, length, side): how near each entry of an axis is to the cells' centres, linearly."""
            cell = backend.constant(((np.arange(length) + 0.5) / length * self.cells).astype(np.float32))
            position = ops.clip(cell - 0.5 + shifts[:, axis, None], 0.0, side - 1.0)
            return ops.relu(1 - ops.abs(position[..., None] - backend.constant(np.arange(side, dtype=np.float32))))

        return {size: (ops.matmul(hats(0, size[0]), grids), hats(1, size[1])) for size in sizes}
