"""A local copy of the runs behind an address: only event files are read, and only those that changed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import posixpath
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any

from keras_xai.errors import InvalidInput
from keras_xai.remote.address import Address, is_misuse
from keras_xai.remote.run_files import event_files

_FILES_AT_ONCE = 64
_INDEX = "index.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_passing: list[tempfile.TemporaryDirectory[str]] = []  # for copies that this process alone keeps
# What stores say of a version of a file, the first that is there.
_STAMPS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated", "created")


def local_copy(address: Address) -> Path:
    """Return a local directory with the event files of all runs behind an address, as they are now.

    It is kept in `~/.cache/keras_xai` (`XDG_CACHE_HOME`), so that another call transmits only files that changed; where that
    cannot be written, until this process ends.

    Raises:
        InvalidInput: no such directory, or no right to read it.
        ConnectionError: the store does not answer.
        OSError: this machine has no room for the copy.
    """
    cache = _cache(hashlib.sha256(address.url.encode()).hexdigest()[:32])
    try:
        file_system, root = address.open()
        files = dict(event_files(root, file_system.find(root, detail=True)))
        if not files and not file_system.exists(root):
            raise FileNotFoundError("nothing is stored there")
        directory = cache / (re.sub(r"[^\w.-]", "_", posixpath.basename(root)).strip(".") or "root")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _update(file_system, root, files, directory, cache / _INDEX)
    except Exception as fault:
        if isinstance(fault, OSError) and fault.errno in _FULL:
            raise OSError(fault.errno, f"the copy of {address} cannot be kept in {cache}: {fault.strerror}") from fault
        text = address.hidden(f"{type(fault).__name__}: {fault}").rstrip(".")
        if is_misuse(fault):
            raise InvalidInput(
                f"{address} cannot be read: {text}. Give the log_dir of a callback, or one above it."
            ) from fault
        raise ConnectionError(f"{address} cannot be read: {text}") from fault
    return directory


def _cache(name: str) -> Path:
    """Return a directory for this user alone, which is kept where the user's cache can be written."""
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_xai"
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache = home / name
        cache.mkdir(exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=cache).close()
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        if not _passing:
            _passing.append(tempfile.TemporaryDirectory(prefix="keras_xai-", ignore_cleanup_errors=True))
        cache = Path(_passing[0].name) / name
        cache.mkdir(exist_ok=True)
    return cache


def _update(file_system: Any, root: str, files: dict[str, dict[str, Any]], directory: Path, index: Path) -> None:
    """Bring the copy up to date: transmit what changed, and delete what is gone."""
    stamps = {relative: _stamp(facts) for relative, facts in files.items()}
    earlier = _read(index)
    changed = [
        name
        for name, stamp in stamps.items()
        if earlier.get(name) != stamp or not _is_whole(directory / name, files[name].get("size"))
    ]
    token = f".{secrets.token_hex(4)}.part"
    try:
        for first in range(0, len(changed), _FILES_AT_ONCE):
            names = changed[first : first + _FILES_AT_ONCE]
            parts = [directory / f"{name}{token}" for name in names]
            for part in parts:
                part.parent.mkdir(parents=True, exist_ok=True)
            file_system.get([f"{root}/{name}" for name in names], [str(part) for part in parts])
            for name, part in zip(names, parts, strict=True):
                os.replace(part, directory / name)
    finally:
        for part in directory.rglob(f"*{token}"):
            part.unlink(missing_ok=True)
    for name in earlier.keys() - stamps.keys():
        with contextlib.suppress(OSError):
            (directory / name).unlink(missing_ok=True)
            (directory / name).parent.rmdir()
    if stamps != earlier:
        draft = index.with_name(f"{index.name}{token}")
        draft.write_text(json.dumps(stamps), encoding="utf-8")
        os.replace(draft, index)


def _is_whole(path: Path, size: Any) -> bool:
    """Return True where a copy has not lost bytes since: it may have more, of a file that grew while it was read."""
    return path.is_file() and (not isinstance(size, int) or path.stat().st_size >= size)


def _stamp(facts: dict[str, Any]) -> list[str]:
    """Return what changes with a file: its size, and what the store says of its version."""
    version = next((str(facts[key]) for key in _STAMPS if facts.get(key)), "")
    return [str(facts.get("size")), version]


def _read(index: Path) -> dict[str, list[str]]:
    try:
        stamps = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}
