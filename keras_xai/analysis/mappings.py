"""Mappings over epochs: coordinates aligned between epochs, suspicious samples, flags in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.epochs import position
from keras_xai.errors import unknown
from keras_xai.probe.gallery import balanced_rows
from keras_xai.recorded import Recorded
from keras_xai.records import Float, Mappings, Result, Samples
from keras_xai.updates import named

MAX_LISTED_CLASSES = 1000  # of more classes only those that occur are listed


def layers(records: Sequence[Mappings]) -> tuple[str, ...]:
    """Return the layers of a run."""
    return records[-1].features.layers if records else ()


def layer_index(records: Sequence[Mappings], name: str | None) -> int:
    """Return the index of the layer asked for, or of the last one before the logits.

    Raises:
        InvalidInput: the run has no such layer.
    """
    names = layers(records)
    if name and name not in names:
        raise unknown("layer", name, names)
    return names.index(name) if name else max(0, len(names) - 2)


def has_prediction(result: Result) -> NDArray[np.bool_]:
    """Return True for the samples (B) whose logits have no NaN, so that their prediction means something."""
    logits = np.asarray(result.logits, np.float32).reshape(len(result.logits), -1)
    return np.asarray(~np.isnan(logits).any(1))


def at_epoch(records: Sequence[Mappings], epoch: int | None) -> int:
    """Return the index of the last record up to an epoch that has a prediction; where none has, of the last one."""
    nearest = position([record.update for record in records], epoch)
    for at in range(nearest, -1, -1):
        if has_prediction(records[at].result).any():
            return at
    return nearest


def aligned_coordinates(records: Sequence[Mappings], layer: int, reference: int | None = None) -> Float:
    """Return the two-dimensional position of each sample at each epoch (E, B, 2), in units of the layer's root mean square.

    Every epoch's principal coordinates are rotated or reflected to fit those of the reference record best (orthogonal
    Procrustes, Schönemann 1966), and the first two axes of the reference are kept. Samples then move only as the training
    moved them: principal components of each epoch by itself would flip and jump.

    Args:
        records: of E epochs.
        layer: its index.
        reference: index of a record; default the last one with a prediction.

    Returns:
        float64; NaN at epochs without a prediction.
    """
    coordinates = [np.asarray(record.features.coordinates[layer], np.float64) for record in records]
    reference = at_epoch(records, None) if reference is None else reference
    planes = []
    for record, epoch_coordinates in zip(records, coordinates, strict=True):
        left, _, right = np.linalg.svd(epoch_coordinates.T @ coordinates[reference])
        plane = (epoch_coordinates @ (left @ right))[:, :2]
        planes.append(plane if has_prediction(record.result).any() else np.full_like(plane, np.nan))
    return np.stack(planes) if planes else np.zeros((0, 0, 2))


def samples_until(run: Recorded, epoch: int | None) -> Samples | None:
    """Return the training dynamics of the samples up to an epoch; None for a run without mappings."""
    records = run.mappings
    return Samples.of(records[: at_epoch(records, epoch) + 1]) if records else None


def listed_classes(records: Sequence[Mappings]) -> NDArray[np.int64]:
    """Return the classes that the tab numbers by their index in this list: all, or of very many only those that occur."""
    last = records[-1].result
    if last.answer != "class":
        return np.zeros(0, np.int64)
    if last.classes <= MAX_LISTED_CLASSES:
        return np.arange(last.classes)
    labels = [] if last.label is None else [last.label]
    return np.unique(np.concatenate([*labels, *(record.result.prediction for record in records)]))


class Suspect(NamedTuple):
    """A sample whose label neither the model nor the other samples speak for: it is mislabelled, or hard."""

    row: int  # of the probe
    quality: float  # of the label, mean over epochs, see `records.Mappings`
    confidence: float  # probability of the label, mean over epochs
    support: float  # of the label by linear probes of the layers, mean over epochs; NaN where it is not known
    label: int
    prediction: int  # at the last epoch


def suspects(run: Recorded, count: int) -> list[Suspect]:
    """Return at most `count` samples, the lowest label quality first; none without labels that are classes."""
    samples = samples_until(run, None)
    if samples is None:
        return []
    last = run.mappings[at_epoch(run.mappings, None)].result
    if last.answer != "class" or last.label is None:
        return []
    return [
        Suspect(
            row=row,
            quality=float(samples.label_quality[row]),
            confidence=float(samples.mean_confidence[row]),
            support=float(samples.label_support[row]),
            label=int(last.label[row]),
            prediction=int(last.prediction[row]),
        )
        for row in samples.suspects(count).tolist()
    ]


def gallery_rows(run: Recorded) -> list[int]:
    """Return the rows of the whole probe that the gallery shows; [] where they cannot be found.

    An older file does not hold them. They are chosen again from the labels, and kept only if they have the gallery's labels.
    """
    if run.probe is not None and run.probe.rows is not None:
        return [int(row) for row in run.probe.rows]
    if run.probe is None or not run.mappings:
        return []
    last = run.mappings[-1].result
    if last.label is None or last.answer != "class" or run.probe.classes is None:
        return []
    label = np.asarray(last.label, np.int64)
    rows = balanced_rows(label, len(label), run.probe.size)
    if len(rows) != len(run.probe.classes) or not (label[rows] == run.probe.classes).all():
        return []
    return [int(row) for row in rows]


FLAG_SENTENCES = {
    "dead layer": "{name} is dead since {since}",
    "non-finite": "{name} gives NaN or infinite values since {since}",
    "memorising": "the {name} memorises since {since}",
    "inference gap": "the {name} is another one in inference since {since}",
}


def mapping_health(run: Recorded, epoch: int | None = None) -> str:
    """Return a sentence on the flags that stand at an epoch, and on stable layers; "" where nothing was recorded."""
    records = run.mappings
    if not records:
        return ""
    record = records[at_epoch(records, epoch)]
    clauses = []
    for flag in record.flags:
        template = FLAG_SENTENCES.get(flag.kind, f"{{name}}: {flag.kind} since {{since}}")
        clauses.append(template.format(name=flag.name, since=named(run.unit, flag.since)))
    stable = [
        f"{note.name} since {note.since if run.unit == 'epoch' else named(run.unit, note.since)}"
        for note in record.notes
        if note.kind == "stable"
    ]
    sentence = "; ".join(clauses) or "no flag"
    standing = f" Standing still: {', '.join(stable)}." if stable else ""
    return f"{sentence[0].upper()}{sentence[1:]}.{standing}"
