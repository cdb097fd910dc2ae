"""The provenance of a run in words: rows of a list, and a table of the model's layers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from keras_xai.analysis.formatting import count
from keras_xai.provenance import LayerSummary, ModelSummary, ProbeSummary, Provenance
from keras_xai.run import Run

MAX_NAMES = 12  # of classes and slices in a line


@dataclass(frozen=True)
class ProvenanceWords:
    """The lines on how a run was begun."""

    rows: Sequence[tuple[str, str]] = ()
    layers: Sequence[LayerSummary] = ()
    layer_count: int = 0
    is_recorded: bool = False


def provenance_words(run: Run, *, command: bool = True) -> ProvenanceWords:
    """Return how a run was begun, in words.

    Args:
        run: read back from a log directory.
        command: the command that started it is told.
    """
    records = run.provenance
    rows = [("Recorded", _recorded(run))] if run.history else []
    if not records:
        probe = run.probe_described
        if probe is not None:
            rows.append(("Probe", f"{probe.kind}, hash {probe.hash}; {count(probe.size, 'sample')} in the gallery"))
        return ProvenanceWords(rows)
    first, *restarts = records
    rows = [("Begun", _begun(first)), *rows, *_rows(first, command=command)]
    for before, record in zip(records, restarts, strict=False):
        rows.append(
            (f"Restart at {record.moment}", "; ".join([date(record.wall_time), *_changed(before, record, command)]))
        )
    model = next((record.model for record in records if record.model is not None), None)
    layers, layer_count = ((), 0) if model is None else (model.layers, model.layer_count)
    return ProvenanceWords(rows, layers, layer_count, is_recorded=True)


def date(seconds: float) -> str:
    """Return a moment as date and time in UTC.

    Example:
        >>> date(0)
        '1970-01-01 00:00 UTC'
    """
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


def _begun(record: Provenance) -> str:
    length = [] if record.epochs is None else [f"of {count(record.epochs, 'epoch')}"]
    if record.steps is not None:
        length.append(f"{count(record.steps, 'step')} each")
    at = "" if not record.epoch else f", at {record.moment}"
    return f"{date(record.wall_time)}{at}{': a training ' + ', '.join(length) if length else ''}"


def _recorded(run: Run) -> str:
    updates = f"{count(len(run.updates), 'update')} in " if run.unit == "step" else ""
    seconds = sum(record.seconds for record in run.history)
    took = f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"
    return f"{updates}{count(len(run.epochs), 'epoch')} in {took}, the last at {date(run.history[-1].wall_time)}"


def _rows(record: Provenance, *, command: bool) -> Iterator[tuple[str, str]]:
    yield "Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items()) or "not recorded"
    yield "Keras on", f"{record.backend}, {record.platform}".strip(", ") or "not recorded"
    yield "Model", "not recorded" if record.model is None else model_words(record.model)
    yield "Probe", "none" if record.probe is None else _probe_words(record.probe)
    yield "Seed", _seed(record)
    if command:
        yield "Command", shlex.join(record.command) if record.command else "not recorded"


def model_words(model: ModelSummary) -> str:
    """Return a model in one line."""
    parameters = f"{model.parameters:,} parameters"
    if model.trainable != model.parameters:
        parameters += f", {model.trainable:,} of them trainable"
    compiled = [part for part in (model.optimizer, model.loss and f"loss {model.loss}") if part]
    return ", ".join([f"{model.name} ({model.kind})", count(model.layer_count, "layer"), parameters, *compiled])


def _probe_words(probe: ProbeSummary) -> str:
    words = [f"{count(probe.size, 'sample')}{f' of {probe.source}' if probe.source else ''}"]
    words.append(f"{probe.kind or 'kind open'}, {count(probe.features, 'feature')}")
    if probe.classes:
        words.append(f"{'classes' if len(probe.classes) > 1 else 'class'} {_listed(probe.classes)}")
    if probe.slices:
        words.append(f"slices by {_listed(probe.slices)}")
    return "; ".join([*words, f"{probe.gallery} in the gallery", f"hash {probe.hash}"])


def _listed(names: Sequence[str]) -> str:
    others = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {count(others, 'other')}" if others > 0 else "")


def _seed(record: Provenance) -> str:
    if record.seed is not None:
        return f"{record.seed} (keras.utils.set_random_seed)"
    return "not set" if record.seed_is_known else "not known: this version of Keras keeps none"


def _changed(before: Provenance, record: Provenance, command: bool) -> Iterator[str]:
    """Yield what is otherwise than at the start before."""
    if record.versions != before.versions:
        other = [
            f"{name} {version}" for name, version in record.versions.items() if before.versions.get(name) != version
        ]
        yield f"versions {', '.join(other)}"
    if (record.backend, record.platform) != (before.backend, before.platform):
        yield f"Keras on {record.backend}, {record.platform}"
    if record.seed != before.seed:
        yield f"seed {_seed(record)}"
    if command and record.command and record.command != before.command:
        yield f"command {shlex.join(record.command)}"
