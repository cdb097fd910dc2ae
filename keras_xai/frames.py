"""Samples as users hold them become the arrays that `fit` makes of them: frames, series, columns by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array, ragged
from keras_xai.errors import InvalidInput, listed
from keras_xai.sparse import dense_bytes, dense_rows, is_sparse

if TYPE_CHECKING:
    import narwhals as nw

Names = tuple[str, ...] | None
Rows = slice | NDArray[np.integer[Any]] | None


class Samples(NamedTuple):
    """Arrays in the structure that a model takes, and the names of their columns."""

    arrays: Any  # an array (B, ...), a list or a dict of such
    names: list[Names]  # of each input's columns; None where no frame names them
    split_from_frame: bool = False  # the dict was made here, of a frame's columns
    dense_bytes: int = 0  # of the arrays that were made of sparse ones


def as_arrays(x: Any, name: str = "x", rows: Rows = None) -> Samples:
    """Return samples as `fit` turns them into arrays, with the names of their columns.

    A frame (pandas, polars, pyarrow, ...) of numbers is a table (B, F). One that also holds strings or categories fits into
    no single array: it becomes a dict of columns (B, 1), as `fit` takes it for a model with an input a column. A series
    is a column (B, 1) where it is pandas', as Keras makes it, else (B,). Arrays are kept by reference; sparse ones become dense.

    Args:
        x: an array, frame or series, or a list, tuple or dict of such.
        name: of the argument, for error messages.
        rows: only these, a slice or (n,) their numbers; default all.

    Raises:
        InvalidInput: missing values, dates, columns that mix types: with the column, and what to do.
    """
    size = sum(dense_bytes(part) for part in _parts(x) if is_sparse(part))
    return _samples(x, name, rows)._replace(dense_bytes=size)


def _parts(x: Any) -> list[Any]:
    """Return the inputs that samples consist of."""
    if isinstance(x, Mapping):
        return list(x.values())
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _samples(x: Any, name: str, rows: Rows) -> Samples:
    if isinstance(x, Mapping):
        if not x:
            raise InvalidInput(f"{name} is an empty dict: expected one array an input.")
        return _of_inputs({str(key): _input(value, f"{name}[{key!r}]", rows) for key, value in x.items()})
    if isinstance(x, (list, tuple)) and x and all(len(getattr(value, "shape", ())) >= 1 for value in x):
        parts = [_input(value, f"{name}[{k}]", rows) for k, value in enumerate(x)]
        arrays, names = zip(*parts, strict=True)
        return Samples(list(arrays), list(names))
    frame = native(x)
    if frame is not None and _is_frame(frame):
        return _table(rows_of(frame, rows), name)
    array, names_of_array = _input(x, name, rows)
    return Samples(array, [names_of_array])


def native(x: Any) -> nw.DataFrame[Any] | nw.Series[Any] | None:
    """Return a frame or series of whatever library; None for anything else.

    Raises:
        InvalidInput: a lazy frame, whose rows are not there yet.
    """
    if hasattr(x, "collect") and hasattr(x, "collect_schema") and not hasattr(x, "to_numpy"):
        raise InvalidInput(f"A {type(x).__name__} holds a query, not its rows: give frame.collect().")
    if isinstance(x, np.ndarray) or not (hasattr(x, "to_numpy") or hasattr(x, "__dataframe__")):
        return None
    dtypes = getattr(x, "dtypes", ())
    if any(str(dtype).startswith("Sparse") for dtype in (dtypes if hasattr(dtypes, "__iter__") else [dtypes])):
        raise InvalidInput("The frame has sparse columns: give dense ones, as frame.astype(float) has them.")
    import narwhals as nw

    try:
        wrapped = nw.from_native(x, eager_only=True, allow_series=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise InvalidInput(f"The frame has two columns of one name: {' '.join(str(error).split())}") from error
    return wrapped if isinstance(wrapped, (nw.DataFrame, nw.Series)) else None


def values_of(series: nw.Series[Any], name: str) -> NDArray[Any]:
    """Return the numbers, truth values or strings (B,) of a column.

    Raises:
        InvalidInput: missing values, dates, lists, mixed types.
    """
    refuse_dtype(series.dtype, name)
    if missing := series.null_count():
        raise _has_missing({name: missing}, len(series))
    array = np.asarray(series.to_numpy())
    array = of_one_type(array, name) if array.dtype.kind == "O" else array
    array = array.astype(object) if array.dtype.kind in "US" else array  # words of any length
    if array.dtype.kind == "f" and (missing := int(np.isnan(array).sum())):
        raise _has_missing({name: missing}, len(series))
    return array


def refuse_dtype(dtype: Any, name: str) -> None:
    """Raise where a column's dtype cannot be given to a model.

    Raises:
        InvalidInput: dates and times, nested and binary columns, decimals.
    """
    kind = str(dtype).split("(")[0]
    if dtype.is_temporal() or kind == "Time":
        raise InvalidInput(
            f"{name} has dtype {dtype}: a model takes numbers, and so does a probe; give what it means as numbers (year, "
            f"weekday, seconds since a day) in the same columns as `fit` gets."
        )
    if dtype.is_nested() or kind in ("Binary", "Decimal", "Unknown"):
        raise InvalidInput(f"{name} has dtype {dtype}: columns of numbers, truth values or strings are expected.")


def of_one_type(array: NDArray[Any], name: str, *, advice: str = "") -> NDArray[Any]:
    """Return objects as what they are: strings stay, Python's numbers and truth values become NumPy's.

    Raises:
        InvalidInput: types that differ, or are none of these.
    """
    kinds = {type(value) for value in array.ravel().tolist()}
    if kinds <= {list, tuple, np.ndarray}:
        raise ragged(name, advice=advice)
    if kinds <= {str, bytes, np.str_, np.bytes_}:
        return array
    if kinds <= {bool, np.bool_}:
        return array.astype(bool)
    numbers = [k for k in kinds if issubclass(k, (int, float, np.integer, np.floating)) and not issubclass(k, bool)]
    if len(numbers) == len(kinds):
        whole = all(issubclass(k, (int, np.integer)) for k in kinds)
        return array.astype(np.int64 if whole else np.float64)
    type_names = sorted(kind.__name__ for kind in kinds)
    raise InvalidInput(
        f"{name} of dtype object holds {' and '.join(type_names)}: expected numbers alone or strings alone; convert it with "
        f"astype(float) or astype(str), and fill or drop what is missing."
    )


def _input(x: Any, name: str, rows: Rows) -> tuple[NDArray[Any], Names]:
    """Return one input, and the names of its columns."""
    if is_sparse(x):
        return dense_rows(x, name, rows), None
    frame = native(x)
    if frame is None:
        return _array(rows_of(x, rows), name), None
    part = rows_of(frame, rows)
    if not _is_frame(part):
        column = values_of(cast("nw.Series[Any]", part), name)
        return (column[:, None] if part.implementation.is_pandas() else column), None
    table, names, *_ = _table(part, name)
    if isinstance(table, dict):
        raise InvalidInput(f"{name} is a frame with columns of strings: give each of its columns as an entry of x.")
    return table, names[0]


def _table(frame: Any, name: str) -> Samples:
    """Return a frame's columns: one array of numbers, or a dict where some are strings."""
    if not frame.columns or not len(frame):
        raise InvalidInput(f"{name} is a frame of shape {frame.shape}: expected samples and columns, at least one.")
    schema = frame.schema
    for column, dtype in schema.items():
        refuse_dtype(dtype, f"{name}[{column!r}]")
    names = tuple(map(str, frame.columns))
    if all(dtype.is_numeric() or str(dtype) == "Boolean" for dtype in schema.values()):
        whole = frame.to_numpy()
        if whole.dtype.kind in "fiub":
            _refuse_missing(whole, names, name)
            return Samples(np.ascontiguousarray(whole), [_column_names(frame.columns)])
    columns = _columns(frame, schema, name)
    if all(column.dtype.kind in "fiub" for column in columns):
        return Samples(np.stack(columns, 1), [_column_names(frame.columns)])
    apart = {key: column[:, None] for key, column in zip(names, columns, strict=True)}
    return Samples(apart, [None] * len(names), split_from_frame=True)


