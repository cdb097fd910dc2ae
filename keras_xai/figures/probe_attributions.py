"""Attributions: the contribution of each part of a probe sample, and the model's output for it over epochs.

The tab draws its gallery itself, from the raw values; the figures here are for its charts, the notebook and the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_xai.analysis.attributions import method_named, true_class
from keras_xai.analysis.gallery import Gallery
from keras_xai.analysis.importance import alarm_epochs
from keras_xai.analysis.outputs import (
    explained,
    finite_at,
    is_percent,
    predicted,
    probabilities,
    target_name,
)
from keras_xai.errors import InvalidInput, check_int, unknown
from keras_xai.figures.attribution.gallery import Drawing, gallery_figure
from keras_xai.figures.attribution.maps import Display
from keras_xai.figures.tables import named_axes
from keras_xai.figures.theme import LIGHT, Figure, Look, axis, chart, line, mark_alerts, nothing, text, update_axis
from keras_xai.judgement import why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Float, Outputs
from keras_xai.updates import BEFORE

NAMED_LINES = 4  # of a sample's classes
ROW_LETTERS = 24  # of a row's label, at most


def sample_outputs(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    sample: int = 0,
    epoch: int | None = None,
) -> Figure:
    """Draw the model's output for one sample over epochs.

    Of classes and labels all are drawn: the explained one thick, a wrongly predicted class in the alarm colour, the next two
    grey, the others faint. Of a margin, a number, or several numbers only the explained value is.
    """
    method = method_named(run, method)
    table = run.outputs(method) if method else None
    if table is None or not table.outputs.size:
        return chart(look, [])
    size = table.outputs.shape[1]
    if not 0 <= sample < size:
        raise unknown("sample", sample, map(str, range(size)))
    values = probabilities(table)[:, sample]
    if values.shape[-1] > 1 and table.task != "numbers":
        panel = _columns(run, look, table, values, sample, epoch)
    else:
        target = int(table.target[finite_at(table, epoch)[0], sample])
        name = "output" if values.shape[-1] == 1 else target_name(run, table, target)
        panel = _single(run, look, table, explained(table)[:, sample], name)
    mark_alerts(look, panel, alarm_epochs(run))
    panel["layout"].setdefault("meta", {})["labelled"] = True
    return named_axes(look, panel, y="probability" if is_percent(table) else "output", x_column=run.unit)


def _single(run: Recorded, look: Look, table: Outputs, values: Float, name: str) -> Figure:
    """Draw one line (E), on an axis that fits it."""
    trace = line(name, table.updates, values, look["text"], width=2.25, hovertemplate="%{y:,.3~r}")
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    pad = 0.04 * (high - low) or max(0.04 * abs(high), 0.04)
    return chart(
        look,
        [trace],
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, range=[low - pad, high + pad], nticks=4),
        margin={"l": 48, "r": 10, "t": 12, "b": 22},
    )


@dataclass(frozen=True)
class Classes:
    """The classes of a sample with a line of their own style, as columns of the outputs; None where there is none."""

    target: int
    true: int | None
    predicted: int | None
    named: tuple[int, ...]  # those with a line that is not faint

    @property
    def misread(self) -> bool:
        """True where the predicted class is not the true one."""
        return self.true is not None and self.predicted is not None and self.predicted != self.true

    def role(self, k: int) -> str:
        """Return the role of a class for the sample, for its label; "" for any other class."""
        if k == self.true:
            return "true class"
        if k == self.predicted:
            return "predicted"
        return "explained" if k == self.target else ""


def _classes(run: Recorded, table: Outputs, values: Float, sample: int, epoch: int | None) -> Classes:
    """Return the explained and the predicted class at an epoch, and with them the strongest ones."""
    at = finite_at(table, epoch)[0]
    target, prediction = int(table.target[at, sample]), predicted(table)[at, sample]
    read_as = int(prediction) if np.isfinite(prediction) else None
    strongest = np.argsort(-np.nanmax(np.nan_to_num(values), axis=0))[:NAMED_LINES].tolist()
    candidates = dict.fromkeys([target, *([] if read_as is None else [read_as]), *strongest])
    named = [k for k in candidates if 0 <= k < values.shape[-1]]  # not all classes are recorded
    return Classes(target, true_class(run, table, sample), read_as, tuple(named[:NAMED_LINES]))


def _columns(run: Recorded, look: Look, table: Outputs, values: Float, sample: int, epoch: int | None) -> Figure:
    """Draw a line for each class or label, of values (E, K) of one sample; the named ones on top."""
    classes = _classes(run, table, values, sample, epoch)
    others = [k for k in range(values.shape[-1]) if k not in classes.named]
    data, ends = [], []
    for k in [*others, *reversed(classes.named)]:
        role, name = classes.role(k), target_name(run, table, k)
        colour = _line_colour(look, classes, k)
        trace = line(
            f"{name} ({role})" if k == classes.target else name,
            table.updates,
            values[:, k],
            colour,
            width=_line_width(classes, k),
            hovertemplate="%{y:.1%}" if is_percent(table) else "%{y:,.3~r}",
        )
        if k not in classes.named:
            trace |= {"opacity": 0.25, "hoverinfo": "skip", "hovertemplate": None, "meta": {"follows": False}}
        data.append(trace)
        finite = values[np.isfinite(values[:, k]), k]
        if finite.size and (role or (table.task == "labels" and k in classes.named)):
            ends.append((float(finite[-1]), text(f"{name} {role}".strip(), ROW_LETTERS), colour))
    return _with_ends(run, look, data, ends, values, percents=is_percent(table))


def _line_colour(look: Look, classes: Classes, k: int) -> str:
    if classes.misread and k == classes.predicted:
        return look["alarm"]
    return look["text"] if k == classes.target else look["text-3"]


def _line_width(classes: Classes, k: int) -> float:
    if k == classes.target:
        return 2.25
    return 1.5 if k in classes.named else 1


def _with_ends(
    run: Recorded,
    look: Look,
    data: list[dict[str, Any]],
    ends: list[tuple[float, str, str]],
    values: Float,
    *,
    percents: bool,
) -> Figure:
    """Draw lines with labels at their right ends, moved apart where they would overlap.

    Args:
        run: whose epochs are the axis.
        look: of the figure.
        data: the lines.
        ends: last value, label and colour of each labelled line.
        values: all values of the lines.
        percents: the values are probabilities.
    """
    finite = values[np.isfinite(values)]
    low, high = (0.0, 1.0) if percents or not finite.size else (float(finite.min()), float(finite.max()))
    ticks: dict[str, Any] = {"nticks": 4}
    if percents:
        ticks = {"tickvals": [0, 0.5, 1], "ticktext": ["0\u00a0%", "50\u00a0%", "100\u00a0%"]}
    unit = high - low or 1.0
    right = 20 + int(6.8 * max([len(label) for _, label, _ in ends], default=0))
    panel = chart(
        look,
        data,
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, range=[low - 0.04 * unit, high + 0.04 * unit], **ticks),
        margin={"l": 48, "r": min(190, max(110, right)), "t": 12, "b": 22},
    )
    floor = low - unit
    for value, label, colour in sorted(ends):
        floor = max(value, floor + 0.1 * unit)
        mark = {"xref": "paper", "x": 1, "xanchor": "left", "xshift": 8, "y": floor, "showarrow": False}
        panel["layout"]["annotations"].append({**mark, "text": f"<b>{label}</b>", "font": {"color": colour}})
    return panel


def figure(
    run: Recorded,
    look: Look = LIGHT,
    *,
    method: str | None = None,
    epoch: int | None = None,
    samples: int | Sequence[int] = 12,
    depth: int | None = None,
    display: Display = "overlay",
    scale: Literal["common", "own"] = "common",
) -> Figure:
    """Draw the gallery at one epoch, as the tab shows it: each sample with its attribution, under its prediction.

    A picture lies under its map; Grad-CAM and its relatives are drawn smoothly. Of a table each row has the value of its
    feature, of all inputs together; a text has its words, a series its lines by channel. Of volumes one slice is visible, and a
    slider goes through them. Where scores are not finite any more the last epoch at which they were is drawn, and the title
    says so.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        method: one of the run's methods; by default the one that the tab opens with.
        epoch: by default the last; `keras_xai.updates.BEFORE` for the untrained model.
        samples: how many of the gallery, from its first; or rows of the gallery, in their order.
        depth: the slice of volumes that is visible at first; by default the one with the largest share of all samples' maps.
        display: of pictures: the map over the picture ("overlay"), the "map" alone, what it leaves of the picture ("masked"),
            or the "input" alone.
        scale: of bars, shades and lanes: "common" to all samples, or each sample its "own".
    """
    method = method_named(run, method)
    if not method:
        return nothing(look, "attributions", why_absent(run, "ProbeAttributions"))
    if epoch is None and method not in run.methods:
        epoch = BEFORE  # nothing else was written yet
    gallery = Gallery.of_run(run, method, epoch)
    if gallery is None:
        return nothing(look, "attributions", f"no maps of {run.method_title(method)} can be read")
    drawing = Drawing(displays=(display,), is_scale_common=scale == "common", depth=depth)
    return gallery_figure(look, gallery, rows_of_gallery(samples, gallery.size), drawing)


def rows_of_gallery(samples: int | Sequence[int], size: int, name: str = "samples") -> list[int]:
    """Return the rows that are drawn: the first ones, or those that are named.

    Args:
        samples: how many, or which.
        size: of the gallery.
        name: of the option, for error messages.

    Raises:
        InvalidInput: there is no such row.
    """
    if isinstance(samples, (int, np.integer)):
        return list(range(min(check_int(name, samples), size)))
    rows = [check_int(name, sample, 0, "rows of the gallery, from 0") for sample in samples]
    for row in rows:
        if row >= size:
            raise InvalidInput(f"{name}: there is no sample {row}; there are {size}, 0 to {size - 1}.")
    return rows
