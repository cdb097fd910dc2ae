"""The live rows that taught the model most of a row of the probe, or set off an alert, as the tab lists them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from keras_xai.analysis.formatting import aligned, short
from keras_xai.recorded import Recorded
from keras_xai.records import Alert, InfluenceRanks, RowInfluences


class TaughtRow(NamedTuple):
    """A live row, in words."""

    row: int  # its number in the source of the live rows
    label: str  # "" where it is not known
    score: str


@dataclass(frozen=True)
class TaughtBy:
    """The strongest live rows on either side, up to an update."""

    layer: str
    checkpoints: int  # updates that the scores are a sum over
    proponents: tuple[TaughtRow, ...]
    opponents: tuple[TaughtRow, ...]


def taught_by(run: Recorded, row: int, update: int | None = None) -> TaughtBy | None:
    """Return what taught the model of a row of the probe, up to an update; None where it was not recorded."""
    records = [record for record in run.influences if update is None or record.update <= update]
    if not records or not 0 <= row < len(records[-1].probe.proponents):
        return None
    record = records[-1]
    return TaughtBy(record.layer, record.checkpoints, *_sides(run, record, record.probe, row))


def set_off_by(run: Recorded, alert: Alert) -> tuple[TaughtRow, ...]:
    """Return the live rows that set off an alert; none where it was not recorded."""
    names = {move.name for move in alert.features}
    for record in run.influences:
        if record.update != alert.update:
            continue
        for k, reference in enumerate(record.alerts):
            if reference.source == alert.source and set(reference.features) <= names:
                return _sides(run, record, record.on_alerts, k)[0]
    return ()


def _sides(
    run: Recorded, record: RowInfluences, ranks: InfluenceRanks, index: int
) -> tuple[tuple[TaughtRow, ...], tuple[TaughtRow, ...]]:
    labels: dict[int, float] = {}
    if record.labels is not None:
        labels = dict(zip(record.live.tolist(), record.labels.tolist(), strict=True))
    sides = []
    for numbers, scores in ((ranks.proponents, ranks.proponent_scores), (ranks.opponents, ranks.opponent_scores)):
        is_ranked = numbers[index] >= 0
        words = aligned([short(score).replace("-", "−") for score in scores[index][is_ranked].tolist()])
        rows = []
        for number, score in zip(numbers[index][is_ranked].tolist(), words, strict=True):
            rows.append(TaughtRow(number, _label(run, labels.get(number, math.nan)), score))
        sides.append(tuple(rows))
    return sides[0], sides[1]


def _label(run: Recorded, label: float) -> str:
    names = None if run.probe is None else run.probe.class_names
    if names and math.isfinite(label) and label.is_integer() and 0 <= label < len(names):
        return names[int(label)]
    return f"{label:g}" if math.isfinite(label) else ""
