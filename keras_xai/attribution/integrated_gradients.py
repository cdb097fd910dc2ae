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
from keras_xai.attribution.straight_path import StraightPath, conductance
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import InvalidInput, check_int
from keras_xai.probe import Probe

EXACT_DEGREE = 31  # up to which half a rule is exact where it has the points


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

    Cost: `n_steps` forward and backward passes.

    Args:
        n_steps: points on the path; a callback takes 8 where none are given.
        quadrature: of the input: "gauss_legendre" (exact for polynomials of degree 2·n_steps − 1) or "midpoint".
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
        if self.quadrature not in ("gauss_legendre", "midpoint"):
            raise InvalidInput(f"quadrature={self.quadrature!r}: expected 'gauss_legendre' or 'midpoint'.")

    @property
    def full_title(self) -> str:
        return self.title if self.layer is None else f"Conductance of {self.layer}"

    def passes(self, probe: Probe) -> float:
        return float(self.n_steps)

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_steps" in options else dataclasses.replace(self, n_steps=8)

    def points(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Positions on the path and their weights, which sum to 1."""
        if self.quadrature == "midpoint":
            a = (np.arange(self.n_steps) + 0.5) / self.n_steps
            w = np.full(self.n_steps, 1 / self.n_steps)
        else:
            a, w = np.polynomial.legendre.leggauss(self.n_steps)
            a, w = (a + 1) / 2, w / 2
        return a.astype(np.float32), w.astype(np.float32)

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
        ops, backend = keras.ops, get_backend()
        a, w = self.points()
        rules = np.stack([w, half_difference(a)])
        # A pass holds as many points as fill it; points that only fill the last one have no weight.
        passes, per = batch.passes(self.n_steps)
        fill = (0, passes * per - self.n_steps)
        positions = backend.constant(np.pad(a, fill).reshape(passes, per))
        weights = backend.constant(np.pad(rules, ((0, 0), fill)).reshape(2, passes, per).transpose(1, 0, 2))
        path = StraightPath(batch, per)

        def one_pass(k: Tensor, total: Tensors) -> Tensors:
            gradients = batch.gradient_of(path.points(positions[k]), path.target)
            rows = [ops.reshape(g, (per, -1)) for g in gradients]
            return [t + ops.reshape(ops.matmul(weights[k], g), t.shape) for t, g in zip(total, rows, strict=True)]

        averaged = batch.loop(one_pass, passes, [ops.zeros((2, *x.shape), "float32") for x in batch.x])
        products = [ops.cast(d, g.dtype)[None] * g for d, g in zip(path.change, averaged, strict=True)]
        return [p[0] for p in products], [p[1] for p in products]


def half_difference(positions: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Weights of the points that give half the difference of two quadratures, of the even and of the odd points.

    Each is exact for polynomials as far as its points allow with no negative weight: of Gauss–Legendre points half of them do
    for all degrees below their number. The error of one half is about twice that of the whole, and where the integrand has
    kinks the two are independent: half their difference is about the error of the whole rule.
    """
    weights = np.zeros(len(positions), np.float64)
    if len(positions) < 2:
        return weights.astype(np.float32)
    for first, sign in ((0, 0.5), (1, -0.5)):
        weights[first::2] = sign * _positive_rule(np.asarray(positions[first::2], np.float64))
    return weights.astype(np.float32)


def _positive_rule(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of some points on 0 to 1: the share of the path nearest to each, moved as little as makes the rule exact."""
    edges = np.concatenate([[0.0], (positions[1:] + positions[:-1]) / 2, [1.0]])
    shares = np.diff(edges)
    for degree in range(min(len(positions) - 1, EXACT_DEGREE), 0, -1):
        powers = np.polynomial.legendre.legvander(2 * positions - 1, degree).T
        missing = np.eye(degree + 1)[0] - powers @ shares
        weights = shares + shares * (powers.T @ np.linalg.solve(powers * shares @ powers.T, missing))
        if (weights >= 0).all():
            return np.asarray(weights)
    return shares
