"""A second backend, for models that are linear: NumPy arrays, everything at once, gradients by differences.

It shows what a backend is: this folder, and a line in `FRAMEWORKS`. It imports no framework; tensors are what `keras.ops` takes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_xai.backend.protocol import (
    EmbeddingCall,
    ForwardPass,
    Gradient,
    Logits,
    Multipliers,
    NoRule,
    Relevance,
    Slopes,
)

calls: list[str] = []  # the functions that were called, for the tests


def numpy(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value))


def constant(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def dense_tensor(value: Any) -> np.ndarray | None:
    return None if value is None or isinstance(value, str) else numpy(value)


def compiles() -> bool:
    return False


def has_text() -> bool:
    return False


class Program:
    """Runs its function at each call; what it moves in the model is put back."""

    lasting_effects = ""
    has_side_effects = False

    def __init__(self, function: Callable[..., Any], model: keras.Model | None) -> None:
        self._function, self._model = function, model
        self._shapes: set[Any] = set()

    def __call__(self, *args: Any) -> Any:
        flat = keras.tree.flatten(args)
        self._shapes.add(tuple((v.shape, str(v.dtype)) if isinstance(v, np.ndarray) else v for v in flat))
        with _state_kept(self._model):
            result = self._function(*args)
        return keras.tree.map_structure(lambda v: numpy(v) if _is_tensor(v) else v, result)

    def trace(self, *args: Any) -> Any:
        return keras.tree.map_structure(lambda v: None if _is_tensor(v) else v, self(*args))

    @property
    def traces(self) -> int:
        return len(self._shapes)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or keras.ops.is_tensor(value)


@contextlib.contextmanager
def _state_kept(model: keras.Model | None) -> Any:
    variables = [] if model is None else model.variables
    values = [np.array(numpy(variable)) for variable in variables]
    yield
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def compiled(function: Callable[..., Any], model: keras.Model | None = None, jit: bool = False) -> Program:
    calls.append("compiled")
    return Program(function, model)


def find_logits(function: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Logits:
    """A linear model ends in no softmax."""
    outputs = numpy(function(list(inputs)))
    return Logits(outputs, outputs.astype(np.float32), "")


def take_target(scores: Any, target: Any) -> np.ndarray:
    scores = numpy(scores)
    if scores.ndim == 1 or scores.shape[1] == 1:
        return scores.reshape(-1)
    return scores[np.arange(len(scores)), numpy(target)]


def gradient(score: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> Gradient:
    """The difference that 1 more in an entry makes, which of a linear score is its gradient."""
    calls.append("gradient")
    inputs = [numpy(x) for x in inputs]
    value = numpy(score(inputs))
    gradients: list[Any] = []
    for k, x in enumerate(inputs):
        if x.dtype.kind != "f":
            gradients.append(None)
            continue
        slope = np.zeros_like(x)
        for entry in np.ndindex(*x.shape[1:]):
            moved = x.copy()
            moved[(slice(None), *entry)] += 1
            slope[(slice(None), *entry)] = numpy(score([*inputs[:k], moved, *inputs[k + 1 :]])) - value
        gradients.append(slope if slope.any() else None)
    return Gradient(value, gradients)


def forward_with_vjp(score: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[Any]) -> ForwardPass:
    """Of a model whose layers nobody asks for."""
    value, aux = score([numpy(x) for x in inputs])
    slopes = functools.cache(lambda: Slopes(gradient(lambda z: score(z)[0], inputs).gradients, [[] for _ in layers]))
    return ForwardPass(numpy(value), aux, [[] for _ in layers], lambda at_inputs=True: slopes())


def deeplift_multipliers(
    scores: Any, inputs: Any, baseline: Any, target: Any, shared_baseline: bool = False
) -> Multipliers:
    raise NoRule("anything: the toy has no DeepLIFT")


def lrp_multipliers(scores: Any, inputs: Any, target: Any, rules: Any) -> Relevance:
    raise NoRule("anything: the toy has no LRP")


def fori_loop(function: Any, count: int, initial: Sequence[Any], progress: Any = None) -> list[Any]:
    values = list(initial)
    for k in range(count):
        values = function(np.int32(k), values)
        if progress is not None:
            progress(1)
    return values


def map(function: Any, count: int, progress: Any = None) -> np.ndarray:
    rows = []
    for k in range(count):
        rows.append(numpy(function(np.int32(k))))
        if progress is not None:
            progress(1)
    return np.stack(rows)


def trace_activations(function: Any, inputs: Any, layers: Any, vary: Any = None) -> Any:
    raise NotImplementedError("the toy reads no layers")


def embedding_outputs(function: Any, inputs: Any, layers: Sequence[Any]) -> list[EmbeddingCall]:
    return []


def sync_model(model: keras.Model) -> None:
    pass
