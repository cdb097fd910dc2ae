"""Expected gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_xai.attribution.background import Background
from keras_xai.attribution.batch import Batch
from keras_xai.attribution.integrated_gradients import IntegratedGradients
from keras_xai.attribution.method import Method
from keras_xai.attribution.quadrature import half_difference
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.errors import check_int
from keras_xai.model.inputs import background_rows
from keras_xai.model.samples import Samples
from keras_xai.probe import Probe
from keras_xai.tree import leaves


@dataclasses.dataclass(frozen=True)
class ExpectedGradients(Method):
    """Integrated gradients averaged over baselines, which no longer have to be chosen (Erion et al. 2019, arXiv 1906.10670).

        values = mean over r of (x − r) · ∫₀¹ ∂ score / ∂ x (r + a (x − r)) da,   r in the background

    Known as GradientSHAP. Every row of the background is met with every point of a Gauss–Legendre quadrature, where the
    usual estimate draws random pairs: the same answer each time, and complete against the background's mean score. Signed, in
    score units. Prefer it for tables, where no single baseline means "nothing".

    Sanity: fails the randomisation test on digits (0.92 after all weights are shuffled): what equals its baseline, as a black
    background does, has no value whatever the model is. Passes on a table (`benchmarks/sanity.py`).

    Cost: rows × `n_steps` forward and backward passes.

    Args:
        background: (R, ...) rows in the structure of x; default the baseline, which is integrated gradients (a `Probe`: its
            background, else the rows of a table).
        n_steps: points on each path; a callback takes 4 where none are given.

    Raises:
        InvalidInput: `n_steps` under 1, a background of another shape.

    Example:
        >>> a = kx.attribute(model, x, method="expected_gradients", background=x_train[:100])
        >>> a.values.shape
        (12, 4)
    """

    title: ClassVar[str] = "Expected gradients"
    satisfies_completeness: ClassVar[bool] = True
    follows_path: ClassVar[bool] = True

    n_steps: int = 8
    background: Any = None

    def __post_init__(self) -> None:
        check_int("n_steps", self.n_steps)

    def for_probe(self, probe: Probe) -> Method:
        if self.background is not None:
            return self
        rows = probe.x if probe.kind == "table" and probe.baseline is None else None
        return dataclasses.replace(self, background=rows if probe.background is None else probe.background)

    def for_inputs(self, x: Sequence[Samples], like: Any) -> Method:
        return dataclasses.replace(self, background=background_rows(self.background, x, like))

    def passes(self, probe: Probe) -> float:
        background = leaves(probe.background)
        return float(self.n_steps * (len(background[0]) if background else 1))

    def for_callback(self, options: Mapping[str, Any]) -> Method:
        return self if "n_steps" in options else dataclasses.replace(self, n_steps=4)

    def baseline_score(self, batch: Batch) -> Tensor:
        return Background(batch, self.background, holds_fixed=True).score

    @property
    def reports_quadrature_error(self) -> bool:
        return self.n_steps > 1

    def values(self, batch: Batch) -> Tensors:
        return batch.memoize(self, lambda: self._integrals(batch))[0]

    def quadrature_difference(self, batch: Batch) -> Tensors:
        return batch.memoize(self, lambda: self._integrals(batch))[1]

    def _integrals(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """See `IntegratedGradients`."""
        ops, backend = keras.ops, get_backend()
        background = Background(batch, self.background, holds_fixed=True)
        a, w = IntegratedGradients(self.n_steps).points()
        count = background.size * self.n_steps
        passes, per = batch.passes(count)
        shape = (passes, per)
        # Each row with each point; what fills the last pass up has no weight.
        fill = (0, passes * per - count)
        rows = backend.constant(np.pad(np.repeat(np.arange(background.size), self.n_steps), fill).reshape(shape))
        positions = backend.constant(np.pad(np.tile(a, background.size), fill).reshape(shape))
        rules = np.tile(np.stack([w, half_difference(a)]) / np.float32(background.size), background.size)
        weights = backend.constant(np.pad(rules, ((0, 0), fill)).reshape(2, *shape).transpose(1, 0, 2))
        target = batch.repeated_target(per)

        def one_pass(k: Tensor, total: Tensors) -> Tensors:
            points, changes = [], []
            for x, r, moves in zip(batch.x, background.rows(rows[k]), batch.differentiable, strict=True):
                if not moves:
                    points.append(ops.tile(x, [per] + [1] * (len(x.shape) - 1)))
                    changes.append(ops.zeros((per, *x.shape)))
                    continue
                change = x[None] - r
                p = ops.cast(ops.reshape(positions[k], [per] + [1] * len(x.shape)), x.dtype)
                points.append(ops.reshape(r + p * change, (-1, *x.shape[1:])))
                changes.append(change)
            sums = []
            for t, gradient, change in zip(total, batch.gradient_of(points, target), changes, strict=True):
                product = ops.reshape(gradient, change.shape) * ops.cast(change, gradient.dtype)
                weighted = ops.matmul(weights[k], ops.reshape(product, (per, -1)))
                sums.append(t + ops.reshape(weighted, t.shape))
            return sums

        summed = batch.loop(one_pass, passes, [ops.zeros((2, *x.shape), "float32") for x in batch.x])
        return [s[0] for s in summed], [s[1] for s in summed]
