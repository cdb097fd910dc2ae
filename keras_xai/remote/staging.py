"""The local directory in which a remote log directory is written before it is shipped; one a process and address."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import re
import secrets
import tempfile
from pathlib import Path

from keras_xai.errors import InvalidInput
from keras_xai.remote.address import Address
from keras_xai.remote.shipper import Shipper

_shippers: dict[tuple[int, str], Shipper] = {}  # by process: a forked one has its own
_token: dict[int, str] = {}


def staging_directory(address: Address) -> Path:
    """Return the directory for an address in this process, in the system's directory for temporary files; it is not made yet.

    Its name cannot be guessed, since others may write in the same place.

    Raises:
        InvalidInput: there is no directory for temporary files.
    """
    token = _token.setdefault(os.getpid(), secrets.token_hex(8))
    name = re.sub(r"[^\w.-]+", "_", address.url.partition("://")[2].rpartition("@")[2])[-60:].strip("_.")
    digest = hashlib.sha256(address.url.encode()).hexdigest()[:8]
    try:
        home = os.path.realpath(tempfile.gettempdir())
    except OSError as error:
        raise InvalidInput(_words(address, error)) from error
    return Path(home) / f"keras_xai-{token}" / f"{name}-{digest}"


def shipper_of(address: Address) -> Shipper:
    """Return what ships to an address from this process; all callbacks and trainings share it.

    Raises:
        InvalidInput: its local directory cannot be made.
    """
    directory = staging_directory(address)
    try:
        _make_private(directory.parent)
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise InvalidInput(_words(address, error)) from error
    key = os.getpid(), address.url
    if key not in _shippers:
        # In one step: of two threads that begin, both get the first.
        _shippers.setdefault(key, Shipper(address, directory))
    return _shippers[key]


def _make_private(directory: Path) -> None:
    """Make a directory for this user alone, if it is not there; it stays until the process ends.

    What is below may be deleted and made again meanwhile, by code that asks for no rights.
    """
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        atexit.register(_remove_empty, directory, os.getpid())


def _remove_empty(directory: Path, process: int) -> None:
    if os.getpid() == process:
        with contextlib.suppress(OSError):
            directory.rmdir()


def _words(address: Address, error: OSError) -> str:
    return (
        f"log_dir={str(address)!r}: records are written in the directory for temporary files before they are sent, and it "
        f"cannot be used: {error.strerror}. Set TMPDIR to a directory that can be written."
    )