def _columns(frame: Any, schema: Mapping[str, Any], name: str) -> list[NDArray[Any]]:
    """Return every column with its own dtype; numbers of one dtype are taken at once, for a wide frame is slow otherwise."""
    by_dtype: dict[Any, list[str]] = {}
    for column, dtype in schema.items():
        if dtype.is_numeric() and isinstance(column, str):
            by_dtype.setdefault(dtype, []).append(column)
    by_name: dict[str, NDArray[Any]] = {}
    for columns in by_dtype.values():
        whole = frame.select(*columns).to_numpy() if len(columns) > 1 else None
        if whole is not None and whole.dtype.kind in "fiu":
            _refuse_missing(whole, tuple(map(str, columns)), name)
            by_name |= dict(zip(columns, whole.T, strict=True))
    return [
        by_name[column] if column in by_name else values_of(frame.get_column(column), f"{name}[{column!r}]")
        for column in schema
    ]


def _column_names(columns: Any) -> Names:
    """Return the names of columns; None where they are only counted, as a frame made of an array has them."""
    return None if list(columns) == list(range(len(columns))) else tuple(map(str, columns))


def _refuse_missing(values: NDArray[Any], names: tuple[str, ...], name: str) -> None:
    if values.dtype.kind != "f":
        return
    counts = np.isnan(values).sum(0)
    if counts.any():
        raise _has_missing({f"{name}[{names[k]!r}]": int(counts[k]) for k in np.flatnonzero(counts)}, len(values))


