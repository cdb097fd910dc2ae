"""The contents of the routes' answers: parts of a run as JSON, or as framed arrays."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis import gradients, mappings
from keras_xai.analysis import importance as importances
from keras_xai.analysis.attributions import arrays_of, method_named, methods_of
from keras_xai.analysis.epochs import epoch_ends
from keras_xai.analysis.influence import set_off_by
from keras_xai.analysis.losses import losses, true_numbers
from keras_xai.analysis.map_checks import MapVerdict
from keras_xai.analysis.outputs import (
    LARGE_COMPLETENESS_ERROR,
    class_name,
    explained,
    has_classes,
    is_percent,
    predicted,
    probabilities,
    target_name,
    title_value,
    trajectory,
)
from keras_xai.analysis.reliance_gap import carriers_in_words
from keras_xai.analysis.run_row import run_row
from keras_xai.analysis.vocabulary import vocabulary
from keras_xai.events import event_key, events
from keras_xai.figures import FIGURES, PANELS
from keras_xai.figures.colour import MAPS, RUN_DASHES, RUNS, THEMES, TOKENS, class_colours, ramp
from keras_xai.judgement import not_finite_since, noted, part_name
from keras_xai.plugin.framing import LEVELS, Quantized, framed, means, quantized
from keras_xai.plugin.sent_updates import sent_updates
from keras_xai.probe import Probe
from keras_xai.provenance import nested
from keras_xai.records import Alert, Attribution, Epoch, Importance
from keras_xai.run import Run
from keras_xai.spatial import SPATIAL_KINDS, SpatialShape, kind_of_input
from keras_xai.summary.codec.probe import coded_texts
from keras_xai.updates import BEFORE, moment_of

MAX_SUSPECTS = 16
WATCHED_LOSSES = ("loss", "val_loss")


def theme() -> dict[str, Any]:
    """Return the colours of both themes (each colour map as 256 hex colours), and the vocabulary of the tab.

    To that belong the names of the figures that a notebook can draw.
    """
    themes: dict[str, Any] = {}
    for name in THEMES:
        maps = {map_name: ramp(name, map_name) for map_name in MAPS}
        themes[name] = {"tokens": TOKENS[name], "runs": RUNS[name], "maps": maps}
    return {**themes, "dashes": RUN_DASHES, "vocabulary": {**vocabulary(), "figures": [*FIGURES, *PANELS]}}


def card(name: str, run: Run) -> dict[str, Any]:
    """Return the summary of a run for the run picker, the status line and the polling page."""
    last = run.history[-1] if run.history else None
    probe = run.probe_described
    return {
        "name": name,
        "error": "",
        "unit": run.unit,
        "epochs": len(run.updates),
        "before": bool(run.methods_before),
        "last": None if last is None else _last(last),
        "alerts": len(events(alert for alert in run.alerts if alert.is_alarm)),  # alerts of one cause count once
        "flags": _flag_counts(run),
        "probe": None if probe is None else _described(probe),
        "faults": len(run.stops) + bool(run.missing_epochs),
        "not_finite": last is not None and not _is_finite(last),
        "stamp": f"{len(run.updates)}.{last.wall_time if last else len(run.methods_before):.3f}",
    }


def pending(name: str) -> dict[str, Any]:
    """Return the card of a run that is listed and not read yet."""
    return {**unread(name, ""), "pending": True}


def row(run: Run) -> dict[str, Any]:
    """Return a run as a row of the table of runs, with numbers that are not finite in words."""
    values = vars(run_row(run))
    return {key: _number_or_words(value) for key, value in values.items()}


def _number_or_words(value: Any) -> Any:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "∞" if value > 0 else "−∞"


def _described(samples: Probe) -> dict[str, Any]:
    """Return kind and sizes of a gallery, and a hash that galleries of the same rows share."""
    rows = "" if samples.rows is None else f".{zlib.crc32(samples.rows.astype('<i8').tobytes()):08x}"
    whole_size = samples.whole_size
    return {"kind": samples.kind, "size": samples.size, "whole_size": whole_size, "hash": samples.hash + rows}


def _last(record: Epoch) -> dict[str, Any]:
    return {
        "epoch": record.update,
        "moment": record.moment,
        "wall_time": record.wall_time,
        "seconds": record.seconds,
    }


def unread(name: str, fault: str) -> dict[str, Any]:
    """Return the card of a run that cannot be read, with the reason."""
    nothing: dict[str, Any] = {
        "unit": "epoch",
        "epochs": 0,
        "before": False,
        "last": None,
        "alerts": 0,
        "flags": {},
        "probe": None,
        "faults": 0,
    }
    return {"name": name, "error": fault, **nothing, "stamp": fault}


def _is_finite(record: Epoch) -> bool:
    return all(math.isfinite(record.logs[key]) for key in WATCHED_LOSSES if key in record.logs)


def _flag_counts(run: Run) -> dict[str, int]:
    """Return the number of variables and layers with each kind of flag."""
    pairs = dict.fromkeys((name, kind) for name, kind, _ in run.flags)
    kinds = [kind for _, kind in pairs]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def whole(name: str, run: Run) -> dict[str, Any]:
    """Return everything of a run but its large arrays: history, alerts, names, scores.

    Where an answer says `epoch` or `epochs` these are the numbers of updates: steps in a run whose `unit` is the step. Then
    `epoch_of` are the epochs of its updates, and `ends` the steps at which epochs ended.
    """
    history, records = run.history, run.weight_gradients
    cost, once = _cost(history)
    return {
        **card(name, run),
        "epochs": run.updates,
        "epoch_of": [] if run.unit == "epoch" else [record.epoch for record in history],
        "ends": epoch_ends(run),
        "wall_times": [record.wall_time for record in history],
        "learning_rate": [record.learning_rate for record in history],
        "logs": list(dict.fromkeys(key for record in history for key in record.logs)),
        "cost": cost,
        "cost_once": once,
        "not_finite_since": not_finite_since(run.importance_live or run.importance),
        "notes": notes(run),
        "stops": {part_name(stop.part): f"Stopped at {stop.moment}: {stop.reason}." for stop in run.stops},
        "passed_over": run.passed_over,
        "provenance": [{"moment": record.moment, **nested(record)} for record in run.provenance],
        "alerts": [alert(record, run) for record in run.alerts],
        "methods": [_method(run, method) for method in methods_of(run)],
        "opens_with": method_named(run, None),
        "variables": gradients.variables(records),
        "layers": list(gradients.layers(records)),
        "gradient_epochs": [record.update for record in records],
        "has_critical_step": bool(run.critical_step),
        "probe": None if run.probe is None else probe(run.probe),
        "chosen": _chosen(run),
        "influence": run.has_influences,
        "sources": {
            source: _source(importance)
            for source, importance in importances.sources(run).items()
            if importance is not None
        },
    }


def _chosen(run: Run) -> dict[str, Any] | None:
    """Return the rule of a gallery that changes, with the updates and how many rows it chose at each; None without one."""
    records = run.chosen_rows
    if not records:
        return None
    updates, counts = [record.update for record in records], [len(record.rows) for record in records]
    return {"rule": records[-1].rule, "epochs": updates, "counts": counts}


def _cost(history: Sequence[Epoch]) -> tuple[float | None, float]:
    """Return the callbacks' cost in each epoch as a share of the training time, and the seconds that came once."""
    once = sum(record.once_seconds for record in history)
    seconds = sum(record.seconds for record in history) - once
    cost = sum(record.cost_seconds for record in history) - once
    return (cost / seconds if seconds > 0 else None), once


