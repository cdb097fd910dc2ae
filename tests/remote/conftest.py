"""An S3 server on loopback that can be stopped and started again with what it holds, and shipping without long pauses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_xai.remote import shipper
from tests.remote.names import BUCKET, SECRET


class S3:
    """moto's server; its objects live as long as this process."""

    def __init__(self) -> None:
        self.port = 0  # a free one at the first start
        self.server: Any = None

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    @property
    def client(self) -> Any:
        import boto3

        return boto3.client("s3")

    def names(self, prefix: str = "") -> list[str]:
        """The keys of the objects."""
        listing = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in listing.get("Contents", [])]


@pytest.fixture(scope="session")
def s3_of_session() -> Iterator[S3]:
    if not os.environ.get("KERAS_XAI_REQUIRE_S3"):
        pytest.importorskip("moto.server")
        pytest.importorskip("s3fs")
    server = S3()
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "user")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.client.create_bucket(Bucket=BUCKET)
        yield server
        server.stop()


@pytest.fixture
def s3(s3_of_session: S3) -> Iterator[S3]:
    """The server, running and with an empty bucket."""
    for name in s3_of_session.names():
        s3_of_session.client.delete_object(Bucket=BUCKET, Key=name)
    yield s3_of_session
    if s3_of_session.server is None:
        s3_of_session.start()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pause is long, and the copies that are read lie in the test's own directory."""
    monkeypatch.setattr(shipper, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(shipper, "FIRST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(shipper, "LAST_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(shipper, "END_SECONDS", 20.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def memory_url() -> Iterator[Callable[[str], str]]:
    """Addresses below memory://, which is empty."""
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield lambda name: f"memory://{name}"
    store.store.clear()
