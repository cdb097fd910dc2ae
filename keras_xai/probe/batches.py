"""The first samples of a data set, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.array_like import as_array
from keras_xai.errors import InvalidInput
from keras_xai.labels import of_output
from keras_xai.probe.torch_loader import is_loader, loader_batches
from keras_xai.tree import leaves, like


def first_samples(dataset: Iterable[Any], size: int, output: Any = None) -> tuple[Any, NDArray[Any]]:
    """Join the first batches (x, y) of a data set.

    Args:
        dataset: an iterable of batches, or indexed by their number, as a `PyDataset`. Single samples are stacked.
        size: samples to take.
        output: whose labels to take, where y holds those of several outputs.

    Returns:
        (x, y) of `size` samples, or of all there are; x in the structure of a batch.

    Raises:
        InvalidInput: no batch, batches that are not (x, y), arrays of different lengths.
    """
    batches: list[tuple[Any, NDArray[Any]]] = []
    count = 0
    for batch in each_batch(dataset):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise InvalidInput(
                f"Expected batches (x, y), got {type(batch).__name__}; map the data set to (x, y) first."
            )
        batches.append((_as_arrays(batch[0]), _as_arrays(of_output(batch[1], output))))
        count += _batch_size(*batches[-1]) or 1
        if count >= size:
            break
    if not batches:
        raise InvalidInput("The data set gave no batch to make a probe of.")
    first_x, _ = batches[0]
    stacks = _batch_size(*batches[0]) is None
    # By key, not by order: batches of dicts may name their inputs in any.
    by_key = [x if isinstance(x, dict) else dict(enumerate(leaves(x))) for x, _ in batches]
    inputs = []
    for key in by_key[0]:
        inputs.append(joined([batch[key] for batch in by_key], "The data set", stacks=stacks)[:size])
    return like(first_x, inputs), joined([y for _, y in batches], "The data set", stacks=stacks)[:size]


def joined(parts: list[NDArray[Any]], source: str, *, stacks: bool = False) -> NDArray[Any]:
    """Join the same array of several batches, or stack single samples.

    Args:
        parts: (n, ...) each, or (...) of single samples.
        source: of the batches, for error messages.
        stacks: these are single samples.

    Raises:
        InvalidInput: samples of different shapes, as batches have that are padded each to its own length.
    """
    shapes = sorted({part.shape if stacks else part.shape[1:] for part in parts})
    if len(shapes) > 1:
        came = " and ".join(map(str, shapes[:3]))
        raise InvalidInput(
            f"{source} gives samples of shapes {came}: one shape is expected. Pad all to one length, as "
            f"dataset.padded_batch(32, padded_shapes=((100, 3), ())) does for 100 steps, or "
            f"keras.utils.pad_sequences(x, maxlen=100, padding='post')."
        )
    return np.stack(parts) if stacks else np.concatenate(parts)


def each_batch(dataset: Any) -> Iterator[Any]:
    """Iterate over the batches of a data set; of a `DataLoader` in the order of its data set."""
    if is_loader(dataset):
        return loader_batches(dataset)
    if hasattr(dataset, "__getitem__"):
        return (dataset[i] for i in range(len(dataset)))
    return iter(dataset)


def _as_arrays(part: Any) -> Any:
    """Return x or y of one batch as arrays; single samples stay single."""
    if isinstance(part, Mapping):
        return {str(key): as_array(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)) and part and all(hasattr(value, "shape") for value in part):
        return [as_array(value) for value in part]
    return as_array(part)


def _batch_size(x: Any, y: NDArray[Any]) -> int | None:
    """Return the number of samples of a batch; None where it is no batch but a single sample.

    Raises:
        InvalidInput: arrays of different lengths, as single samples and batches without labels have.
    """
    arrays = [*leaves(x), y]
    if any(array.ndim == 0 for array in arrays):
        return None
    lengths = {len(array) for array in arrays}
    if len(lengths) > 1:
        raise InvalidInput(
            f"A batch holds arrays of shape {' and '.join(str(array.shape) for array in arrays)}: expected as many rows in "
            f"each; of single samples make batches first, as dataset.batch(32)."
        )
    return lengths.pop()
