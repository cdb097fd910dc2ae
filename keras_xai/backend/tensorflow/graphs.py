"""The graph that is being built, and the operations in it."""

from __future__ import annotations

import tensorflow as tf


def current_graph() -> tf.Graph | None:
    """Return the graph that is being built, None where operations run at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def in_nested_function(graph: tf.Graph) -> bool:
    """Return True where a `tf.function` of the user's own lies between the current graph and `graph`.

    Branches and loop bodies are graphs too, but of subclasses: they belong to the function around them. A function of
    its own is traced once for all callers.
    """
    inner = tf.compat.v1.get_default_graph()
    while inner is not graph and inner is not None:
        if type(inner) is tf.__internal__.FuncGraph:
            return True
        inner = getattr(inner, "outer_graph", None)
    return inner is None


def stateful_random_operations(graph: tf.Graph) -> list[str]:
    """Return the types of random operations whose state lives in the graph: a second graph would draw other numbers.

    `tf.random.normal` and its like have their seeds as attributes; stateless ones, `tf.random.Generator` and Keras'
    seed generators have them as inputs or variables, which graphs share.
    """
    definition = graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes += function.node_def
    # cuDNN's recurrent layers have seeds for a dropout that Keras leaves at zero.
    drawing = [node for node in nodes if not ("dropout" in node.attr and node.attr["dropout"].f == 0)]
    return sorted({node.op for node in drawing if "seed" in node.attr and "seed2" in node.attr})
