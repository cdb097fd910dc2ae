"""Overview of a run: the sentence of its summary as title, above the charts of one screen."""

from __future__ import annotations

import numpy as np

from keras_xai.analysis.importance import alarm_epochs, importance_of
from keras_xai.analysis.overview import summary
from keras_xai.figures.grid import grid
from keras_xai.figures.importance_drift import drift_score, importance_map
from keras_xai.figures.theme import LIGHT, Figure, Look, axis, chart, epoch_axis, line, mark_alerts, mark_resumed, text
from keras_xai.figures.weight_gradients import heat_map
from keras_xai.recorded import Recorded

LOSSES = {"loss": ("training", "solid"), "val_loss": ("validation", "2px,3px")}
LOGARITHMIC_ABOVE = 10  # factor between the smallest and the largest loss, from which on the axis is logarithmic
FAULTS_IN_TITLE = 2


def loss(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw training loss, and validation loss dotted; logarithmic where it spans more than a decade."""
    runs = [(other.name, other.run, look.colour_of(other), 1.25) for other in look.others]
    runs.append((look.name, run, look.run_colour, 2.0))
    data = []
    for name, drawn, colour, width in runs:
        epochs = [record.epoch for record in drawn.history]
        for key, (label, dash) in LOSSES.items():
            values = [record.logs.get(key, float("nan")) for record in drawn.history]
            if not np.isfinite(values).any():
                continue
            label = f"{name} {label}" if look.others else label
            data.append(line(label, epochs, values, colour, width=width, dash=dash, hovertemplate="%{y:.3g}"))
    values = [value for trace in data for value in trace["y"] if value is not None]
    logarithmic = bool(values) and min(values) > 0 and max(values) / min(values) > LOGARITHMIC_ABOVE
    scale = {"type": "log", "dtick": 1} if logarithmic else {"type": "linear"}
    panel = chart(look, data, xaxis=epoch_axis(look, run.epochs), yaxis=axis(look, nticks=5, **scale))
    mark_resumed(look, panel, run.history)
    mark_alerts(look, panel, alarm_epochs(run))
    return panel


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
        panels.append(("Importance by feature and epoch", importance_map(run, look, epoch=epoch)))
    if run.weight_gradients:
        health = heat_map(run, look, kernels_only=True, compact=True, labels=16)
        panels.append(("Gradient health: log RMS, layer × epoch", health))
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
