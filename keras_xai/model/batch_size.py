"""Models that take one number of samples only, and those that go on from the samples before."""

from __future__ import annotations

from typing import Any

import keras


def fixed_batch_size(model: keras.Model) -> int | None:
    """The number of samples that a model takes at once, None where it takes any.

    It stands in the shape of an input (`Input(batch_shape=(32, 10, 3))`), or in that of a state which a recurrent layer keeps.
    """
    for tensor in getattr(model, "inputs", None) or []:
        if tensor.shape[0] is not None:
            return int(tensor.shape[0])
    states = _states(model)
    return int(states[0].shape[0]) if states else None


def begin_sequence(model: keras.Model) -> None:
    """Set the states of recurrent layers to zero: rows are explained as the beginning of a sequence.

    What a training step has left in them belongs to other rows. It is put back after the program in which this is called.
    """
    for state in _states(model):
        state.assign(keras.ops.zeros_like(state.value))


def _states(model: keras.Model) -> list[Any]:
    """The variables in which recurrent layers keep their states from one batch to the next."""
    states: list[Any] = []
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.RNN) and layer.stateful:
            states += [state for state in keras.tree.flatten(layer.states) if state is not None]
    return states
