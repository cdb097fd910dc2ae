"""Watches the rows of a training: JAX's `backend.row_watch.RowWatch`.

A compiled step is left alone, as in `gradient_recorder`: a second program repeats its forward pass before it, from the same
weights, seeds and batch. So a dropout draws the same mask, and what the pass assigns is not returned.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_xai.backend.jax.gradient_recorder import OWN_TRAIN_FUNCTION, WITH_NNX, losses_kept, signature_of
from keras_xai.backend.jax.step_effects import step_effects
from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.recorder import GradientRecorder, NotCaptured, TrainFunction
from keras_xai.backend.row_watch import (
    COLUMNS,
    DISTRIBUTED,
    NOT_NUMBERS,
    LoggedRows,
    RowFunction,
    RowWatch,
    fault_words,
)
from keras_xai.digests import multipliers

clock = time.perf_counter
OWN_TRAIN_STEP = "the model has a train_step of its own, whose forward pass a second program cannot repeat"


class RepeatedRows:
    """Repeats the forward pass of each step.

    Args:
        model: in training.
        figures: of rows.
    """

    def __init__(self, model: keras.Model, figures: RowFunction) -> None:
        self.seconds_built = 0.0
        self._model, self._figures = model, figures
        self._tables: list[jax.Array] = []
        self._program = jax.jit(self._log_of_step)
        self._signatures: set[Any] = set()
        self.reason = self._refusal()

    def _refusal(self) -> str:
        model = self._model
        if type(model).make_train_function is not keras.Model.make_train_function:
            return OWN_TRAIN_FUNCTION
        names = ("train_step", "compute_loss_and_updates")
        if any(getattr(type(model), name) is not getattr(keras.Model, name) or name in vars(model) for name in names):
            return OWN_TRAIN_STEP
        if keras.distribution.distribution() is not None:
            return DISTRIBUTED
        return WITH_NNX if keras.config.is_nnx_enabled() else ""

    def run(self, function: TrainFunction, arguments: Sequence[Any], *, is_plain: bool) -> Any:
        """Return the result of a call, whose steps run one by one; see `RowWatch`."""
        state, iterator = arguments
        if self.reason:
            return function(state, iterator)
        logs = None
        for step in range(self._model.steps_per_execution):
            try:
                batch = next(iterator)
            except StopIteration:
                if step == 0:
                    raise
                break
            self._log(state, batch)
            logs, state = function(state, iter([batch]))  # which ends where its one batch does
        return logs, state

    def _log(self, state: Any, batch: Any) -> None:
        if self.reason:
            return
        try:
            signature = signature_of(batch)
            start = clock()
            if signature not in self._signatures:
                self._compile(state, batch)
                self._signatures.add(signature)
                self.seconds_built += clock() - start
            if not self.reason:
                self._tables.append(self._program(state[0], state[1], batch))
        except Exception as fault:
            self.reason = fault_words(fault)

    def _compile(self, state: Any, batch: Any) -> None:
        with python_state_kept(self._model), losses_kept(self._model):
            traced = self._program.trace(state[0], state[1], batch)
        effects = step_effects(traced.jaxpr)
        if effects:
            self.reason = f"the train step {effects}, which a second program would do once more"
            return
        traced.lower().compile()

    def _log_of_step(self, weights: Any, others: Any, batch: Any) -> jax.Array:
        """Run the forward pass as Keras' own train step does, and return the log (n, 6) of its rows."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        options = {"training": True} if self._model._call_has_training_arg else {}
        y_pred, *_ = self._model.stateless_call(weights, others, x, return_losses=True, **options)
        digest = jax.lax.bitcast_convert_type(_digest(x), jnp.float32)
        return jnp.concatenate([digest, self._figures(y, y_pred).astype(jnp.float32)], 1)

    def read(self) -> LoggedRows:
        """Return the rows since the last call."""
        tables, self._tables = self._tables, []
        return LoggedRows.of(np.concatenate([np.zeros((0, COLUMNS), np.float32), *map(np.asarray, tables)]))

    def close(self) -> None:
        """End the watch."""
        self._tables = []


def _digest(x: Any) -> jax.Array:
    halves: jax.Array | None = None
    for number, leaf in enumerate(keras.tree.flatten(x)):
        if leaf is None:
            continue
        if not hasattr(leaf, "dtype") or jnp.iscomplexobj(leaf):
            raise NotCaptured(NOT_NUMBERS)
        flat = jnp.reshape(leaf, (leaf.shape[0], -1))
        is_float = jnp.issubdtype(flat.dtype, jnp.floating)
        bits = jax.lax.bitcast_convert_type(flat.astype(jnp.float32), jnp.int32) if is_float else flat.astype(jnp.int32)
        mixed = bits ^ jax.lax.shift_right_arithmetic(bits, jnp.int32(16))
        factors = multipliers(number, mixed.shape[1])
        sums = jnp.stack([jnp.sum(mixed * half, 1, dtype=jnp.int32) for half in factors], 1)
        halves = sums if halves is None else halves + sums
    if halves is None:
        raise NotCaptured(NOT_NUMBERS)
    return halves


def row_watch(model: keras.Model, plain: TrainFunction, recorder: GradientRecorder, figures: RowFunction) -> RowWatch:
    """Return a watch on the rows that train `model`; see `protocol.Backend`."""
    return RepeatedRows(model, figures)
