"""A `Mappings` record as blobs and back: the only record of many arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.records import (
    ANSWERS,
    MAPPING_FLAGS,
    MAPPING_NOTES,
    TARGETS,
    Answer,
    Decision,
    Features,
    Flag,
    Mappings,
    Result,
    Surrogate,
    Target,
)
from keras_xai.summary import checks
from keras_xai.summary.arrays import pack, unpacked
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import options, plugin_data
from keras_xai.summary.tensors import Value

TAG = f"{PLUGIN_NAME}/mappings"

# Limits against forged files, in which millions of zeros are a few bytes: viewers draw each sample and each pair of layers.
MAX_SAMPLES, MAX_LAYERS = 1 << 16, 1 << 9

# The columns of a mappings record that have one number a layer: of its features, then of its decision.
_NUMBERS_OF_FEATURES = (
    "width",
    "mean",
    "std",
    "saturation",
    "dead",
    "spread",
    "participation",
    "cka_previous",
    "cka_first",
    "scale",
    "captured",
)
UNITS = ("", "pixel", "voxel", "token", "box")  # that a dense output has a prediction for
_NUMBERS_OF_DECISION = ("readability", "standard_error", "own_decision")
_NUMBERS_OF_RESULT = ("accuracy", "confidence_gap", "ece", "ece_floor", "held_out_accuracy")


def encode(record: Mappings) -> Iterator[Value]:
    """Encode a record: a JSON string with the single numbers, then a map for each array that it names."""
    features, decision, result = record.features, record.decision, record.result
    columns = [getattr(features, name) for name in _NUMBERS_OF_FEATURES]
    columns += [getattr(decision, name) for name in _NUMBERS_OF_DECISION]
    arrays = {
        "layers": np.stack([np.asarray(column, np.float32) for column in columns], 1),
        "cka_layers": features.cka_layers,
        "coordinates": features.coordinates,
        "read_as": decision.read_as,
        "logits": result.logits,
        "prediction": result.prediction,
        "sure": np.stack([result.confidence, result.certainty], 1),
    }
    if np.isfinite(decision.support).any():
        arrays["support"] = decision.support.astype(np.float16)
    if result.columns is not None:
        arrays["columns"] = result.columns
    optional = {"correct": result.correct, "label": result.label, "held_out": result.held_out, "right": result.right}
    for name, array in optional.items():
        if array is not None:
            arrays[name] = array.astype(np.int32) if array.dtype == bool else array
    for name, surrogate in decision.surrogates.items():
        arrays[f"surrogate {name}"] = surrogate.coefficients
    body = {
        "arrays": list(arrays),
        "chance": decision.chance,
        **{name: getattr(result, name) for name in _NUMBERS_OF_RESULT},
        "surrogates": {
            name: {"agreement": s.agreement, "r2": s.r2, "classes": s.classes}
            for name, s in decision.surrogates.items()
        },
        "flags": record.flags,
        "notes": record.notes,
        **({"unit": result.unit} if result.unit else {}),
    }
    constants = {
        "target": decision.target,
        "answer": result.answer,
        "classes": result.classes,
        "features": next((s.features for s in decision.surrogates.values()), ()),
        "thresholds": dict(record.thresholds),
    }
    data = plugin_data(PluginData.MAPPINGS, names=features.layers, options=constants)
    yield TAG, data, [json_of(body), *map(pack, arrays.values())]


@dataclass(frozen=True, eq=False)
class Constants:
    """Constants that all mappings of a run have in common."""

    layers: tuple[str, ...]
    target: Target
    answer: Answer
    classes: int
    features: tuple[str, ...]
    thresholds: Mapping[str, float]

    @classmethod
    def of(cls, data: PluginData) -> Constants:
        """Check the constants of the tag."""
        constants, layers = options(data), checks.unique(data.names)
        if not 0 < len(layers) <= MAX_LAYERS:
            raise Unreadable(f"expected the names of {MAX_LAYERS} layers at most, got {len(layers)}")
        return cls(
            layers=layers,
            target=checks.word(checks.entry(constants, "target"), TARGETS),
            answer=checks.word(checks.entry(constants, "answer"), ANSWERS),
            classes=checks.whole(checks.entry(constants, "classes"), 1, 2**31),
            features=checks.several(checks.entry(constants, "features"), checks.text),
            thresholds=checks.numbers(checks.entry(constants, "thresholds")),
        )


def decode(epoch: int, constants: Constants, blobs: Any) -> Mappings:
    """Decode a record: the JSON string, and the maps that it names."""
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    epoch, body = checks.epoch(epoch), checks.parsed(bytes(blobs[0]))
    names = checks.unique(checks.several(checks.entry(body, "arrays"), checks.text, len(blobs) - 1))
    arrays = dict(zip(names, unpacked(list(map(bytes, blobs[1:]))), strict=True))
    result = _result(constants, body, arrays)
    return Mappings(
        epoch=epoch,
        features=_features(constants, arrays, len(result.certainty)),
        decision=_decision(constants, body, arrays, len(result.certainty)),
        result=result,
        flags=_flags(checks.entry(body, "flags"), MAPPING_FLAGS, epoch),
        notes=_flags(checks.entry(body, "notes"), MAPPING_NOTES, epoch),
        thresholds=constants.thresholds,
        step=None if body.get("step") is None else checks.whole(body["step"]),
    )


def _columns(constants: Constants, arrays: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the numbers of the layers, by their names in the records."""
    names = [*_NUMBERS_OF_FEATURES, *_NUMBERS_OF_DECISION]
    table = checks.floats(checks.entry(arrays, "layers"), (len(constants.layers), len(names)))
    return dict(zip(names, table.T, strict=True))


