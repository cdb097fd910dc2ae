"""The straight path from the baselines to the samples, and sums along it."""

from __future__ import annotations

import keras
import numpy as np

from keras_xai.attribution.batch import Batch
from keras_xai.backend import get_backend
from keras_xai.backend.protocol import Tensor, Tensors


class StraightPath:
    """The path of a batch's rows from `path_start`; inputs without a gradient stay where they are.

    Args:
        batch: the rows.
        per: points of each row in one pass.
    """

    def __init__(self, batch: Batch, per: int) -> None:
        self._batch, self._per = batch, per
        self.change: Tensors = []  # of each input, from the start to the rows
        for x, start, moves in zip(batch.x, batch.path_start, batch.differentiable, strict=True):
            self.change.append(x - start if moves else keras.ops.zeros(x.shape))
        self.target = batch.repeated_target(per)  # of the points

    def points(self, positions: Tensor) -> Tensors:
        """(per · n, ...) an input: the rows at positions (per,), 0 at the start and 1 at the rows themselves."""
        ops, batch, rows = keras.ops, self._batch, []
        for x, start, change, moves in zip(batch.x, batch.path_start, self.change, batch.differentiable, strict=True):
            if moves:
                position = ops.reshape(positions, [self._per] + [1] * len(x.shape))
                rows.append(ops.reshape(start[None] + position * change[None], (-1, *x.shape[1:])))
            else:
                rows.append(ops.tile(x, [self._per] + [1] * (len(x.shape) - 1)))
        return rows


def conductance(batch: Batch, layer: keras.layers.Layer, call: int, n_steps: int) -> tuple[Tensor, Tensor]:
    """(n, ...) the conductance of each unit of a layer, and an estimate of its error, both in the shape of the layer.

    ∫ ∂ score / ∂ A dA along the path: by the trapezoidal rule between points of equal distance, in steps and in double steps, of
    which a third of the difference is the error that the finer one has where everything is smooth, and is taken off.

    Args:
        batch: the rows.
        layer: that the batch watches.
        call: the number of its call.
        n_steps: between the points; one more where that is odd.
    """
    ops, backend = keras.ops, get_backend()
    steps = n_steps + n_steps % 2
    # The steps of a pass share its points, so it holds one more of these than steps.
    per = min(steps, max(2, (batch.chunk // batch.size - 1) // 2 * 2))
    passes = -(-steps // per)
    together = (per + 1) * batch.size <= batch.chunk  # else a point at a time, as a model of one batch size needs it
    path = StraightPath(batch, per + 1 if together else 1)
    numbers = np.arange(passes)[:, None] * per + np.arange(per + 1)
    # What fills the last pass stands still.
    positions = backend.constant(np.minimum(numbers / steps, 1.0).astype(np.float32))
    shape = tuple(batch.activations(layer)[call].output.shape)

    def one_pass(k: Tensor, totals: Tensors) -> Tensors:
        if together:
            parts = [batch.at_layer(path.points(positions[k]), path.target, layer, call)]
        else:
            parts = []
            for point in range(per + 1):
                rows = path.points(positions[k][point : point + 1])
                parts.append(batch.at_layer(rows, path.target, layer, call))
        activation = ops.reshape(ops.concatenate([part[0] for part in parts]), (per + 1, *shape))
        gradient = ops.reshape(ops.concatenate([part[1] for part in parts]), (per + 1, *shape))
        single = _trapezoids(activation, gradient)
        return [totals[0] + single, totals[1] + _trapezoids(activation[::2], gradient[::2])]

    single, double = batch.loop(one_pass, passes, [ops.zeros(shape, "float32"), ops.zeros(shape, "float32")])
    error = (single - double) / 3
    return single + error, error


def _trapezoids(activation: Tensor, gradient: Tensor) -> Tensor:
    """Σ of the mean gradient between neighbouring points times the activation's change between them."""
    return keras.ops.sum((gradient[1:] + gradient[:-1]) * (activation[1:] - activation[:-1]), axis=0) / 2


def mean_gradient(
    batch: Batch, layer: keras.layers.Layer, call: int, positions: np.ndarray, weights: np.ndarray
) -> Tensor:
    """(n, ...) the gradient at a layer's output, averaged over points of the path.

    Args:
        batch: the rows.
        layer: that the batch watches.
        call: the number of its call.
        positions: (steps,) of the points.
        weights: (steps,) of theirs, which sum to 1.
    """
    ops, backend = keras.ops, get_backend()
    passes, per = batch.passes(len(positions))
    fill = (0, passes * per - len(positions))
    position_of = backend.constant(np.pad(positions, fill).reshape(passes, per))
    weight_of = backend.constant(np.pad(weights, fill).reshape(passes, per))
    path = StraightPath(batch, per)
    shape = tuple(batch.activations(layer)[call].output.shape)

    def one_pass(k: Tensor, totals: Tensors) -> Tensors:
        _, gradient = batch.at_layer(path.points(position_of[k]), path.target, layer, call)
        averaged = ops.matmul(weight_of[k][None], ops.reshape(gradient, (per, -1)))
        return [totals[0] + ops.reshape(averaged, shape)]

    return batch.loop(one_pass, passes, [ops.zeros(shape, "float32")])[0]
