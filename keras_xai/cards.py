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
from keras_xai.analysis.run_rows import NOT_WATCHED, RunRow, row_of
from keras_xai.printed import printable
from keras_xai.recorded import Recorded
from keras_xai.records import Attribution
from keras_xai.tree import leaves
from keras_xai.updates import UPDATES

ROWS = 8  # samples of an attribution that are listed
# White letters on these can be read on light and on dark pages.
COLOURS = {"alarm": "#c62828", "quiet": "#2e7d32", NOT_WATCHED: "#8a6100"}
WARNED = "font-weight:600;color:#c62828"
REASONS = 3  # of a verdict
_FAINT = "opacity:.7"


def run_card(run: Recorded) -> str:
    """Return a run: its verdict, since when and by what, the reasons, and what was recorded."""
    row = row_of(run)
    facts = [_recorded(run), row.metric, count(row.alerts, "alert")]
    probe = run.probe
    if probe is not None:
        facts.append(f"gallery of {count(probe.size, 'sample')}, {', '.join(methods_of(run)) or 'no maps'}")
    reasons = [f"<div>{_escaped(reason)}</div>" for reason in row.judgement.reasons[:REASONS]]
    left = len(row.judgement.reasons) - REASONS
    if left > 0:
        reasons.append(f'<div style="{_FAINT}">and {left} more</div>')
    head = f"{_chip(row.verdict)} {_escaped(_blame(row))}"
    return _card(head, [*reasons, f'<div style="{_FAINT}">{_escaped(" · ".join(filter(None, facts)))}</div>'])


def runs_card(runs: Mapping[str, Recorded]) -> str:
    """Return a table of runs; one that cannot be read says why, and the others are shown."""
    if not runs:
        return _card("No run: nothing was recorded below this directory.", [])
    head = ("run", "verdict", "since", "feature", "recorded", "metric", "alerts")
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


def _row_of_run(name: str, run: Recorded) -> list[str]:
    try:
        row = row_of(run)
    except Exception as error:  # a fault of one run's files hides no other run
        return [_escaped(name), _chip(NOT_WATCHED), "", _escaped(f"{type(error).__name__}: {error}"), "", "", ""]
    alerts = str(row.alerts) if row.alerts else ""
    return [
        _escaped(name),
        _chip(row.verdict),
        *map(_escaped, (row.since, row.feature, _recorded(run), row.metric)),
        alerts,
    ]


def _recorded(run: Recorded) -> str:
    epochs = count(len(run.epochs), "epoch")
    return epochs if run.unit == "epoch" else f"{len(run.updates):,} {UPDATES[run.unit]} in {epochs}"


def _blame(row: RunRow) -> str:
    """Return "since epoch 14: block (0,0)"; "" without an alarm."""
    if not row.since:
        return ""
    return f"since {row.since}: {row.feature}" if row.feature else f"since {row.since}"


def _number(values: Any, sample: int) -> str:
    return "" if values is None else short(float(values[sample]))


def _error(errors: Any, sample: int) -> str:
    """Return a completeness error, marked where it is so large that the values do not add up."""
    if errors is None:
        return ""
    words = percent(float(errors[sample]))
    return f'<span style="{WARNED}">{words}</span>' if errors[sample] > LARGE_COMPLETENESS_ERROR else words


def _chip(verdict: str) -> str:
    style = f"background:{COLOURS[verdict]};color:#fff;border-radius:3px;padding:1px 8px;white-space:nowrap"
    return f'<span style="{style}">{verdict}</span>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are HTML."""
    cell = "text-align:left;padding:2px 16px 2px 0;vertical-align:top"
    titles = "".join(f'<th style="{cell};font-weight:400;{_FAINT}">{_escaped(title)}</th>' for title in head)
    lines = []
    for row in rows:
        cells = "".join(f'<td style="{cell}">{content}</td>' for content in row)
        lines.append(f"<tr>{cells}</tr>")
    return f'<table style="border-collapse:collapse"><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _card(head: str, parts: Sequence[str]) -> str:
    style = "font-size:13px;line-height:1.5;font-variant-numeric:tabular-nums;overflow-x:auto"
    return f'<div style="{style}"><div style="margin-bottom:4px">{head}</div>{"".join(parts)}</div>'


def _escaped(text: object) -> str:
    return html.escape(printable(text))
