"""Importance and drift: the score against its limit, who rose and who fell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_xai.figures.colour import colourscale
from keras_xai.figures.grid import grid
from keras_xai.figures.measured import burn_in_end, place, ranks
from keras_xai.figures.theme import (
    LIGHT,
    Figure,
    Look,
    axis,
    chart,
    epoch_axis,
    hatched,
    line,
    mark_alerts,
    mark_limit,
    mark_not_finite,
    mark_resumed,
    mark_span,
    packed,
    text,
)
from keras_xai.figures.words import percent
from keras_xai.judgement import not_finite_since, why_absent
from keras_xai.recorded import Recorded
from keras_xai.records import Importance

SOURCES = {"live": "live rows", "clean": "fixed probe", "data": "data score"}
TOP = 10
DENSE = 200  # epochs: beyond, curves would be denser than their pixels


def importance_of(run: Recorded, source: str | None = None) -> tuple[str, Importance] | None:
    """The importance asked for, or the first there is: live rows see more than the fixed probe."""
    found = {"live": run.importance_live, "clean": run.importance, "data": run.data_score}
    for name in (source, "live", "clean"):
        importance = found.get(name) if name else None
        if importance is not None and len(importance.epochs):
            return str(name), importance
    return None


def position(epochs: Sequence[int] | np.ndarray[Any, Any], epoch: int | None) -> int:
    """The place of the nearest earlier epoch; the last one for None, the first where none is earlier."""
    if epoch is None:
        return len(epochs) - 1
    return max(0, int(np.searchsorted(np.asarray(epochs), epoch, side="right")) - 1)


def guilty(run: Recorded, epoch: int | None = None) -> list[str]:
    """The features that an alert up to an epoch names, three each: the only ones drawn in the alarm colour."""
    past = [alert for alert in run.alerts if epoch is None or alert.epoch <= epoch]
    return list(dict.fromkeys(feature[0] for alert in past for feature in alert.features[:3]))


def drift_score(run: Recorded, look: Look = LIGHT, **_: Any) -> Figure:
    """Largest standardised move of one feature at each epoch, with the limit it has to cross.

    Live rows solid, the fixed probe dotted, the data score dashed; other runs thin. The burn-in, in which no
    alarm is raised, is shaded. Where the learning rate moved it is drawn below, on an axis of its own.
    """
    own = [
        (source, importance, dash)
        for source, dash in (("live", "solid"), ("clean", "2px,3px"), ("data", "6px,3px"))
        if (found := importance_of(run, source)) is not None and found[0] == source
        for importance in [found[1]]
    ]
    data: list[dict[str, Any]] = []
    for other in look.others:
        if (found := importance_of(other.run)) is not None:
            data.append(
                line(f"{other.name} {SOURCES[found[0]]}", found[1].epochs, found[1].score, look.of(other), width=1.25)
            )
    for source, importance, dash in reversed(own):
        solid = len(own) == 1 or source == "live"
        data.append(
            line(
                f"{look.name} {SOURCES[source]}" if look.others else SOURCES[source],
                importance.epochs,
                importance.score,
                look.own,
                width=2.25 if solid else 1.75,
                dash="solid" if solid else dash,
                hovertemplate="%{y:.1f}",
            )
        )
    limits = {importance.limit: SOURCES[source] for source, importance, _ in reversed(own)}
    seen = [v for trace in data for v in trace["y"] if v is not None]
    high = max([max(limits, default=6.0) * 1.6, *(v * 1.08 for v in seen)])
    panel = chart(
        look,
        data,
        xaxis=epoch_axis(look, run.epochs),
        yaxis=axis(look, range=[0, high], nticks=5, rangemode="tozero", hoverformat=".1f"),
    )
    _mark_burn_in(run, look, panel, [importance for _, importance, _ in own])
    mark_not_finite(look, panel, *_not_finite(run, own[0][1] if own else None))
    for limit, source in limits.items():
        mark_limit(look, panel, limit, f"limit {limit:g}" if len(limits) == 1 else f"limit {limit:g}, {source}")
    mark_alerts(look, panel, [alert.epoch for alert in run.alerts])
    mark_resumed(look, panel, run.history)
    _add_learning_rate(run, look, panel)
    return panel


def _mark_burn_in(run: Recorded, look: Look, panel: Figure, sources: Sequence[Importance]) -> None:
    """The epochs at which no alarm is possible yet: of the source that is through with them first."""
    ends = {}
    for importance in sources:
        end, since = burn_in_end(importance), not_finite_since(importance)
        last = int(importance.epochs[-1]) if since is None else since
        ends[last if end is None else end] = importance.burn_in
    if ends and run.epochs and min(ends) > run.epochs[0]:
        mark_span(look, panel, run.epochs[0], min(ends), f"burn-in: {ends[min(ends)]} updates")


def _not_finite(run: Recorded, importance: Importance | None) -> tuple[int | None, int]:
    """Since when no share is finite any more, and the last epoch of the run."""
    return not_finite_since(importance), int(run.epochs[-1]) if run.epochs else 0


def _add_learning_rate(run: Recorded, look: Look, panel: Figure) -> None:
    rates = np.array([record.learning_rate for record in run.history])
    if not np.isfinite(rates).any() or np.nanmin(rates) == np.nanmax(rates):
        return  # a steady rate is a word, not a line
    panel["data"].append(
        line(
            "learning rate",
            [record.epoch for record in run.history],
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
    run: Recorded, look: Look = LIGHT, *, source: str | None = None, epoch: int | None = None, **_: Any
) -> Figure:
    """Rank over epochs of the ten features that lead at `epoch`; only alerted ones are coloured."""
    found = importance_of(run, source)
    if found is None:
        return chart(look, [])
    importance = found[1]
    at, rank = place(importance, epoch), ranks(importance.share)
    known = np.flatnonzero(np.isfinite(rank[at]))
    shown = known[np.argsort(rank[at][known])][:TOP]
    top, hot = max(1, min(TOP, rank.shape[1])), set(guilty(run, epoch))
    right = int(min(190, 68 + 6 * max([len(importance.names[f]) for f in shown], default=1)))
    panel = chart(
        look,
        _rank_lines(look, importance, rank, shown, top, hot),
        xaxis=epoch_axis(look, importance.epochs.tolist()),
        yaxis=axis(look, range=[top + 0.8, 0.6], tickvals=sorted({1, min(5, top), top})),
        margin={"l": 24, "r": right, "t": 12, "b": 22},
    )
    for f in shown:
        colour = look["alarm"] if importance.names[f] in hot else look["text"]
        marks = {"xref": "paper", "y": int(rank[at, f]), "showarrow": False, "font": {"color": colour}}
        name = text(importance.names[f], (right - 56) // 6)
        panel["layout"]["annotations"] += [
            marks
            | {
                "x": 1,
                "xanchor": "left",
                "xshift": 10,
                "text": f"<b>{name}</b>" if importance.names[f] in hot else name,
            },
            marks | {"x": 1, "xanchor": "right", "xshift": right, "text": percent(float(importance.share[at, f]))},
        ]
    mark_not_finite(look, panel, *_not_finite(run, importance))
    mark_alerts(look, panel, [alert.epoch for alert in run.alerts])
    return panel


def _rank_lines(
    look: Look,
    importance: Importance,
    rank: np.ndarray[Any, Any],
    shown: np.ndarray[Any, Any],
    top: int,
    hot: set[str],
) -> list[dict[str, Any]]:
    """A line a feature, the alerted ones on top, and the points that the pointer finds."""
    data: list[dict[str, Any]] = []
    dense = len(importance.epochs) > DENSE  # ten thousand marks to find would take the browser seconds
    for f in sorted(shown, key=lambda f: importance.names[f] in hot):
        name, alerted = importance.names[f], importance.names[f] in hot
        x, y = s_curve(importance.epochs, np.minimum(rank[:, f], top + 0.7))
        y = np.where(y < top + 0.7, y, np.nan)  # below the chart is not a rank: a line leaves and comes back
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": packed(x),
                "y": packed(y),
                "name": text(name),
                **(
                    {"customdata": packed(importance.share[:, f]), "hovertemplate": "rank %{y:d}, %{customdata:.2p}"}
                    if dense
                    else {"hoverinfo": "skip"}
                ),
                "line": {"color": look["alarm"] if alerted else look["text-3"], "width": 3 if alerted else 1.25},
                "opacity": 1 if alerted else 0.5,
                "meta": {"follows": True},
            }
        )
    for f in () if dense else shown:  # smooth curves have points between epochs: what the pointer finds are these
        there = np.flatnonzero(np.isfinite(rank[:, f]))
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "marker": {"opacity": 0, "color": look["text-3"]},
                "name": text(importance.names[f]),
                "x": importance.epochs[there].tolist(),
                "y": np.minimum(rank[there, f], top + 0.7).tolist(),
                "text": [f"rank {rank[e, f]:.0f}, {percent(importance.share[e, f])}" for e in there],
                "hovertemplate": "%{text}",
            }
        )
    return data


def s_curve(x: Any, y: Any, steps: int = 10) -> tuple[Any, Any]:
    """Points of a line that leaves and reaches every value level, so that crossings stay readable.

    Between two points it is the smoothstep 3t² − 2t³: it never overshoots a rank. Long runs stay straight.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < 2 or len(x) > DENSE:
        return x, y
    t = np.arange(steps) / steps
    along = (x[:-1, None] + np.diff(x)[:, None] * t).ravel()
    across = y[:-1, None] + np.diff(y)[:, None] * (3 * t**2 - 2 * t**3)
    across[:, 0] = y[:-1]  # a point before a gap stays
    return np.append(along, x[-1]), np.append(across.ravel(), y[-1])


