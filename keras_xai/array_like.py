"""Arrays of whatever library, as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput
from keras_xai.sparse import dense_rows, is_sparse


def as_array(values: Any, name: str = "x", dtype: Any = None, *, advice: str = "") -> NDArray[Any]:
    """Return what Keras takes for an array as NumPy's.

    A tensor of PyTorch's may need a gradient or lie on a device; bfloat16, which NumPy does not have, becomes float32; what is
    sparse becomes dense.

    Args:
        values: an array, a tensor of any framework, nested lists.
        name: of the argument, for error messages.
        dtype: of the result; None for that of `values`.
        advice: what to do where rows have different lengths; default to pad them.

    Raises:
        InvalidInput: a quantized tensor, rows of different lengths, what is sparse and too large.

    Example:
        >>> as_array([[1, 2]]).shape
        (1, 2)
    """
    if is_sparse(values):
        values = dense_rows(values, name)
    if any(cls.__module__.partition(".")[0] == "torch" for cls in type(values).__mro__):
        values = _of_torch(values, name, advice)
    if hasattr(values, "nested_row_splits"):
        raise ragged(name, "ragged", f"{name}.to_tensor()", advice)
    try:
        array = np.asarray(values) if dtype is None else np.asarray(values, dtype)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ragged(name, advice=advice) from error
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def ragged(name: str, kind: str = "", line: str = "", advice: str = "") -> InvalidInput:
    """Return the error for rows of different lengths.

    Args:
        name: of the argument.
        kind: of the tensor, where it is one that holds such rows.
        line: of code that pads them; default that of Keras for lists and arrays.
        advice: what to do in the place of padding.
    """
    what = f"is a {kind} tensor, whose rows have" if kind else "holds rows of"
    if advice:
        return InvalidInput(f"{name} {what} different lengths: {advice}")
    line = line or f"keras.utils.pad_sequences({name}, padding='post'), with dtype='float32' where they are no tokens"
    return InvalidInput(
        f"{name} {what} different lengths; one length is expected. Pad them as what `fit` gets is padded: {line}."
    )


def _of_torch(values: Any, name: str, advice: str) -> Any:
    if not hasattr(values, "layout"):  # anything of torch's that is no tensor
        return values
    if values.is_nested:
        raise ragged(name, "nested", f"{name}.to_padded_tensor(0.0)", advice)
    kind = "quantized" if values.is_quantized else str(values.layout).removeprefix("torch.")
    if kind != "strided":
        line = "dequantize" if values.is_quantized else "to_dense"
        raise InvalidInput(
            f"{name} is a {kind} tensor of shape {tuple(values.shape)}: a plain one is expected, as x.{line}() gives it."
        )
    values = values.detach().cpu()
    return (
        values.float().numpy() if str(values.dtype) == "torch.bfloat16" else values.resolve_conj().resolve_neg().numpy()
    )
