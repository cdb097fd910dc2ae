"""Records whose format is one JSON string, of all fields but the moment, which is the event's step, and those in the tag."""

from __future__ import annotations

from typing import Any

from keras_xai.records import Alert, Epoch, Stop
from keras_xai.summary.json_text import json_of


def fields_of(record: Epoch | Alert | Stop, *left_out: str) -> dict[str, Any]:
    """Return the fields of a record without its epoch, its step and those in `left_out`."""
    names = [name for name in record.__dataclass_fields__ if name not in ("epoch", "step", *left_out)]
    return {name: getattr(record, name) for name in names}


def body_of(record: Epoch | Alert | Stop, *left_out: str) -> bytes:
    """Return the same fields as JSON."""
    return json_of(fields_of(record, *left_out))
