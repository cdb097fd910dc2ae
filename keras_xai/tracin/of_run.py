"""The influence that a run recorded, on a row of its probe or on an alert."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from keras_xai.errors import InvalidInput
from keras_xai.records import Alert, InfluenceRanks, RowInfluences
from keras_xai.tracin.result import Influence


class InfluenceLog(Protocol):
    """A run that has records of influence."""

    @property
    def influences(self) -> Sequence[RowInfluences]: ...

    @property
    def alerts(self) -> Sequence[Alert]: ...


def influence_in_run(run: InfluenceLog, row: int | None, alert: Any, update: int | None) -> Influence:
    """Return the influence that a run recorded; see `influence`."""
    if (row is None) == (alert is None):
        raise InvalidInput("influence(run): give row=, the number of a row of the probe, or alert=, one of run.alerts.")
    if not run.influences:
        raise InvalidInput(
            "This run recorded no influence: train with ImportanceDrift(…, live=(x, y), influence=True), or ask the model, "
            "influence(model, x_train, y_train, x, y)."
        )
    return _on_row(run, row, update) if row is not None else _on_alert(run, alert)


def _on_row(run: InfluenceLog, row: int, update: int | None) -> Influence:
    records = [record for record in run.influences if update is None or record.update <= update]
    if not records:
        raise InvalidInput(f"update={update}: the first record of influence is at {run.influences[0].update}.")
    record = records[-1]
    size = len(record.probe.proponents)
    if isinstance(row, bool) or not isinstance(row, (int, np.integer)) or not 0 <= row < size:
        raise InvalidInput(f"row={row!r}: expected the number of a row of the probe, 0 to {size - 1}.")
    return influence_of(record, record.probe, int(row), record.checkpoints)


def _on_alert(run: InfluenceLog, alert: Any) -> Influence:
    if isinstance(alert, (int, np.integer)) and not isinstance(alert, bool):
        if not -len(run.alerts) <= alert < len(run.alerts):
            raise InvalidInput(f"alert={alert}: the run has {len(run.alerts)} alerts, counted from 0.")
        alert = run.alerts[int(alert)]
    if not isinstance(alert, Alert):
        raise InvalidInput(f"alert={alert!r}: expected one of run.alerts, or its number among them.")
    names = {move.name for move in alert.features}
    for record in run.influences:
        if record.update != alert.update:
            continue
        for k, reference in enumerate(record.alerts):
            if reference.source == alert.source and set(reference.features) <= names:
                return influence_of(record, record.on_alerts, k, 1)
    raise InvalidInput(
        f"The influence on this alert ({alert.description}) was not recorded: its features stand for no values of a row, or "
        f"its update has no record."
    )


def influence_of(record: RowInfluences, ranks: InfluenceRanks, index: int, checkpoints: int) -> Influence:
    """Return one ranking of a record; NaN stands for the influence of live rows that are not among its ranks."""
    place = {int(number): k for k, number in enumerate(record.live)}
    scores = np.full((1, len(record.live)), np.nan, np.float32)
    for numbers, values in ((ranks.proponents, ranks.proponent_scores), (ranks.opponents, ranks.opponent_scores)):
        for number, value in zip(numbers[index].tolist(), values[index].tolist(), strict=True):
            if number >= 0:
                scores[0, place[number]] = value
    return Influence(
        scores,
        record.layer,
        record.loss,
        record.labels,
        checkpoints=checkpoints,
        rows=np.asarray(record.live, np.int64),
    )