def _features(constants: Constants, arrays: Mapping[str, Any], size: int) -> Features:
    count, column = len(constants.layers), _columns(constants, arrays)
    coordinates = checks.finite(checks.entry(arrays, "coordinates"), (count, size, None))
    if coordinates.shape[2] < 2:
        raise Unreadable(f"expected two coordinates or more, got {coordinates.shape[2]}")
    width = checks.wholes(column["width"], (count,), 0, 2**31)
    return Features(
        constants.layers,
        **{name: column[name] for name in _NUMBERS_OF_FEATURES} | {"width": width},
        cka_layers=checks.floats(checks.entry(arrays, "cka_layers"), (count, count)),
        coordinates=coordinates,
    )


def _decision(constants: Constants, body: Mapping[str, Any], arrays: Mapping[str, Any], size: int) -> Decision:
    column, count = _columns(constants, arrays), len(constants.layers)
    surrogates = checks.members(checks.entry(body, "surrogates"))
    return Decision(
        target=constants.target,
        **{name: column[name] for name in _NUMBERS_OF_DECISION},
        chance=checks.number(checks.entry(body, "chance")),
        read_as=checks.wholes(checks.entry(arrays, "read_as"), (count, size), -1, constants.classes),
        support=checks.shares(arrays.get("support", np.full((count, size), np.nan, np.float16)), (count, size)),
        surrogates={name: _surrogate(constants, name, entry, arrays) for name, entry in surrogates.items()},
    )


def _surrogate(constants: Constants, name: str, entry: Any, arrays: Mapping[str, Any]) -> Surrogate:
    body = checks.members(entry)
    classes = checks.several(checks.entry(body, "classes"), lambda value: checks.whole(value, 0, constants.classes))
    if not constants.features or not classes:
        raise Unreadable(f"surrogate {name}: expected features and classes, got none")
    weights = checks.entry(arrays, f"surrogate {name}")
    return Surrogate(
        features=constants.features,
        classes=classes,
        coefficients=checks.finite(weights, (len(constants.features), len(classes))),
        agreement=checks.number(checks.entry(body, "agreement")),
        r2=checks.number(checks.entry(body, "r2")),
    )


def _result(constants: Constants, body: Mapping[str, Any], arrays: Mapping[str, Any]) -> Result:
    sure = checks.shares(checks.entry(arrays, "sure"), (None, 2))
    size, columns = len(sure), arrays.get("columns")
    if not 0 < size <= MAX_SAMPLES:
        raise Unreadable(f"expected {MAX_SAMPLES:,} samples at most, got {size:,}")
    if columns is not None:
        columns = checks.wholes(columns, (size, None), -1, constants.classes)
    logits = checks.floats(checks.entry(arrays, "logits"), (size, None))
    # A single column is the logit of class 1 against class 0; of more than 64 classes only those in `columns` are kept.
    widths = {1, 2} if constants.classes == 2 else {constants.classes}
    if columns is not None:
        widths = {columns.shape[1]}
    if logits.shape[1] not in widths:
        raise Unreadable(f"expected logits of {constants.classes} classes, got {logits.shape[1]} columns")
    label = arrays.get("label")
    return Result(
        answer=constants.answer,
        classes=constants.classes,
        logits=logits,
        prediction=_prediction(constants, checks.entry(arrays, "prediction"), size),
        confidence=sure[:, 0],
        certainty=sure[:, 1],
        columns=columns,
        label=None if label is None else _prediction(constants, label, size),
        correct=_truths(arrays.get("correct"), size),
        held_out=_truths(arrays.get("held_out"), size),
        right=_shares_right(arrays.get("right"), size),
        unit=checks.word(body.get("unit", ""), UNITS),
        **{name: checks.number(checks.entry(body, name)) for name in _NUMBERS_OF_RESULT},
    )


def _prediction(constants: Constants, array: Any, size: int) -> NDArray[Any]:
    """Check the predictions of samples, or their labels: classes (B); 0 or 1, or numbers, of (B) or (B, K)."""
    if constants.answer == "class":
        return checks.wholes(array, (size,), 0, constants.classes)
    shape = (size,) if np.ndim(array) == 1 else (size, constants.classes)
    return checks.wholes(array, shape, 0, 2) if constants.answer == "labels" else checks.numeric(array, shape)


def _shares_right(array: Any, size: int) -> NDArray[np.floating] | None:
    """Check the share of positions that is right in each sample."""
    return None if array is None else checks.shares(array, (size,))


def _truths(array: Any, size: int) -> NDArray[np.bool_] | None:
    return None if array is None else checks.wholes(array, (size,), 0, 2).astype(bool)


def _flags(entries: Any, kinds: Sequence[str], epoch: int) -> tuple[Flag, ...]:
    def flag(entry: Any) -> Flag:
        name, kind, since = checks.several(entry, lambda value: value, 3)
        return Flag(checks.text(name), checks.word(kind, kinds), checks.whole(since, 0, epoch + 1))

    return checks.several(entries, flag)


def shape(record: Mappings) -> tuple[Any, ...]:
    """Return the shapes that records must share to be stacked over epochs."""
    result = record.result
    arrays = (result.label, result.correct, result.held_out, result.right)
    optional = [None if array is None else array.shape for array in arrays]
    return record.features.coordinates.shape, result.prediction.shape, *optional
