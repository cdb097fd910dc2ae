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
from keras_xai.analysis.run_facts import RunFacts, facts_of
from keras_xai.events import events
from keras_xai.judgement import ALARM, QUIET, STATUS_WORDS, UNWATCHED
from keras_xai.printed import printable
from keras_xai.recorded import Recorded
from keras_xai.records import Attribution
from keras_xai.tree import leaves
from keras_xai.updates import UPDATES

ROWS = 8  # samples of an attribution that are listed
# White letters on these can be read on light and on dark pages.
COLOURS = {ALARM: "#c62828", QUIET: "#2e7d32", UNWATCHED: "#8a6100"}
REASONS, REASON_LETTERS = 3, 90  # of a verdict
_FAINT = "opacity:.7"


def run_card(run: Recorded) -> str:
    """Return a run: its verdict, since when and by what, the reasons, and what was recorded."""
    facts = facts_of(run)
    alarms = events(alert for alert in run.alerts if alert.is_alarm)
    recorded = [_recorded(run), facts.metric, count(len(alarms), "alert")]
    probe = run.probe
    if probe is not None:
        recorded.append(f"gallery of {count(probe.size, 'sample')}, {', '.join(methods_of(run)) or 'no maps'}")
    reasons = [f"<div>{_escaped(reason)}</div>" for reason in facts.judgement.reasons[:REASONS]]
    left = len(facts.judgement.reasons) - REASONS
    if left > 0:
        reasons.append(f'<div style="{_FAINT}">and {left} more</div>')
    head = f"{_verdict(facts.judgement.status)} {_escaped(_blame(facts))}"
    return _card(head, [*reasons, f'<div style="{_FAINT}">{_escaped(" · ".join(filter(None, recorded)))}</div>'])


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


def _row_of_run(name: str, run: Recorded) -> list[str]:
    try:
        facts = facts_of(run)
    except Exception as error:  # a fault of one run's files hides no other run
        return [_escaped(name), _verdict(UNWATCHED), "", "", "", "", _why(f"{type(error).__name__}: {error}")]
    cells = map(_escaped, (facts.since, facts.feature, _recorded(run), facts.metric))
    return [_escaped(name), _verdict(facts.judgement.status), *cells, _why(facts.judgement.reasons[0])]


def _why(reason: str) -> str:
    """Return the first reason of a verdict, cut, and whole where the pointer rests."""
    words = reason if len(reason) <= REASON_LETTERS else f"{reason[: REASON_LETTERS - 1]}…"
    return f'<span style="{_FAINT}" title="{_escaped(reason)}">{_escaped(words)}</span>'


def _recorded(run: Recorded) -> str:
    epochs = count(len(run.epochs), "epoch")
    return epochs if run.unit == "epoch" else f"{len(run.updates):,} {UPDATES[run.unit]} in {epochs}"


def _blame(facts: RunFacts) -> str:
    """Return "since epoch 14: block (0,0)"; "" without an alarm."""
    if not facts.since:
        return ""
    return f"since {facts.since}: {facts.feature}" if facts.feature else f"since {facts.since}"


def _number(values: Any, sample: int) -> str:
    return "" if values is None else short(float(values[sample])).replace("-", "−")


def _error(errors: Any, sample: int) -> str:
    """Return a completeness error, marked where it is so large that the values do not add up."""
    if errors is None:
        return ""
    words = percent(float(errors[sample]))
    return _chip(words, COLOURS[ALARM]) if errors[sample] > LARGE_COMPLETENESS_ERROR else words


def _verdict(status: int) -> str:
    return _chip(STATUS_WORDS[status], COLOURS[status])


def _chip(words: str, colour: str) -> str:
    style = f"background:{colour};color:#fff;border-radius:3px;padding:1px 8px;white-space:nowrap"
    return f'<span style="{style}">{words}</span>'


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
