"""The framework seam: one folder for each framework, the only one that imports it, with the functions of `protocol.Backend`.

`get_backend()` returns the one that Keras runs on.
"""

from __future__ import annotations

import functools
import importlib
from typing import NoReturn, cast

from keras_xai.backend.protocol import Backend
from keras_xai.errors import InvalidInput, listed

# By framework, the module that has the functions of `protocol.Backend`.
FRAMEWORKS = {
    "tensorflow": "keras_xai.backend.tensorflow",
    "jax": "keras_xai.backend.jax",
    "torch": "keras_xai.backend.torch",
}


@functools.cache
def get_backend() -> Backend:
    """The backend that Keras runs on, imported on first use.

    Raises:
        InvalidInput: there is none for it yet.
    """
    module = importlib.import_module(_module())

    def absent(name: str) -> NoReturn:
        raise AttributeError(
            f"The backend {module.__name__} has no function {name!r}; `keras_xai.backend.protocol.Backend` describes it.",
            name=name,
            obj=module,
        )

    if not hasattr(module, "__getattr__"):
        module.__dict__["__getattr__"] = absent  # a backend may be partial: an error names the function
    return cast(Backend, module)


def _module() -> str:
    import keras

    framework = keras.backend.backend()
    if framework not in FRAMEWORKS:
        raise InvalidInput(
            f"keras_xai does not support the Keras backend {framework!r} yet; it supports {listed(FRAMEWORKS)}. "
            f"Set KERAS_BACKEND to one of these before Keras is imported, as in KERAS_BACKEND={next(iter(FRAMEWORKS))}."
        )
    return FRAMEWORKS[framework]
