"""Runs that are shipped without a training."""

from __future__ import annotations

from keras_xai.remote.shipper import Shipper
from keras_xai.summary.writer import Writer
from tests.summary.epoch_records import epoch_of_records


def written(shipping: Shipper, run: str, epochs: range, start: int = 0, roll_bytes: int | None = None) -> None:
    """Write and ship epochs of one record of every kind, in a run that is not ended."""
    shipping.begin(run)
    writer = Writer(shipping.directory / run, start, roll_bytes=roll_bytes, on_flush=shipping.ship)
    for epoch in epochs:
        writer.write(epoch_of_records(epoch))
        writer.flush()
    writer.close()
