"""A function as one graph for each shape of its arguments, run on the weights that the model has then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_xai.backend.building_time import building_time
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.results import Template
from keras_xai.backend.tensorflow.state import GraphState

FED_BYTES = 2**20  # of a constant from which on it is no part of the graph


class Compiled:
    """A function as one graph for each shape of its arguments, run on the model's live weights.

    It is called with arrays or tensors, alone or in lists; what is neither is a constant of the graph. Which graph serves a
    call is found by shapes alone: `tf.function` looks at much more, which takes it 0.2 ms a call, as long as a small model
    takes to answer. And a graph it is under `run_functions_eagerly(True)` too: only a graph knows the logit, see `find_logits`.

    Whatever a call moves (a seed, the state of a recurrent layer, a counter in a variable) is put back after it; graphs that
    write nothing pay nothing.

    Args:
        function: of tensors; see `Program` for what it may return.
        model: whose Python code `function` runs while it is traced: what that code moves is put back, too.
        jit: compile with XLA.
    """

    def __init__(self, function: Callable[..., Any], model: keras.Model | None = None, jit: bool = False) -> None:
        self._function, self._model, self._jit = function, model, jit
        self._graphs: dict[Any, _Graph] = {}
        self._built: set[int] = set()  # ids of graphs that have run

    def __call__(self, *args: Any) -> Any:
        graph, tensors = self._traced(args)
        put_back = graph.state.keep()
        first = id(graph) not in self._built
        try:
            with building_time() if first else contextlib.nullcontext():
                return graph.result.filled(graph.function(*tensors))
        finally:
            self._built.add(id(graph))
            for put_one_back in put_back:
                put_one_back()

    def trace(self, *args: Any) -> Any:
        """Return the facts of the graph for such arguments, and run nothing."""
        return self._traced(args)[0].result.facts()

    @property
    def graphs(self) -> list[Any]:
        """The graphs that were traced, each a function."""
        return [graph.function for graph in self._graphs.values()]

    @property
    def traces(self) -> int:
        """The number of graphs that were traced."""
        return len(self._graphs)

    @property
    def has_side_effects(self) -> bool:
        """True where any graph moves something that is put back: a dropout that is on in inference moves its seed."""
        return any(graph.state.writes for graph in self._graphs.values())

    @property
    def lasting_effects(self) -> str:
        """See `Program`."""
        effects = [graph.state.lasting for graph in self._graphs.values() if graph.state.lasting]
        return "; ".join(dict.fromkeys(effects))

    def _traced(self, args: Any) -> tuple[_Graph, list[Any]]:
        flat = tf.nest.flatten(args)
        fed = [value for value in flat if isinstance(value, (np.ndarray, tf.Tensor))]
        key = tuple([(v.shape, v.dtype) if isinstance(v, (np.ndarray, tf.Tensor)) else v for v in flat])
        tensors = [constant(value) if isinstance(value, np.ndarray) else value for value in fed]
        if key not in self._graphs:
            with building_time(), python_state_kept(self._model):
                self._graphs[key] = _build(self._function, args, tensors, self._jit)
        return self._graphs[key], tensors


class _Graph(NamedTuple):
    """A function traced for some shapes."""

    function: Any  # of tensors, to tensors
    result: Template
    state: GraphState


def compiled(function: Callable[..., Any], model: keras.Model | None = None, jit: bool = False) -> Compiled:
    """See `Backend` and `Compiled`."""
    return Compiled(function, model, jit)


def _build(function: Callable[..., Any], args: Any, tensors: Sequence[Any], jit: bool) -> _Graph:
    """`function` of those tensors where they stand in `args`; nothing of them is kept but their shapes."""
    gap = object()
    leaves = [gap if isinstance(v, (np.ndarray, tf.Tensor)) else v for v in tf.nest.flatten(args)]
    arguments = tf.nest.pack_sequence_as(args, leaves)
    templates: list[Template] = []

    def flattened(*fed: Any) -> Any:
        remaining = iter(fed)
        result = function(*tf.nest.map_structure(lambda v: next(remaining) if v is gap else v, arguments))
        templates.append(Template(result, tf.is_tensor))
        return templates[-1].forget()

    graph = tf.function(flattened, autograph=False, jit_compile=jit or None)
    concrete = graph.get_concrete_function(*(tf.TensorSpec(v.shape, v.dtype) for v in tensors))
    return _Graph(concrete, templates[-1], GraphState(concrete))


def constant(array: NDArray[Any]) -> Any:
    """See `Backend`. A large one is fed to the graph that is being built, where it would be written into it."""
    array = np.asarray(array)
    array = array.astype(np.float32) if array.dtype == np.float64 else array
    with tf.init_scope() if array.nbytes > FED_BYTES else contextlib.nullcontext():
        return tf.constant(array)


def compiles() -> bool:
    """See `Backend`."""
    return True


def has_text() -> bool:
    """See `Backend`."""
    return True


def numpy(value: Any) -> NDArray[Any]:
    """See `Backend`."""
    return np.asarray(value)


def dense_tensor(value: Any) -> Any:
    """See `Backend`."""
    if isinstance(value, keras.Variable):
        value = value.value
    if not isinstance(value, (np.ndarray, tf.Tensor, tf.Variable)):
        return None
    tensor = tf.convert_to_tensor(value)
    return None if tensor.dtype == tf.string or tensor.dtype.is_complex else tensor
