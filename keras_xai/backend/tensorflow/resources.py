"""The resources that a graph may write: read off its definition, the functions that it calls included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tensorflow.core.framework import types_pb2

# Operations that take a resource and leave it as it is. Whatever is not among them may write.
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
_ALIASES = frozenset({"Identity", "IdentityN"})  # hand a resource on
# Operations that run functions: the attributes that name these, and how many of the first inputs they do not get.
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
    """Return the placeholders of a `GraphDef` for resources that some operation may write: by name, a type that does."""
    resources = [node.name for node in graph.node if _is_resource_placeholder(node)]
    return _Analysis(graph.library.function).written(graph.node, resources)


def _is_resource_placeholder(node: Any) -> bool:
    return node.op == "Placeholder" and node.attr["dtype"].type == types_pb2.DT_RESOURCE


class _Analysis:
    """Follows resources through the functions of one library, each looked at once."""

    def __init__(self, functions: Iterable[Any]) -> None:
        self._functions = {function.signature.name: function for function in functions}
        self._writers_of_arguments: dict[
            str, list[str]
        ] = {}  # by function: for each argument a type that may write it, or ""

    def written(self, nodes: Iterable[Any], resources: Iterable[str]) -> dict[str, str]:
        """Return those of these names of resources that the nodes may write."""
        # By (node, number of its output): the resource that it is.
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
        """Return for each input of a node a type of operation that may write it, "" where none does."""
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
            self._writers_of_arguments[name] = [""] * len(
                arguments
            )  # what a function that calls itself finds on the way
            writers = self.written(function.node_def, arguments)
            self._writers_of_arguments[name] = [writers.get(argument, "") for argument in arguments]
        return self._writers_of_arguments[name]


def _source(name: str) -> tuple[str, int]:
    """Return node and number of an output: "node", "node:1" in a graph, "argument", "node:output:1" in a function."""
    node, _, output = name.partition(":")
    number = output.rpartition(":")[2]
    return node, int(number) if number.isdigit() else 0


def _in_order(nodes: Iterable[Any]) -> list[Any]:
    """Order nodes behind those that they take their inputs from: a definition may have them in any order."""
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
