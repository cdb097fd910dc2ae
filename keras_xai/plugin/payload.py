"""Records as the browser gets them: JSON, or a JSON header followed by raw arrays."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.vocabulary import vocabulary
from keras_xai.events import events
from keras_xai.figures.colour import MAPS, RUNS, THEMES, TOKENS, ramp
from keras_xai.figures.importance_drift import position
from keras_xai.figures.mappings import at_epoch, class_colours, is_read, layer_named, places, samples_by
from keras_xai.figures.mappings import layers as layers_of
from keras_xai.figures.outputs import (
    LARGE_ERROR,
    SLOPES,
    class_name,
    explained,
    has_classes,
    is_percent,
    predicted,
    probabilities,
    shown,
    target_name,
    trajectory,
)
from keras_xai.figures.probe_attributions import method_named, method_title
from keras_xai.figures.weight_gradients import layers, variables
from keras_xai.image import cell_grid
from keras_xai.judgement import not_finite_since, noted, part_name
from keras_xai.probe import Probe
from keras_xai.probe.gallery import balanced_rows
from keras_xai.records import Alert, Attribution, Importance, Mappings
from keras_xai.run import Run
from keras_xai.summary.codec.probe import coded_texts

FILM = 24  # epochs of a film strip: more are too small to see
SUSPECTS = 16
MANY = 1000  # classes: of more those are named that occur
THUMB = 32  # and its maps are at most so many pixels a side


def plain(value: Any) -> Any:
    """Anything of ours as what JSON knows; a number that is not finite is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def dumps(value: Any) -> str:
    """Strict JSON."""
    return json.dumps(plain(value), allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True)
class Steps:
    """An array in 255 steps from `low` to `high`, which are one a row of its first axis: a quarter of the bytes."""

    values: NDArray[np.uint8]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def steps(values: NDArray[Any]) -> Steps:
    """Maps as steps. Exact for what was written so: the ends of the scale are among the values."""
    flat = np.asarray(values, np.float32).reshape(len(values), -1)
    low, high = (flat.min(1), flat.max(1)) if flat.size else (np.zeros(len(flat), "f4"),) * 2
    scale = 255 / np.where(high > low, high - low, 1)
    counted = flat - low[:, None]  # in place from here on: an epoch of large maps is millions of values
    counted *= scale[:, None]
    return Steps(np.rint(counted, out=counted).astype(np.uint8).reshape(np.shape(values)), low, high)


def framed(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any] | Steps]) -> bytes:
    """`uint32 length | JSON header | arrays`, each array at a multiple of four bytes from the header's end.

    The header lists them under `arrays`: name, dtype ("float32", "int32" or "uint8"), shape, offset; and for `Steps`,
    whose bytes stand for floats, the ends of their scales: low, high.
    """
    parts, listed, offset = [], [], 0
    for name, given in arrays.items():
        ends = {"low": given.low, "high": given.high} if isinstance(given, Steps) else {}
        array = given.values if isinstance(given, Steps) else given
        kind = "u1" if array.dtype == np.uint8 else "<i4" if np.issubdtype(array.dtype, np.integer) else "<f4"
        content = np.ascontiguousarray(array, kind).tobytes()
        listed.append(
            {
                "name": name,
                "dtype": {"u1": "uint8", "<i4": "int32", "<f4": "float32"}[kind],
                "shape": list(array.shape),
                "offset": offset,
                **ends,
            }
        )
        padding = -len(content) % 4
        parts.append(content + bytes(padding))
        offset += len(content) + padding
    head = dumps({**header, "arrays": listed}).encode()
    head += b" " * (-len(head) % 4)
    return struct.pack("<I", len(head)) + head + b"".join(parts)


