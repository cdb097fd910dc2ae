"""A function that runs at once, and leaves nothing of its run on the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from numpy.typing import NDArray

from keras_xai.backend.python_state import python_state_kept
from keras_xai.backend.results import Template
from keras_xai.backend.torch.loops import single_round
from keras_xai.backend.torch.state import RunState


class EagerProgram:
    """A function that torch runs operation by operation, as it would without a program.

    It runs in a stateless scope of Keras, where an assignment to a variable does not reach the variable, and without gradients;
    `gradient` and `forward_with_vjp` turn them on for themselves.

    Args:
        function: of tensors; see `Program` for what it may return.
        model: the one that the function runs.
    """

    def __init__(self, function: Callable[..., Any], model: keras.Model | None = None) -> None:
        self._function, self._model = function, model
        self._facts: dict[Any, Any] = {}  # by the shapes of arguments
        self._keys: set[Any] = set()  # shapes of arguments that were run
        self._state = RunState(model)

    def __call__(self, *args: Any) -> Any:
        self._keys.add(_key(args))
        return self._run(args)

    def trace(self, *args: Any) -> Any:
        """Return the facts for such arguments: the function is run, with a single round of each loop."""
        key = _key(args)
        if key not in self._facts:
            self._keys.add(key)
            with single_round():
                self._facts[key] = Template(self._run(args), torch.is_tensor).facts()
        return self._facts[key]

    @property
    def traces(self) -> int:
        """The number of shapes that the function was run with."""
        return len(self._keys)

    @property
    def has_side_effects(self) -> bool:
        """True where a run changed state that was restored."""
        return self._state.is_changed

    @property
    def lasting_effects(self) -> str:
        """See `Program`."""
        return self._state.lasting_effects

    def _run(self, args: Any) -> Any:
        with torch.inference_mode(False):
            tensors = keras.tree.map_structure(lambda v: constant(v) if isinstance(v, np.ndarray) else v, args)
        python_state = python_state_kept(self._model, self._state.modules())
        # Inference mode, which a caller may have turned on, would leave no path for a gradient.
        with torch.inference_mode(False), torch.no_grad(), python_state, self._state.restored():
            return self._function(*tensors)


def compiled(function: Callable[..., Any], model: keras.Model | None = None, jit: bool = False) -> EagerProgram:
    """See `Backend`. There is no XLA: `jit` changes nothing."""
    return EagerProgram(function, model)


def _key(args: Any) -> Any:
    """The shapes and dtypes of the arguments, and the constants among them."""
    leaves = keras.tree.flatten(args)
    return tuple([(tuple(v.shape), str(v.dtype)) if isinstance(v, (np.ndarray, torch.Tensor)) else v for v in leaves])


def constant(array: NDArray[Any]) -> Any:
    """See `Backend`."""
    array = np.asarray(array)
    return keras.ops.convert_to_tensor(array.astype(np.float32) if array.dtype == np.float64 else array)


def compiles() -> bool:
    """See `Backend`."""
    return False


def has_text() -> bool:
    """See `Backend`."""
    return False


def numpy(value: Any) -> NDArray[Any]:
    """See `Backend`."""
    if not isinstance(value, torch.Tensor) or value.dtype == torch.bfloat16:  # which NumPy does not have
        value = keras.ops.convert_to_numpy(value)
        return np.asarray(value)
    # A copy: the tensor may be written in place later.
    array: NDArray[Any] = value.detach().to("cpu", copy=True).numpy()
    return array


def dense_tensor(value: Any) -> Any:
    """See `Backend`."""
    if isinstance(value, keras.Variable):
        value = value.value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = constant(value)
    is_dense = isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_nested
    return value if is_dense and not value.is_complex() else None
