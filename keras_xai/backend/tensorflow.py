"""All that is TensorFlow's: with the files beside it the only one that imports it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_xai.backend import HIGHEST, LOWEST, SUMS
from keras_xai.backend.building_time import building_time
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.tensorflow_state import OWN_PYTHON, GraphState

# ---------------------------------------------------------------------------------------------------------------------
# Gradients: what happens inside and around a train step.

EXPONENTS = 512  # one bin for each value of sign and exponent: the upper nine bits of a float32


class GradientSums:
    """Running sums over recorded optimizer calls, on the device: float32 (V, S), and counts of exponents (V, 512).

    Only operations that cannot fail while a step runs, and that XLA compiles: what a failing step has done to the
    weights cannot be undone. Belongs to neither the model nor the optimizer, so that no checkpoint holds it.

    Args:
        variables: what the rows stand for.
        model: under a distribution strategy each of its replicas adds up its own copy (they see the same all-reduced
            gradient), and the first one's is read. Such variables cannot be made inside a step.
    """

    def __init__(self, variables: Sequence[Any], model: Any) -> None:
        self.variables = list(variables)
        self._strategy = model.distribute_strategy
        self.counts_exponents = bool(model.jit_compile) or _can_count()
        rows = len(self.variables) + 1  # the last one counts the calls themselves
        with tf.init_scope(), self._strategy.scope():
            self._sums = _accumulator([rows, len(SUMS)], tf.float32)
            self._largest = _accumulator([rows], tf.float32)
            self._exponents = _accumulator([rows, EXPONENTS], tf.int64)

    def add(
        self,
        gradients: Sequence[Any],
        variables: Sequence[Any],
        before: Sequence[tf.Tensor],
        *,
        scale: Any = None,
        applied: Any = True,
        updated: Any = True,
    ) -> None:
        """Add one optimizer call, after it was made.

        Args:
            gradients: dense or sparse, one for each of `variables`, as given to the optimizer.
            variables: those of the rows that have a gradient.
            before: their `weights` before the call.
            scale: what the loss was multiplied with.
            applied: False where the optimizer skipped the call.
            updated: whether it changed the weights.
        """
        if not variables:
            return
        if (context := tf.distribute.get_replica_context()) is not None and context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        inverse = None if scale is None else 1.0 / tf.cast(scale, tf.float32)
        moments, exponents = _summaries(gradients, before, weights(variables), inverse, self.counts_exponents)
        # Variables without a gradient have the last row, which is empty, and so has the call itself.
        place = {id(variable): row for row, variable in enumerate(variables)}
        rows = [place.get(id(variable), len(variables)) for variable in self.variables] + [len(variables)]
        recorded = np.asarray([row < len(variables) for row in rows], np.float32)
        moments, exponents = tf.gather(moments, rows), tf.gather(exponents, rows)
        self._accumulate(recorded, moments, exponents, applied, updated)

    def _accumulate(
        self, recorded: NDArray[np.float32], moments: tf.Tensor, exponents: tf.Tensor, applied: Any, updated: Any
    ) -> None:
        """Add one optimizer call to the sums.

        Args:
            recorded: (V + 1) 1 for the variables that had a gradient; the last entry stands for the call itself.
            moments: (V + 1, moments), zero where nothing was recorded.
            exponents: (V + 1, 512), likewise.
            applied: as in `add`.
            updated: as in `add`.
        """
        applied = tf.cast(applied, tf.float32)
        updated = applied * tf.cast(updated, tf.float32)
        of_call = np.eye(1, len(recorded), len(recorded) - 1, dtype=np.float32)[0]
        # where, not a product: what is skipped is infinite
        kept = tf.unstack(tf.where(applied > 0, moments, 0.0), axis=1)
        of_update = tf.unstack(tf.where(updated > 0, moments, 0.0), axis=1)
        columns = {
            "calls": applied * (recorded + of_call),
            "skipped": (1.0 - applied) * (recorded + of_call),
            "total": kept[MOMENTS.index("total")],
            "squares": kept[MOMENTS.index("squares")],
            "weight_squares": kept[MOMENTS.index("weight_squares")],
            "updates": updated * recorded,
            "updated_weight_squares": of_update[MOMENTS.index("weight_squares")],
            "update_squares": of_update[MOMENTS.index("update_squares")],
        }
        # One addition for the whole step. All of it depends on the gradients, so that a step for which there was no
        # more data is not counted.
        self._sums.assign_add(tf.stack([columns[name] for name in SUMS], axis=1))
        self._largest.assign(_maximum(self._largest, kept[MOMENTS.index("largest")]))
        self._exponents.assign_add(tf.where(applied > 0, exponents, tf.zeros_like(exponents)))

    def read(self) -> NDArray[np.float64]:
        """The sums in one copy: (V + 1, columns), `COLUMNS` and then the octaves; in the last row "calls" and "skipped"
        of all variables together."""
        with self._strategy.scope():
            exponents = tf.convert_to_tensor(self._exponents)
            half = EXPONENTS // 2
            counts = exponents[:, :half] + exponents[:, half:]  # both signs
            low, high = 127 + LOWEST, 127 + HIGHEST  # the exponent is stored with an offset of 127
            octaves = [
                tf.reduce_sum(counts[:, 1 : low + 1], 1, keepdims=True),
                counts[:, low + 1 : high - 1],
                tf.reduce_sum(counts[:, high - 1 : half - 1], 1, keepdims=True),
            ]
            columns = [
                tf.convert_to_tensor(self._sums),
                tf.convert_to_tensor(self._largest)[:, None],
                counts[:, :1],
                counts[:, half - 1 :],
                *octaves,
            ]
            return np.asarray(tf.concat([tf.cast(c, tf.float64) for c in columns], 1))

    def reset(self) -> None:
        """Start again from zero."""
        with self._strategy.scope():
            for variable in (self._sums, self._largest, self._exponents):
                variable.assign(tf.zeros(variable.shape, variable.dtype))


def _accumulator(shape: list[int], dtype: tf.DType) -> tf.Variable:
    return tf.Variable(
        tf.zeros(shape, dtype),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def present(value: Any) -> tf.Tensor:
    """The value of a variable at this point of the program. (`keras.ops.convert_to_tensor` hands the variable on.)"""
    return tf.convert_to_tensor(value.value if isinstance(value, keras.Variable) else value)


def weights(variables: Sequence[Any]) -> list[tf.Tensor]:
    """The present values of variables, as float32."""
    return [tf.cast(present(variable), tf.float32) for variable in variables]


def _flat(gradient: Any, like: tf.Tensor, inverse: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    """A gradient as a float32 vector, unscaled, and how many zeros it leaves out.

    A sparse gradient names a row as often as the batch used it; the true gradient is their sum. Rows are added up
    without making the whole table dense: sorted, then numbered anew.
    """
    absent = tf.zeros([], tf.int64)
    if isinstance(gradient, tf.IndexedSlices):
        count = tf.shape(gradient.indices)[0]
        order = tf.argsort(gradient.indices)
        indices = tf.gather(gradient.indices, order)
        fresh = tf.concat([tf.zeros_like(indices[:1]), tf.cast(indices[1:] != indices[:-1], indices.dtype)], 0)
        rows = tf.reshape(tf.cast(tf.gather(gradient.values, order), tf.float32), [count, -1])
        g = tf.math.unsorted_segment_sum(rows, tf.cumsum(fresh), count)
        # Where a row was named twice, `g` has empty rows at its end: they are taken off here.
        absent = tf.size(like, tf.int64) - tf.size(g, tf.int64)
    else:
        g = tf.cast(gradient, tf.float32)
    g = tf.reshape(g, [-1])
    return (g if inverse is None else g * inverse), absent


# What one gradient and the weights around it come down to, in this order.
MOMENTS = ("total", "squares", "weight_squares", "update_squares", "largest")
SMALL = 1 << 16  # entries of a variable; smaller ones of one shape are summed together, which takes a copy of them


def _summaries(
    gradients: Sequence[Any],
    before: Sequence[tf.Tensor],
    after: Sequence[tf.Tensor],
    inverse: tf.Tensor | None,
    exact: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """What the gradients of one call come down to: moments (V + 1, 5) and counts of exponents, int64 (V + 1, 512). The
    last row of each is zero."""
    groups = _alike(gradients, before)
    moments, exponents = [], []
    for group in groups:
        g, old, new = ([values[k] for k in group] for values in (gradients, before, after))
        some, counts = _group_summary(g, old, new, inverse, exact)
        moments.append(some)
        exponents.append(counts)
    moments.append(tf.zeros([1, len(MOMENTS)]))
    exponents.append(tf.zeros([1, EXPONENTS], tf.int64))
    order = np.argsort([*(k for group in groups for k in group), len(gradients)])
    return tf.gather(tf.concat(moments, 0), order), tf.gather(tf.concat(exponents, 0), order)


def _group_summary(
    gradients: list[Any], before: list[tf.Tensor], after: list[tf.Tensor], inverse: tf.Tensor | None, exact: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Moments (K, 5) and counts of exponents, int64 (K, 512), of K gradients that `_alike` put together."""
    if isinstance(gradients[0], tf.IndexedSlices) or not before[0].shape.is_fully_defined():
        g, absent = _flat(gradients[0], before[0], inverse)
        moments, counts = _matrix_summary(g[None], before[0][None], after[0][None], exact)
        return moments, tf.cast(counts, tf.int64) + tf.one_hot([0], EXPONENTS, absent, tf.zeros([], tf.int64))
    count, shape = len(gradients), tuple(before[0].shape)
    summarize = _traced_summary(count, shape, gradients[0].dtype, exact, inverse is not None)
    arrays = [values[0] if count == 1 else tf.stack(values) for values in (gradients, before, after)]
    moments, counts = summarize(*arrays) if inverse is None else summarize(*arrays, inverse)
    return moments, tf.cast(counts, tf.int64)


