"""Runs and attributions as a notebook shows them: HTML that needs no script, no style sheet and no request, light or dark."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_xai.analysis.attributions import methods_of
from keras_xai.analysis.explained import explained_gallery
from keras_xai.analysis.formatting import count, percent, short
from keras_xai.analysis.outputs import LARGE_COMPLETENESS_ERROR
from keras_xai.analysis.run_row import RunRow, run_row
from keras_xai.events import events
from keras_xai.judgement import judge
from keras_xai.printed import printable
from keras_xai.recorded import Recorded
from keras_xai.records import Attribution
from keras_xai.tracin.result import Influence, RankedRows
from keras_xai.tree import leaves
from keras_xai.updates import UPDATES

ROWS = 8  # samples of an attribution that are listed
# White letters on these can be read on light and on dark pages.
COLOURS = {"alarm": "#c62828", "quiet": "#2e7d32", "not watched": "#8a6100"}
REASONS, REASON_LETTERS = 3, 72  # of a verdict
_FAINT = "opacity:.7"


def run_card(run: Recorded) -> str:
    """Return a run: its verdict, since when and by what, the reasons, and what was recorded."""
    row, reasons = run_row(run), judge(run).reasons
    alarms = events(alert for alert in run.alerts if alert.is_alarm)
    recorded = [_recorded(run), _metric(row), count(len(alarms), "alert")]
    probe = run.probe
    if probe is not None:
        recorded.append(f"gallery of {count(probe.size, 'sample')}, {', '.join(methods_of(run)) or 'no maps'}")
    lines = [f"<div>{_escaped(reason)}</div>" for reason in reasons[:REASONS]]
    left = len(reasons) - REASONS
    if left > 0:
        lines.append(f'<div style="{_FAINT}">and {left} more</div>')
    head = f"{_verdict(row.verdict)} {_escaped(_blame(row))}"
    return _card(head, [*lines, f'<div style="{_FAINT}">{_escaped(" · ".join(filter(None, recorded)))}</div>'])


def runs_card(runs: Mapping[str, Recorded]) -> str:
    """Return a table of runs; one that cannot be read says why, and the others are shown."""
    if not runs:
        return _card("No run: nothing was recorded below this directory.", [])
    head = ("run", "verdict", "since", "feature", "recorded", "metric", "why")
    rows = [_row_of_run(name, run) for name, run in runs.items()]
    return _card(count(len(runs), "run"), [_table(head, rows)])


def attribution_card(attribution: Attribution) -> str:
    """Return an attribution: what it is of, and the scores of its first samples."""
    shapes = " and ".join(str(np.shape(array)) for array in leaves(attribution.values))
    gallery = explained_gallery(attribution)
    kind = f"of kind {attribution.kind}, " if attribution.kind else ""
    facts = (
        f"{kind}values {shapes}, {attribution.quantity}s"
        if attribution.quantity != "other"
        else f"{kind}values {shapes}"
    )
    has_baseline = attribution.baseline_score is not None
    head = ["sample", "explained", f"score ({attribution.space})"]
    head += ["baseline", "completeness error"] if has_baseline else []
    rows = []
    for sample in range(min(ROWS, gallery.size)):
        cells = [
            _escaped(gallery.title(sample)),
            _escaped(gallery.target(sample)),
            short(float(attribution.score[sample])),
        ]
        if has_baseline:
            cells += [_number(attribution.baseline_score, sample), _error(attribution.completeness_error, sample)]
        rows.append(cells)
    left = gallery.size - len(rows)
    more = [f'<div style="{_FAINT}">and {count(left, "more sample")}</div>'] if left > 0 else []
    draws = f'<div style="{_FAINT}"><code>.plot()</code> draws it, <code>kx.plot</code> in more ways</div>'
    title = f"<b>{_escaped(gallery.method_title)}</b> {_escaped(facts)}"
    return _card(title, [_table(head, rows), *more, draws])


def influence_card(influence: Influence) -> str:
    """Return an influence: the strongest proponents and opponents, side by side."""
    top = influence.top(ROWS)
    rows = []
    for k in range(max(map(len, top))):
        cells = []
        for side in top:
            cells += ["", "", ""] if k >= len(side) else _influence_cells(influence, side, k)
        rows.append(cells)
    explained = "1 row" if len(influence) == 1 else f"the summed loss of {count(len(influence), 'row')}"
    title = (
        f"<b>Influence</b> of {influence.scores.shape[1]:,} training rows on {explained}, "
        f"in layer {_escaped(influence.layer)}"
    )
    head = ("proponent", "label", "lowers the loss", "opponent", "label", "raises it")
    unit = "by the length of a step on the row; <code>.plot()</code> draws it, <code>.top(k)</code> has more"
    by_rate = f'<div style="{_FAINT}">{unit}</div>'
    return _card(title, [_table(head, rows), by_rate] if rows else ["<div>no training row has any</div>", by_rate])


def _influence_cells(influence: Influence, side: RankedRows, k: int) -> list[str]:
    index = int(side.indices[k])
    return [f"row {index}", _escaped(influence.label(index)), short(abs(float(side.scores[k])))]


def _row_of_run(name: str, run: Recorded) -> list[str]:
    try:
        row = run_row(run)
    except Exception as error:  # a fault of one run's files hides no other run
        return [_escaped(name), _verdict("not watched"), "", "", "", "", _why(f"{type(error).__name__}: {error}")]
    cells = map(_escaped, (row.moment, row.guilty, _recorded(run), _metric(row)))
    return [_escaped(name), _verdict(row.verdict), *cells, _why(row.reason)]


def _why(reason: str) -> str:
    """Return the first reason of a verdict, cut, and whole where the pointer rests."""
    words = reason if len(reason) <= REASON_LETTERS else f"{reason[: REASON_LETTERS - 1]}…"
    return f'<span style="{_FAINT}" title="{_escaped(reason)}">{_escaped(words)}</span>'


def _recorded(run: Recorded) -> str:
    epochs = count(len(run.epochs), "epoch")
    return epochs if run.unit == "epoch" else f"{len(run.updates):,} {UPDATES[run.unit]} in {epochs}"


def _metric(row: RunRow) -> str:
    """Return "val_accuracy 94 %"; "" where nothing was logged."""
    if row.metric is None:
        return ""
    if not np.isfinite(row.metric):
        return f"{row.metric_name} not finite"
    return f"{row.metric_name} {percent(row.metric) if 'acc' in row.metric_name else short(row.metric)}"


def _blame(row: RunRow) -> str:
    """Return "since epoch 14: block (0,0)"; "" without an alarm."""
    if not row.moment:
        return ""
    return f"since {row.moment}: {row.guilty}" if row.guilty else f"since {row.moment}"


def _number(values: Any, sample: int) -> str:
    return "" if values is None else short(float(values[sample])).replace("-", "−")


def _error(errors: Any, sample: int) -> str:
    """Return a completeness error, marked where it is so large that the values do not add up."""
    if errors is None:
        return ""
    words = percent(float(errors[sample]))
    return _chip(words, COLOURS["alarm"]) if errors[sample] > LARGE_COMPLETENESS_ERROR else words


def _verdict(verdict: str) -> str:
    return _chip(verdict, COLOURS[verdict])


def _chip(words: str, colour: str) -> str:
    style = f"background:{colour};color:#fff;border-radius:3px;padding:1px 8px;white-space:nowrap"
    return f'<span style="{style}">{words}</span>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are HTML."""
    cell = "text-align:left;padding:2px 16px 2px 0;vertical-align:top;white-space:nowrap"
    titles = "".join(f'<th style="{cell};font-weight:400;{_FAINT}">{_escaped(title)}</th>' for title in head)
    lines = []
    for row in rows:
        cells = "".join(f'<td style="{cell}">{content}</td>' for content in row)
        lines.append(f"<tr>{cells}</tr>")
    style = "border-collapse:collapse;color:inherit;font-size:inherit"
    return f'<table style="{style}"><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _card(head: str, parts: Sequence[str]) -> str:
    style = "font-size:13px;line-height:1.5;font-variant-numeric:tabular-nums;overflow-x:auto"
    return f'<div style="{style}"><div style="margin-bottom:4px">{head}</div>{"".join(parts)}</div>'


def _escaped(text: object) -> str:
    return html.escape(printable(text))
