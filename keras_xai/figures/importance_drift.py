"""Importance and drift: the score with its limit, the ranks of features, and their importance over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_xai.analysis.formatting import percent
from keras_xai.analysis.importance import (
    alarm_epochs,
    alerted_features,
    burn_in_end,
    importance_of,
    leading_first,
    measured_at,
    ranks,
    sources,
)
from keras_xai.analysis.vocabulary import SOURCES
from keras_xai.figures.grid import grid
from keras_xai.figures.heat_map import (
    cell_axis,
    chosen_rows,
    column_gap,
    drawn_columns,
    hatched,
    heat_map,
    label_length,
    left_margin,
    row_axis,
    row_names,
)
from keras_xai.figures.tables import named_axes
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    line,
    mark_alerts,
    mark_apart,
    mark_limit,
    mark_not_finite,
    mark_resumed,
    mark_span,
    nothing,
    overlaid,
    packed,
    text,
    texts,
    update_axis,
)
from keras_xai.judgement import not_finite_since, why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Importance, Source

DASHES: dict[Source, str] = {"live": "solid", "clean": "2px,3px", "data": "6px,3px"}
RANKED_FEATURES = 10
MAP_ROWS = 13
MAX_RANKED_UPDATES = 60  # of more the lines of ranks would be a tangle:
RANK_ANCHORS = 12  # then ranks are drawn at so many of them
MAX_BOLD_LINES = 5  # features of alerts: of more the chart would be one red tangle
DEFAULT_LIMIT = 6.0  # for the scale of an empty chart


def drift_score(run: Recorded, look: Look = LIGHT) -> Figure:
    """Draw the largest standardised move of one feature at each epoch, with the limit it has to cross.

    Live rows solid, the fixed probe dotted, the data score dashed; other runs thin. The burn-in, in which no
    alarm is raised, is shaded. Where the learning rate moved it is drawn below, on an axis of its own.
    """
    recorded: dict[Source, Importance] = {}
    for source, importance in sources(run).items():
        if importance is not None and len(importance.updates):
            recorded[source] = importance
    data = [*_other_scores(run, look), *_scores(look, recorded)]
    limits = {importance.limit: SOURCES[source] for source, importance in reversed(recorded.items())}
    values = [value for trace in data for value in trace["y"] if value is not None]
    high = max([max(limits, default=DEFAULT_LIMIT) * 1.6, *(value * 1.08 for value in values)])
    panel = chart(
        look,
        data,
        xaxis=update_axis(look, run, run.updates),
        yaxis=axis(look, range=[0, high], nticks=5, rangemode="tozero", hoverformat=".1f"),
    )
    _mark_burn_in(run, look, panel, list(recorded.values()))
    mark_not_finite(look, panel, run, *_not_finite(run, next(iter(recorded.values()), None)))
    for limit, source_name in limits.items():
        mark_limit(look, panel, limit, f"limit {limit:g}" if len(limits) == 1 else f"limit {limit:g}, {source_name}")
    mark_alerts(look, panel, alarm_epochs(run))
    mark_resumed(look, panel, run.history)
    _add_learning_rate(run, look, panel)
    mark_apart(look, panel, run)
    return named_axes(look, panel, y="drift score, |z|", x_column=run.unit)


def _other_scores(run: Recorded, look: Look) -> list[dict[str, Any]]:
    """Return a thin line for each run that is laid over this one."""
    lines = []
    for other in overlaid(run, look):
        choice = importance_of(other.run)
        if choice is not None:
            source, importance = choice
            name = f"{other.name} {SOURCES[source]}"
            style: dict[str, Any] = {"width": 1.25, "dash": other.dash(), "hovertemplate": _score_hover(importance)}
            lines.append(line(name, importance.updates, importance.score, look.colour_of(other), **style))
    return lines


def _scores(look: Look, recorded: dict[Source, Importance]) -> list[dict[str, Any]]:
    """Return a line for each source of this run, the live rows on top."""
    lines = []
    for source, importance in reversed(recorded.items()):
        solid = len(recorded) == 1 or source == "live"
        lines.append(
            line(
                f"{look.name} {SOURCES[source]}" if look.others else SOURCES[source],
                importance.updates,
                importance.score,
                look.run_colour,
                width=2.25 if solid else 1.75,
                dash=look.dash() if solid else DASHES[source],
                hovertemplate=_score_hover(importance),
            )
        )
    return lines


def _score_hover(importance: Importance) -> str:
    return f"%{{y:.1f}} of its limit {importance.limit:g}"


def _mark_burn_in(run: Recorded, look: Look, panel: Figure, importances: Sequence[Importance]) -> None:
    """Shade the burn-in, in which no alarm is possible yet: that of the source whose burn-in ends first."""
    ends = {}
    for importance in importances:
        end, since = burn_in_end(importance), not_finite_since(importance)
        if end is None:
            end = int(importance.updates[-1]) if since is None else since
        ends[end] = importance.burn_in
    if ends and run.updates and min(ends) > run.updates[0]:
        mark_span(look, panel, run.updates[0], min(ends), f"burn-in: {ends[min(ends)]} updates")


def _not_finite(run: Recorded, importance: Importance | None) -> tuple[int | None, int]:
    """Return the epoch from which on no share is finite, None where the last is, and the last epoch of the run."""
    return not_finite_since(importance), int(run.updates[-1]) if run.updates else 0


def _add_learning_rate(run: Recorded, look: Look, panel: Figure) -> None:
    """Draw the learning rate below the score, unless it is the same at all epochs."""
    rates = np.array([record.learning_rate for record in run.history])
    if not np.isfinite(rates).any() or np.nanmin(rates) == np.nanmax(rates):
        return
    panel["data"].append(
        line(
            "learning rate",
            [record.update for record in run.history],
            rates,
            look["text-3"],
            width=1,
            shape="hv",
            yaxis="y2",
            meta={"follows": False},
            hovertemplate="%{y:.2g}",
        )
    )
    panel["layout"]["yaxis"]["domain"] = [0.24, 1]
    panel["layout"]["xaxis"]["anchor"] = "y2"  # epochs are labelled below both
    panel["layout"]["yaxis2"] = axis(
        look,
        domain=[0, 0.1],
        anchor="x",
        range=[0, 1.1 * float(np.nanmax(rates))],
        showgrid=False,
        showticklabels=False,
    )
    panel["layout"]["annotations"].append(
        {
            "xref": "paper",
            "x": 0,
            "xanchor": "left",
            "yref": "paper",
            "y": 0.1,
            "yanchor": "bottom",
            "text": "learning rate",
            "showarrow": False,
            "font": {"color": look["text-3"], "size": 10},
        }
    )


def rank_bump(
    run: Recorded,
    look: Look = LIGHT,
    *,
    source: str | None = None,
    epoch: int | None = None,
    only: Sequence[int] | None = None,
) -> Figure:
    """Draw the ranks over epochs of the ten most important features at `epoch`; those of alerts in the alarm colour.

    Of more than sixty epochs the ranks at twelve are drawn, evenly spread with the first and the last; `meta.anchors` has their
    number.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        source: of the importance; by default the live rows, else the fixed probe.
        epoch: at which the features are the most important; by default the last.
        only: the numbers of the features to choose from, with their ranks among all; by default all.
    """
    choice = importance_of(run, source)
    if choice is None:
        return chart(look, [])
    importance = choice[1]
    at, rank = measured_at(importance, epoch), ranks(importance.share)
    measured = np.flatnonzero(np.isfinite(rank[at]))
    if only is not None:
        measured = np.intersect1d(measured, chosen_rows(rank.shape[1], only)).astype(int)
    features = measured[np.argsort(rank[at][measured])][:RANKED_FEATURES]
    lowest, alerted = max(1, min(RANKED_FEATURES, rank.shape[1])), set(alerted_features(run, epoch))
    if only is not None:
        lowest = max(lowest, int(np.nanmax(rank[:, features], initial=1)))
    middle = min(5, lowest) if lowest <= RANKED_FEATURES else (lowest + 1) // 2
    longest = max([len(importance.names[f]) for f in features], default=1)
    right = int(min(190, 68 + 6 * longest))
    anchors = rank_anchors(len(importance.updates))
    lines = _rank_lines(look, importance, rank, features, anchors, lowest, alerted)
    points = _rank_points(look, importance, rank, features, anchors, lowest)
    panel = chart(
        look,
        [*lines, *points],
        xaxis=update_axis(look, run, importance.updates.tolist()),
        yaxis=axis(
            look,
            range=[lowest + 0.8, 0.6],
            tickvals=sorted({1, middle, lowest}),
        ),
        margin={"l": 24, "r": right, "t": 12, "b": 22},
        meta={"anchors": len(anchors) if len(anchors) < len(importance.updates) else None},
    )
    labels = texts([importance.names[f] for f in features], (right - 56) // 6)
    for f, name in zip(features, labels, strict=True):
        is_alerted = importance.names[f] in alerted
        font = {"color": look["alarm"] if is_alerted else look["text"]}
        mark = {"xref": "paper", "x": 1, "y": int(rank[at, f]), "showarrow": False, "font": font}
        name = f"<b>{name}</b>" if is_alerted else name
        share = percent(float(importance.share[at, f]))
        panel["layout"]["annotations"] += [
            mark | {"xanchor": "left", "xshift": 10, "text": name},
            mark | {"xanchor": "right", "xshift": right, "text": share},
        ]
    mark_not_finite(look, panel, run, *_not_finite(run, importance))
    mark_alerts(look, panel, alarm_epochs(run))
    named_axes(look, panel, y="rank", x_column=run.unit)
    panel["layout"]["meta"]["labelled"] = True
    return panel


def rank_anchors(updates: int) -> NDArray[np.int64]:
    """Return the places of the updates at which ranks are drawn: all, or twelve of more than sixty.

    Example:
        >>> rank_anchors(100).tolist()
        [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    """
    if updates <= MAX_RANKED_UPDATES:
        return np.arange(updates)
    return np.rint(np.linspace(0, updates - 1, RANK_ANCHORS)).astype(np.int64)


def _rank_lines(
    look: Look,
    importance: Importance,
    rank: NDArray[Any],
    features: NDArray[Any],
    anchors: NDArray[np.int64],
    lowest: int,
    alerted: set[str],
) -> list[dict[str, Any]]:
    """Return a line for each feature, those of alerts on top."""
    below = lowest + 0.7
    lines = []
    width = 3.0 if sum(importance.names[f] in alerted for f in features) <= MAX_BOLD_LINES else 1.75
    for f in sorted(features, key=lambda f: importance.names[f] in alerted):
        name, is_alerted = importance.names[f], importance.names[f] in alerted
        x, y = s_curve(importance.updates[anchors], np.minimum(rank[anchors, f], below))
        y = np.where(y < below, y, np.nan)  # lower ranks are not drawn: there is a gap in the line
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": packed(x),
                "y": packed(y),
                "name": text(name),
                "hoverinfo": "skip",
                "line": {
                    "color": look["alarm"] if is_alerted else look["text-3"],
                    "width": width if is_alerted else 1.25,
                },
                "opacity": 1 if is_alerted else 0.5,
                "meta": {"follows": True},
            }
        )
    return lines


def _rank_points(
    look: Look,
    importance: Importance,
    rank: NDArray[Any],
    features: NDArray[Any],
    anchors: NDArray[np.int64],
    lowest: int,
) -> list[dict[str, Any]]:
    """Return invisible markers at the epochs, for the hover text: the smooth lines also have points between epochs."""
    points = []
    for f in features:
        ranked = anchors[np.isfinite(rank[anchors, f])]
        points.append(
            {
                "type": "scatter",
                "mode": "markers",
                "marker": {"opacity": 0, "color": look["text-3"]},
                "name": text(importance.names[f]),
                "x": importance.updates[ranked].tolist(),
                "y": np.minimum(rank[ranked, f], lowest + 0.7).tolist(),
                "text": [f"rank {rank[e, f]:.0f}, {percent(importance.share[e, f])}" for e in ranked],
                "hovertemplate": "%{text}",
            }
        )
    return points


def s_curve(x: Any, y: Any, steps: int = 10) -> tuple[Any, Any]:
    """Return points of a curve through (x, y) that is horizontal at each of them, so that crossings can be followed.

    Between two points it is the smoothstep 3t² − 2t³, which never overshoots.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < 2:
        return x, y
    t = np.arange(steps) / steps
    along = (x[:-1, None] + np.diff(x)[:, None] * t).ravel()
    across = y[:-1, None] + np.diff(y)[:, None] * (3 * t**2 - 2 * t**3)
    across[:, 0] = y[:-1]  # a point before a gap stays
    return np.append(along, x[-1]), np.append(across.ravel(), y[-1])


def importance_map(
    run: Recorded,
    look: Look = LIGHT,
    *,
    source: str | None = None,
    epoch: int | None = None,
    rows: int = MAP_ROWS,
    only: Sequence[int] | None = None,
) -> Figure:
    """Draw the shares as a heat map, features × epochs, the most important at `epoch` on top; hatched where not measured.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        source: of the importance; by default the live rows, else the fixed probe.
        epoch: at which the features are the most important; by default the last.
        rows: how many features are drawn, at most.
        only: the numbers of the features to choose from; by default all.
    """
    choice = importance_of(run, source)
    if choice is None:
        return chart(look, [])
    importance = choice[1]
    candidates = np.asarray(chosen_rows(importance.share.shape[1], only), int)
    if not candidates.size:
        return chart(look, [])
    features = candidates[leading_first(importance.share[measured_at(importance, epoch), candidates], rows)]
    names = [importance.names[f] for f in features]
    columns = drawn_columns(importance.updates.tolist(), [*alarm_epochs(run), *([] if epoch is None else [epoch])])
    epochs = importance.updates[columns].tolist()
    shares = importance.share[np.ix_(columns, features)].T
    high = float(np.nanmax(importance.share, initial=0.0)) or 1.0
    left = left_margin(names, 190, letter=6)
    cells = heat_map(
        look,
        100 * shares,
        0,
        100 * high,
        x=epochs,
        xgap=column_gap(epochs),
        ygap=1,
        hovertemplate=f"%{{customdata}}<br>{run.unit} %{{x}}: %{{z:.2f}} %<extra></extra>",
        customdata=row_names(names, len(epochs)),
        hoverongaps=False,
    )
    return chart(
        look,
        [cells, *_not_measured(look, epochs, names, np.isfinite(shares))],
        xaxis=cell_axis(look, run, epochs),
        yaxis=row_axis(look, _feature_labels(look, names, set(alerted_features(run, epoch)), label_length(left))),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={"cells": True, "scale": {"map": "sequential", "low": "0 %", "high": percent(high)}},
    )


def _feature_labels(look: Look, names: Sequence[str], alerted: set[str], length: int) -> list[str]:
    """Return the labels of rows, those of alerts in the alarm colour."""
    labels = []
    for name, label in zip(names, texts(names, length), strict=True):
        if name in alerted:
            label = f"<b><span style='color:{look['alarm']}'>{label}</span></b>"
        labels.append(label)
    return labels


def _not_measured(
    look: Look, epochs: Sequence[int], names: Sequence[str], is_measured: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Return the hatching of cells without a share, with a hover text."""
    bars = hatched(look, epochs, is_measured)
    for bar in bars:
        bar.pop("hoverinfo")
        bar["hovertext"] = [text(names[row]) for row in bar["y"]]
        bar["hovertemplate"] = "%{hovertext}: not measured<extra></extra>"
    return bars


def figure(run: Recorded, look: Look = LIGHT, *, epoch: int | None = None, source: Source | None = None) -> Figure:
    """Draw score, ranks and importance over epochs in one figure.

    Args:
        run: read back from a log directory.
        look: theme, name and colour of the run.
        epoch: whose most important features are drawn; by default the last.
        source: the rows of the importance, "live" (live rows), "clean" (fixed probe) or "data" (data score); by default
            "live" where there are live rows, else "clean".
    """
    choice = importance_of(run, source)
    if choice is None:
        return nothing(look, "importance", why_absent(run, "ImportanceDrift"))
    importance = choice[1]
    when = importance.moment(measured_at(importance, epoch))
    bump = rank_bump(run, look, source=source, epoch=epoch)
    cells = importance_map(run, look, source=source, epoch=epoch)
    return grid(
        look,
        [
            ("Drift score", drift_score(run, look)),
            (f"Rank of the most important features, {when}", bump),
            (f"Importance by feature and {run.unit}, hatched: not measured", cells),
        ],
        columns=1,
        row_height=320,
    )
