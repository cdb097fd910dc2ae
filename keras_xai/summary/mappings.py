"""A `Mappings` record as blobs and back: the only record of many arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

# What is drawn one by one, and the layers in pairs: zeros hardly take room in a file.
SAMPLES, LAYERS = 1 << 16, 1 << 9

# The columns of a mappings record that have one number a layer: of its features, then of its decision.
_OF_LAYERS = (
    ("width", "mean", "std", "saturation", "dead", "spread", "participation", "cka_previous", "cka_first")
    + ("scale", "captured"),
    ("readability", "standard_error", "own_decision"),
)
_OF_RESULT = ("accuracy", "confidence_gap", "ece", "ece_floor", "held_out_accuracy")


def encode(record: Mappings) -> tuple[dict[str, Any], list[bytes]]:
    """The options of the tag, and the blobs of one epoch: a JSON string with the single numbers, then a map for each array
    that it names."""
    features, decision, result = record.features, record.decision, record.result
    parts = zip((features, decision), _OF_LAYERS, strict=True)
    arrays = {
        "layers": np.stack([np.asarray(getattr(part, c), np.float32) for part, names in parts for c in names], 1),
        "cka_layers": features.cka_layers,
        "coordinates": features.coordinates,
        "read_as": decision.read_as,
        "logits": result.logits,
        "prediction": result.prediction,
        "sure": np.stack([result.confidence, result.certainty], 1),
    }
    if result.columns is not None:
        arrays["columns"] = result.columns
    for key in ("correct", "label", "held_out"):
        if (each := getattr(result, key)) is not None:
            arrays[key] = each.astype(np.int32) if each.dtype == bool else each
    for name, surrogate in decision.surrogates.items():
        arrays[f"surrogate {name}"] = surrogate.coefficients
    body = {
        "arrays": list(arrays),
        "chance": decision.chance,
        **{name: getattr(result, name) for name in _OF_RESULT},
        "surrogates": {
            name: {"agreement": s.agreement, "r2": s.r2, "classes": s.classes}
            for name, s in decision.surrogates.items()
        },
        "flags": record.flags,
        "notes": record.notes,
        **({} if record.step is None else {"step": record.step}),
    }
    about = {
        "target": decision.target,
        "answer": result.answer,
        "classes": result.classes,
        "features": next((s.features for s in decision.surrogates.values()), ()),
        "thresholds": dict(record.thresholds),
    }
    return about, [json_of(body), *map(pack, arrays.values())]


@dataclass(frozen=True, eq=False)
class AboutMappings:
    """What all mappings of a run have in common."""

    layers: tuple[str, ...]
    target: Target
    answer: Answer
    classes: int
    features: tuple[str, ...]
    thresholds: Mapping[str, float]

    @classmethod
    def of(cls, names: Iterable[str], about: Mapping[str, Any]) -> AboutMappings:
        layers = checks.unique(names)
        if not 0 < len(layers) <= LAYERS:
            raise Unreadable(f"expected the names of {LAYERS} layers at most, got {len(layers)}")
        return cls(
            layers=layers,
            target=checks.word(checks.entry(about, "target"), TARGETS),
            answer=checks.word(checks.entry(about, "answer"), ANSWERS),
            classes=checks.whole(checks.entry(about, "classes"), 1, 2**31),
            features=checks.several(checks.entry(about, "features"), checks.text),
            thresholds=checks.numbers(checks.entry(about, "thresholds")),
        )


def decode(epoch: int, about: AboutMappings, blobs: Any) -> Mappings:
    if not isinstance(blobs, list) or not blobs:
        raise Unreadable("expected a JSON object and arrays")
    epoch, body = checks.epoch(epoch), checks.parsed(bytes(blobs[0]))
    names = checks.unique(checks.several(checks.entry(body, "arrays"), checks.text, len(blobs) - 1))
    arrays = dict(zip(names, unpacked(list(map(bytes, blobs[1:]))), strict=True))
    result = _result(about, body, arrays)
    return Mappings(
        epoch=epoch,
        features=_features(about, arrays, len(result.certainty)),
        decision=_decision(about, body, arrays, len(result.certainty)),
        result=result,
        flags=_flags(checks.entry(body, "flags"), MAPPING_FLAGS, epoch),
        notes=_flags(checks.entry(body, "notes"), MAPPING_NOTES, epoch),
        thresholds=about.thresholds,
        step=None if body.get("step") is None else checks.whole(body["step"]),
    )


def _columns(about: AboutMappings, arrays: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The numbers of the layers, by their names in the records."""
    names = [*_OF_LAYERS[0], *_OF_LAYERS[1]]
    table = checks.floats(checks.entry(arrays, "layers"), (len(about.layers), len(names)))
    return dict(zip(names, table.T, strict=True))