def theme() -> dict[str, Any]:
    """Return what the tab needs once: the colours of both themes (every map as 256 hex colours), and the words."""
    themes: dict[str, Any] = {}
    for name in THEMES:
        maps = {map_name: ramp(name, map_name) for map_name in MAPS}
        themes[name] = {"tokens": TOKENS[name], "runs": RUNS[name], "maps": maps}
    return {**themes, "vocabulary": vocabulary()}


def card(name: str, run: Run) -> dict[str, Any]:
    """What the run picker, the status line and the poll need of a run."""
    last = run.history[-1] if run.history else None
    probe = run.probe_described
    return {
        "name": name,
        "error": "",
        "epochs": len(run.epochs),
        "last": None if last is None else {"epoch": last.epoch, "wall_time": last.wall_time, "seconds": last.seconds},
        "alerts": len(events(run.alerts)),  # those of one cause are one
        "flags": _counts([kind for _, kind in dict.fromkeys((n, k) for n, k, _ in run.flags)]),
        "probe": None if probe is None else {"kind": probe.kind, "size": probe.size, "hash": probe.hash},
        "faults": len(run.stops) + bool(run.missing_epochs),
        "not_finite": bool(
            last and not all(map(math.isfinite, (last.logs[k] for k in ("loss", "val_loss") if k in last.logs)))
        ),
        "stamp": f"{len(run.epochs)}.{last.wall_time if last else 0:.3f}",
    }


def unread(name: str, fault: str) -> dict[str, Any]:
    """The card of a run that cannot be read: why."""
    nothing: dict[str, Any] = {"epochs": 0, "last": None, "alerts": 0, "flags": {}, "probe": None, "faults": 0}
    return {"name": name, "error": fault, **nothing, "stamp": fault}


def _counts(kinds: Sequence[str]) -> dict[str, int]:
    return {kind: list(kinds).count(kind) for kind in dict.fromkeys(kinds)}


def whole(name: str, run: Run) -> dict[str, Any]:
    """A run without its arrays: history, alerts, names, scores."""
    history = run.history
    keys = list(dict.fromkeys(key for record in history for key in record.logs))
    once = sum(r.once_seconds for r in history)
    seconds, cost = sum(r.seconds for r in history) - once, sum(r.cost_seconds for r in history) - once
    return {
        **card(name, run),
        "epochs": run.epochs,
        "wall_times": [r.wall_time for r in history],
        "learning_rate": [r.learning_rate for r in history],
        "logs": keys,
        "cost": cost / seconds if seconds > 0 else None,
        "cost_once": once,
        "not_finite_since": not_finite_since(run.importance_live or run.importance),
        "notes": notes(run),
        "stops": {part_name(stop.part): f"Stopped at epoch {stop.epoch}: {stop.reason}." for stop in run.stops},
        "passed_over": run.passed_over,
        "alerts": [alert(a, run) for a in run.alerts],
        "methods": [
            {"name": m, "title": method_title(m), "epochs": run.attribution_epochs(m), "slope": m in SLOPES}
            for m in run.methods
        ],
        "opens_with": method_named(run, None),
        "variables": variables(run.weight_gradients),
        "layers": list(layers(run.weight_gradients)),
        "gradient_epochs": [r.epoch for r in run.weight_gradients],
        "probe": None if run.probe is None else probe(run.probe),
        "sources": {
            source: {
                "epochs": found.epochs,
                "score": found.score,
                "limit": found.limit,
                "names": found.names,
                "unmeasured": found.unmeasured,
            }
            for source, found in (("live", run.importance_live), ("clean", run.importance), ("data", run.data_score))
            if found is not None
        },
    }


def notes(run: Run) -> list[dict[str, Any]]:
    """What the callbacks noted, and what could not be read."""
    said = [{"epoch": n.epoch, "text": noted(n), "stopped": n.stopped} for n in run.notes]
    return said + [{"epoch": None, "text": why, "stopped": False} for why in run.passed_over.values()]


