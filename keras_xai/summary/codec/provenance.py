"""`Provenance` on the wire: one JSON string."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from keras_xai.provenance import LayerSummary, ModelSummary, ProbeSummary, Provenance, nested
from keras_xai.summary import checks
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.tag_constants import plugin_data
from keras_xai.summary.tensors import Value, only_string

TAG = f"{PLUGIN_NAME}/provenance"
T = TypeVar("T")


def encode(record: Provenance) -> Iterator[Value]:
    """Encode how a training was begun."""
    yield TAG, plugin_data(PluginData.PROVENANCE), [json_of(nested(record))]


def decode(update: int, constants: tuple[()], content: Any) -> Provenance:
    """Decode how a training was begun."""
    body = checks.parsed(only_string(content))
    seed = body.get("seed")
    return Provenance(
        epoch=checks.epoch(update),
        wall_time=checks.amount(checks.entry(body, "wall_time"), 1e12),
        versions={name: checks.text(version) for name, version in checks.members(body.get("versions", {})).items()},
        backend=checks.text(body.get("backend", "")),
        platform=checks.text(body.get("platform", "")),
        model=_optional(body.get("model"), _model),
        probe=_optional(body.get("probe"), _probe),
        seed=None if seed is None else checks.whole(seed, -(2**63), 2**64),
        seed_is_known=checks.flag(body.get("seed_is_known", True)),
        command=checks.several(body.get("command", []), checks.text),
        epochs=_optional(body.get("epochs"), checks.whole),
        steps=_optional(body.get("steps"), checks.whole),
    )


def _optional(value: Any, check: Callable[[Any], T]) -> T | None:
    return None if value is None else check(value)


def _model(body: Any) -> ModelSummary:
    body = checks.members(body)
    return ModelSummary(
        name=checks.text(checks.entry(body, "name")),
        kind=checks.text(checks.entry(body, "kind")),
        parameters=checks.whole(checks.entry(body, "parameters")),
        trainable=checks.whole(checks.entry(body, "trainable")),
        layer_count=checks.whole(checks.entry(body, "layer_count")),
        layers=checks.several(body.get("layers", []), _layer),
        optimizer=checks.text(body.get("optimizer", "")),
        loss=checks.text(body.get("loss", "")),
    )


def _layer(body: Any) -> LayerSummary:
    body = checks.members(body)
    return LayerSummary(
        name=checks.text(checks.entry(body, "name")),
        kind=checks.text(checks.entry(body, "kind")),
        shape=checks.text(checks.entry(body, "shape")),
        parameters=checks.whole(checks.entry(body, "parameters")),
    )


def _probe(body: Any) -> ProbeSummary:
    body = checks.members(body)
    return ProbeSummary(
        size=checks.whole(checks.entry(body, "size")),
        gallery=checks.whole(checks.entry(body, "gallery")),
        kind=checks.text(checks.entry(body, "kind")),
        hash=checks.text(checks.entry(body, "hash")),
        features=checks.whole(checks.entry(body, "features")),
        classes=checks.several(body.get("classes", []), checks.text),
        slices=checks.several(body.get("slices", []), checks.text),
        source=checks.text(body.get("source", "")),
    )
