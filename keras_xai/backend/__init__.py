"""The framework seam: one folder a framework, with the functions that `protocol.Backend` types; only that folder imports the
framework. `get_backend()` is the one that Keras runs on."""

from __future__ import annotations

import functools
import importlib
from typing import Any, cast

from keras_xai.backend.protocol import Backend
from keras_xai.errors import InvalidInput, listed

# Of each framework the module that has the functions of `protocol.Backend`.
FRAMEWORKS = {"tensorflow": "keras_xai.backend.tensorflow"}

# The columns of `GradientSums.read()`, each a sum over the recorded optimizer calls of one variable, except `largest`.
SUMS = (
    "calls",  # optimizer calls recorded
    "skipped",  # calls that the optimizer skipped because loss scaling overflowed: in no other column
    "total",  # Σ g
    "squares",  # Σ g²
    "weight_squares",  # Σ w², before the call
    "updates",  # calls that changed the weights: all of them, but for gradient accumulation
    "updated_weight_squares",  # Σ w² before those
    "update_squares",  # Σ (w after − w before)² over those
)
COLUMNS = (*SUMS, "largest", "zeros", "nonfinite")
# Then one column for each octave of |g|, from 2^LOWEST to 2^HIGHEST; the outermost two also hold what lies beyond.
LOWEST, HIGHEST = -48, 16


@functools.cache
def get_backend() -> Backend:
    """The backend that Keras runs on, imported on first use.

    Raises:
        InvalidInput: there is none for it yet.
    """
    return cast(Backend, importlib.import_module(_module()))


@functools.cache
def backend_part(name: str) -> Any:
    """A file of the backend's folder by its name.

    Raises:
        InvalidInput: see `get_backend`.
    """
    return importlib.import_module(f"{_module()}.{name}")


def _module() -> str:
    import keras

    framework = keras.backend.backend()
    if framework not in FRAMEWORKS:
        raise InvalidInput(
            f"keras_xai does not support the Keras backend {framework!r} yet; it supports {listed(FRAMEWORKS)}. "
            f"Set KERAS_BACKEND={next(iter(FRAMEWORKS))} before Keras is imported."
        )
    return FRAMEWORKS[framework]