def alert(record: Alert, run: Run) -> dict[str, Any]:
    """An alert with the share of its features at every later look: `lasted` is the last epoch over the limit."""
    source = {"live": run.importance_live, "clean": run.importance, "data": run.data_score}[record.source]
    lasted = record.epoch
    if source is not None:
        later = source.epochs > record.epoch
        over = later & (source.score > source.limit)  # NaN is not over
        ends = source.epochs[later & ~over]
        lasted = max([lasted, *source.epochs[over & (source.epochs < min(ends, default=np.inf))].tolist()])
    changed = None if record.changed is None else str(record.changed)
    return {**asdict(record), "lasted": lasted, "changed_words": changed}


def probe(samples: Probe) -> dict[str, Any]:
    """The gallery without its values."""
    out: dict[str, Any] = {
        "kind": samples.kind,
        "size": samples.size,
        "stored": samples.x is not None,
        "labels": samples.classes,
        "class_names": samples.class_names,
        "features": samples.features,
        "inputs": input_names(samples),
    }
    if samples.kind == "image":
        cells = cell_grid(samples.image_shape)[1]
        regular = not isinstance(samples.groups, np.ndarray) and len(samples.features) == math.prod(cells)
        out["cells"] = cells if regular else None
    return out


def input_names(samples: Probe) -> list[str]:
    """The model's inputs, by the user's keys or by number; one where they are the columns of a table; none where they were
    not written."""
    if samples.x is None:
        return []
    if samples.is_columns:
        return ["columns"]
    return list(samples.x) if isinstance(samples.x, Mapping) else [f"input {i}" for i in range(len(samples.inputs))]


def importance(found: Importance) -> bytes:
    """The shares of one source over epochs."""
    return framed({"names": found.names, "epochs": found.epochs}, {"share": found.share})


def inputs(samples: Probe) -> bytes:
    """The gallery's values: images as bytes on one scale, words for tokens."""
    parts = [np.asarray(part) for part in samples.inputs] if samples.x is not None else []
    coded = [coded_texts(part) for part in parts]
    parts = [part for part, _ in coded]
    categories: list[list[Any]] = [[list_of] * math.prod(part.shape[1:]) if list_of else [] for part, list_of in coded]
    if parts and samples.is_columns:
        parts, categories = [samples.feature_map.as_table(parts)], [[list_of for _, list_of in coded]]
    header: dict[str, Any] = {
        "kind": samples.kind,
        "names": input_names(samples),
        "feature_names": samples.feature_map.column_names if samples.is_columns else samples.feature_names,
        "columns": _columns(samples),
        "categories": categories if any(map(any, categories)) else [],
    }
    arrays = {}
    for index, part in enumerate(parts):
        if samples.kind == "image" and part.ndim in (3, 4):
            low, high = float(part.min()), float(part.max())
            part = np.round(255 * (part - low) / ((high - low) or 1.0)).astype(np.uint8)
        elif samples.kind == "tokens" and samples.vocabulary:
            words = samples.vocabulary
            known = dict(words.items() if isinstance(words, Mapping) else enumerate(words))
            header["words"] = [[str(known.get(int(t), int(t))) for t in row.ravel()] for row in part]
        arrays[f"x{index}"] = part
    return framed(header, arrays)


def _columns(samples: Probe) -> list[Sequence[str]]:
    """The names of each input that is a table beside others; nothing of any other input."""
    if samples.is_columns or len(samples.shapes) == 1:
        return []
    return [samples.feature_map.names_of(k) if len(shape) == 1 else () for k, shape in enumerate(samples.shapes)]


