"""A look at a model's layers before a map is made: which outputs have places, and which places lead to the scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.layer_calls import FirstCall, record_calls, record_first_calls
from keras_xai.backend.protocol import Tensor, Tensors
from keras_xai.backend.team import present_team
from keras_xai.image import is_channels_first
from keras_xai.model.batch_size import fixed_batch_size
from keras_xai.model.layers import is_sequence, is_spatial, iter_layers, looks_up, whole_layers
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples

ROWS = 2  # of the samples that are looked at
STILL = 1e-4  # of the largest move: what moves less stays where it is


class SurveyedLayer(NamedTuple):
    """A layer whose output has places, in its first call."""

    layer: keras.layers.Layer
    shape: tuple[int, ...]  # of its output, of one sample
    inputs: frozenset[int]  # that it is computed from
    leads: NDArray[np.bool_]  # (places) where the scores change with the output
    moves: NDArray[np.bool_]  # (places) where the output changes with the samples
    centres: NDArray[
        np.float32
    ]  # (axes, places) on which share of each axis of an image a place lies, as far as it moves

    @property
    def is_sequence(self) -> bool:
        """True for an output (t, c)."""
        return len(self.shape) == 2


class _Measured(NamedTuple):
    """The result of the program: facts of the layers, and what was measured of each."""

    layers: list[tuple[Any, tuple[int, ...], frozenset[int]]]
    slopes: Tensors  # (places) the largest magnitude of a gradient
    changes: Tensors  # (1 + axes, places) by how much the output changes with a sample that is changed; see `_changed`


def survey(runner: ModelRunner, x: Sequence[Samples]) -> list[SurveyedLayer]:
    """The layers of a model with more than one place, in the order in which their first calls finish.

    Where no gradient at all reaches them, as before a last layer that begins with zeros, the scores are what that layer takes.

    None at all are returned where a model of one batch size takes too few rows at a time for the look.

    Args:
        runner: of the model.
        x: (B, ...) rows, one array an input.

    Cost:
        A trace, and one forward and backward pass over six rows.
    """
    axes = max((len(image_sides(array.shape[1:])) for array in x), default=0)
    count = fixed_batch_size(runner.model) or min(ROWS, len(x[0])) + 1 + axes
    if count < 2 + axes:
        return []
    # As many rows as one pass takes: the first ones, over again where there are no more, and the first one changed.
    first = np.arange(count - 1 - axes) % len(x[0])
    rows = [np.concatenate([array[first], _changed(array[:1], axes)]) for array in x]
    for of_features in (False, True):
        program = runner.compiled(_Survey(runner, of_features, 1 + axes).measure)
        measured = program(rows)
        numpy = get_backend().numpy
        slopes = present_team().agreed([numpy(slope) for slope in measured.slopes])
        changes = present_team().agreed([numpy(change) for change in measured.changes])
        if any(slope.any() for slope in slopes):
            break
    layers = []
    for (layer, shape, inputs), slope, change in zip(measured.layers, slopes, changes, strict=True):
        everywhere = change[0]
        moves = everywhere > STILL * everywhere.max(initial=0.0)
        centres = (change[1:] / np.where(moves, everywhere, np.inf)).astype(np.float32)
        layers.append(SurveyedLayer(layer, shape, inputs, slope > 0, moves, centres))
    return layers


def image_sides(shape: Sequence[int]) -> tuple[int, ...]:
    """The sides in pixels of an image (h, w, c) or (c, h, w), or of a volume (d, h, w, c); () of anything else."""
    if len(shape) not in (3, 4):
        return ()
    return tuple(shape[1:]) if len(shape) == 3 and is_channels_first(shape) else tuple(shape[:-1])


def _changed(row: NDArray[Any], axes: int) -> NDArray[Any]:
    """Rows (1 + axes, ...) of a row (1, ...) with other numbers: everywhere, and along each axis of an image more and more.

    So the change of a patch in one of the latter, over its change in the first, tells how far along the axis the patch lies.
    What holds no numbers stays as it is, and tokens are the same ones elsewhere: no other is known to be allowed.
    """
    sides = image_sides(row.shape[1:])
    if not sides:
        return np.repeat(_changed_everywhere(row), 1 + axes, axis=0)
    # An image of integers becomes its negative.
    noise = _noise(row) if row.dtype.kind == "f" else row.min() + row.max() - 2.0 * row
    first = 1 if tuple(row.shape[1:-1]) == sides else 2  # of the image's axes
    rows = [row + noise]
    for axis, side in enumerate(sides, first):
        along = (np.arange(side) + 0.5) / side
        rows.append(row + noise * along.reshape([-1 if a == axis else 1 for a in range(row.ndim)]))
    return np.concatenate(rows).astype(row.dtype)


def _changed_everywhere(row: NDArray[Any]) -> NDArray[Any]:
    if row.dtype.kind == "f":
        return (row + _noise(row)).astype(row.dtype)
    return row.reshape(-1)[::-1].reshape(row.shape) if row.dtype.kind in "iu" else row


def _noise(row: NDArray[Any]) -> NDArray[Any]:
    spread = float(row.std()) or 1.0
    return spread * np.random.default_rng(0).uniform(0.5, 1.5, row.shape)


class _Survey:
    """The program of a survey.

    Args:
        runner: of the model.
        of_features: the scores are what layers take that keep no places, instead of the model's own.
        changed: the number of rows, the last ones, that are the first one changed.
    """

    def __init__(self, runner: ModelRunner, of_features: bool, changed: int) -> None:
        self._changed = changed
        self._model, self._score_function, self._of_features = runner.model, runner.score_function, of_features

    def measure(self, x: Tensors) -> _Measured:
        """Measure each layer with places, for rows x [(n, ...)]."""
        ops, size = keras.ops, x[0].shape[0]
        whole = {id(layer) for layer in whole_layers(self._model)}
        layers: list[tuple[keras.layers.Layer, tuple[int, ...]]] = []
        taken: list[Tensor] = []  # by attention, which mixes places: what they are before
        _, calls = record_first_calls(self._score_function.outputs, x, _outside_attention(self._model))
        for call in calls:
            shape = shape_of(call.output)
            is_image = (
                is_spatial(shape) and id(call.layer) in whole and not isinstance(call.layer, keras.layers.Permute)
            )
            is_place = is_image or is_sequence(shape, size)
            sides = tuple(side for side in shape[1:] if side is not None)
            if is_place and len(sides) == len(shape) - 1 and not looks_up(call.layer):
                layers.append((call.layer, sides))
                taken.append(_taken_by_attention(call))
        forward = get_backend().forward_with_vjp(self._scores, x, [layer for layer, _ in layers])
        gradients = forward.vjp(at_inputs=False).outputs
        facts, slopes, changes = [], [], []
        for (layer, sides), before, outputs, of_calls in zip(layers, taken, forward.layers, gradients, strict=True):
            if not outputs or not keras.backend.is_float_dtype(outputs[0].output.dtype):
                continue
            output, gradient = ops.cast(outputs[0].output, "float32"), of_calls[0]
            by_place = (size, -1, sides[-1])
            unmixed = output if before is None or shape_of(before)[1:] != sides else ops.cast(before, "float32")
            difference = ops.reshape(unmixed[-self._changed :] - unmixed[:1], (self._changed, -1, sides[-1]))
            change = ops.sqrt(ops.mean(ops.square(difference), axis=-1))
            if gradient is None:
                slope = ops.zeros_like(change[0])
            else:
                slope = ops.max(ops.abs(ops.reshape(ops.cast(gradient, "float32"), by_place)), axis=(0, 2))
            facts.append((layer, sides, outputs[0].input_indices))
            slopes.append(slope)
            changes.append(change)
        return _Measured(facts, slopes, changes)

    def _scores(self, x: Tensors) -> tuple[Tensor, Tensor]:
        """(n,) all scores of a row, each with a weight of its own so that none cancel out, and nothing beside."""
        if not self._of_features:
            scores = self._score_function.logits(x).scores
            return _weighted(scores), scores
        flat = [layer for layer in iter_layers(self._model) if isinstance(layer, keras.layers.Dense)]
        total = None
        for taken, _ in record_calls(self._score_function.outputs, x, flat):
            if keras.ops.is_tensor(taken) and len(taken.shape) == 2 and taken.shape[0] == x[0].shape[0]:
                total = _weighted(taken) if total is None else total + _weighted(taken)
        if total is None:
            total = _weighted(self._score_function.outputs(x))
        return total, total


def _weighted(values: Tensor) -> Tensor:
    """(n,) of (n, k): the sum with weights between 1/2 and 3/2."""
    count = math.prod(values.shape[1:])
    values = keras.ops.cast(keras.ops.reshape(values, (-1, count)), "float32")
    weights = np.random.default_rng(1).uniform(0.5, 1.5, count).astype(np.float32)
    return keras.ops.sum(values * get_backend().constant(weights)[None], axis=1)


def shape_of(value: object) -> tuple[int | None, ...]:
    """The shape of a tensor; () of anything else, and where the rank is not known."""
    if not keras.ops.is_tensor(value):
        return ()
    try:
        return tuple(value.shape)  # type: ignore[attr-defined]
    except ValueError:  # TensorFlow's, of a tensor whose rank is not known
        return ()


def _taken_by_attention(call: FirstCall) -> Tensor | None:
    """The first argument of a layer of attention; None for any other layer."""
    arguments = call.arguments[0]
    return arguments[0] if arguments and "Attention" in type(call.layer).__name__ else None


def _outside_attention(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers but those inside attention and inside wrappers, which see parts of a sample."""
    inside: set[int] = set()
    for layer in iter_layers(model):
        if "Attention" in type(layer).__name__ or isinstance(layer, keras.layers.Wrapper):
            inside |= {id(part) for part in layer._flatten_layers(include_self=False)}
    return [layer for layer in iter_layers(model) if id(layer) not in inside]
