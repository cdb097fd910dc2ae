"""The run directory that a training writes to: a new one, or that of a run which it continues."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keras_xai.callbacks.directory_lock import DirectoryLock
from keras_xai.callbacks.model_parts import ModelParts
from keras_xai.callbacks.step_counter import resumed_step
from keras_xai.errors import InvalidInput
from keras_xai.records import listed, missing_epochs
from keras_xai.remote.address import Address, is_address, refuse_one_slash, without_file_scheme
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.reader import Log
from keras_xai.summary.store import FileStore
from keras_xai.updates import Unit


def checked_directory(log_dir: str | os.PathLike[str]) -> Path | Address:
    """Return the log directory as an absolute path or as an address, if it can be one.

    Raises:
        InvalidInput: a path below which no directory can be made, or an address of a scheme that is not installed.
    """
    if not isinstance(log_dir, (str, os.PathLike)):
        raise InvalidInput(f"log_dir={log_dir!r}: expected the path of a directory, got {type(log_dir).__name__}.")
    text = without_file_scheme(os.fspath(log_dir))
    if is_address(text):
        return Address(text)
    refuse_one_slash(text)
    path = Path(os.path.realpath(os.path.expanduser(text)))
    existing = next(p for p in (path, *path.parents) if p.exists())
    if not existing.is_dir():
        raise InvalidInput(
            f"log_dir={text!r} is not writable: {str(existing)!r} is a file; give the path of a directory."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InvalidInput(f"log_dir={text!r} is not writable: no permission to write in {str(existing)!r}.")
    return path


def check_writable(log_dir: Path) -> None:
    """Check that a file can be made in a directory, which is made if it is missing; the file is deleted again.

    Raises:
        InvalidInput: the directory or the file cannot be made.
    """
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        trial = log_dir / f".{PLUGIN_NAME}-{os.getpid()}"
        trial.touch()
        trial.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidInput(f"log_dir={str(log_dir)!r} is not writable: {error.strerror}.") from error


def run_directories(log_dir: Path) -> list[Path]:
    """Return the run directories of `log_dir`, oldest first."""
    numbered = []
    for path in log_dir.glob(f"{PLUGIN_NAME}*"):
        match = re.fullmatch(rf"{PLUGIN_NAME}(?:-(\d+))?", path.name)
        if match:
            numbered.append((int(match.group(1) or 1), path))
    return [path for _, path in sorted(numbered)]


class Beginning(NamedTuple):
    """The point at which a training begins."""

    epoch: int  # the first one
    unit: Unit  # in which its updates are counted
    iterations: int | None = None  # that the optimizer has counted


@dataclass(frozen=True)
class ChosenRun:
    """The run directory of a training, locked for it."""

    directory: Path
    lock: DirectoryLock
    past: Log | None = None  # the records of the run that is continued; None for a new run
    notes: tuple[str, ...] = ()  # sentences on why this run was chosen, for the first epoch's record
    start: int = 0  # the number of the first update that this training may make
    steps_done: int = 0  # of a run that counts in steps

    @property
    def is_beside(self) -> bool:
        """True for a new run in a log directory that holds an earlier one."""
        return self.past is None and self.directory.name != PLUGIN_NAME


def choose_run(
    log_dir: Path, beginning: Beginning, identity: Mapping[str, Any], preferred: Sequence[Path] = ()
) -> ChosenRun:
    """Choose between continuing a run and beginning a new one.

    The newest run is continued if this fit does not begin at epoch 0, the run's constants are those of this fit, and no other
    process writes to it; so no recorded epoch of another training is ever replaced. A run that counts in steps and broke off
    in its first epoch is continued at epoch 0, too, where the optimizer goes on from one of its updates.

    Args:
        log_dir: the user's directory.
        beginning: of this fit.
        identity: what must be the same for a run to be continued, by the names that a user would give it.
        preferred: the runs that the callbacks of this fit wrote last; a single one of them goes before the newest.

    Returns:
        The choice; its directory stays locked until `lock` is released.
    """
    epoch = beginning.epoch
    start = epoch if beginning.unit == "epoch" else 0  # of a new run
    runs = run_directories(log_dir)
    newest = runs[-1] if runs else log_dir / PLUGIN_NAME
    if epoch > 0 and len(preferred) == 1 and preferred[0] in runs:
        newest = preferred[0]
    lock = DirectoryLock.acquire(newest)
    if lock is None:
        return new_run(newest, start, f"{newest.name} is being written by another training: this one is {{}}.")
    past = Log(FileStore(newest))
    if not past.epochs:
        is_lost = epoch > 0 and any(newest.iterdir())  # there are files, and no epoch can be read from them
        return ChosenRun(newest, lock, None, _notes_of_missing(None, epoch) if is_lost else (), start)
    reason = _reason_fornew_run(newest.name, past, beginning, identity)
    if reason:
        lock.release()
        return new_run(newest, start, reason)
    if beginning.unit == "epoch":
        past = past.until(epoch)
        return ChosenRun(newest, lock, past, _notes_of_missing(past, epoch), epoch)
    done = resumed_step(past.history, epoch, beginning.iterations)
    past = past.until(done + 1)
    notes = _notes_of_missing(past, epoch)
    begun = max((record.step or 0 for record in past.history if record.epoch < epoch), default=0)
    if done > begun:
        notes += (f"The run goes on after step {done}, inside epoch {epoch}: so far had the optimizer counted.",)
    return ChosenRun(newest, lock, past, notes, done + 1, done)


def _reason_fornew_run(name: str, past: Log, beginning: Beginning, identity: Mapping[str, Any]) -> str:
    """Return why a run cannot be continued, with "{}" for the name of the new one; "" where it can."""
    if beginning.epoch == 0 and not _goes_on_in_first_epoch(past, beginning):
        count = len(past.updates)
        updates = f"{count} {'epoch' if past.unit == 'epoch' else 'update'}{'' if count == 1 else 's'}"
        return f"{name} holds {updates} of an earlier training: this one is {{}}."
    recorded = past.constants
    changed = sorted(key for key, value in identity.items() if key in recorded and _differs(past, key, value))
    if not changed:
        return ""
    return (
        f"The {' and the '.join(changed)} changed since {name}: training goes on from epoch {beginning.epoch} as {{}}, and the "
        f"burn-in starts again."
    )


def _goes_on_in_first_epoch(past: Log, beginning: Beginning) -> bool:
    """Return True where a run broke off inside an epoch, and the optimizer goes on from an update inside its first one."""
    if beginning.unit != past.unit or past.unit == "epoch" or past.history[-1].ends_epoch:
        return False
    done = resumed_step(past.history, 0, beginning.iterations)
    return bool(past.until(done + 1).history)


def _differs(past: Log, key: str, value: Any) -> bool:
    """Return True where the value of a constant differs from that in the run that would be continued."""
    recorded = past.constants[key]
    if isinstance(value, ModelParts):
        return not value.continues(recorded, past.variable_sizes if key == "variables" else ())
    return bool(recorded != value)


def _notes_of_missing(past: Log | None, epoch: int) -> tuple[str, ...]:
    """Return a note on the epochs before `epoch` that a continued training has no records of, () where it has all."""
    recorded = past.epochs if past is not None else []
    missing = missing_epochs([*recorded, epoch]) if recorded else list(range(epoch))
    if not missing:
        return ()
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{listed(missing).capitalize()} {verb} not in this record: the training goes on from epoch {epoch}. Nothing is lost "
        f"where a callback that saves the model stands behind those of keras_xai.",
    )


def new_run(newest: Path, start: int, reason: str) -> ChosenRun:
    """Return a new run directory; another process may choose the same one at that time, so the first to lock it has it.

    Args:
        newest: the run directory that it comes behind.
        start: the number of the first update that the training may make.
        reason: a sentence with "{}" for the name of the new run.
    """
    number = int(newest.name.removeprefix(PLUGIN_NAME).removeprefix("-") or 1)
    while True:
        number += 1
        directory = newest.parent / f"{PLUGIN_NAME}-{number}"
        lock = DirectoryLock.acquire(directory)
        if lock is None:
            continue
        if not any(directory.iterdir()):
            return ChosenRun(directory, lock, None, (reason.format(directory.name),), start)
        lock.release()
