"""RISE."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from keras_xai.attribution.features import picture_axes
from keras_xai.attribution.method import Method, Rows, Tensor
from keras_xai.backend import get_backend
from keras_xai.errors import InvalidInput, check_int


@dataclasses.dataclass(frozen=True)
class Rise(Method):
    """The places whose presence in a random mask goes with a high score (Petsiuk et al. 2018, arXiv 1806.07421).

        values = 1 / (N·p) · Σ_k (score(x₀ + m_k·(x − x₀)) − s̄) · m_k

    Masks m_k are small random grids (`cells` a side, each cell kept with probability p), enlarged bilinearly and shifted at
    random; s̄ is the mean score over them. The paper has probabilities and no s̄; a logit has an arbitrary zero, which would
    show as the masks' own pattern. A (B, H, W) map at the picture's resolution, signed, in score units. The masks follow from
    `seed` alone and are the same for every sample. Prefer it for a model without gradients; it is the slowest of all.

    Cost: `n_samples` forward passes.

    Args:
        n_samples: masks; the paper takes 4,000 to 8,000. A callback takes 128 where none are given.
        cells: of a mask, a side.
        probability: that a cell is kept.
        seed: of the masks.

    Raises:
        InvalidInput: an option out of range, an input that is no picture.

    Example:
        >>> a = kx.attribute(model, images, method="rise", n_samples=1000)
        >>> a.values.shape
        (16, 16, 16)
    """

    differentiates: ClassVar[bool] = False
    on_input: ClassVar[bool] = False

    n_samples: int = 512
    cells: int = 7
    probability: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_samples", "cells"):
            check_int(name, getattr(self, name))
        if not 0 < self.probability < 1:
            raise InvalidInput(f"probability={self.probability!r}: expected a number between 0 and 1.")

    def for_callback(self, given: Mapping[str, Any]) -> Method:
        return self if "n_samples" in given else dataclasses.replace(self, n_samples=128)

    def values(self, at: Rows) -> list[Tensor]:
        ops, backend = keras.ops, get_backend()
        places = [picture_axes(tuple(x.shape)) for x in at.given]
        pictures = [(x.shape[axes[0]], x.shape[axes[1]]) for x, axes in zip(at.given, places, strict=True) if axes]
        if not pictures:
            shapes = ", ".join(str(tuple(x.shape)) for x in at.given)
            raise InvalidInput(f"RISE covers parts of a picture, a spatial input (n, h, w, c); x has {shapes}.")
        generator = np.random.default_rng(self.seed)
        side = self.cells + 1  # one more, so that a shifted grid still covers the picture
        grids = backend.constant((generator.random((self.n_samples, side, side)) < self.probability).astype(np.float32))
        shifts = backend.constant(generator.random((self.n_samples, 2)).astype(np.float32))

        def hats(axis: int, length: int) -> Tensor:
            """(n_samples, length, side): how near each entry of an axis is to the cells' centres, linearly."""
            at_cell = backend.constant(((np.arange(length) + 0.5) / length * self.cells).astype(np.float32))
            position = ops.clip(at_cell - 0.5 + shifts[:, axis, None], 0.0, side - 1.0)
            return ops.relu(1 - ops.abs(position[..., None] - backend.constant(np.arange(side, dtype=np.float32))))

        # Bilinear is a product of two hat functions. The masks themselves would take as much memory as n_samples pictures.
        factors = {size: (ops.matmul(hats(0, size[0]), grids), hats(1, size[1])) for size in pictures}

        def masks(k: Tensor, size: tuple[int, int]) -> Tensor:
            """(per, h, w)"""
            down, across = (ops.take(factor, k, axis=0) for factor in factors[size])
            return ops.einsum("khs,kws->khw", down, across)

        def variants(k: Tensor) -> list[Tensor]:
            found = []
            for x, axes in zip(at.given, places, strict=True):
                if axes is None:
                    found.append(ops.ones((1, *[1] * len(x.shape))))
                    continue
                size = (x.shape[axes[0]], x.shape[axes[1]])
                sample = (s if a in axes else 1 for a, s in enumerate(x.shape) if a)
                found.append(ops.reshape(masks(k, size), (k.shape[0], 1, *sample)))
            return at.kept(found)

        scores = at.tried(self.n_samples, variants)
        centred = scores - ops.mean(scores, axis=1, keepdims=True)
        # The masks are made again rather than kept, as many at a time as a pass holds pictures.
        per = min(self.n_samples, at.chunk)
        rounds = -(-self.n_samples // per)
        index = np.arange(rounds * per).reshape(rounds, per)
        share = backend.constant((index < self.n_samples).astype(np.float32) / (self.n_samples * self.probability))
        index = backend.constant(np.minimum(index, self.n_samples - 1).astype(np.int32))

        def added(k: Tensor, total: list[Tensor]) -> list[Tensor]:
            weight = ops.take(centred, index[k], axis=1) * share[k][None]
            return [total[0] + ops.tensordot(weight, masks(index[k], pictures[0]), 1)]

        return list(backend.fori_loop(added, rounds, [ops.zeros((at.size, *pictures[0]))]))
