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


class InSteps:
    """Writes a run of epochs as one that counts in steps: epoch e becomes the update at step 10 (e + 1), of epoch e // 5.

    First comes the gallery of the untrained model: the maps of epoch 0, halved.
    """

    def __init__(self, run: Run, directory: Path) -> None:
        self.directory = directory / "keras_xai"
        self._writer = Writer(self.directory, past_updates=0)
        if run.probe is not None:
            self._writer.write([run.probe])
        for method in run.methods:
            first = run.attributions(method)[0]
            named = {"title": run.method_title(method), "values": _halved(first)}
            self._writer.write([dataclasses.replace(first, epoch=BEFORE, **named)])
        self._writer.flush()
        self._records = [
            *run.weight_gradients,
            *run.reliance,
            *run.mappings,
            *run.concepts,
            *run.slices,
            *run.alerts,
            *run.stops,
        ]
        self._records += [record for source in ("clean", "live", "data") for record in run.shares(source)]
        self._records += run.predictions.records if run.predictions is not None else ()
        for method in run.methods:
            title = run.method_title(method)
            self._records += [dataclasses.replace(record, title=title) for record in run.attributions(method)]
        self._records += run.history

    def write(self, *epochs: int) -> InSteps:
        """Write what was recorded at these epochs."""
        for epoch in epochs:
            self._writer.write([_at_step(record) for record in self._records if record.epoch == epoch])
            self._writer.flush()
        return self

    def read(self) -> Run:
        """Close the file, and read it."""
        self._writer.close()
        return Run(FileStore(self.directory))


def in_steps(run: Run, directory: Path, until: int | None = None) -> Run:
    """Write and read all epochs of a run, or the first ones; see `InSteps`."""
    return InSteps(run, directory).write(*run.epochs[:until]).read()


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
