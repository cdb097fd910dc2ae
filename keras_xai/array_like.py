"""Arrays of whatever library, as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput


def as_array(values: Any, name: str = "x", dtype: Any = None) -> NDArray[Any]:
    """Return what Keras takes for an array as NumPy's.

    A tensor of PyTorch's may need a gradient or lie on a device; bfloat16, which NumPy does not have, becomes float32.

    Args:
        values: an array, a tensor of any framework, nested lists.
        name: of the argument, for error messages.
        dtype: of the result; None for that of `values`.

    Raises:
        InvalidInput: a sparse or quantized tensor, or one whose values are not known yet.

    Example:
        >>> as_array([[1, 2]]).shape
        (1, 2)
    """
    if any(cls.__module__.partition(".")[0] == "torch" for cls in type(values).__mro__):
        values = _of_torch(values, name)
    array = np.asarray(values) if dtype is None else np.asarray(values, dtype)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _of_torch(values: Any, name: str) -> Any:
    if not hasattr(values, "layout"):  # anything of torch's that is no tensor
        return values
    kind = str(values.layout).removeprefix("torch.")
    kind = "quantized" if values.is_quantized else kind
    if kind != "strided":
        raise InvalidInput(
            f"{name} is a {kind} tensor of shape {tuple(values.shape)}: a dense one is expected, as x.to_dense() gives it."
        )
    values = values.detach().cpu()
    return (
        values.float().numpy() if str(values.dtype) == "torch.bfloat16" else values.resolve_conj().resolve_neg().numpy()
    )
