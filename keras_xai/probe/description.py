"""A probe without its samples as plain JSON, and back: what an event file holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_xai.frames import Names
from keras_xai.outputs.dense import Dense
from keras_xai.outputs.spec import output_text
from keras_xai.probe.probe import UNDECIDED, Probe


def describe(probe: Probe) -> dict[str, Any]:
    """Return all that is known of the samples besides their values, as plain JSON."""
    stored = probe.store == "inputs" and probe.x is not None
    vocabulary = probe.vocabulary or ()
    words = vocabulary.items() if isinstance(vocabulary, Mapping) else enumerate(vocabulary)
    # Of labels, one a position: the classes say what is true of what is explained.
    has_maps = isinstance(probe.output, Dense)
    segments = probe.groups.tolist() if isinstance(probe.groups, np.ndarray) else None
    groups = None
    if isinstance(probe.groups, dict):
        groups = {name: list(map(int, columns)) for name, columns in probe.groups.items()}
    description = {
        "kind": probe.kind,
        "shape": list(probe.shape),
        "shapes": [list(shape) for shape in probe.shapes],
        "size": probe.size,
        "inputs": list(probe.keys) if probe.keys is not None else len(probe.shapes),
        "labels": probe.y.tolist() if stored and probe.y is not None and not has_maps else None,
        "class_names": probe.class_names,
        "output": output_text(probe.output),
        "explained": probe.explained,
        "segments": segments,
        "groups": groups,
        "vocabulary": {str(token): str(word) for token, word in words},
        "store": probe.store,
        "hash": probe.hash,
    }
    if probe.rows is not None:
        description |= {"rows": probe.rows.tolist(), "whole_size": probe.whole_size}
    if not isinstance(probe.decided_classes, str):
        classes = probe.decided_classes
        description["classes"] = classes.tolist() if stored and classes is not None else None
    return description


def probe_of(description: Mapping[str, Any], x: Any = None, names: Names = None) -> Probe:
    """Return the probe that a description is of.

    Args:
        description: as `describe` gives it.
        x: its samples; None where they were not written.
        names: its feature names.

    Raises:
        InvalidInput: samples, labels and names that do not go together.
    """
    shape = tuple(map(int, description["shape"]))
    shapes = tuple(tuple(map(int, each)) for each in description.get("shapes") or [shape])
    inputs = tuple(x) if isinstance(x, dict) else description.get("inputs")
    labels, class_names = description.get("labels"), description.get("class_names")
    classes: Any = UNDECIDED
    if "classes" in description:
        decided = description["classes"]
        classes = None if decided is None else np.asarray(decided, np.int64)
    rows = description.get("rows")
    segments, groups = description.get("segments"), description.get("groups")
    if segments is not None:
        groups = np.asarray(segments)
    elif groups is not None:
        groups = dict(groups)
    return Probe.read_back(
        x=x,
        kind=str(description["kind"]),
        shapes=shapes,
        keys=tuple(map(str, inputs)) if isinstance(inputs, (list, tuple)) else None,
        size=int(description["size"]),
        rows=None if rows is None else np.asarray(rows, np.int64),
        whole_size=int(description.get("whole_size", description["size"])),
        y=None if labels is None else np.asarray(labels),
        decided_classes=classes,
        output=description.get("output"),
        _written_words=str(description.get("explained", "")),
        class_names=None if class_names is None else tuple(map(str, class_names)),
        feature_names=names,
        vocabulary={int(token): str(word) for token, word in description.get("vocabulary", {}).items()} or None,
        groups=groups,
        store=str(description.get("store", "inputs")),
        hash=str(description.get("hash", "")),
    )