def _has_missing(counts: Mapping[str, int], size: int) -> InvalidInput:
    first = next(iter(counts))
    more = f" (missing values in {listed(counts, 5)})" if len(counts) > 1 else ""
    return InvalidInput(
        f"{first} has {counts[first]} missing values (null or NaN) in {size} rows{more}: fill them, as for `fit`, or drop "
        f"the rows; an attribution of NaN means nothing."
    )


def _array(x: Any, name: str) -> NDArray[Any]:
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiubUS":
        return x
    array = as_array(x, name)
    if array.dtype.kind in "mM":
        raise InvalidInput(
            f"{name} has dtype {array.dtype}: a model takes numbers; give what it means as numbers (year, weekday, seconds)."
        )
    return of_one_type(array, name) if array.dtype.kind == "O" and array.size else array


def row_count(values: Any) -> int | None:
    """Return the number of rows of an array, tensor, list or frame; None of something that has none."""
    if hasattr(values, "shape"):
        return int(values.shape[0]) if len(values.shape) else None
    return len(values) if hasattr(values, "__len__") else None


def warn_of_conversion(samples: Samples, *, stacklevel: int) -> None:
    """Warn of the memory that sparse samples take as dense ones, where there are some.

    Args:
        samples: as `as_arrays` gives them.
        stacklevel: as of `warnings.warn`, counted from the caller.
    """
    if samples.dense_bytes:
        warnings.warn(
            f"x is sparse: it is explained as dense arrays, of {samples.dense_bytes / 2**20:,.1f} MiB here and as much in each "
            f"copy. To say the same without this warning, give x.toarray().",
            stacklevel=stacklevel + 1,
        )


def rows_of(values: Any, rows: Rows) -> Any:
    """Return some rows of an array, tensor, list, frame or series.

    Args:
        values: (B, ...); of something that has no rows all is returned.
        rows: a slice or (n,) their numbers; None for all.
    """
    if rows is None or not hasattr(values, "__getitem__"):
        return values
    if hasattr(values, "iloc"):
        return values.iloc[rows]
    if isinstance(rows, slice):
        return values[rows]
    numbers = rows.tolist()
    if isinstance(values, (list, tuple)):
        return [values[k] for k in numbers]
    if hasattr(values, "implementation"):  # of narwhals
        return values[numbers]
    try:
        return values[rows]
    except (TypeError, ValueError, IndexError):  # TensorFlow's tensors take no list of numbers
        return as_array(values)[rows]


def _is_frame(frame: Any) -> bool:
    return hasattr(frame, "columns")


def _of_inputs(parts: Mapping[str, tuple[NDArray[Any], Names]]) -> Samples:
    return Samples({key: array for key, (array, _) in parts.items()}, [names for _, names in parts.values()])
