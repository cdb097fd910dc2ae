"""Sparse samples: which there are, and their rows as dense arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput

MAX_DENSE_BYTES = 2**31  # more is refused


def is_sparse(values: Any) -> bool:
    """Return True for a sparse array or tensor: SciPy's, PyData's, TensorFlow's, JAX's, PyTorch's.

    Example:
        >>> import numpy as np, scipy.sparse
        >>> is_sparse(scipy.sparse.eye_array(3)), is_sparse(np.eye(3))
        (True, False)
    """
    for cls in type(values).__mro__:
        if cls.__module__.startswith(("scipy.sparse", "sparse.", "jax.experimental.sparse")):
            return True
        if cls.__name__ == "SparseTensor" and cls.__module__.startswith("tensorflow"):
            return True
        if cls.__module__.partition(".")[0] == "torch":
            return "sparse" in str(getattr(values, "layout", ""))
    return False


def dense_bytes(values: Any) -> int:
    """Return the size of a sparse array or tensor once it is dense, in float32."""
    return 4 * math.prod(int(side) for side in values.shape)


def dense_rows(values: Any, name: str = "x", rows: slice | NDArray[np.integer[Any]] | None = None) -> NDArray[Any]:
    """Return rows of a sparse array or tensor as a dense array of the same dtype.

    Args:
        values: (B, ...) see `is_sparse`.
        name: of the argument, for error messages.
        rows: a slice or (n,) their numbers; None for all.

    Raises:
        InvalidInput: they would take more than 2 GiB.

    Example:
        >>> import scipy.sparse
        >>> dense_rows(scipy.sparse.eye_array(3), rows=slice(1))
        array([[1., 0., 0.]])
    """
    shape = tuple(int(side) for side in values.shape)
    numbers = np.arange(shape[0])[slice(None) if rows is None else rows]
    size = 4 * len(numbers) * math.prod(shape[1:])
    if size > MAX_DENSE_BYTES:
        raise InvalidInput(
            f"{name} is sparse, of shape {shape}: as a dense array it takes {size / 2**30:.1f} GiB. Give fewer rows, as "
            f"{name}[:1000], or fewer columns."
        )
    if hasattr(values, "dense_shape"):  # TensorFlow's
        dense = np.zeros(shape, np.asarray(values.values).dtype)
        dense[tuple(np.asarray(values.indices).T)] = np.asarray(values.values)
        return dense[numbers]
    if hasattr(values, "tocsr") and len(shape) == 2:
        return np.asarray(values.tocsr()[numbers].toarray())
    dense = values.detach().cpu().to_dense() if hasattr(values, "to_dense") else values.todense()
    return np.asarray(dense)[numbers]
