"""The directory that a training writes to: a run of its own, or one that goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_xai.callbacks.directory_lock import DirectoryLock
from keras_xai.callbacks.model_parts import ModelParts
from keras_xai.errors import InvalidInput
from keras_xai.records import in_words, missing_epochs
from keras_xai.summary.plugin_name import PLUGIN_NAME
from keras_xai.summary.reader import Log
from keras_xai.summary.store import FileStore


def checked_directory(log_dir: str | os.PathLike[str]) -> Path:
    """Return the log directory as an absolute path, if it can be one.

    Raises:
        InvalidInput: a URL, or a path below which no directory can be made.
    """
    if not isinstance(log_dir, (str, os.PathLike)):
        raise InvalidInput(f"log_dir={log_dir!r}: expected the path of a directory, got {type(log_dir).__name__}.")
    text = os.fspath(log_dir)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text):
        raise InvalidInput(
            f"log_dir={text!r}: remote stores are not supported; give a local path and copy it afterwards."
        )
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
    """Make the directory, and a file in it for a moment.

    Raises:
        InvalidInput: that cannot be done.
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


@dataclass(frozen=True)
class ChosenRun:
    """The run directory of a training, held for it."""

    directory: Path
    lock: DirectoryLock
    past: Log | None = None  # what a run that goes on recorded before
    notes: tuple[str, ...] = ()  # what to say of the choice


def choose_run(log_dir: Path, epoch: int, identity: Mapping[str, Any], preferred: Sequence[Path] = ()) -> ChosenRun:
    """Continue the newest run, or begin one.

    Never write over epochs that somebody may still want to see, nor into a run that is being written.

    Args:
        log_dir: the user's directory.
        epoch: the first one of this fit.
        identity: what must be the same for a run to be continued, by the names that a user would give it.
        preferred: the runs that the callbacks of this fit wrote last.
    """
    runs = run_directories(log_dir)
    newest = runs[-1] if runs else log_dir / PLUGIN_NAME
    if epoch > 0 and len(preferred) == 1 and preferred[0] in runs:
        newest = preferred[0]
    lock = DirectoryLock.acquire(newest)
    if lock is None:
        return _new_run(newest, f"{newest.name} is being written by another training: this one is {{}}.")
    past = Log(FileStore(newest))
    if not past.epochs:
        is_lost = epoch > 0 and any(newest.iterdir())  # there was something, and nothing of it can be read
        return ChosenRun(newest, lock, None, _words_of_missing(None, epoch) if is_lost else ())
    reason = _reason_for_new_run(newest.name, past, epoch, identity)
    if reason:
        lock.release()
        return _new_run(newest, reason)
    past = past.before(epoch)
    return ChosenRun(newest, lock, past, _words_of_missing(past, epoch))


def _reason_for_new_run(name: str, past: Log, epoch: int, identity: Mapping[str, Any]) -> str:
    """Return why a run cannot be continued, with a place for the name of the new one; "" where it can."""
    if epoch == 0:
        return f"{name} holds {len(past.epochs)} epochs of an earlier training: this one is {{}}."
    recorded = past.constants
    changed = sorted(key for key, value in identity.items() if key in recorded and _differs(past, key, value))
    if not changed:
        return ""
    return (
        f"The {' and the '.join(changed)} changed since {name}: training goes on from epoch {epoch} as {{}}, and the burn-in "
        f"starts again."
    )


def _differs(past: Log, key: str, value: Any) -> bool:
    """Return True where a constant is another one than in the run that would be continued."""
    recorded = past.constants[key]
    if isinstance(value, ModelParts):
        return not value.continues(recorded, past.variable_sizes if key == "variables" else ())
    return bool(recorded != value)


def _words_of_missing(past: Log | None, epoch: int) -> tuple[str, ...]:
    """Say which epochs before `epoch` a continued training does not have: it was saved before they were recorded."""
    recorded = past.epochs if past is not None else []
    missing = missing_epochs([*recorded, epoch]) if recorded else list(range(epoch))
    if not missing:
        return ()
    verb = "is" if len(missing) == 1 else "are"
    return (
        f"{in_words(missing).capitalize()} {verb} not in this record: the training goes on from epoch {epoch}. Nothing is lost "
        f"where a callback that saves the model stands behind those of keras_xai.",
    )


def _new_run(newest: Path, reason: str) -> ChosenRun:
    """Return a new run directory. Another process may want the same one just then: who holds it first has it."""
    number = int(newest.name.removeprefix(PLUGIN_NAME).removeprefix("-") or 1)
    while True:
        number += 1
        directory = newest.parent / f"{PLUGIN_NAME}-{number}"
        lock = DirectoryLock.acquire(directory)
        if lock is None:
            continue
        if not any(directory.iterdir()):
            return ChosenRun(directory, lock, None, (reason.format(directory.name),))
        lock.release()
