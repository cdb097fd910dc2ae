"""Records whose format is one JSON string, of all fields but the epoch, which is the event's step, and those in the tag."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_xai.records import Alert, Epoch, Stop
from keras_xai.summary import checks
from keras_xai.summary.json_text import json_of


def body_of(record: Epoch | Alert | Stop, *in_tag: str) -> bytes:
    """Return the fields of a record as JSON, without the epoch and those in `in_tag`; without a step that is None."""
    fields = {name: getattr(record, name) for name in record.__dataclass_fields__ if name not in ("epoch", *in_tag)}
    if fields["step"] is None:
        del fields["step"]
    return json_of(fields)


def step_of(body: Mapping[str, Any]) -> int | None:
    """Return the step of the optimizer that a record belongs to; None for a record of an epoch's end."""
    return None if body.get("step") is None else checks.whole(body["step"])
