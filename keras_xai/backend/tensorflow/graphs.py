"""The graph that is being built, and what it holds."""

from __future__ import annotations

import tensorflow as tf


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