def _method(run: Run, name: str) -> dict[str, Any]:
    epochs = run.attribution_updates(name)
    return {
        "name": name,
        "title": run.method_title(name),
        "epochs": epochs,
        "before": name in run.methods_before,
        "quantity": run.method_quantity(name),
        "layer": run.method_layer(name),
        "task": run.method_task(name),
        "checks": [_check(MapVerdict.of(check)) for check in run.map_checks.get(name, ())],
    }


def _check(verdict: MapVerdict) -> dict[str, Any]:
    return {"epoch": verdict.check.update, "words": verdict.words, "faults": verdict.faults}


def _source(importance: Importance) -> dict[str, Any]:
    return {
        "epochs": importance.updates,
        "score": importance.score,
        "limit": importance.limit,
        "names": importance.names,
        "unmeasured": importance.unmeasured,
    }


def notes(run: Run) -> list[dict[str, Any]]:
    """Return the notes of the callbacks, and sentences on what could not be read."""
    entries: list[dict[str, Any]] = []
    for note in run.notes:
        moment = moment_of(note.epoch, note.step)
        entries.append({"epoch": note.update, "moment": moment, "text": noted(note), "stopped": note.stopped})
    for damage in run.passed_over.values():
        entries.append({"epoch": None, "moment": "", "text": damage, "stopped": False})
    return entries


