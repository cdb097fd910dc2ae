"""A function as one graph for each shape of its arguments, run on the weights of the moment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_xai.backend.building_time import building_time
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.tensorflow.state import GraphState


class Compiled:
    """`function` on tensors as one graph; traced once for each shape, reading the model's live weights.

    It is called with arrays or tensors, alone or in lists; what is neither is a constant of the graph. Which graph serves a
    call is found by shapes alone: `tf.function` looks at much more, which takes it 0.2 ms a call, as long as a small model
    takes to answer. And a graph it is under `run_functions_eagerly(True)` too: only a graph knows the logit, see `find_logits`.

    Whatever a call moves (a seed, the state of a recurrent layer, a counter in a variable) is put back after it; graphs that
    write nothing pay nothing.

    Args:
        function: of tensors.
        jit: compile with XLA.
        model: whose Python code `function` runs while it is traced: what that code moves is put back, too.
    """

    def __init__(self, function: Callable[..., Any], jit: bool = False, model: keras.Model | None = None) -> None:
        self._function, self._jit, self._model = function, jit, model
        self._graphs: dict[Any, tuple[Any, GraphState]] = {}
        self._ran: set[int] = set()  # ids of graphs

    def __call__(self, *args: Any) -> Any:
        graph, state, tensors = self._traced(args)
        put_back = state.keep()
        first = id(graph) not in self._ran
        try:
            with building_time() if first else contextlib.nullcontext():
                return graph(*tensors)
        finally:
            self._ran.add(id(graph))
            for each in put_back:
                each()

    def trace(self, *args: Any) -> None:
        """Trace the graph for such arguments, and run nothing."""
        self._traced(args)

    @property
    def graphs(self) -> list[Any]:
        """The graphs that were traced, each a function."""
        return [graph for graph, _ in self._graphs.values()]

    @property
    def traces(self) -> int:
        """How many graphs were traced."""
        return len(self._graphs)

    @property
    def has_side_effects(self) -> bool:
        """Whether any graph moves something that is put back: a dropout that is on in inference moves its seed."""
        return any(state.writes for _, state in self._graphs.values())

    @property
    def lasting(self) -> str:
        """What the graphs may move and nobody can put back, in words; "" where there is nothing."""
        return "; ".join(dict.fromkeys(state.lasting for _, state in self._graphs.values() if state.lasting))

    def _traced(self, args: Any) -> tuple[Any, GraphState, list[Any]]:
        flat = tf.nest.flatten(args)
        fed = [value for value in flat if isinstance(value, (np.ndarray, tf.Tensor))]
        key = tuple([(v.shape, v.dtype) if isinstance(v, (np.ndarray, tf.Tensor)) else v for v in flat])
        tensors = [constant(value) if isinstance(value, np.ndarray) else value for value in fed]
        if key not in self._graphs:
            with building_time(), python_state_kept(self._model):
                graph = _graph(self._function, args, tensors, self._jit)
            self._graphs[key] = graph, GraphState(graph)
        return *self._graphs[key], tensors


def compiled(function: Callable[..., Any], jit: bool = False, model: keras.Model | None = None) -> Compiled:
    """`function` as one graph for each shape of its arguments, see `Compiled`."""
    return Compiled(function, jit, model)


def _graph(function: Callable[..., Any], args: Any, tensors: Sequence[Any], jit: bool) -> Any:
    """`function` of those tensors in the places they have in `args`; nothing of them is kept but their shapes."""
    place = object()
    leaves = [place if isinstance(v, (np.ndarray, tf.Tensor)) else v for v in tf.nest.flatten(args)]
    places = tf.nest.pack_sequence_as(args, leaves)

    def flattened(*fresh: Any) -> Any:
        rest = iter(fresh)
        return function(*tf.nest.map_structure(lambda v: next(rest) if v is place else v, places))

    graph = tf.function(flattened, autograph=False, jit_compile=jit or None)
    return graph.get_concrete_function(*(tf.TensorSpec(v.shape, v.dtype) for v in tensors))


def constant(array: NDArray[Any]) -> Any:
    """An array on the device; float64 becomes float32, Keras' own input type."""
    array = np.asarray(array)
    return tf.constant(array.astype(np.float32) if array.dtype == np.float64 else array)


def numpy(value: Any) -> NDArray[Any]:
    """A tensor on the host."""
    return np.asarray(value)


def dense_tensor(value: Any) -> Any:
    """A model's output as a tensor of the present graph; None for what is no dense tensor of real numbers: text, complex
    numbers, ragged and sparse tensors, nothing at all."""
    if isinstance(value, keras.Variable):
        value = value.value
    if not isinstance(value, (np.ndarray, tf.Tensor, tf.Variable)):
        return None
    tensor = tf.convert_to_tensor(value)
    return None if tensor.dtype == tf.string or tensor.dtype.is_complex else tensor
