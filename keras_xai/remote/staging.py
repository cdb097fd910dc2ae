"""The local directory in which a remote log directory is written before it is shipped; one a process and address."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from pathlib import Path

from keras_xai.remote.address import Address
from keras_xai.remote.shipper import Shipper

_shippers: dict[tuple[int, str], Shipper] = {}  # by process: a forked one has its own
_token: dict[int, str] = {}


def staging_directory(address: Address) -> Path:
    """Return the directory for an address in this process, in the system's directory for temporary files; it is not made yet.

    Its name cannot be guessed, since others may write in the same place.
    """
    token = _token.setdefault(os.getpid(), secrets.token_hex(8))
    name = re.sub(r"[^\w.-]+", "_", address.url.partition("://")[2].rpartition("@")[2])[-60:].strip("_.")
    digest = hashlib.sha256(address.url.encode()).hexdigest()[:8]
    return Path(os.path.realpath(tempfile.gettempdir())) / f"keras_xai-{token}" / f"{name}-{digest}"


def shipper_of(address: Address) -> Shipper:
    """Return what ships to an address from this process; all callbacks and trainings share it."""
    key = os.getpid(), address.url
    if key not in _shippers:
        directory = staging_directory(address)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _shippers[key] = Shipper(address, directory)
    return _shippers[key]