def alert(record: Alert, run: Run) -> dict[str, Any]:
    """Return an alert and what is said of it.

    `cause` is equal for the alerts of one event, `lasted` the last update of the move, `changed_words` says how many rows differ,
    `rows` are in words.
    """
    return {
        **asdict(record),
        "epoch": record.update,
        "moment": record.moment,
        "rows": carriers_in_words(record, run),
        "set_off_by": [row._asdict() for row in set_off_by(run, record)],
        "alarm": record.is_alarm,
        "cause": " ".join(map(str, event_key(record))),
        "lasted": importances.lasted_until(record, run),
        "changed_words": None if record.changed is None else str(record.changed),
        "advice": record.advice,
    }


def probe(samples: Probe) -> dict[str, Any]:
    """Return the gallery without its values."""
    out: dict[str, Any] = {
        "kind": samples.kind,
        "size": samples.size,
        "whole_size": samples.whole_size,
        "rows": samples.rows,
        "hash": samples.hash,
        "stored": samples.x is not None,
        "labels": samples.classes,
        "class_names": samples.class_names,
        "features": samples.features,
        "inputs": input_names(samples),
        "explained": samples.explained,
    }
    if samples.kind in SPATIAL_KINDS:
        out["cells"] = importances.cells_of(samples)
    if samples.kind == "volume":
        out["depth"] = samples.spatial.positions[0]
    return out


def input_names(samples: Probe) -> list[str]:
    """Return the names of the model's inputs: the user's keys, or numbers.

    The columns of a table are one input; where no values were written there are no names.
    """
    if samples.x is None:
        return []
    if samples.is_columns:
        return ["columns"]
    return list(samples.x) if isinstance(samples.x, Mapping) else [f"input {i}" for i in range(len(samples.inputs))]


def importance(record: Importance) -> bytes:
    """Return the shares of one source over epochs."""
    return framed({"names": record.names, "epochs": record.updates}, {"share": record.share})


def inputs(samples: Probe) -> bytes:
    """Return the gallery's values: images as bytes, tokens with their words, texts in columns as numbers of categories.

    Volumes are the slices of all samples one after the other (B · D, H, W, C); the header has the number D of each under `depth`.
    """
    values = [np.asarray(array) for array in samples.inputs] if samples.x is not None else []
    coded = [coded_texts(array) for array in values]
    values = [codes for codes, _ in coded]
    categories: list[list[Any]] = [[words] * math.prod(codes.shape[1:]) if words else [] for codes, words in coded]
    if values and samples.is_columns:
        values, categories = [samples.feature_map.as_table(values)], [[words for _, words in coded]]
    header: dict[str, Any] = {
        "kind": samples.kind,
        "rows": samples.rows,
        "labels": samples.classes,
        "names": input_names(samples),
        "feature_names": samples.feature_map.column_names if samples.is_columns else samples.feature_names,
        "columns": _columns(samples),
        "categories": categories if any(map(any, categories)) else [],
    }
    arrays, depth = {}, {}
    for index, array in enumerate(values):
        if samples.kind == "tokens" and samples.vocabulary:
            header["words"] = _words(samples, array)
        kind = "" if samples.is_columns else kind_of_input(samples.kind, samples.shapes[index], samples.shapes)
        if kind == "volume":
            depth[f"x{index}"] = SpatialShape.of_volume(array.shape[1:]).positions[0]
        arrays[f"x{index}"] = _as_bytes(_in_slices(array, kind)) if kind in SPATIAL_KINDS else array
    return framed({**header, "depth": depth}, arrays)


def _in_slices(samples: NDArray[Any], kind: str) -> NDArray[Any]:
    """Return images (B, H, W, C), or the slices of volumes (B · D, H, W, C), with their channels last."""
    spatial = SpatialShape.of_kind(kind, samples.shape[1:])
    pictures = samples[..., None] if spatial.channel_axis is None else np.moveaxis(samples, spatial.channel_axis, -1)
    return pictures.reshape(-1, *pictures.shape[-3:])


