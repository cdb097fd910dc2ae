"""The critical step over updates: the multiple of a step at which the loss of its own batch would rise."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_xai.analysis.critical_step import step_words
from keras_xai.analysis.importance import alarm_epochs
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
    overlaid,
    update_axis,
)
from keras_xai.recorded import Recorded
from keras_xai.records import STEP_LIMITS

THIS_STEP = 1.0  # the step that was taken


def critical_step(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the critical step over updates, the median of the sampled steps and each as a dot; other runs thin.

    Below the guide at 1 the step that was taken raised the loss of its own batch.
    """
    lines = []
    for other in overlaid(run, look):
        if other.run.critical_step:
            lines.append(_median(other.run, other.name, look.colour_of(other), width=1.5, dash=other.dash()))
    records = run.critical_step
    if not records:
        return chart(look, lines)
    lines += [_dots(run, look), _median(run, look.name, look.run_colour, width=2, dash=look.dash())]
    values = [value for trace in lines for value in trace["y"] if value is not None]
    low, high = min([*values, THIS_STEP]), max([*values, 10 * THIS_STEP])
    panel = chart(
        look,
        lines,
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, type="log", range=[np.log10(low) - 0.1, np.log10(high) + 0.1], **log_ticks(low, high)),
    )
    guide = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": THIS_STEP, "y1": THIS_STEP}
    panel["layout"]["shapes"].append({**guide, "line": {"color": look["text-3"], "width": 1, "dash": "4px,3px"}})
    mark_alerts(look, panel, alarm_epochs(run))
    mark_apart(look, panel, run)
    return named_axes(look, panel, y="× the step taken", x_column=run.unit)


def _median(run: Recorded, name: str, colour: str, **style: Any) -> dict[str, Any]:
    records = run.critical_step
    medians = [record.critical for record in records]
    words = [step_words(value) for value in medians]
    updates = [record.update for record in records]
    return line(name, updates, medians, colour, text=words, hovertemplate="%{text}", **style)


def _dots(run: Recorded, look: Look) -> dict[str, Any]:
    """Return each measured step as a dot; one at a limit, which stands for all beyond, as a triangle that points there."""
    pairs = [(record.update, multiple) for record in run.critical_step for multiple in record.multiples]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "one step",
        "x": [update for update, _ in pairs],
        "y": [multiple for _, multiple in pairs],
        "marker": {
            "color": look.run_colour,
            "size": 5,
            "opacity": 0.45,
            "symbol": [_symbol(multiple) for _, multiple in pairs],
        },
        "hoverinfo": "skip",
    }


def _symbol(multiple: float) -> str:
    lowest, highest = STEP_LIMITS
    if multiple <= lowest:
        return "triangle-down"
    return "triangle-up" if multiple >= highest else "circle"