def outputs(run: Run, method: str) -> bytes:
    """What the model says of the gallery over epochs.

    As (E, B) the target, the predicted class as `prediction` (NaN: none), the number at a sample's title, the explained value
    and what its trajectory follows; probabilities or raw outputs (E, B, K).
    """
    table = run.outputs(method)
    if table is None:
        return framed({"epochs": []}, {})
    arrays = {
        "target": table.target,
        "prediction": predicted(table),
        "shown": shown(table),
        "explained": explained(table),
        "trajectory": trajectory(table, None if run.probe is None else run.probe.classes),
        "score": table.score,
    }
    if table.completeness_error is not None:
        arrays["completeness_error"] = table.completeness_error
    if table.quadrature_error is not None:
        arrays["quadrature_error"] = table.quadrature_error
    if table.r2 is not None:
        arrays["r2"] = table.r2
    if table.outputs.size:
        arrays["outputs"] = probabilities(table)
    header = {
        "epochs": table.epochs,
        "task": table.task,
        "percent": is_percent(table),
        "classes": has_classes(table),
        "targets": {int(t): target_name(run, table, int(t)) for t in np.unique(table.target)},
        "large_error": LARGE_ERROR,
    }
    return framed(header, arrays)


def attribution(found: Attribution, most: int | None = None, sample: int | None = None) -> bytes:
    """The maps of one method at one epoch, every input of the model under its own name; those of images in steps.

    Of images that are shown at most `most` pixels wide, a map that is twice as wide comes as the means of what falls
    together, and with it under `whole` the sides that it had, how many of its values were at each step between its
    `ends`, which percentiles are read from, as `counts`. With `sample` it is the maps of this one alone, as they are.
    """
    header: dict[str, Any] = {"epoch": found.epoch, "method": found.method}
    arrays: dict[str, NDArray[Any] | Steps] = {}
    for k, part in enumerate(parts_of(found)):
        part = part if sample is None else part[sample : sample + 1]
        if part.ndim != 3 or found.kind != "image":
            arrays[f"v{k}"] = part
            continue
        maps = steps(part)
        step = part.shape[2] // most if most and part.size else 1
        arrays[f"v{k}"] = means(maps, step) if step > 1 else maps
        if step > 1:
            header.setdefault("whole", {})[f"v{k}"] = part.shape[1:]
            arrays[f"counts{k}"] = np.stack([np.bincount(row.ravel(), minlength=256) for row in maps.values])
            arrays[f"ends{k}"] = np.stack([maps.low, maps.high], 1)
    return framed(header, arrays)


def means(maps: Steps, step: int) -> Steps:
    """(B, ⌈h/step⌉, ⌈w/step⌉) means of step × step values each, of fewer at the right and lower edge."""
    sums, sides = maps.values, maps.values.shape
    for axis in (1, 2):  # rows first: whole rows are added in one go
        here = (slice(None),) * axis
        parts = [sums[(*here, slice(k, None, step))] for k in range(min(step, sides[axis]))]
        sums = parts[0].astype(np.uint32)
        for part in parts[1:]:
            sums[(*here, slice(part.shape[axis]))] += part
    height, width = (np.minimum(step, side - np.arange(0, side, step)) for side in sides[1:])
    unit = ((maps.high - maps.low) / 255)[:, None, None]
    return steps(maps.low[:, None, None] + unit * sums / np.outer(height, width))


def mapping(run: Run, layer: str | None = None) -> bytes:
    """One layer's map over epochs, turned towards the last, and what each sample of the probe is and is taken for.

    Of a run without mappings only that there are no epochs. `gallery` are the rows of the probe whose attributions were
    written, in the gallery's order.
    """
    records = run.mappings
    if not records:
        return framed({"epochs": []}, {})
    k, last = layer_named(records, layer), records[-1].result
    classes = classes_of(records)
    header = {
        "epochs": [record.epoch for record in records],
        "read": [bool(is_read(record.result).any()) for record in records],  # at the others nothing is finite
        "layers": layers_of(records),
        "layer": layers_of(records)[k],
        "classes": [class_name(run, int(c)) for c in classes],
        "colours": {theme: class_colours(theme, last.classes, classes) for theme in THEMES},
        "gallery": gallery_rows(run),
        "suspects": suspects(run, classes),
    }
    arrays: dict[str, NDArray[Any]] = {"places": places(records, k)}
    if classes.size:
        said = np.stack([record.result.prediction for record in records])
        read = np.stack([is_read(record.result) for record in records])
        arrays["prediction"] = np.where(read, np.searchsorted(classes, said), -1).astype(
            np.int32
        )  # −1: of NaN no class
    if classes.size and last.label is not None:
        arrays["label"] = np.searchsorted(classes, last.label).astype(np.int32)
    if last.held_out is not None:
        arrays["held_out"] = np.asarray(last.held_out, np.uint8)
    return framed(header, arrays)


