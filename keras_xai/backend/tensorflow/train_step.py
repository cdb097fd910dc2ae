"""A model's compiled train step: traced without being run, and built a second time from its own graph.

The second build imports the operations of the first one's graph. The model's Python code does not run again, so that its side
effects while it is traced (a counter, a random draw, a new layer or variable) happen once, and both graphs compute the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import keras
import tensorflow as tf

from keras_xai.backend.apply_hook import ApplyHook
from keras_xai.backend.gradient_table import Variable
from keras_xai.backend.recorder import TrainFunction
from keras_xai.backend.tensorflow.graphs import current_graph

T = TypeVar("T")


class NotRebuilt(Exception):
    """A graph cannot be imported into another one; the text says why."""


def runs_eagerly(model: keras.Model) -> bool:
    """Return True where the train step runs operation by operation, without a graph."""
    return bool(model.run_eagerly or tf.config.functions_run_eagerly())


def has_strategy(model: keras.Model) -> bool:
    """Return True where the model trains under a distribution strategy, which may run its step in threads of its own."""
    with tf.init_scope():
        return model.distribute_strategy is not tf.distribute.get_strategy()


class _StandIn:
    """A model with another train step, for `make_train_function`; the model itself is not changed."""

    def __init__(self, model: keras.Model, train_step: Callable[[Any], Any]) -> None:
        self._model = model
        self.train_step = train_step
        self.train_function: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def train_function(model: keras.Model, train_step: Callable[[Any], Any]) -> TrainFunction:
    """Make a train function around `train_step`, as Keras makes the model's own."""
    stand_in = _StandIn(model, train_step)
    keras.Model.make_train_function(stand_in)
    function: TrainFunction = stand_in.train_function
    return function


def compiled_part(function: TrainFunction) -> Any:
    """Return the outermost `tf.function` of a train function, None where there is none.

    Up to Keras 3.7 that is the train function itself, from 3.8 on a variable of its closure.
    """
    if hasattr(function, "get_concrete_function"):
        return function
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = dict(zip(names, getattr(function, "__closure__", None) or (), strict=True))
    cell = cells.get("multi_step_on_iterator")
    return cell.cell_contents if cell is not None and hasattr(cell.cell_contents, "get_concrete_function") else None


def part_for_a_batch(function: TrainFunction) -> Any:
    """Return the `tf.function` that a train function calls with a batch of arrays, None where there is none.

    Up to Keras 3.7 there is none: a step on arrays is traced at each call.
    """
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = dict(zip(names, getattr(function, "__closure__", None) or (), strict=True))
    cell = cells.get("one_step_on_data")
    part = None if cell is None else cell.cell_contents
    while part is not None and not hasattr(part, "get_concrete_function"):  # inside a wrapper for absent values
        part = getattr(part, "__wrapped__", None)
    return part


def trace(function: Any, arguments: Sequence[Any]) -> bool:
    """Trace a `tf.function` for these arguments; nothing of it is run but the initializers of variables that it creates.

    Returns:
        True where a new trace was made, False where there was one already.
    """
    before = function.experimental_get_tracing_count()
    function.get_concrete_function(*arguments)
    return bool(function.experimental_get_tracing_count() > before)


@dataclass
class OptimizerCall:
    """One call of an optimizer's `apply` in a graph: its arguments, and the operations it added."""

    optimizer: keras.optimizers.Optimizer
    gradients: list[tf.Tensor | tf.IndexedSlices | None]
    variables: Sequence[Variable]
    begin: int  # operations in the graph before the call
    end: int  # and after it


@dataclass
class TracedStep:
    """The graph of a train step, with the calls of optimizers in it."""

    graph: tf.Graph
    calls: list[OptimizerCall] = field(default_factory=list)

    def takes(self, data: Any) -> bool:
        """Return True where the graph was traced for data of these dtypes and shapes, or of less specific shapes."""
        tensors = _tensors(data)
        expected = self.graph.inputs[: len(self.graph.inputs) - len(self.graph.captures)]
        return len(tensors) == len(expected) and all(map(_fits, tensors, expected))