def _as_bytes(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images as bytes, 0 for the smallest value of all and 255 for the largest."""
    low, high = float(images.min()), float(images.max())
    return np.round(LEVELS * (images - low) / ((high - low) or 1.0)).astype(np.uint8)


def _words(samples: Probe, tokens: NDArray[Any]) -> list[list[str]]:
    """Return the words of each text; the number of a token that is not in the vocabulary."""
    vocabulary = samples.vocabulary or {}
    words = dict(vocabulary.items() if isinstance(vocabulary, Mapping) else enumerate(vocabulary))
    texts = tokens.reshape(len(tokens), -1).astype(np.int64).tolist()
    return [_words_of(text, words) for text in texts]


def _words_of(text: Sequence[int], words: Mapping[Any, Any]) -> list[str]:
    return [str(words.get(token, token)) for token in text]


def _columns(samples: Probe) -> list[Sequence[str]]:
    """Return the column names of each input of several that is a table; () for other inputs, [] for a single input."""
    if samples.is_columns or len(samples.shapes) == 1:
        return []
    return [samples.feature_map.names_of(k) if len(shape) == 1 else () for k, shape in enumerate(samples.shapes)]


def outputs(
    run: Run, method: str, *, before: bool = False, chosen_at: int | None = None, at: int | None = None
) -> bytes:
    """Return the model's outputs for the gallery over updates, those of the untrained model alone, or of chosen rows.

    Of a very long run not all updates are sent, see `sent_updates`; the header's `thinned` says so.

    Arrays (E, B): `target`; `prediction`, the predicted class, NaN without one; `shown`, the number in a sample's title;
    `explained`, the explained value; `trajectory`, the value drawn over epochs; `score` and the `baseline` it is compared with;
    `loss` of the label, NaN without one; `truth` of a number; and the errors that the method has. `outputs` (E, B, K) are
    probabilities, or raw outputs.

    Args:
        run: the run.
        method: that explains.
        before: of the untrained model alone.
        chosen_at: the update whose chosen rows are wanted, in the place of the fixed gallery. Their numbers and labels stand
            in the header under `rows` and `labels`.
        at: the only update that is wanted.
    """
    table = run.outputs_before(method) if before else run.outputs(method)
    samples = run.probe
    if chosen_at is not None:
        table, rows = run.chosen_outputs(method, chosen_at), rows_chosen_at(run, chosen_at)
        samples = run.samples_of(rows)
        if samples is not None and samples.size < len(rows):
            samples = None  # not all of them were written: what is not known of some is said of none
    if table is None:
        return framed({"epochs": []}, {})
    arrays: dict[str, NDArray[Any]] = {
        "target": table.target,
        "prediction": predicted(table),
        "shown": title_value(table),
        "explained": explained(table),
        "trajectory": trajectory(table, None if samples is None else samples.classes),
        "score": table.score,
        "baseline": table.baseline_score,
        "loss": losses(table, samples),
        "truth": true_numbers(table, samples),
    }
    if table.completeness_error is not None:
        arrays["completeness_error"] = table.completeness_error
    if table.quadrature_error is not None:
        arrays["quadrature_error"] = table.quadrature_error
    if table.r2 is not None:
        arrays["r2"] = table.r2
    if table.outputs.size:
        arrays["outputs"] = probabilities(table)
    if at is None:
        is_read = np.asarray(np.isfinite(table.score).any(1))
        sent = sent_updates(table.updates, arrays["trajectory"], is_read, importances.alarm_epochs(run))
    else:
        sent = np.flatnonzero(table.updates == at)
    header: dict[str, Any] = {
        "epochs": table.updates[sent],
        "thinned": at is None and len(sent) < len(table.updates),
        "task": table.task,
        "percent": is_percent(table),
        "classes": has_classes(table),
        "targets": {int(t): target_name(run, table, int(t)) for t in np.unique(table.target)},
        "large_error": LARGE_COMPLETENESS_ERROR,
    }
    if chosen_at is not None:
        header |= {"rows": rows, "labels": None if samples is None else samples.classes}
    return framed(header, {name: values[sent] for name, values in arrays.items()})


def rows_chosen_at(run: Run, update: int) -> list[int]:
    """Return the rows of the probe that the gallery's rule chose at an update; [] where it chose none."""
    rows: list[int] = next((record.rows.tolist() for record in run.chosen_rows if record.update == update), [])
    return rows


def attribution(record: Attribution, most: int | None = None, sample: int | None = None) -> bytes:
    """Return the attributions of one method at one epoch, one array for each input of the model; maps of images in 8 bits.

    A map of twice `most` pixels or more in width is averaged over cells. Then the header has the original sides under `whole`;
    `counts` (B, 256) are the numbers of original values at each of the 256 levels between `ends` (B, 2), from which the
    browser computes percentiles. Maps of volumes are the slices of all samples one after the other (B · d, h, w), each slice with
    ends of its own; the header has the number d of each under `depth`.

    Args:
        record: the attributions.
        most: width in pixels at which a map is shown; None for the original size.
        sample: row of the gallery; None for all.
    """
    update = BEFORE if record.epoch is None else record.update
    header: dict[str, Any] = {"epoch": update, "method": record.method}
    arrays: dict[str, NDArray[Any] | Quantized] = {}
    for k, values in enumerate(arrays_of(record)):
        rows = values if sample is None else values[sample : sample + 1]
        if rows.ndim == 4 and record.kind == "volume":
            header.setdefault("depth", {})[f"v{k}"] = rows.shape[1]
            arrays[f"v{k}"] = quantized(rows.reshape(-1, *rows.shape[2:]))
            continue
        if rows.ndim != 3 or record.kind not in SPATIAL_KINDS:
            arrays[f"v{k}"] = rows
            continue
        maps = quantized(rows)
        step = rows.shape[2] // most if most and rows.size else 1
        if step <= 1:
            arrays[f"v{k}"] = maps
            continue
        arrays[f"v{k}"] = means(maps, step)
        arrays[f"counts{k}"] = np.stack([np.bincount(row.ravel(), minlength=LEVELS + 1) for row in maps.values])
        arrays[f"ends{k}"] = np.stack([maps.low, maps.high], 1)
        header.setdefault("whole", {})[f"v{k}"] = rows.shape[1:]
    return framed(header, arrays)


def mapping(run: Run, layer: str | None = None) -> bytes:
    """Return the coordinates of the samples in one layer over epochs, aligned to the last, with labels and predictions.

    `places` (E, B, 2) are the coordinates, `prediction` (E, B) and `label` (B) indices into the header's `classes`. The
    header's `gallery` are the rows of the probe that the gallery shows, in its order. A run without mappings has no epochs.
    """
    records = run.mappings
    if not records:
        return framed({"epochs": []}, {})
    k, last = mappings.layer_index(records, layer), records[-1].result
    read = np.stack([mappings.has_prediction(record.result) for record in records])  # (E, B)
    classes, names = mappings.listed_classes(records), mappings.layers(records)
    header = {
        "epochs": [record.update for record in records],
        "read": read.any(1).tolist(),  # False for epochs at which nothing is finite
        "layers": names,
        "layer": names[k],
        "classes": [class_name(run, int(c)) for c in classes],
        "colours": {theme: class_colours(theme, last.classes, classes) for theme in THEMES},
        "gallery": mappings.gallery_rows(run),
        "unit": last.unit,
        "suspects": [_suspect(suspect, classes) for suspect in mappings.suspects(run, MAX_SUSPECTS)],
        "stored": [] if run.stored_samples is None else run.stored_samples.rows,
    }
    arrays: dict[str, NDArray[Any]] = {"places": mappings.aligned_coordinates(records, k)}
    if classes.size:
        predictions = np.searchsorted(classes, np.stack([record.result.prediction for record in records]))
        arrays["prediction"] = np.where(read, predictions, -1).astype(np.int32)  # −1: no prediction
    if classes.size and last.label is not None:
        arrays["label"] = np.searchsorted(classes, last.label).astype(np.int32)
    if last.held_out is not None:
        arrays["held_out"] = np.asarray(last.held_out, np.uint8)
    return framed(header, arrays)


def _suspect(suspect: mappings.Suspect, classes: NDArray[np.int64]) -> dict[str, Any]:
    """Return a suspicious sample, with its classes as indices into `classes`."""
    label, prediction = np.searchsorted(classes, [suspect.label, suspect.prediction]).tolist()
    return {**suspect._asdict(), "label": label, "prediction": prediction}