def classes_of(records: Sequence[Mappings]) -> NDArray[np.int64]:
    """The classes that the page knows by their place in this list: all, or of very many those that occur."""
    last = records[-1].result
    if last.answer != "class":
        return np.zeros(0, np.int64)
    if last.classes <= MANY:
        return np.arange(last.classes)
    labels = [] if last.label is None else [last.label]
    return np.unique(np.concatenate([*labels, *(record.result.prediction for record in records)]))


def suspects(run: Run, classes: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The samples to look at first: their label was believed least, over all epochs. Classes by their place in `classes`."""
    found, last = samples_by(run, None), run.mappings[at_epoch(run.mappings, None)].result
    if found is None or last.answer != "class" or last.label is None:
        return []
    return [
        {
            "row": int(b),
            "confidence": float(found.mean_confidence[b]),
            "label": int(np.searchsorted(classes, last.label[b])),
            "prediction": int(np.searchsorted(classes, last.prediction[b])),
        }
        for b in found.suspects(SUSPECTS)
    ]


def gallery_rows(run: Run) -> list[int]:
    """The rows of the whole probe that the gallery shows; none where that cannot be told."""
    if run.probe is None or not run.mappings:
        return []
    last = run.mappings[-1].result
    label = last.label
    if label is None or last.answer != "class" or run.probe.classes is None:
        return []
    rows = balanced_rows(np.asarray(label, np.int64), len(label), run.probe.size)
    same = len(rows) == len(run.probe.classes) and bool((np.asarray(label)[rows] == run.probe.classes).all())
    return [int(row) for row in rows] if same else []


def parts_of(found: Attribution) -> list[NDArray[Any]]:
    """The values of an attribution, one array an input; those of a table that comes by columns as one (B, F)."""
    values = found.values
    held = values.values() if isinstance(values, Mapping) else values if isinstance(values, list) else [values]
    parts = [np.asarray(part) for part in held]
    columns = found.kind == "table" and len(parts) > 1 and all(part.shape[1:] in ((), (1,)) for part in parts)
    return [np.stack([part.reshape(-1) for part in parts], 1)] if columns else parts


def film_epochs(epochs: Sequence[int], alerts: Sequence[int], most: int = FILM) -> list[int]:
    """At most `most` epochs for a film strip: evenly spread, the first, the last and the alerted among them."""
    if len(epochs) <= most:
        return list(epochs)
    marked = [epochs[position(epochs, e)] for e in alerts][: most - 2]
    even = [epochs[round(i)] for i in np.linspace(0, len(epochs) - 1, most)]
    chosen = {epochs[0], epochs[-1], *marked}
    for epoch in even:  # those nearest to an alert give way
        if len(chosen) < most:
            chosen.add(epoch)
    return sorted(chosen)


def thumb(values: NDArray[Any]) -> NDArray[np.float32]:
    """(B, h, w) averaged down to at most 32 × 32."""
    values = np.asarray(values, np.float32)
    h, w = values.shape[1:]
    step = -(-max(h, w) // THUMB)
    if step > 1:
        values = np.pad(values, ((0, 0), (0, -h % step), (0, -w % step)), mode="edge")
        values = values.reshape(len(values), values.shape[1] // step, step, values.shape[2] // step, step).mean((2, 4))
    return values