class StepTraces:
    """The traced graphs of a train step, one for each signature of its data; an `ApplyHook` that notes optimizers' calls."""

    def __init__(self) -> None:
        self._steps: list[TracedStep] = []

    def __call__(
        self,
        optimizer: keras.optimizers.Optimizer,
        gradients: list[tf.Tensor | tf.IndexedSlices | None],
        variables: Sequence[Variable],
        update: Callable[[], T],
    ) -> T:
        """Note a call and make it; nothing is added to the graph."""
        graph = current_graph()
        if graph is None:
            return update()
        begin = len(graph.get_operations())
        result = update()
        step = next((step for step in self._steps if step.graph is graph), None)
        if step is None:
            step = TracedStep(graph)
            self._steps.append(step)
        step.calls.append(OptimizerCall(optimizer, gradients, variables, begin, len(graph.get_operations())))
        return result

    def __len__(self) -> int:
        return len(self._steps)

    def find(self, data: Any, graph: tf.Graph) -> TracedStep | None:
        """Return the last traced step that takes `data` and is nested in as many functions as `graph`, its new graph."""
        fitting = [step for step in self._steps if depth(step.graph) == depth(graph) and step.takes(data)]
        return fitting[-1] if fitting else None

    def deeper_than(self, graph: tf.Graph) -> bool:
        """Return True where the last optimizer call is in a function nested deeper than `graph`, one of the step's own."""
        last = depth(self._steps[-1].graph) if self._steps else None
        return last is not None and last > (depth(graph) or 0)


def depth(graph: tf.Graph) -> int | None:
    """Return how many functions an operation of `graph` is nested in, its own included; None inside a branch or a loop."""
    if type(graph) is not tf.__internal__.FuncGraph:  # the graphs of branches and loops are of subclasses
        return None
    count = 0
    while graph is not None:
        count += type(graph) is tf.__internal__.FuncGraph
        graph = getattr(graph, "outer_graph", None)
    return count


def rebuild(
    step: TracedStep, data: Any, hook: ApplyHook, also: Callable[[Callable[[Any], Any]], None] | None = None
) -> Any:
    """Build the operations of a traced step in the current graph, for other data of the same structure.

    Every call of an optimizer goes through `hook`, as in `with_apply_hook`, at its position in the order of operations: those
    that the hook adds before and after `update()` read the variables before and after the call.

    Args:
        step: a train step's graph.
        data: nested tensors, the batch of the new graph.
        hook: makes the calls of optimizers.
        also: adds further operations, of nested values of the step's graph; called with what returns them in the current graph.

    Returns:
        The nested values that the step returned, in the current graph.

    Raises:
        NotRebuilt: the step uses a value that another graph cannot have.
    """
    imported = _ImportedGraph(step.graph, data)
    for call in step.calls:
        imported.build(call.begin)
        gradients = [None if g is None else imported.built(g) for g in call.gradients]
        hook(call.optimizer, gradients, call.variables, functools.partial(imported.build, call.end))
    imported.build(None)
    if also is not None:
        also(imported.built)
    return imported.built(step.graph.structured_outputs)


