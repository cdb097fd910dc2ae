"""Integrated gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.attribution.batch import Batch
from keras_xai.attribution.layer_method import LayerMethod
from keras_xai.attribution.method import Method
from keras_xai.attribution.quadrature import RULES, half_difference
from keras_xai.attribution.straight_path import StraightPath, conductance
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe

CALLBACK_STEPS = 8  # of a callback, where the user names none


@dataclasses.dataclass(frozen=True)
class IntegratedGradients(LayerMethod):
    """The gradient averaged on the straight path from a baseline (Sundararajan et al. 2017, arXiv 1703.01365).

        values = (x − x₀) · ∫₀¹ ∂ score / ∂ x (x₀ + a (x − x₀)) da

    Complete: the values sum to the score minus the baseline's score, up to `completeness_error`. That errors of opposite sign may
    hide in, and a small difference inflates; `quadrature_error` is that of the map itself: half the difference between two
    rules, each of every other point, Σ |Δ values| / Σ |values|. It sees no jump at the ends of the path, as at a mask value;
    take the larger one of the two.

    Signed, in score units. Implementation invariant. Blind where the sample equals its baseline: with a baseline of zeros
    a watermark on a black background cannot be seen on samples that do not carry it.

    With `layer` it is that layer's conductance (Dhamdhere et al. 2018, arXiv 1805.12233), ∫₀¹ ∂ score / ∂ A · ∂ A / ∂ a da for
    each unit A: what flows through it on the way to the sample. Complete too where every way from the inputs to the score leads
    through the layer. Its integral is by the trapezoidal rule between n_steps + 1 points of equal distance, refined once.

    Sanity: fails the randomisation test on digits (0.92 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: `n_steps` forward and backward passes; of the graded rule one of them is that of `saliency`, and shared with it.

    Args:
        n_steps: points on the path; a callback takes 8 graded ones where none are given.
        quadrature: of the input: "gauss_legendre" (exact for polynomials of degree 2·n_steps − 1), "midpoint", or "graded"
            (close together near the baseline, where nets of rectifiers turn most; the last one is the sample; exact for cubics).
        layer: path or name of a layer at whose output to attribute, in its shape, instead of at the input.
        input: name or number of the input that feeds the call which the values are of, where the layer is shared.

    Raises:
        InvalidInput: `n_steps` under 1, an unknown quadrature, no such layer.

    Example:
        >>> a = kx.attribute(model, x, method="integrated_gradients", n_steps=32)
        >>> a.values.shape, bool(a.completeness_error.max() < 0.01)
        ((12, 4), True)
    """

    title: ClassVar[str] = "Integrated gradients"
    satisfies_completeness: ClassVar[bool] = True
    follows_path: ClassVar[bool] = True

    n_steps: int = 16
    quadrature: str = "gauss_legendre"
    layer: str | None = None
    input: str | int | None = None

    def __post_init__(self) -> None:
        check_int("n_steps", self.n_steps)
        if self.quadrature not in RULES:
            names = ", ".join(map(repr, RULES))
            raise InvalidInput(f"quadrature={self.quadrature!r}: expected one of {names}.")

    @property
    def full_title(self) -> str:
        return self.title if self.layer is None else f"Conductance of {self.layer}"

    def passes(self, probe: Probe) -> float:
        return float(self.n_steps)

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        if "n_steps" in options:
            return self
        quadrature = self.quadrature if "quadrature" in options else "graded"
        return dataclasses.replace(self, n_steps=CALLBACK_STEPS, quadrature=quadrature)

    @property
    def is_graded(self) -> bool:
        """True where the points of the input's path are graded; a layer's are of equal distance."""
        return self.quadrature == "graded" and self.layer is None

    def points(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Positions on the path and their weights, which sum to 1."""
        positions, weights = RULES[self.quadrature](self.n_steps)
        return positions.astype(np.float32), weights.astype(np.float32)

    @property
    def reports_quadrature_error(self) -> bool:
        return self.n_steps > 1 or self.layer is not None

    def values(self, batch: Batch) -> Tensors:
        return batch.memoize(self, lambda: self._integrals(batch))[0]

    def quadrature_difference(self, batch: Batch) -> Tensors:
        return batch.memoize(self, lambda: self._integrals(batch))[1]

    def _integrals(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """The values, and by how much two quadratures of every other point differ in them, halved."""
        if self.layer is not None:
            self.activation(batch)
            value, error = conductance(batch, self.chosen_layer(batch), self.chosen_call(batch), self.n_steps)
            return [value], [error]
        ops, constant = keras.ops, get_backend().constant
        a, w = self.points()
        rules = np.stack([w, half_difference(a)])
        totals = [ops.zeros((2, *x.shape), "float32") for x in batch.x]
        if self.is_graded:
            # The last point is the sample, whose gradient other methods ask for as well.
            last = constant(rules[:, -1])
            for k, gradient in enumerate(batch.gradient):
                weights = ops.reshape(last, [2] + [1] * len(gradient.shape))
                totals[k] = weights * ops.cast(gradient, "float32")[None]
            a, rules = a[:-1], rules[:, :-1]
        for points in self._parts(len(a), batch):
            totals = _add_points(batch, totals, a[points], rules[:, points])
        changes = StraightPath(batch, 1).change
        products = [ops.cast(d, g.dtype)[None] * g for d, g in zip(changes, totals, strict=True)]
        return [p[0] for p in products], [p[1] for p in products]

    def _parts(self, count: int, batch: Batch) -> list[slice]:
        """Points that are added up together: of a rule for callbacks, which goes on for epochs, none fills up a pass in vain."""
        if not self.is_graded or not count:
            return [slice(0, count)] if count else []
        per = batch.passes(count).variants
        whole = count // per * per
        return [slice(0, whole), slice(whole, count)] if whole < count else [slice(0, count)]


def _add_points(
    batch: Batch, totals: Tensors, positions: NDArray[np.float32], rules: NDArray[np.float32]
) -> list[Tensor]:
    """Add to totals (2, n, ...) the gradients at positions (P,) of the path, weighed by rules (2, P)."""
    ops, constant = keras.ops, get_backend().constant
    # A pass holds as many points as fill it; points that only fill the last one have no weight.
    passes, per = batch.passes(len(positions))
    fill = (0, passes * per - len(positions))
    position_of = constant(np.pad(positions, fill).reshape(passes, per))
    weight_of = constant(np.pad(rules, ((0, 0), fill)).reshape(2, passes, per).transpose(1, 0, 2))
    path = StraightPath(batch, per)

    def one_pass(k: Tensor, total: Tensors) -> Tensors:
        gradients = batch.gradient_of(path.points(position_of[k]), path.target)
        rows = [ops.reshape(g, (per, -1)) for g in gradients]
        return [t + ops.reshape(ops.matmul(weight_of[k], g), t.shape) for t, g in zip(total, rows, strict=True)]

    return batch.loop(one_pass, passes, totals)