def _features(about: AboutMappings, arrays: Mapping[str, Any], size: int) -> Features:
    count, column = len(about.layers), _columns(about, arrays)
    coordinates = checks.finite(checks.entry(arrays, "coordinates"), (count, size, None))
    if coordinates.shape[2] < 2:
        raise Unreadable(f"expected two coordinates or more, got {coordinates.shape[2]}")
    width = checks.wholes(column["width"], (count,), 0, 2**31)
    return Features(
        about.layers,
        **{name: column[name] for name in _OF_LAYERS[0]} | {"width": width},
        cka_layers=checks.floats(checks.entry(arrays, "cka_layers"), (count, count)),
        coordinates=coordinates,
    )


def _decision(about: AboutMappings, body: Mapping[str, Any], arrays: Mapping[str, Any], size: int) -> Decision:
    column = _columns(about, arrays)
    surrogates = checks.members(checks.entry(body, "surrogates"))
    return Decision(
        target=about.target,
        **{name: column[name] for name in _OF_LAYERS[1]},
        chance=checks.number(checks.entry(body, "chance")),
        read_as=checks.wholes(checks.entry(arrays, "read_as"), (len(about.layers), size), -1, about.classes),
        surrogates={name: _surrogate(about, name, entry, arrays) for name, entry in surrogates.items()},
    )


def _surrogate(about: AboutMappings, name: str, entry: Any, arrays: Mapping[str, Any]) -> Surrogate:
    body = checks.members(entry)
    classes = checks.several(checks.entry(body, "classes"), lambda value: checks.whole(value, 0, about.classes))
    if not about.features or not classes:
        raise Unreadable(f"surrogate {name}: expected features and classes, got none")
    weights = checks.entry(arrays, f"surrogate {name}")
    return Surrogate(
        features=about.features,
        classes=classes,
        coefficients=checks.finite(weights, (len(about.features), len(classes))),
        agreement=checks.number(checks.entry(body, "agreement")),
        r2=checks.number(checks.entry(body, "r2")),
    )


def _result(about: AboutMappings, body: Mapping[str, Any], arrays: Mapping[str, Any]) -> Result:
    sure = checks.shares(checks.entry(arrays, "sure"), (None, 2))
    size, columns = len(sure), arrays.get("columns")
    if not 0 < size <= SAMPLES:
        raise Unreadable(f"expected {SAMPLES:,} samples at most, got {size:,}")
    if columns is not None:
        columns = checks.wholes(columns, (size, None), -1, about.classes)
    logits = checks.floats(checks.entry(arrays, "logits"), (size, None))
    # A single column says "class 1 or not"; of more than 64 classes those are kept that the columns name.
    widths = {columns.shape[1]} if columns is not None else {1, 2} if about.classes == 2 else {about.classes}
    if logits.shape[1] not in widths:
        raise Unreadable(f"expected logits of {about.classes} classes, got {logits.shape[1]} columns")
    label = arrays.get("label")
    return Result(
        answer=about.answer,
        classes=about.classes,
        logits=logits,
        prediction=_said(about, checks.entry(arrays, "prediction"), size),
        confidence=sure[:, 0],
        certainty=sure[:, 1],
        columns=columns,
        label=None if label is None else _said(about, label, size),
        correct=_truths(arrays.get("correct"), size),
        held_out=_truths(arrays.get("held_out"), size),
        **{name: checks.number(checks.entry(body, name)) for name in _OF_RESULT},
    )


def _said(about: AboutMappings, array: Any, size: int) -> NDArray[Any]:
    """What a model says of its samples, or should have said: classes; truths or numbers in one or several columns."""
    if about.answer == "class":
        return checks.wholes(array, (size,), 0, about.classes)
    shape = (size,) if np.ndim(array) == 1 else (size, about.classes)
    return checks.wholes(array, shape, 0, 2) if about.answer == "labels" else checks.numeric(array, shape)


def _truths(array: Any, size: int) -> NDArray[np.bool_] | None:
    return None if array is None else checks.wholes(array, (size,), 0, 2).astype(bool)


def _flags(entries: Any, known: Sequence[str], epoch: int) -> tuple[Flag, ...]:
    def flag(entry: Any) -> Flag:
        name, kind, since = checks.several(entry, lambda part: part, 3)
        return Flag(checks.text(name), checks.word(kind, known), checks.whole(since, 0, epoch + 1))

    return checks.several(entries, flag)


def shape(record: Mappings) -> tuple[Any, ...]:
    """What the records of one run share, so that they go into arrays over epochs."""
    result = record.result
    there = [None if array is None else array.shape for array in (result.label, result.correct, result.held_out)]
    return record.features.coordinates.shape, result.prediction.shape, *there
