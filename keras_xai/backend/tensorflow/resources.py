"""The resources that a graph may write, by its definition and those of the functions that it calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tensorflow.core.framework import types_pb2

# Operations that only read their resource. Any other may write.
_READS = frozenset(
    {
        "LookupTableExportV2",
        "LookupTableFindV2",
        "LookupTableSizeV2",
        "ReadVariableOp",
        "ResourceGather",
        "ResourceGatherNd",
        "VarIsInitializedOp",
        "VariableShape",
    }
)
_ALIASES = frozenset({"Identity", "IdentityN"})  # whose outputs are the same resources as their inputs
# Operations that run functions: the attributes that name these, and how many of the first inputs are not their arguments.
_CALLS: Mapping[str, tuple[Sequence[str], int]] = {
    "Case": (("branches",), 1),
    "If": (("then_branch", "else_branch"), 1),
    "PartitionedCall": (("f",), 0),
    "StatefulPartitionedCall": (("f",), 0),
    "StatelessCase": (("branches",), 1),
    "StatelessIf": (("then_branch", "else_branch"), 1),
    "StatelessWhile": (("cond", "body"), 0),
    "While": (("cond", "body"), 0),
}


def written_resources(graph: Any) -> dict[str, str]:
    """Return the resource placeholders of a `GraphDef` that may be written: by name, the type of an operation that may."""
    resources = [node.name for node in graph.node if _is_resource_placeholder(node)]
    return _Analysis(graph.library.function).written(graph.node, resources)


def _is_resource_placeholder(node: Any) -> bool:
    return node.op == "Placeholder" and node.attr["dtype"].type == types_pb2.DT_RESOURCE


class _Analysis:
    """Follows resources through the functions of one library; each is analysed once."""

    def __init__(self, functions: Iterable[Any]) -> None:
        self._functions = {function.signature.name: function for function in functions}
        # By function: for each argument the type of an operation that may write it, or "".
        self._writers_of_arguments: dict[str, list[str]] = {}

    def written(self, nodes: Iterable[Any], resources: Iterable[str]) -> dict[str, str]:
        """Return the resources, by name, that some nodes may write, each with the type of a node that may."""
        # By (node, number of its output): the name of the resource that the output is.
        origins = {(name, 0): name for name in resources}
        writers: dict[str, str] = {}
        for node in _in_order(nodes):
            inputs = [origins.get(_source(name)) for name in node.input if not name.startswith("^")]
            if not any(inputs):
                continue
            if node.op in _ALIASES or node.op in ("While", "StatelessWhile"):
                origins.update({(node.name, k): origin for k, origin in enumerate(inputs) if origin})
            if node.op in _READS or node.op in _ALIASES:
                continue
            for origin, writer in zip(inputs, self._writers(node, len(inputs)), strict=True):
                if origin and writer:
                    writers.setdefault(origin, writer)
        return writers

    def _writers(self, node: Any, count: int) -> list[str]:
        """Return for each of a node's inputs the type of an operation that may write it, "" where none may."""
        if node.op in self._functions:
            return self._of_function(node.op)
        if node.op not in _CALLS:
            return [node.op] * count
        attributes, skipped = _CALLS[node.op]
        values = [node.attr[name] for name in attributes]
        names = [function.name for value in values for function in (value.list.func or [value.func])]
        if not all(name in self._functions for name in names):
            return [node.op] * count
        columns = zip(*map(self._of_function, names), strict=True)
        return [""] * skipped + [next(filter(None, column), "") for column in columns]

    def _of_function(self, name: str) -> list[str]:
        if name not in self._writers_of_arguments:
            function = self._functions[name]
            arguments = [argument.name for argument in function.signature.input_arg]
            # Set before the analysis, which would not end for a function that calls itself.
            self._writers_of_arguments[name] = [""] * len(arguments)
            writers = self.written(function.node_def, arguments)
            self._writers_of_arguments[name] = [writers.get(argument, "") for argument in arguments]
        return self._writers_of_arguments[name]


def _source(name: str) -> tuple[str, int]:
    """Return the node and number of an output.

    A reference is "node" or "node:1" in a graph, "argument" or "node:output:1" in a function.
    """
    node, _, output = name.partition(":")
    number = output.rpartition(":")[2]
    return node, int(number) if number.isdigit() else 0


def _in_order(nodes: Iterable[Any]) -> list[Any]:
    """Return nodes sorted topologically, inputs first: a definition may have them in any order."""
    by_name = {node.name: node for node in nodes}
    ordered: dict[str, Any] = {}
    stack = [(name, False) for name in reversed(by_name)]
    entered: set[str] = set()
    while stack:
        name, left = stack.pop()
        if left:
            ordered[name] = by_name[name]
        elif name not in entered:
            entered.add(name)
            stack.append((name, True))
            sources = (_source(source.lstrip("^"))[0] for source in by_name[name].input)
            stack += [(source, False) for source in sources if source in by_name and source not in entered]
    return list(ordered.values())
