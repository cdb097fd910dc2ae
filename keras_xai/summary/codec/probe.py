"""`Probe` on the wire: its description in the constants, a map for each gallery sample; for several inputs, input after input.

A text is written as its number in a sorted list of all texts, which is in the constants.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.errors import InvalidInput
from keras_xai.probe import Probe
from keras_xai.probe.description import describe, probe_of
from keras_xai.probe.kinds import KINDS
from keras_xai.spatial import SPATIAL_KINDS
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.codec.inputs import Inputs, count_of, decode_values, inputs_in
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value
from keras_xai.tree import leaves, like

TAG = f"{PLUGIN_NAME}/probe"
MAX_CHARACTERS = 1 << 16  # of all texts in the columns of a gallery; longer ones are not written
MAX_UNNAMED_FEATURES = 1 << 18  # of a probe whose features have no names in the file

Shape = tuple[int, ...]
SHAPES_OF_COLUMN = ((), (1,))  # of a sample


def encode(record: Probe) -> Iterator[Value]:
    """Encode a gallery: its description, and its samples where they are to be stored."""
    constants, blobs = describe(record), []
    inputs = record.inputs if record.x is not None and record.store == "inputs" else []
    are_numbers = all(array.dtype.kind in "fiub" for array in inputs)
    # Texts are written in the columns of a table only, not as whole documents.
    if are_numbers or (record.is_columns and _count_characters(inputs) <= MAX_CHARACTERS):
        coded = [coded_texts(array) for array in inputs]
        if any(words for _, words in coded):
            constants["texts"] = [words for _, words in coded]
        is_spatial = record.kind in SPATIAL_KINDS
        for row in range(record.size):
            blobs += [pack(codes[row], eight_bits=is_spatial and codes.ndim > 2) for codes, _ in coded]
    yield TAG, plugin_data(PluginData.PROBE, names=record.feature_names or (), options=constants), blobs


def coded_texts(array: NDArray[Any]) -> tuple[NDArray[Any], list[str] | None]:
    """Return texts as numbers in a sorted list, and the list; an array of numbers as it is, and None."""
    if array.dtype.kind not in "OUS":
        return array, None
    texts = [word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in array.ravel().tolist()]
    words, codes = np.unique(np.asarray(texts, object), return_inverse=True)
    return codes.reshape(array.shape), words.tolist()


def _count_characters(inputs: list[NDArray[Any]]) -> int:
    return sum(sum(map(len, array.ravel().tolist())) for array in inputs if array.dtype.kind in "OUS")


@dataclass(frozen=True, eq=False)
class Constants:
    """A probe's description, checked entry by entry, and the names of its features."""

    names: tuple[str, ...] | None
    inputs: Inputs
    description: Mapping[str, Any]

    @classmethod
    def of(cls, data: PluginData) -> Constants:
        """Check the constants of a probe's tag."""
        constants = options(data)
        size = checks.whole(checks.entry(constants, "size"), 0, 2**31)
        shape = _shape(checks.entry(constants, "shape"))
        kind = checks.word(checks.entry(constants, "kind"), KINDS)
        inputs, shapes, texts = inputs_in(constants), _shapes(constants, shape), _words_of(constants)
        is_columns = kind == "table" and all(side in SHAPES_OF_COLUMN for side in shapes)
        if texts and not is_columns:
            raise Unreadable("expected words in the columns of a table alone")
        least_rank = {"image": 2, "volume": 3}.get(kind, 0)
        if all(len(side) < least_rank for side in shapes) or (
            kind == "volume" and any(len(side) > 4 for side in shapes)
        ):
            raise Unreadable(f"expected the shape of a sample of kind {kind}, got {shape}")
        is_columns = is_columns and len(shapes) > 1
        words = checks.members(constants.get("vocabulary") or {})
        description = {
            "kind": kind,
            "shape": shape,
            "shapes": shapes,
            "inputs": inputs,
            "texts": texts,
            "size": size,
            "labels": None if constants.get("labels") is None else _labels(constants["labels"], size),
            "class_names": _texts(constants.get("class_names")),
            "output": _output(constants.get("output")),
            "explained": checks.text(constants.get("explained", "")),
            "segments": None if constants.get("segments") is None else _segments(constants["segments"]),
            "groups": _groups(constants.get("groups"), len(shapes) if is_columns else math.prod(shape)),
            "vocabulary": {_token(token): checks.text(name) for token, name in words.items()},
            "store": checks.word(constants.get("store", "inputs"), ("inputs", "none")),
            "hash": checks.text(constants.get("hash", "")),
        }
        if constants.get("rows") is not None:  # an older version did not write them
            whole_size = checks.whole(checks.entry(constants, "whole_size"), size, 2**31)
            rows = checks.several(constants["rows"], lambda row: checks.whole(row, 0, whole_size), size)
            description |= {"rows": rows, "whole_size": whole_size}
        if "classes" in constants:  # an older version derived the classes from the labels
            classes = constants["classes"]
            description["classes"] = None if classes is None else checks.several(classes, _class, size)
        # Of several inputs each may have a column of the same name.
        may_repeat = len(shapes) > 1 and not is_columns
        names = tuple(data.names) if may_repeat else checks.unique(data.names)
        if isinstance(inputs, int) and inputs == 1:
            _check_names(names, kind, shape)
        return cls(names or None, inputs, description)

    def probe(self, values: Any = None) -> Probe:
        """Return the probe, with the values of its samples or without."""
        try:
            probe = probe_of(self.description, values, self.names)
        except InvalidInput as error:
            raise Unreadable(str(error)) from error
        is_spatial, groups = probe.kind in SPATIAL_KINDS, probe.groups
        if isinstance(groups, np.ndarray) and not (is_spatial and groups.shape == probe.spatial.positions):
            raise Unreadable(f"expected segments of the positions of an image or volume, got the shape {groups.shape}")
        if is_spatial and isinstance(groups, dict):
            raise Unreadable(f"expected segments of kind {probe.kind}, got groups of columns")
        if probe.feature_count > max(MAX_UNNAMED_FEATURES, len(self.names or ())):
            raise Unreadable(
                f"{probe.feature_count:,} features without names: {MAX_UNNAMED_FEATURES:,} at most can be numbered"
            )
        return probe