def _alike(gradients: Sequence[Any], weights: Sequence[tf.Tensor]) -> list[list[int]]:
    """Which gradients are summed together: small dense ones of one shape and dtype; each other one is alone.

    Many small variables of one shape become the rows of a matrix, and a traced function serves all of one shape: to build
    some twenty operations anew for each variable took as long as tracing the whole step.
    """
    groups: dict[Any, list[int]] = {}
    for k, (gradient, weight) in enumerate(zip(gradients, weights, strict=True)):
        size = weight.shape.num_elements()
        alone = isinstance(gradient, tf.IndexedSlices) or size is None or size > SMALL
        groups.setdefault(k if alone else (tuple(weight.shape), gradient.dtype), []).append(k)
    return list(groups.values())


@functools.lru_cache(maxsize=4096)
def _traced_summary(count: int, shape: tuple[int, ...], dtype: tf.DType, exact: bool, scaled: bool) -> Any:
    """`_matrix_summary` of `count` dense gradients of one shape, as a traced function of (gradients, before, after) and, if
    `scaled`, of what the gradients are to be multiplied with."""

    def summarize(gradients: tf.Tensor, before: tf.Tensor, after: tf.Tensor, *inverse: tf.Tensor) -> tuple[Any, Any]:
        g, *w = (tf.reshape(tf.cast(values, tf.float32), [count, -1]) for values in (gradients, before, after))
        return _matrix_summary(g * inverse[0] if inverse else g, w[0], w[1], exact)

    whole = shape if count == 1 else (count, *shape)
    with tf.init_scope():
        traced = tf.function(summarize, autograph=False)
        weight, scale = tf.TensorSpec(whole, tf.float32), tf.TensorSpec([], tf.float32)
        return traced.get_concrete_function(tf.TensorSpec(whole, dtype), weight, weight, *([scale] if scaled else []))


