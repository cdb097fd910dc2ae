"""The verdict of a rule on one update: it is broken, and by what; or it could not be judged."""

from __future__ import annotations

from typing import NamedTuple

from keras_xai.training_records import TrainingRule


class Finding(NamedTuple):
    """A rule that is broken at an update."""

    kind: TrainingRule
    name: str  # the layer, input, column or class that shows it; "model" for the whole model
    value: float
    limit: float
    sentence: str
    advice: str
    since: int | None = None  # where the rule itself knows at which update it began


class Unjudged(NamedTuple):
    """A rule that could not be judged, and why."""

    kind: TrainingRule
    reason: str


MODEL = "model"  # the name of a flag on the whole model