def decode(epoch: int, constants: Constants, blobs: Any) -> Probe:
    """Decode a gallery, which belongs to no epoch."""
    if isinstance(blobs, list) and not blobs:
        return constants.probe()
    values, size = decode_values(constants.inputs, blobs), constants.description["size"]
    arrays = leaves(values)
    # An older file has the shape of the first input alone.
    shapes = [(size, *shape) for shape in constants.description["shapes"]]
    fits = [array.shape for array in arrays[: len(shapes)]] == shapes
    if not fits or not all(np.isfinite(array).all() for array in arrays):
        raise Unreadable(f"expected finite samples of shape {shapes[: checks.MAX_RANK]}, got {arrays[0].shape}")
    words = constants.description["texts"]
    if words:
        values = like(values, [_text_of(array, words_of) for array, words_of in zip(arrays, words, strict=True)])
    return constants.probe(values)


def _shape(sides: Any) -> Shape:
    return checks.several(sides, lambda side: checks.whole(side, 1, checks.MAX_SIDE))


def _shapes(constants: Mapping[str, Any], first: Shape) -> tuple[Shape, ...]:
    """Return the shape of a sample for each input; in an older file of the first one alone."""
    if "shapes" not in constants:
        shapes: tuple[Shape, ...] = (first,)
    else:
        shapes, count = checks.several(constants["shapes"], _shape), count_of(inputs_in(constants))
        if len(shapes) != count or shapes[0] != first:
            shortened = shapes[: checks.MAX_RANK]
            raise Unreadable(f"expected the shapes of {count} inputs, the first one {first}, got {shortened}")
    for shape in shapes:
        if len(shape) > checks.MAX_RANK:
            raise Unreadable(f"expected the shape of a sample, got {shape[: checks.MAX_RANK]} and more sides")
    return shapes


def _check_names(names: tuple[str, ...], kind: str, shape: Shape) -> None:
    """Check that names, where there are some, are as many as features; those of an image or volume may be any number."""
    if not names or kind in SPATIAL_KINDS:
        return
    expected = math.prod(shape[-1:] if kind == "series" else shape)
    if len(names) != expected and (shape or kind != "series"):
        raise Unreadable(f"expected the names of {expected} features, got {len(names)}")


def _output(output: Any) -> int | str | None:
    """Return the number or the name of the output that is explained; None for a model of one output."""
    if isinstance(output, int):
        return checks.whole(output, -(2**31))
    return checks.text(output) if output else None


def _class(number: Any) -> int:
    return checks.whole(number, 0, 2**31)


def _text_of(codes: NDArray[Any], words: tuple[str, ...] | None) -> NDArray[Any]:
    """Return the texts that `codes` are the numbers of; the codes themselves where there are no texts."""
    if words is None:
        return codes
    if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= len(words):
        raise Unreadable(
            f"expected numbers of {len(words)} words, got {codes.dtype} from {codes.min()} to {codes.max()}"
        )
    return np.asarray(words, object)[codes]


def _words_of(constants: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, ...]:
    """Return for each input its sorted list of texts, None for an input of numbers; () where all are numbers."""
    if constants.get("texts") is None:
        return ()
    return checks.several(constants["texts"], _texts, count_of(inputs_in(constants)))


def _texts(names: Any) -> tuple[str, ...] | None:
    return None if names is None else checks.several(names, checks.text)


def _labels(labels: Any, size: int) -> NDArray[Any]:
    """Return the labels of the samples (B, …): classes, or numbers."""
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise Unreadable(f"labels: {error}") from error
    fits = array.dtype.kind in "if" and array.shape[:1] == (size,) and np.isfinite(array).all()
    if not fits or (array.dtype.kind == "i" and not (np.abs(array) < 2**31).all()):
        raise Unreadable(f"expected labels of {size} samples, got {array.dtype} of shape {array.shape}")
    return array


def _segments(rows: Any) -> NDArray[Any]:
    """Return the segments of an image, whole numbers (H, W), or of a volume (D, H, W)."""
    is_volume = (
        isinstance(rows, list) and rows and isinstance(rows[0], list) and rows[0] and isinstance(rows[0][0], list)
    )
    if not is_volume:
        return _segments_of_slice(rows)
    slices = checks.several(rows, _segments_of_slice)
    if len({of_slice.shape for of_slice in slices}) > 1:
        raise Unreadable("expected segments in slices of one shape")
    return np.stack(slices)


def _segments_of_slice(rows: Any) -> NDArray[Any]:
    """Return the segments of an image, or of a slice of a volume, whole numbers (H, W)."""
    table = checks.several(rows, lambda row: checks.several(row, lambda side: checks.whole(side, -(2**31), 2**31)))
    if len({len(row) for row in table}) > 1:
        raise Unreadable("expected segments in rows of one length")
    return np.asarray(table, np.int64).reshape(len(table), -1)


def _groups(groups: Any, count: int) -> dict[str, list[int]] | None:
    """Return the numbers of the columns of each group, each under `count`."""
    if groups is None:
        return None

    def column(value: Any) -> int:
        return checks.whole(value, 0, count)

    return {name: list(checks.several(columns, column)) for name, columns in checks.members(groups).items()}


def _token(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise Unreadable(f"expected the number of a token, got {text[:20]!r}")
    return int(text)