def importance_map(
    run: Recorded, look: Look = LIGHT, *, source: str | None = None, epoch: int | None = None, rows: int = 13, **_: Any
) -> Figure:
    """Feature × epoch as colour, the features that lead at `epoch` on top."""
    found = importance_of(run, source)
    if found is None:
        return chart(look, [])
    importance = found[1]
    shown = _rows_of_map(importance.share[place(importance, epoch)], rows)
    names = [importance.names[f] for f in shown]
    z = 100 * importance.share[:, shown].T
    hot, high = set(guilty(run, epoch)), float(np.nanmax(importance.share, initial=0.0)) or 1.0
    left = int(min(190, 20 + 6 * max([len(name) for name in names], default=1)))
    return chart(
        look,
        [
            {
                "type": "heatmap",
                "x": [int(e) for e in importance.epochs],
                "z": packed(z),
                "zmin": 0,
                "zmax": 100 * high,
                "colorscale": colourscale(look.theme, "sequential"),
                "showscale": False,
                "xgap": 1 if len(importance.epochs) <= 120 else 0,
                "ygap": 1,
                "hovertemplate": "%{customdata}<br>epoch %{x}: %{z:.2f} %<extra></extra>",
                "customdata": [[text(name)] * len(importance.epochs) for name in names],
                "hoverongaps": False,
            },
            *_not_measured(look, importance, names, np.isfinite(z)),
        ],
        xaxis=cell_axis(look, importance.epochs.tolist()),
        yaxis=axis(
            look,
            range=[len(names) - 0.5, -0.5],
            showgrid=False,
            tickvals=list(range(len(names))),
            ticktext=[
                f"<b><span style='color:{look['alarm']}'>{text(name, (left - 12) // 6)}</span></b>"
                if name in hot
                else text(name, (left - 12) // 6)
                for name in names
            ],
        ),
        margin={"l": left, "r": 4, "t": 4, "b": 22},
        hovermode="closest",
        meta={"cells": True, "scale": {"map": "sequential", "low": "0 %", "high": percent(high)}},
    )


def _rows_of_map(share: np.ndarray[Any, Any], most: int) -> np.ndarray[Any, Any]:
    """The features that lead, and below them those that were not measured."""
    unknown = np.flatnonzero(~np.isfinite(share))[: most // 3] if np.isfinite(share).any() else np.zeros(0, np.int64)
    order = np.argsort(-np.nan_to_num(share, nan=-1.0), kind="stable")
    known = order[~np.isin(order, unknown)][: most - len(unknown)]
    return np.concatenate([known, unknown])


def _not_measured(look: Look, importance: Importance, names: Sequence[str], there: Any) -> list[dict[str, Any]]:
    """Cells without a share: hatched, and said under the pointer."""
    bars = hatched(look, importance.epochs.tolist(), there)
    for bar in bars:
        bar.pop("hoverinfo")
        bar |= {
            "hovertext": [text(names[row]) for row in bar["y"]],
            "hovertemplate": "%{hovertext}: not measured<extra></extra>",
        }
    return bars


def cell_axis(look: Look, epochs: list[int]) -> dict[str, Any]:
    """The epoch axis of a heat map: a cell reaches half an epoch to both sides."""
    out = epoch_axis(look, epochs)
    step = min(np.diff(epochs), default=1)
    out["range"] = [epochs[0] - step / 2, epochs[-1] + step / 2] if epochs else [0, 1]
    return out


def figure(run: Recorded, *, epoch: int | None = None, source: str | None = None, look: Look = LIGHT) -> Figure:
    """Score, ranks and importance over epochs in one figure."""
    options: dict[str, Any] = {"epoch": epoch, "source": source}
    found = importance_of(run, source)
    if found is None:
        return chart(look, [], title={"text": text(f"No importance: {why_absent(run, 'ImportanceDrift')}", 160)})
    at = int(found[1].epochs[place(found[1], epoch)])
    return grid(
        look,
        [
            ("Drift score", drift_score(run, look)),
            (f"Rank of the most important features, epoch {at}", rank_bump(run, look, **options)),
            ("Importance by feature and epoch, hatched: not measured", importance_map(run, look, **options)),
        ],
        columns=1,
        row_height=320,
    )