class _ImportedGraph:
    """The operations of one graph, imported into the current one piece by piece, in the order of their creation."""

    def __init__(self, source: tf.Graph, data: Any) -> None:
        self._source = source
        self._target = tf.compat.v1.get_default_graph()
        self._order = [operation.name for operation in source.get_operations()]
        self._definition = source.as_graph_def()
        self._nodes = {node.name: node for node in self._definition.node}
        self._operations: dict[str, tf.Operation] = {}  # by name in the source
        self._tensors: dict[str, tf.Tensor] = self._fed(data)  # inputs of the source graph, by name
        self._inputs = {name.partition(":")[0] for name in self._tensors}
        self._next = 0

    def _fed(self, data: Any) -> dict[str, tf.Tensor]:
        """Return the value of each input of the source, by name: the data, and the outer values that the graph captured."""
        if getattr(self._source, "deferred_internal_captures", ()):
            raise NotRebuilt("the train step uses a value that is looked up at each call")
        captures = [(_outermost(outer), inner) for outer, inner in self._source.captures]
        arguments = self._source.inputs[: len(self._source.inputs) - len(captures)]
        fed = {inner.name: value for inner, value in zip(arguments, _tensors(data), strict=True)}
        return fed | {inner.name: self._target.capture(outer) for outer, inner in captures}

    def build(self, end: int | None) -> None:
        """Import the operations up to number `end`, or all that are left.

        Raises:
            NotRebuilt: TensorFlow refuses to import them.
        """
        names = [name for name in self._order[self._next : end] if name not in self._inputs]
        self._next = len(self._order) if end is None else max(end, self._next)
        if not names:
            return
        piece = tf.compat.v1.GraphDef(versions=self._definition.versions, library=self._definition.library)
        piece.node.extend(self._nodes[name] for name in names)
        _keep_colocations_inside(piece)
        try:
            operations = tf.graph_util.import_graph_def(
                piece, input_map=self._mapped(piece), return_elements=names, name="train_step"
            )
        except (KeyError, ValueError, tf.errors.OpError) as fault:
            raise NotRebuilt(f"{type(fault).__name__}: {fault}") from fault
        self._operations.update(zip(names, operations, strict=True))

    def _mapped(self, piece: Any) -> dict[str, Any]:
        """Return the imported tensor for each value, and each control dependency, that a piece takes from outside."""
        inside = {node.name for node in piece.node}
        references = {reference for node in piece.node for reference in node.input}
        mapped = {}
        for reference in references:
            name = reference.lstrip("^").partition(":")[0]
            if name in inside:
                continue
            mapped[reference] = self._after(name) if reference.startswith("^") else self._tensor(reference)
        return mapped

    def _tensor(self, reference: str) -> tf.Tensor:
        """Return the imported tensor of a reference as graph definitions write it: "name:1", or "name" for output 0."""
        name, _, index = reference.partition(":")
        if name in self._inputs:
            return self._tensors[f"{name}:0"]
        return self._operations[name].outputs[int(index or 0)]

    def _after(self, name: str) -> tf.Tensor:
        """Return a tensor that is computed after an operation has run, as a control dependency."""
        if name in self._inputs:
            return self._tensors[f"{name}:0"]
        outputs = self._operations[name].outputs
        if outputs:
            return outputs[0]
        with tf.control_dependencies([self._operations[name]]):
            return tf.constant(0)

    def built(self, values: Any) -> Any:
        """Return the nested values of the source graph as those of the current graph."""
        flat = [
            self._tensor(value.name) if isinstance(value, tf.Tensor) else value
            for value in tf.nest.flatten(values, expand_composites=True)
        ]
        return tf.nest.pack_sequence_as(values, flat, expand_composites=True)


def _keep_colocations_inside(piece: Any) -> None:
    """Remove the hints to place an operation on the device of one in another piece, which the import would refuse."""
    inside = {f"loc:@{node.name}".encode() for node in piece.node}
    for node in piece.node:
        if "_class" in node.attr:
            colocations = [hint for hint in node.attr["_class"].list.s if hint in inside]
            del node.attr["_class"].list.s[:]
            node.attr["_class"].list.s.extend(colocations)


def _tensors(values: Any) -> list[tf.Tensor]:
    """Return the tensors in nested values, those of composite ones included."""
    return [value for value in tf.nest.flatten(values, expand_composites=True) if isinstance(value, tf.Tensor)]


def _fits(value: tf.Tensor, expected: tf.Tensor) -> bool:
    """Return True where a tensor has the dtype and the shape of a graph's input, or a less general shape."""
    if value.dtype != expected.dtype:
        return False
    if expected.shape.rank is None:
        return True
    if value.shape.rank != expected.shape.rank:
        return False
    return all(e is None or e == v for v, e in zip(value.shape, expected.shape, strict=True))


def _outermost(value: tf.Tensor) -> tf.Tensor:
    """Return the eager tensor that a captured value comes from, through all graphs around.

    Raises:
        NotRebuilt: it is computed in one of these graphs.
    """
    while not isinstance(value, tf.__internal__.EagerTensor):
        graph = getattr(value, "graph", None)
        outer = {id(inner): outer for outer, inner in graph.captures} if graph is not None else {}
        if id(value) not in outer:
            raise NotRebuilt("the train step uses a value of the function around it, which no other function has")
        value = outer[id(value)]
    return value
