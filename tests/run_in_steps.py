"""The same run counted in steps: its updates inside few epochs, as a fine-tune records them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from keras_xai.records import Flag
from keras_xai.run import Run
from keras_xai.summary.store import FileStore
from keras_xai.summary.writer import Writer
from keras_xai.updates import BEFORE

STEPS = 10  # between two updates
UPDATES_OF_EPOCH = 5


def step_of(update: int) -> int:
    """The step of what was an epoch."""
    return (update + 1) * STEPS


def in_steps(run: Run, directory: Path, *, until: int | None = None, before: bool = True) -> Run:
    """Write a run of epochs as one that counts in steps: epoch e becomes the update at step 10 (e + 1), of epoch e // 5.

    Args:
        run: that counts in epochs.
        directory: the log directory to write to.
        until: write no update of this epoch or later ones; 0 for the gallery of the untrained model alone.
        before: write that gallery: the maps of epoch 0, halved.
    """
    writer = Writer(directory / "keras_xai", past_updates=0)
    if run.probe is not None:
        writer.write([run.probe])
    for method in run.methods if before else ():
        first = run.attributions(method)[0]
        writer.write([dataclasses.replace(first, epoch=BEFORE, title=run.method_title(method), values=_halved(first))])
    records = [*run.weight_gradients, *run.reliance, *run.mappings, *run.slices, *run.alerts, *run.stops]
    records += [record for source in ("clean", "live", "data") for record in run.shares(source)]
    records += [
        dataclasses.replace(record, title=run.method_title(method))
        for method in run.methods
        for record in run.attributions(method)
    ]
    for epoch in run.epochs[: len(run.epochs) if until is None else until]:
        of_epoch = [record for record in records if record.epoch == epoch]
        of_epoch += [record for record in run.history if record.epoch == epoch]
        writer.write([_at_step(record) for record in of_epoch])
    writer.close()
    return Run(FileStore(directory / "keras_xai"))


def _halved(record: Any) -> Any:
    values = record.values
    return [0.5 * array for array in values] if isinstance(values, list) else 0.5 * values


def _at_step(record: Any) -> Any:
    """The same record at a step."""
    changes: dict[str, Any] = {"epoch": record.epoch // UPDATES_OF_EPOCH, "step": step_of(record.epoch)}
    if hasattr(record, "ends_epoch"):
        changes |= {"ends_epoch": (record.epoch + 1) % UPDATES_OF_EPOCH == 0, "iterations": step_of(record.epoch)}
    if getattr(record, "event", None) is not None:
        changes["event"] = step_of(record.event)
    for name in ("flags", "notes"):
        marks = getattr(record, name, ())
        if marks and isinstance(marks[0], Flag):
            changes[name] = tuple(flag._replace(since=step_of(flag.since)) for flag in marks)
    return dataclasses.replace(record, **changes)
