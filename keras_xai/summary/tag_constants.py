"""The constants of a tag, in `PluginData`, which TensorBoard keeps from the tag's first event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from keras_xai.records import Source
from keras_xai.summary import checks
from keras_xai.summary.checks import Unreadable
from keras_xai.summary.json_text import json_of
from keras_xai.summary.plugin_data_pb2 import PluginData

SCHEMA = 1


def plugin_data(
    kind: int, *, names: Sequence[str] = (), options: Mapping[str, Any] | None = None, **fields: Any
) -> PluginData:
    """Return the constants of a tag, in this version's schema.

    Args:
        kind: one of the kinds of `PluginData`.
        names: of variables, features or layers.
        options: further constants, written as JSON.
        **fields: of `PluginData`.
    """
    data = PluginData(schema_version=SCHEMA, kind=kind, names=list(map(str, names)), **fields)
    if options:
        data.options = json_of(options).decode()
    return data


def constants(content: bytes) -> PluginData:
    """Return the constants of a tag from their bytes.

    Raises:
        Unreadable: not a `PluginData`, or written by a newer version.
    """
    try:
        data = PluginData.FromString(content)
    except DecodeError as error:
        raise Unreadable(str(error)) from error
    if not 1 <= data.schema_version <= SCHEMA:
        raise Unreadable(f"schema version {data.schema_version}; this version reads up to {SCHEMA}")
    return data


def options(data: PluginData) -> dict[str, Any]:
    """Return the JSON options of a tag."""
    return checks.parsed(data.options or "{}")


def continuing(data: PluginData) -> PluginData:
    """Return the constants of a later part of a series, which refer to those of the first: names are not repeated."""
    return plugin_data(data.kind, method=data.method, options={"continues": True})


def continues(data: PluginData) -> bool:
    """Return True for the constants of a later part, which refer to those of the first."""
    return options(data).get("continues") is True


def named_source(data: PluginData, source: Source) -> Source:
    """Check that the constants of a tag name the same source as the tag, and return it.

    Raises:
        Unreadable: they name another one.
    """
    if data.method != source:
        raise Unreadable(f"expected the source {source}, got {data.method!r}")
    return source


def no_constants(data: PluginData) -> tuple[()]:
    """Return nothing: for tags whose constants are the kind and version alone."""
    return ()
