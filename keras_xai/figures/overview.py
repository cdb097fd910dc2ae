"""Overview of a run: the sentence of its summary as title, above the charts of one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_xai.analysis.importance import alarm_epochs, importance_of
from keras_xai.analysis.overview import summary
from keras_xai.figures.grid import grid
from keras_xai.figures.importance_drift import drift_score, importance_map
from keras_xai.figures.tables import log_ticks, named_axes
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    line,
    mark_alerts,
    mark_apart,
    mark_resumed,
    overlaid,
    text,
    update_axis,
)
from keras_xai.figures.weight_gradients import heat_map
from keras_xai.recorded import Recorded
from keras_xai.records import Epoch

LOSSES = {"loss": "training", "val_loss": "validation"}
LOGARITHMIC_ABOVE = 10  # factor between the smallest and the largest loss, from which on the axis is logarithmic
FAULTS_IN_TITLE = 2


def loss(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw training loss, and validation loss dotted; logarithmic where it spans more than a decade."""
    runs = [(other.name, other.run, look.colour_of(other), 1.25, other.dash) for other in overlaid(run, look)]
    runs.append((look.name, run, look.run_colour, 2.0, look.dash))
    data = []
    for name, drawn, colour, width, dash_of in runs:
        for key, label in LOSSES.items():
            records = _with_log(drawn, key)
            values = [record.logs.get(key, float("nan")) for record in records]
            if not np.isfinite(values).any():
                continue
            label = f"{name} {label}" if look.others else label
            dash = dash_of(dotted=key == "val_loss")
            style: dict[str, Any] = {"width": width, "dash": dash, "hovertemplate": "%{y:,.3~r}"}
            if len(records) < len(drawn.history):  # the ends of epochs alone: one of them is no line
                style |= {"mode": "lines+markers", "marker": {"size": 5, "color": colour}, "cliponaxis": False}
            data.append(line(label, [record.update for record in records], values, colour, **style))
    values = [value for trace in data for value in trace["y"] if value is not None]
    logarithmic = bool(values) and min(values) > 0 and max(values) / min(values) > LOGARITHMIC_ABOVE
    scale: dict[str, Any] = {"type": "linear"}
    if logarithmic:
        scale = {"type": "log", **log_ticks(min(values), max(values))}
    panel = chart(look, data, xaxis=update_axis(look, run, run.updates), yaxis=axis(look, **({"nticks": 5} | scale)))
    mark_resumed(look, panel, run.history)
    mark_alerts(look, panel, alarm_epochs(run))
    mark_apart(look, panel, run)
    return named_axes(look, panel, y="loss", x_column=run.unit)


def _with_log(run: Recorded, key: str) -> Sequence[Epoch]:
    """Return the updates to draw a log at: in a run that counts in steps those that have it, in one of epochs all."""
    return run.history if run.unit == "epoch" else [record for record in run.history if key in record.logs]


def figure(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None) -> Figure:
    """Draw score, loss, importance and gradient health under the sentence of the summary; without what was not recorded.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: as the run stood at this epoch; by default at the last.
    """
    has_importance = importance_of(run) is not None
    panels = []
    if has_importance:
        panels.append(("Drift score", drift_score(run, look)))
    if any("loss" in record.logs for record in run.history):
        panels.append(("Loss, validation dotted", loss(run, look)))
    if has_importance:
        panels.append((f"Importance by feature and {run.unit}", importance_map(run, look, epoch=epoch)))
    if run.weight_gradients:
        health = heat_map(run, look, kernels_only=True, compact=True, labels=16)
        panels.append((f"Gradient health: log RMS, layer × {run.unit}", health))
    title = _title(run, look, epoch)
    return grid(look, panels, title=title) if panels else chart(look, [], title={"text": title})


def _title(run: Recorded, look: Look, epoch: int | None) -> str:
    """Return the sentence of the summary, and below it the faults of the watch and the features that were not measured."""
    words = summary(run, epoch)
    lines = [text(words.sentence, 160)]
    notes = [(fault, "alarm") for fault in words.faults[:FAULTS_IN_TITLE]]
    if words.missing:
        notes.append((f"Importance not measured: {', '.join(words.missing)}", "text-2"))
    lines += [f'<span style="color:{look[token]};font-size:13px">{text(note, 160)}</span>' for note, token in notes]
    return "<br>".join(lines)
