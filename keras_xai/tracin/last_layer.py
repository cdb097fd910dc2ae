"""The last dense layer of a model: what goes into it, and how the loss answers to what comes out, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_xai.backend import get_backend
from keras_xai.backend.layer_calls import replaced_calls
from keras_xai.backend.protocol import Tensor
from keras_xai.errors import InvalidInput
from keras_xai.model.layers import find_layer, iter_layers, layer_path, layers_within
from keras_xai.model.runner import ModelRunner
from keras_xai.model.samples import Samples, take_rows
from keras_xai.model.scores import Output
from keras_xai.outputs.dense import Dense
from keras_xai.tracin.row_loss import RowLoss

Array = NDArray[np.float32]


class RowGradients(NamedTuple):
    """The gradients of the rows' losses with respect to a dense layer's kernel, each the outer product of two vectors.

    For features h and errors e = ∂loss/∂z at the layer's sum z = h·W + b the gradient is h eᵀ with respect to W, and e to b.
    """

    features: Array  # (n, D) what goes into the layer
    errors: Array  # (n, K) derivative of each row's loss with respect to the layer's sum, before its activation


class LastLayer:
    """Reads features and errors of rows at the last layer with weights, which is to be a Dense.

    The errors come by automatic differentiation of the compiled loss with respect to a zero that is added to the layer's sum: so
    any loss, any activation and whatever stands between the layer and the loss is taken as it is.

    Args:
        model: built, compiled.
        x: (B, ...) some rows, one array an input, as `prepare_inputs` has them.
        like: the input as the user holds it.
        output: of several, its name or number.
        path: of another Dense; default the last layer with weights on the way to the output.

    Raises:
        InvalidInput: that layer is no Dense of one row of features a sample; the model has no loss for the output.

    Attributes:
        path: of the layer, as `layer_path` has it.
        uses_bias: whether the layer has a bias.
    """

    def __init__(
        self, model: keras.Model, x: Sequence[Samples], like: Any, output: Output = None, path: str | None = None
    ) -> None:
        if isinstance(output, Dense):
            raise InvalidInput(
                f"{output.name} says something at many positions: a row of scores for each row is expected."
            )
        self._runner = ModelRunner(model, like, output)
        self._row_loss = RowLoss(self._runner.score_function)
        first = take_rows(x, self._runner.chunks(len(x[0]))[0].rows)
        self._layer = _dense_layer(self._runner, first, path)
        self.path, self.uses_bias = layer_path(self._layer, model), bool(self._layer.use_bias)
        self._program = self._runner.compiled(self._gradients)

    @property
    def loss(self) -> str:
        """The name of the loss."""
        return self._row_loss.name

    def gradients(self, x: Sequence[Samples], y: Array) -> Iterator[RowGradients]:
        """Yield the gradients of rows (B, ...) with labels (B, ...), some rows at a time, in order, with the present weights."""
        numpy = get_backend().numpy
        for rows, size in self._runner.chunks(len(x[0])):
            labels = y[rows]
            zero = np.zeros((len(labels), self._layer.units), np.float32)
            features, errors = self._program(take_rows(x, rows), labels, zero)
            yield RowGradients(numpy(features)[:size].astype(np.float32), numpy(errors)[:size].astype(np.float32))

    # Inside programs.

    def _gradients(self, x: list[Tensor], y: Tensor, zero: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (n, D) and errors (n, K)."""

        def losses(added: list[Tensor]) -> tuple[Tensor, Tensor]:
            inputs: list[Tensor] = []
            with replaced_calls([self._layer], _adding(added[0], inputs)):
                outputs = self._runner.score_function.outputs(x)
            return self._row_loss(y, outputs), keras.ops.cast(inputs[0], "float32")

        forward = get_backend().forward_with_vjp(losses, [zero], [])
        (errors,) = forward.vjp().inputs
        return forward.aux, keras.ops.zeros_like(zero) if errors is None else errors


def _adding(
    added: Tensor, inputs: list[Tensor]
) -> Callable[[keras.layers.Layer, Callable[..., Any]], Callable[..., Any]]:
    """Return the replacement of a Dense's call that adds to its sum, and appends what the layer was called with."""

    def replace(layer: keras.layers.Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        activation = layer.activation or keras.activations.linear

        def activated(total: Tensor) -> Tensor:
            return activation(total + keras.ops.cast(added, total.dtype))

        def adding(values: Tensor, *args: Any, **kwargs: Any) -> Any:
            inputs.append(values)
            # The instance dictionary is past Keras' attribute tracking.
            before = vars(layer).get("activation")
            vars(layer)["activation"] = activated
            try:
                return call(values, *args, **kwargs)
            finally:
                del vars(layer)["activation"]
                if before is not None:
                    vars(layer)["activation"] = before

        return adding

    return replace


class _Call(NamedTuple):
    """The first call of a layer in a forward pass."""

    number: int  # of the layer among those looked at
    leads: bool  # the output is computed from it
    calls: int
    problem: str
    rank: int  # axes of its output


def _dense_layer(runner: ModelRunner, x: Sequence[Any], path: str | None) -> Any:
    """Return the layer that is read.

    Raises:
        InvalidInput: none, one of another kind, or one that is called more than once or for more than one position.
    """
    model, outputs = runner.model, runner.score_function.outputs
    layers = [layer for layer in iter_layers(model) if layer.weights and not layers_within(layer)]
    if path is not None:
        layers = [find_layer(model, path)]

    def calls(inputs: list[Tensor]) -> list[_Call]:
        trace = get_backend().trace_activations(outputs, inputs, layers)
        numbers = {id(layer): number for number, layer in enumerate(layers)}
        activations = trace.activations
        return [
            _Call(
                numbers[id(a.layer)], a.leads, a.calls, a.problem, 0 if a.output is None else len(tuple(a.output.shape))
            )
            for a in activations
        ]

    leading = [call for call in runner.compiled(calls).trace(list(x)) if call.leads or call.problem]
    if not leading:
        where = f"layer {path!r} does not lead to the output" if path else "no layer with weights leads to the output"
        raise InvalidInput(f"There is no last layer to read: {where}; name a Dense with layer=.")
    call = leading[-1]
    layer = layers[call.number]
    name = f"{layer_path(layer, model)!r} ({type(layer).__name__})"
    dense = [layer_path(layer, model) for layer in layers if isinstance(layer, keras.layers.Dense)]
    advice = f"expected a Dense of one row of features a sample; layer= names another one, of {dense[-3:]}"
    advice = advice if dense and path is None else "expected a Dense of one row of features a sample"
    if not isinstance(layer, keras.layers.Dense):
        raise InvalidInput(f"The last layer with weights is {name}: {advice}.")
    if call.problem or call.calls > 1 or call.rank != 2:
        reason = call.problem or (
            f"it is called {call.calls} times" if call.calls > 1 else f"its output has {call.rank} axes"
        )
        raise InvalidInput(f"Layer {name} cannot be read, {reason}: {advice}.")
    return layer
