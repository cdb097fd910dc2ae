"""Keras variables inside a trace: their values are fed, and what is assigned to them goes no further.

Keras' `StatelessScope` redirects reads and writes of variables. `get_current_value`, `state_mapping` and a variable's `_value`
are not documented; `tests/backend/test_jax_internals.py` says what changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import jax
import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope, in_stateless_scope


class VariableScope(keras.StatelessScope):
    """A scope in which some variables have values of a trace.

    Args:
        values: pairs of a variable and its value.
        outer: the scope around it, which is asked for the others; None at the outermost.
    """

    def __init__(
        self, values: Iterable[tuple[keras.Variable, jax.Array]] = (), outer: keras.StatelessScope | None = None
    ) -> None:
        super().__init__()
        self._fed = {id(variable): value for variable, value in values}
        self._outer = outer
        self._writes = False
        self.missing: dict[int, keras.Variable] = {}  # that were read and are not fed, by id

    def get_current_value(self, variable: keras.Variable) -> jax.Array | None:
        """Return what was assigned in this scope, else what is fed; None for a variable that has no value here."""
        key = id(variable)
        if key in self.state_mapping:
            return self.state_mapping[key]
        if key in self._fed:
            return self._fed[key]
        if self._outer is not None:
            return self._outer.get_current_value(variable)
        self.missing[key] = variable
        return None

    def __exit__(self, *error: object) -> None:
        """Leave the scope; of a model that is built in it the variables get values that are no part of the trace."""
        with jax.ensure_compile_time_eval():
            super().__exit__(*error)

    def add_update(self, update: tuple[keras.Variable, jax.Array]) -> None:
        """Note an assignment, which is visible in this scope alone."""
        super().add_update(update)
        self.note_write()

    def note_write(self) -> None:
        """Note, in all scopes around as well, that a variable was assigned."""
        self._writes = True
        if isinstance(self._outer, VariableScope):
            self._outer.note_write()

    @property
    def writes(self) -> bool:
        """True where a variable was assigned in this scope or in one inside it."""
        return self._writes


@contextlib.contextmanager
def inner_scope() -> Iterator[None]:
    """Keep, in a trace inside another one, what is assigned: its values are unknown to the trace around.

    A seed that moves in it is where it was after it, so that each inner trace draws the same.
    """
    with VariableScope(outer=get_stateless_scope() if in_stateless_scope() else None):
        yield


def current_values(variables: Iterable[keras.Variable], model: keras.Model | None) -> list[jax.Array]:
    """Return the values of variables outside of any scope.

    Inside an epoch Keras has taken them out of the variables of the model that it trains, and `jax_state_sync` puts them back.
    """
    variables = list(variables)
    values = [variable._value for variable in variables]
    if model is not None and any(value is None for value in values):
        sync_model(model)
        values = [variable._value for variable in variables]
    return values


def sync_model(model: keras.Model) -> None:
    """Put the values that a step has returned into the model's variables, from which Keras takes them for the next step."""
    model.jax_state_sync()
