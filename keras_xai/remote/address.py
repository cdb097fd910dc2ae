"""Addresses of remote log directories, and the file systems behind them, by fsspec."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from keras_xai.errors import InvalidInput

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.:-]+://")
_USER = re.compile(r"(?<=://)[^/@]*@")  # a name and a password before the host
# Stores of objects by name: there are no directories to be made, and to "make" one of s3fs' can create a bucket.
_OBJECT_STORES = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos", "memory"])
_SCHEMES = sorted(_OBJECT_STORES | {"file", "ftp", "hdfs", "http", "https", "sftp", "smb", "ssh", "webhdfs"})
_ONE_SLASH = re.compile(rf"({'|'.join(_SCHEMES)}):/(?!/)", re.IGNORECASE)  # what pathlib makes of an address
# Of s3fs: how long one request may take. What fails is tried again by us alone: botocore draws its pauses from Python's
# `random`, from which Keras seeds layers, and a training would draw other numbers.
_OF_S3: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 0}}
# Faults that no waiting mends, where they meet the first access: the bucket, the rights or the credentials are missing.
_MISUSE = (
    FileNotFoundError,
    NotADirectoryError,
    PermissionError,
    ImportError,
    TypeError,
    ValueError,
    NotImplementedError,  # of stores that are read alone
)
_MISUSE_BY_NAME = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "DefaultCredentialsError",
    "ProfileNotFound",
    "ParamValidationError",  # a name that no bucket can have
)


def is_address(text: str) -> bool:
    """Return True for "scheme://…", False for a path."""
    return _URL.match(text) is not None


def without_file_scheme(text: str) -> str:
    """Return the path of a "file:///…" URI, and any other text as it is.

    Raises:
        InvalidInput: the URI names another host, or its path lost the slash that it begins with.
    """
    if not text.startswith("file://"):
        return text
    host, slash, path = text.removeprefix("file://").partition("/")
    if host not in ("", "localhost") or not slash:
        raise InvalidInput(
            f"log_dir={text!r} names the host {host!r}: expected a path on this machine, as 'file:///{host}{slash}{path}'."
        )
    return f"/{unquote(path)}"


def refuse_one_slash(text: str) -> None:
    """Check that a path is no address which lost a slash.

    Raises:
        InvalidInput: it begins as "s3:/bucket": a directory of that name is what nobody meant.
    """
    match = _ONE_SLASH.match(text)
    if match:
        slashes = "///" if match.group(1).lower() == "file" else "//"
        raise InvalidInput(
            f"log_dir={text!r}: an address has two slashes behind its scheme: give it as text, as "
            f"'{match.group(1)}:{slashes}{text[match.end() :]}'; pathlib.Path makes one slash of two."
        )


def without_password(text: str) -> str:
    """Return a path or an address as it may be shown: without a name and password in it."""
    return _USER.sub("", text) if is_address(text) else text


def is_misuse(fault: BaseException) -> bool:
    """Return True for a fault of the address, the rights or the credentials; False for one of the network."""
    return isinstance(fault, (InvalidInput, *_MISUSE)) or type(fault).__name__ in _MISUSE_BY_NAME


@dataclass(frozen=True)
class Address:
    """The address of a directory in a remote store.

    Args:
        url: with its scheme.

    Raises:
        InvalidInput: fsspec or the package of the scheme is not installed, or there is no such scheme.
    """

    url: str

    def __post_init__(self) -> None:
        if "::" in self.url:
            raise InvalidInput(f"log_dir={str(self)!r}: chained addresses are not supported; give one scheme://path.")
        object.__setattr__(self, "url", self._in_one_spelling())
        self._file_system_class()

    def __str__(self) -> str:
        """Return the address as it may be shown: without a name and password in it."""
        return without_password(self.url)

    @property
    def protocol(self) -> str:
        """The scheme, in lower case."""
        return self.url.partition("://")[0].lower()

    @property
    def has_directories(self) -> bool:
        """True where a directory has to be made before a file in it."""
        return self.protocol not in _OBJECT_STORES

    def hidden(self, text: object) -> str:
        """Return the text of a fault without the name and password of this address."""
        secret = _USER.search(self.url)
        return str(text).replace(secret.group()[:-1], "***") if secret and len(secret.group()) > 1 else str(text)

    def open(self) -> tuple[Any, str]:
        """Return a file system object of its own, whose requests end in time, and the path of the directory in it."""
        import fsspec

        options: dict[str, Any] = {"skip_instance_cache": True}
        if self.protocol in ("s3", "s3a"):
            configured = fsspec.config.conf.get(self.protocol, {}).get("config_kwargs", {})
            options["config_kwargs"] = {**_OF_S3, **configured}
        file_system, path = fsspec.core.url_to_fs(self.url, **options)
        if self.protocol in ("s3", "s3a"):
            file_system.retries = 1
        return file_system, str(path).rstrip("/")

    def _in_one_spelling(self) -> str:
        """Return the address without a slash too many: to an object store they would be parts of names.

        Raises:
            InvalidInput: it names no directory, or steps out of one.
        """
        host, slash, path = self.url.partition("://")[2].partition("/")
        parts = [part for part in path.split("/") if part]
        if not host and not parts:
            raise InvalidInput(f"log_dir={str(self)!r}: names no directory; give {self.protocol}://bucket/path.")
        if not {".", ".."}.isdisjoint([host, *parts]):
            raise InvalidInput(f"log_dir={str(self)!r}: stores do not resolve '.' and '..'; give the address without.")
        return f"{self.protocol}://{host}{slash if parts else ''}{'/'.join(parts)}"

    def _file_system_class(self) -> Any:
        try:
            import fsspec
        except ImportError as error:
            raise InvalidInput(
                f"log_dir={str(self)!r}: a remote log directory needs fsspec: pip install keras_xai[remote], and the package "
                f"of your store, as s3fs or gcsfs; or give a local path."
            ) from error
        try:
            return fsspec.get_filesystem_class(self.protocol)
        except ImportError as error:
            raise InvalidInput(
                f"log_dir={str(self)!r}: the package of {self.protocol}:// is missing: {error}"
            ) from error
        except ValueError as error:
            raise InvalidInput(
                f"log_dir={str(self)!r}: fsspec knows no {self.protocol}://; give a local path or one of s3://, gs://, abfs://, "
                f"sftp:// or another that fsspec.available_protocols() lists."
            ) from error
