"""The members of a run that figures and judgements may ask for: its records, by name. `keras_xai.run.Run` has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from keras_xai.probe import Probe
from keras_xai.records import (
    Alert,
    Attribution,
    Epoch,
    Gradients,
    Importance,
    Mappings,
    Note,
    Outputs,
    Samples,
    Stop,
)


class Recorded(Protocol):
    """One run read back; every member is lazy and may be empty or None."""

    @property
    def epochs(self) -> Sequence[int]: ...
    @property
    def history(self) -> Sequence[Epoch]: ...
    @property
    def stops(self) -> Sequence[Stop]: ...
    @property
    def missing_epochs(self) -> Sequence[int]: ...
    @property
    def notes(self) -> Sequence[Note]: ...
    @property
    def doubts(self) -> Sequence[str]: ...
    @property
    def probe(self) -> Probe | None: ...
    @property
    def weight_gradients(self) -> Sequence[Gradients]: ...
    @property
    def methods(self) -> Sequence[str]: ...
    @property
    def importance(self) -> Importance | None: ...
    @property
    def importance_live(self) -> Importance | None: ...
    @property
    def data_score(self) -> Importance | None: ...
    @property
    def mappings(self) -> Sequence[Mappings]: ...
    @property
    def samples(self) -> Samples | None: ...
    @property
    def alerts(self) -> Sequence[Alert]: ...
    def attribution(self, method: str, epoch: int) -> Attribution | None: ...
    def outputs(self, method: str) -> Outputs | None: ...
