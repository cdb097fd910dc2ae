"""The state that running a graph may change: found in the graph itself, read before a run and restored after it.

A graph lists every resource that it uses: variables of Keras and of TensorFlow, the states of generators and of recurrent
layers, lookup tables. So neither the layers nor their names matter.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_xai.backend.tensorflow.resources import written_resources

_TABLE_WRITES = frozenset({"LookupTableImportV2", "LookupTableInsertV2", "LookupTableRemoveV2"})
_PYTHON = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})  # run Python code

OWN_PYTHON: set[bytes] = set()  # tokens of the Python calls that are our own, and change no state

Restore = Callable[[], Any]


class GraphState:
    """The state that a graph may change.

    Args:
        function: a concrete function.
    """

    def __init__(self, function: Any) -> None:
        definition = function.graph.as_graph_def()
        nodes = list(definition.node)
        for library_function in definition.library.function:
            nodes += library_function.node_def
        types = {(node.attr["Tin"].type, node.attr["Tout"].type) for node in nodes if node.op in _TABLE_WRITES}
        captures = function.graph.inputs[len(function.graph.inputs) - len(function.captured_inputs) :]
        outside = {inner.op.name: outer for inner, outer in zip(captures, function.captured_inputs, strict=True)}
        writers = {name: op for name, op in written_resources(definition).items() if name in outside}
        readers = {name: _reader(outside[name], types) for name in writers}
        self._readers = [reader for reader in readers.values() if reader is not None]
        self._unknown = sorted({writers[name] for name, reader in readers.items() if reader is None})
        python = [node for node in nodes if node.op in _PYTHON and node.attr["token"].s not in OWN_PYTHON]
        self._python = sorted({node.op for node in python})

    @property
    def writes(self) -> bool:
        """True where the graph may write to a variable or table."""
        return bool(self._readers)

    @property
    def lasting(self) -> str:
        """The effects of the graph that cannot be restored, as a predicate ("runs Python code …"); "" where there are none."""
        reasons = []
        if self._python:
            reasons.append(f"runs Python code ({', '.join(self._python)}), whose own state nobody sees")
        if self._unknown:
            reasons.append(f"writes to something that is neither a variable nor a table ({', '.join(self._unknown)})")
        return " and ".join(reasons)

    def keep(self) -> list[Restore]:
        """Read everything that may be written, and return the functions that restore it."""
        return [read() for read in self._readers]


def _reader(handle: Any, table_types: set[tuple[int, int]]) -> Callable[[], Restore] | None:
    """Return a function that reads a resource and returns the one that restores it; None for no variable and no table."""
    details = getattr(handle, "_handle_data", None)
    if details is not None and details.is_set:
        return functools.partial(_keep_variable, handle, tf.as_dtype(details.shape_and_type[0].dtype))
    for keys, values in table_types:
        try:
            tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=keys, Tvalues=values)
        except (tf.errors.OpError, TypeError):
            continue  # another resource, or a table of other types
        return functools.partial(_keep_table, handle, keys, values)
    return None


def _keep_variable(handle: Any, dtype: tf.DType) -> Restore:
    value = tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)
    return lambda: tf.raw_ops.AssignVariableOp(resource=handle, value=value)


def _keep_table(handle: Any, keys_type: int, values_type: int) -> Restore:
    keys, values = tf.raw_ops.LookupTableExportV2(table_handle=handle, Tkeys=keys_type, Tvalues=values_type)
    return lambda: tf.raw_ops.LookupTableImportV2(table_handle=handle, keys=keys, values=values)
