"""Models that take one number of samples only, and those that go on from the samples before."""

from __future__ import annotations

from typing import Any

import keras

from keras_xai.backend.python_state import python_state_kept


def fixed_batch_size(model: keras.Model) -> int | None:
    """The number of samples that a model takes at once, None where it takes any.

    It stands in the shape of a state which a recurrent layer keeps, or in that of an input (`Input(batch_shape=(32, 10, 3))`).
    The latter binds some models only: a `Sequential` without `Input` has it of the first batch that it saw.
    """
    states = _states(model)
    if states:
        return int(states[0].shape[0])
    tensors = getattr(model, "inputs", None) or []
    declared = next((int(tensor.shape[0]) for tensor in tensors if tensor.shape[0] is not None), None)
    return None if declared is None or _takes(model, declared + 1) else declared


def _takes(model: keras.Model, count: int) -> bool:
    """True where so many samples go through and come out again, as shapes alone."""
    tensors = [keras.KerasTensor((count, *tensor.shape[1:]), dtype=tensor.dtype) for tensor in model.inputs]
    inputs = tensors[0] if len(tensors) == 1 else keras.tree.pack_sequence_as(model.input, tensors)
    try:
        with python_state_kept(model):
            outputs = model.compute_output_spec(inputs, training=False)
    except Exception:
        return False
    return all(tensor.shape[:1] == (count,) for tensor in keras.tree.flatten(outputs))


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
