"""TensorBoard reads the runs of an S3 address: with TensorFlow installed, without tensorflow-io, by its Python loader."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from keras_xai.remote.address import Address
from keras_xai.remote.shipper import Shipper
from tests.remote.names import BUCKET
from tests.remote.written import written


@pytest.fixture
def tensorflow_again() -> Iterator[None]:
    """Give TensorBoard its TensorFlow back afterwards: other tests of this process read by it."""
    from tensorboard import compat

    assert compat.tf.__version__  # imported at the first use
    before = dict(vars(compat.tf))
    yield
    vars(compat.tf).clear()
    vars(compat.tf).update(before)


def test_the_tab_shows_runs_in_s3(s3, tmp_path, wsgi, monkeypatch, tensorflow_again):
    """All epochs of a run that lies in several files, and the line for a notebook names the address."""
    monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{s3.port}")  # of TensorBoard's own reader
    shipping = Shipper(Address(f"s3://{BUCKET}/logs/run1"), tmp_path / "staging")
    written(shipping, "keras_xai", range(6), roll_bytes=4_000)
    shipping.end("keras_xai")
    assert len(s3.names("logs/run1/keras_xai/")) > 2
    tab = wsgi(f"s3://{BUCKET}/logs")
    (run,) = json.loads(tab.get("/data/plugin/keras_xai/index?focus=").data)["runs"]
    assert run["name"] == "run1"
    assert run["epochs"] == 6
    line = tab.get("/data/plugin/keras_xai/notebook?run=run1&name=overview").data.decode()
    assert f"kx.load('s3://{BUCKET}/logs')['run1']" in line
