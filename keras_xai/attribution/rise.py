"""RISE."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.features import spatial_axes
from keras_xai.attribution.method import Method
from keras_xai.attribution.perturbation import apply_mask, score_variants
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe

Size = tuple[int, ...]  # of an image (h, w), or of a volume (d, h, w)


class Factors(NamedTuple):
    """Random grids of cells, enlarged along their first axis, and how they are enlarged along the others."""

    grids: Tensor  # (n_samples, height, side), of volumes (n_samples, depth, side, side)
    hats: list[Tensor]  # of each further axis (n_samples, length, side)


@dataclasses.dataclass(frozen=True)
class Rise(Method):
    """The pixels or voxels whose presence in a random mask goes with a high score (Petsiuk et al. 2018, arXiv 1806.07421).

        values = 1 / (N·p) · Σ_k (score(x₀ + m_k·(x − x₀)) − s̄) · m_k

    Masks m_k are small random grids (`cells` a side, each cell kept with probability p), enlarged bilinearly and shifted at
    random; s̄ is the mean score over them. The paper has probabilities and no s̄; a logit has an arbitrary zero, which would
    show as the masks' own pattern. A (B, H, W) map at the image's resolution, of volumes and videos (B, D, H, W) with grids
    along all three axes; signed, in score units. The masks follow from `seed` alone and are the same for every sample.
    Prefer it for a model without gradients; it is the slowest of all.

    Cost: `n_samples` forward passes.

    Args:
        n_samples: masks; the paper takes 4,000 to 8,000. A callback takes 128 where none are given.
        cells: of a mask, a side.
        probability: that a cell is kept.
        seed: of the masks.

    Raises:
        InvalidInput: an option out of range, an input that is no image or volume.

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

    def passes(self, probe: Probe) -> float:
        return self.n_samples / 3

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_samples" in options else dataclasses.replace(self, n_samples=128)

    def for_probe(self, probe: Probe) -> Method:
        if probe.kind == "volume" and all(len(shape) < 4 for shape in probe.shapes):
            raise InvalidInput(
                f"RISE covers parts of volumes (n, d, h, w, c), the probe has samples of shape {probe.shape} without an axis of "
                f"channels: give x[..., None]."
            )
        return self

    def values(self, batch: Batch) -> Tensors:
        ops, backend = keras.ops, get_backend()
        axes_of_inputs = [spatial_axes(tuple(x.shape)) for x in batch.model_inputs]
        sizes = []
        for x, axes in zip(batch.model_inputs, axes_of_inputs, strict=True):
            if axes:
                sizes.append(tuple(x.shape[a] for a in axes))
        if not sizes:
            shapes = ", ".join(str(tuple(x.shape)) for x in batch.model_inputs)
            raise InvalidInput(
                f"RISE covers parts of an image or volume, a spatial input (n, h, w, c) or (n, d, h, w, c); x has {shapes}."
            )
        factors = self._factors(sizes)

        def variants(k: Tensor) -> Tensors:
            by_input = []
            for x, axes in zip(batch.model_inputs, axes_of_inputs, strict=True):
                if axes is None:
                    by_input.append(ops.ones((1, *[1] * len(x.shape))))
                    continue
                masks = _masks(factors[tuple(x.shape[a] for a in axes)], k)
                sample = (side if axis in axes else 1 for axis, side in enumerate(x.shape) if axis)
                by_input.append(ops.reshape(masks, (k.shape[0], 1, *sample)))
            return apply_mask(batch, by_input)

        scores = score_variants(batch, self.n_samples, variants)
        centred = scores - ops.mean(scores, axis=1, keepdims=True)
        # The masks are made again rather than held, as many at a time as a pass holds images.
        per = min(self.n_samples, batch.chunk)
        rounds = -(-self.n_samples // per)
        index = np.arange(rounds * per).reshape(rounds, per)
        share = backend.constant((index < self.n_samples).astype(np.float32) / (self.n_samples * self.probability))
        index = backend.constant(np.minimum(index, self.n_samples - 1).astype(np.int32))
        positions = _long_sides(sizes[0])

        def add_masks(k: Tensor, total: Tensors) -> Tensors:
            weight = ops.take(centred, index[k], axis=1) * share[k][None]
            return [total[0] + ops.tensordot(weight, _masks(factors[sizes[0]], index[k]), 1)]

        (total,) = backend.fori_loop(add_masks, rounds, [ops.zeros((batch.size, *positions))])
        return [ops.reshape(total, (batch.size, *sizes[0]))]

    def _factors(self, sizes: Sequence[Size]) -> dict[Size, Factors]:
        """For each size of an image or volume the factors of its masks, see `_masks`.

        Linear interpolation is a product of hat functions, one an axis. The masks themselves would take as much memory as
        n_samples images.
        """
        ops, backend = keras.ops, get_backend()
        side = self.cells + 1  # one more, so that a shifted grid still covers the image
        factors = {}
        for size in sizes:
            lengths = _long_sides(size)
            generator = np.random.default_rng(self.seed)
            grids = generator.random((self.n_samples, *[side] * len(lengths))) < self.probability
            shifts = backend.constant(generator.random((self.n_samples, len(lengths))).astype(np.float32))
            first, *others = (self._hats(shifts[:, axis, None], length, side) for axis, length in enumerate(lengths))
            rows = backend.constant(grids.astype(np.float32).reshape(self.n_samples, side, -1))
            grown = ops.reshape(ops.matmul(first, rows), (self.n_samples, lengths[0], *grids.shape[2:]))
            factors[size] = Factors(grown, others)
        return factors

    def _hats(self, shift: Tensor, length: int, side: int) -> Tensor:
        """(n_samples, length, side): how near each entry of an axis is to the cells' centres, linearly."""
        ops, backend = keras.ops, get_backend()
        cell = backend.constant(((np.arange(length) + 0.5) / length * self.cells).astype(np.float32))
        position = ops.clip(cell - 0.5 + shift, 0.0, side - 1.0)
        return ops.relu(1 - ops.abs(position[..., None] - backend.constant(np.arange(side, dtype=np.float32))))


def _long_sides(size: Size) -> Size:
    """The sides that masks lie along: of a volume of one slice, height and width alone, as those of an image."""
    return size[1:] if len(size) == 3 and size[0] == 1 else size


def _masks(factors: Factors, k: Tensor) -> Tensor:
    """The masks number k (per,): (per, h, w), or (per, d, h, w)."""
    ops = keras.ops
    *down, across = (ops.take(hats, k, axis=0) for hats in factors.hats)
    masks = ops.take(factors.grids, k, axis=0)
    if down:
        return ops.einsum("kdhs,kws->kdhw", ops.matmul(down[0][:, None], masks), across)
    return ops.einsum("khs,kws->khw", masks, across)