def _matrix_summary(g: tf.Tensor, old: tf.Tensor, new: tf.Tensor, exact: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """The `MOMENTS` (K, 5) of float32 gradients (K, n) and of the weights (K, ...) before and after, and counts of
    exponents, int32 (K, 512): zeros and non-finite values alone if not `exact`."""
    columns = {
        "total": tf.reduce_sum(g, 1),
        "squares": _squares(g),
        "weight_squares": _squares(old),
        "update_squares": _squares(new - old),
        "largest": tf.reduce_max(tf.abs(g), 1),
    }
    return tf.stack([columns[name] for name in MOMENTS], 1), _exponents(g) if exact else _specials(g)


def _squares(values: tf.Tensor) -> tf.Tensor:
    """(K) Σ v² of each row."""
    if values.shape[0] == 1:
        return 2.0 * tf.nn.l2_loss(values)[None]  # one pass, nothing kept
    return tf.reduce_sum(tf.square(values), 1)


def _maximum(first: Any, second: tf.Tensor) -> tf.Tensor:
    """The larger one, and NaN where either is: XLA and the kernels differ in what `tf.maximum` makes of it."""
    first = tf.convert_to_tensor(first)
    larger = tf.where(first > second, first, second)
    return tf.where(tf.math.is_nan(first), first, larger)


def _exponents(g: tf.Tensor) -> tf.Tensor:
    """How often each combination of sign and exponent occurs in each row, int32 (K, 512): exact octaves, no logarithm."""
    bits = tf.bitwise.right_shift(tf.bitcast(g, tf.uint32), tf.constant(23, tf.uint32))
    # The raw operation takes a constant size, which XLA needs; tf.math.bincount does not give it one.
    counts = tf.raw_ops.DenseBincount(
        input=tf.cast(bits, tf.int32), size=EXPONENTS, weights=tf.zeros([0], tf.int32), binary_output=False
    )
    return tf.reshape(counts, [g.shape[0], EXPONENTS])


def _specials(g: tf.Tensor) -> tf.Tensor:
    """Zeros and non-finite values alone, in the bins where `_exponents` has them."""
    zeros = tf.reduce_sum(tf.cast(tf.equal(g, 0.0), tf.int32), 1, keepdims=True)
    nonfinite = tf.reduce_sum(tf.cast(~tf.math.is_finite(g), tf.int32), 1, keepdims=True)
    return zeros * tf.one_hot(0, EXPONENTS, dtype=tf.int32) + nonfinite * tf.one_hot(255, EXPONENTS, dtype=tf.int32)


def _can_count() -> bool:
    """Whether exponents can be counted here: the GPU's kernel refuses where determinism was asked for."""
    with tf.init_scope():
        try:
            _exponents(tf.ones([1, 1]))
        except tf.errors.OpError:
            return False
    return True


def building() -> tf.Graph | None:
    """The graph that is being built, None where operations run at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def sealed(graph: tf.Graph) -> bool:
    """Whether a `tf.function` of the user's own lies between here and `graph`.

    Branches and loop bodies are graphs too, but of subclasses: they belong to the function around them. A function of
    its own is traced once for all callers.
    """
    here = tf.compat.v1.get_default_graph()
    while here is not graph and here is not None:
        if type(here) is tf.__internal__.FuncGraph:
            return True
        here = getattr(here, "outer_graph", None)
    return here is None


def own_randomness(graph: tf.Graph) -> list[str]:
    """Random operations whose state lives in the graph: a second graph would draw other numbers.

    `tf.random.normal` and its like have their seeds as attributes; stateless ones, `tf.random.Generator` and Keras'
    seed generators have them as inputs or variables, which graphs share.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    # cuDNN's recurrent layers have seeds for a dropout that Keras leaves at zero.
    drawing = (node for node in nodes if not ("dropout" in node.attr and node.attr["dropout"].f == 0))
    return sorted({node.op for node in drawing if "seed" in node.attr and "seed2" in node.attr})


def ran(error: Exception) -> bool:
    """Whether an error comes from running a step (the end of the data among them), not from building its graph."""
    return isinstance(error, (tf.errors.OpError, StopIteration))


def replicas(model: Any) -> int:
    """How many copies of the model train in step."""
    return int(model.distribute_strategy.num_replicas_in_sync)


def chief(model: Any) -> bool:
    """Whether this process is the one that writes, where several train one model together."""
    return bool(model.distribute_strategy.extended.should_save_summary)


# Data.


def reshuffles(source: Any) -> bool:
    """Whether a `tf.data.Dataset` has a `shuffle` in its chain that draws a new order at each iteration.

    Reading such a one moves its generator, and with it the order that training sees. What lies inside the function of an
    `interleave` or `flat_map` is not looked into.
    """
    if not isinstance(source, tf.data.Dataset):
        return False
    # Neither the chain nor the flag is public; without them a shuffle is found by reading twice.
    if getattr(source, "_reshuffle_each_iteration", False):
        return True
    return any(reshuffles(part) for part in getattr(source, "_inputs", list)())


# Attribution: what is explained, and how a score depends on its input.

LARGE = 2**22  # bytes that a loop carries from round to round
REPORTS = 20  # of a loop to the host; each takes the interpreter's lock for a moment
_TRANSPARENT = ("Identity", "Cast", "StopGradient", "PreventGradient", "CheckNumerics")


class Compiled:
    """`function` on tensors as one graph; traced once for each shape, reading the model's live weights.

    It is called with arrays or tensors, alone or in lists; what is neither is a constant of the graph. Which graph serves a
    call is found by shapes alone: `tf.function` looks at much more, which takes it 0.2 ms a call, as long as a small model
    takes to answer. And a graph it is under `run_functions_eagerly(True)` too: only a graph knows the logit, see `head`.

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
    def writes(self) -> bool:
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


def dense(value: Any) -> Any:
    """A model's output as a tensor of the present graph; None for what is no dense tensor of real numbers: text, complex
    numbers, ragged and sparse tensors, nothing at all."""
    if isinstance(value, keras.Variable):
        value = value.value
    if not isinstance(value, (np.ndarray, tf.Tensor, tf.Variable)):
        return None
    tensor = tf.convert_to_tensor(value)
    return None if tensor.dtype == tf.string or tensor.dtype.is_complex else tensor


def head(outputs: Any) -> tuple[Any, str]:
    """The tensor to explain behind an output, float32, and what makes the output of it: "softmax", "sigmoid" or "".

    Inside a graph the op that made an output is known: where it is a softmax or a sigmoid its input is the logit. This
    finds the logit of any model, subclassed ones and Lambda layers included; a Rescaling after the softmax is no
    softmax, and is rightly left alone.
    """
    tensor = outputs
    while tensor.op.type in _TRANSPARENT and len(tensor.op.inputs) == 1:
        tensor = tensor.op.inputs[0]
    if tensor.op.type in ("Softmax", "Sigmoid"):
        return tf.cast(tensor.op.inputs[0], tf.float32), tensor.op.type.lower()
    return tf.cast(outputs, tf.float32), ""


def picked(scores: Any, target: Any) -> Any:
    """The score of the target class (n,) of scores (n, K); the only one where K is 1."""
    if scores.shape.rank == 1:
        return scores
    if scores.shape[-1] == 1:
        return scores[:, 0]
    return tf.gather(scores, target, axis=1, batch_dims=1)


def gradient(score: Callable[[list[Any]], Any], inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """`score(inputs)` (n,) and its gradient with respect to each input; None where there is no path to it."""
    smooth = [k for k, x in enumerate(inputs) if x.dtype.is_floating]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([inputs[k] for k in smooth])
        value = score(list(inputs))
    found = dict(zip(smooth, tape.gradient(value, [inputs[k] for k in smooth]), strict=True))
    return value, [found.get(k) for k in range(len(inputs))]


def fold(
    function: Callable[[Any, list[Any]], list[Any]],
    count: int,
    initial: Sequence[Any],
    heard: Callable[[int], None] | None = None,
) -> list[Any]:
    """`initial` after `function(k, values)` for k in 0 … count − 1; the body is traced once, whatever `count` is.

    `heard(rounds)` is called on the host as the loop goes on; nothing of it reaches the values.
    """

    def one(k: Any, values: Any) -> Any:
        found = function(k, list(values))
        with tf.control_dependencies(_reported(k, count, heard, found)):
            return k + 1, found

    # Rounds that do not wait for each other run side by side, each with a pass of its own in memory: not where that is large.
    size = sum(tensor.dtype.size * (tensor.shape.num_elements() or 0) for tensor in initial)
    _, values = tf.while_loop(
        lambda k, _: k < count,
        one,
        (tf.constant(0), list(initial)),
        maximum_iterations=count,
        parallel_iterations=1 if size > LARGE else 10,
    )
    return list(values)


def mapped(function: Callable[[Any], Any], count: int, heard: Callable[[int], None] | None = None) -> Any:
    """`function(k)` for k in 0 … count − 1, stacked (count, ...); one at a time, so that memory holds one."""

    def one(k: Any) -> Any:
        found = function(k)
        with tf.control_dependencies(_reported(k, count, heard, [found])):
            return tf.identity(found)

    return tf.map_fn(one, tf.range(count), fn_output_signature=tf.float32, parallel_iterations=1)


def _reported(k: Any, count: int, heard: Callable[[int], None] | None, after: Sequence[Any]) -> list[Any]:
    """The operation that calls `heard` when round k of a loop is through, about `REPORTS` times in all."""
    if heard is None or count < 2:
        return []
    every, tell = max(1, count // REPORTS), heard

    def say() -> np.int32:
        tell(every)
        return np.int32(0)

    def told() -> tf.Tensor:
        reported = tf.numpy_function(say, [], tf.int32)
        OWN_PYTHON.add(reported.op.get_attr("token"))
        return reported

    with tf.control_dependencies(list(after)):
        due = tf.equal(k % every, every - 1)
        # Neither branch gives anything: the host is told, no more.
        return [tf.cond(due, told, lambda: tf.constant(0))]


def normal(seed: int, k: Any, shape: Sequence[int]) -> Any:
    """Standard normal draws that follow from (seed, k) alone: no generator is read or moved.

    From random bits by Box and Muller's formula: TensorFlow's own uniform and normal numbers differ under XLA, bits do not.
    """
    key = tf.stack([tf.constant(seed, tf.int32), tf.cast(k, tf.int32)])
    bits = tf.random.stateless_uniform([2, *shape], key, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    u = (tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) + 0.5) / 2.0**24
    return tf.sqrt(-2.0 * tf.math.log(u[0])) * tf.cos(2.0 * np.pi * u[1])


def recorded(
    score: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> tuple[Any, list[list[Any]], Callable[[], tuple[list[Any], list[list[Any]]]]]:
    """`score(inputs)` (n,), what each of `layers` gave at each of its calls, and a function that makes the one backward pass.

    It gives the gradient of Σ score with respect to the inputs and to the layers' outputs, None where there is no path.
    Whatever nobody asks of it is pruned from the graph.

    The layers' `call` is watched in their instance dictionaries while `score` is being traced, so that subclassed and
    nested models work and no graph is rebuilt.
    """
    smooth = [k for k, x in enumerate(inputs) if x.dtype.is_floating]
    seen: dict[int, list[tuple[Any, Any]]] = {id(layer): [] for layer in layers}
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([inputs[k] for k in smooth])

        def watched(layer: keras.layers.Layer) -> Callable[[Any], Any]:
            def watch(output: Any) -> Any:
                if not tf.is_tensor(output):
                    return output
                # A zero is added, so that the tape has something of ours to differentiate by.
                delta = tf.zeros_like(output)
                tape.watch(delta)
                seen[id(layer)].append((output, delta))
                return output + delta

            return watch

        with contextlib.ExitStack() as stack:
            for layer in layers:
                stack.enter_context(_heard(layer, watched(layer)))
            value = score(list(inputs))
    calls = [seen[id(layer)] for layer in layers]

    @functools.cache
    def slopes() -> tuple[list[Any], list[list[Any]]]:
        deltas = [delta for pairs in calls for _, delta in pairs]
        found = tape.gradient(value, [*(inputs[k] for k in smooth), *deltas])
        at_inputs, rest = dict(zip(smooth, found, strict=False)), iter(found[len(smooth) :])
        return [at_inputs.get(k) for k in range(len(inputs))], [[next(rest) for _ in pairs] for pairs in calls]

    return value, [[output for output, _ in pairs] for pairs in calls], slopes


def origins(tensor: Any, inputs: Sequence[Any]) -> set[int]:
    """The numbers of the inputs that a tensor of the present graph is computed from."""
    numbers = {x.ref(): k for k, x in enumerate(inputs)}
    found: set[int] = set()
    seen, waiting = {tensor.ref()}, [tensor]
    while waiting:
        here = waiting.pop()
        if here.ref() in numbers:
            found.add(numbers[here.ref()])
            continue
        fresh = [t for t in here.op.inputs if t.ref() not in seen]
        seen |= {t.ref() for t in fresh}
        waiting += fresh
    return found


def embedded(
    score: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[tuple[int, Any]]:
    """The outputs of those calls of `layers` that look an input up, each with the number of that input."""
    found: list[tuple[int, Any]] = []

    def note(k: int, output: Any) -> Any:
        found.append((k, output))
        return output

    with _looked_up(inputs, layers, note):
        score(list(inputs))
    return found


def with_embedded(
    score: Callable[[list[Any]], Any],
    inputs: Sequence[Any],
    layers: Sequence[keras.layers.Layer],
    instead: Sequence[Any],
) -> Any:
    """`score(inputs)` where those calls give what stands `instead`, in the same order; masks still follow from the inputs."""
    rest = iter(instead)
    with _looked_up(inputs, layers, lambda k, output: tf.cast(next(rest), output.dtype)):
        return score(list(inputs))


@contextlib.contextmanager
def _looked_up(
    inputs: Sequence[Any], layers: Sequence[keras.layers.Layer], listener: Callable[[int, Any], Any]
) -> Iterator[None]:
    """Pass the outputs of `layers` through `listener(number, output)` where they look up one of `inputs`."""
    numbers = {x.ref(): k for k, x in enumerate(inputs)}

    def origin(tensor: Any) -> int | None:
        while tf.is_tensor(tensor) and tensor.ref() not in numbers:
            if tensor.op.type not in (*_TRANSPARENT, "Reshape", "ExpandDims", "Squeeze"):
                return None
            tensor = tensor.op.inputs[0]
        return numbers[tensor.ref()] if tf.is_tensor(tensor) else None

    def replacing(call: Callable[..., Any]) -> Callable[..., Any]:
        def heard(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            number = origin(args[0]) if args else None
            return output if number is None else listener(number, output)

        return heard

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_called(layer, replacing))
        yield


def output_shapes(
    score: Callable[[list[Any]], Any], inputs: Sequence[Any], layers: Sequence[keras.layers.Layer]
) -> list[tuple[keras.layers.Layer, tuple[int | None, ...]]]:
    """The layers that `score` calls, in the order of their calls, with the shape of their first output."""
    found: dict[int, tuple[keras.layers.Layer, tuple[int | None, ...]]] = {}

    def listener(layer: keras.layers.Layer) -> Callable[[Any], Any]:
        def note(output: Any) -> Any:
            if tf.is_tensor(output) and output.shape.rank is not None:
                found.setdefault(id(layer), (layer, tuple(output.shape)))
            return output

        return note

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_heard(layer, listener(layer)))
        score(list(inputs))
    return list(found.values())


def _heard(layer: keras.layers.Layer, listener: Callable[[Any], Any]) -> contextlib.AbstractContextManager[None]:
    """Pass a layer's output through `listener`."""
    return _called(layer, lambda call: lambda *args, **kwargs: listener(call(*args, **kwargs)))


@contextlib.contextmanager
def _called(layer: keras.layers.Layer, replacing: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Put something in the place of a layer's `call`; the instance dictionary is past Keras' attribute tracking."""
    # A quantized layer (int8, LoRA on top of it) is run by another method.
    name = "call" if getattr(layer, "quantization_mode", None) is None else "quantized_call"
    own = vars(layer).get(name)
    vars(layer)[name] = replacing(getattr(layer, name))
    try:
        yield
    finally:
        del vars(layer)[name]
        if own is not None:
            vars(layer)[name] = own
