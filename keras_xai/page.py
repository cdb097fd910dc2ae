"""One self-contained page of everything below a log directory: it opens from disk, offline, and can be mailed.

The function is `kx.report`; a module of that name would shadow it as soon as somebody imported it.
"""

from __future__ import annotations

import contextlib
import html
import math
import os
from collections.abc import Iterable
from pathlib import Path

from keras_xai.analysis.formatting import percent, signed_percent
from keras_xai.analysis.overview import summary
from keras_xai.analysis.reliance_gap import carriers_in_words
from keras_xai.analysis.vocabulary import ALERT_SOURCES, view_title
from keras_xai.errors import InvalidInput
from keras_xai.events import events
from keras_xai.figures import FIGURES
from keras_xai.judgement import noted
from keras_xai.printed import printable
from keras_xai.records import Alert, FeatureMove
from keras_xai.run import Run, load
from keras_xai.updates import moment_of

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 32px 24px 64px; max-width: 1120px; color: #212121; background: #fff;
  font: 400 14px/20px Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 20px; line-height: 28px; font-weight: 500; }
h2 { margin: 48px 0 8px; padding-top: 16px; border-top: 1px solid #d0d4d9; font-size: 14px; font-weight: 500; color: #616161; }
h2 + p { margin: 0; font-size: 20px; line-height: 28px; font-weight: 500; color: #212121; }
h2 + p ~ p { margin-top: 4px; }
p.fault { margin: 4px 0 0; color: #c62828; }
h3 { margin: 32px 0 8px; font-size: 14px; font-weight: 500; }
p, td, th { color: #616161; }
ul.facts { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 24px; }
ul.facts li { border-left: 2px solid #d0d4d9; padding-left: 12px; color: #616161; font-size: 12px; }
ul.facts li.alarm { border-color: #c62828; }
ul.facts b { display: block; font-weight: 400; font-size: 24px; line-height: 28px; color: #212121; }
table { border-collapse: collapse; font-size: 12px; }
td, th { padding: 4px 24px 4px 0; text-align: left; font-weight: 400; border-top: 1px solid #ebebeb; vertical-align: top; }
th { color: #707070; }
td.alarm { color: #c62828; font-weight: 500; white-space: nowrap; }
.wide { overflow-x: auto; }
.wide > div { min-width: 960px; }
a { color: #1976d2; }
""".strip()


def report(log_dir: str | os.PathLike[str], path: str | os.PathLike[str] = "report.html") -> Path:
    """Write one HTML file with the figures of every run below a directory, plotly included (about 5 MB and the data).

    Args:
        log_dir: a log directory, or one above several.
        path: where the page goes; an existing file is replaced at the end, so that a failure leaves it as it was, and
            nothing else.

    Returns:
        The path.

    Raises:
        InvalidInput: no such directory, nothing recorded below it, or a path that cannot be written.

    Example:
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[kx.WeightGradients("logs/run1")])
        >>> kx.report("logs", "report.html").name
        'report.html'
    """
    runs = load(log_dir)
    if not runs:
        raise InvalidInput(
            f"Nothing was recorded below {str(log_dir)!r}: give the log_dir of a callback, or one above it."
        )
    target = Path(path)
    if not target.parent.is_dir() or target.is_dir():
        raise InvalidInput(f"The page cannot be written to {str(path)!r}: give a file in a directory that exists.")
    content = _page(str(log_dir), runs)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(content, encoding="utf-8")
        os.replace(draft, target)
    except OSError as error:
        raise InvalidInput(f"The page cannot be written to {str(path)!r}: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return target


def _page(title: str, runs: dict[str, Run]) -> str:
    from plotly.offline import get_plotlyjs

    name = _text(title)
    if title not in runs:
        runs = {title if run_name == "." else run_name: run for run_name, run in runs.items()}
    links = " · ".join(f'<a href="#run{i}">{_text(run_name)}</a>' for i, run_name in enumerate(runs))
    return "\n".join(
        [
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Explain: {name}</title>',
            f"<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script>\n</head>\n<body>",
            f"<h1>What the models below {name} learn from</h1>\n{f'<p>{links}</p>' if len(runs) > 1 else ''}",
            *(_section(i, run_name, run) for i, (run_name, run) in enumerate(runs.items())),
            "</body>\n</html>\n",
        ]
    )


def _text(text: object) -> str:
    """Return a text from a file: its markup shows, and what would act on a reader too."""
    return html.escape(printable(text))


def _section(index: int, name: str, run: Run) -> str:
    """Return one run; one that cannot be shown says why, and the others are shown."""
    try:
        return _run(index, name, run)
    except Exception as error:
        why = f"This run cannot be shown: {type(error).__name__}: {error}"
        return f'<h2 id="run{index}">{_text(name)}</h2>\n<p>{_text(why)}</p>'


def _run(index: int, name: str, run: Run) -> str:
    words = summary(run)
    facts = "".join(
        f"<li{' class=alarm' if fact.alarm else ''}><b>{_text(fact.value)}</b>"
        f"{_text(f'{fact.was} · {fact.note}' if fact.was else fact.note)}</li>"
        for fact in words.facts
    )
    parts = [
        f'<h2 id="run{index}">{_text(name)}</h2>\n<p>{_text(words.sentence)}</p>',
        *(f'<p class="fault">{_text(fault)}</p>' for fault in words.faults),
        f"<p>{_text(words.detail)}</p>",
        f'<ul class="facts">{facts}</ul>' if facts else "",
        _alerts(run.alerts),
        _carriers(run),
    ]
    for figure in _figures_of(run):
        title = view_title(figure)
        words_of_score = _explained(run) if figure == "probe_attributions" else ""
        parts.append(f"<h3>{_text(title)}</h3>\n{words_of_score}{_figure(run, figure, title, f'run{index}-{figure}')}")
    notes = [f"{moment_of(note.epoch, note.step)}: {noted(note)}" for note in run.notes]
    notes += [damage for damage in run.passed_over.values() if damage not in run.doubts]  # which are among the faults
    if notes:
        parts.append("<h3>Notes</h3>\n" + "".join(f"<p>{_text(note)}</p>" for note in notes))
    return "\n".join(filter(None, parts))


def _figures_of(run: Run) -> Iterable[str]:
    """Return the names of the figures to show; of a training without an update the gallery of the untrained model alone."""
    if run.updates:
        return FIGURES
    return ("probe_attributions",) if run.methods_before else ()


def _explained(run: Run) -> str:
    """Return what the maps explain, where it is another score than a class of the sample."""
    words = "" if run.probe_described is None else run.probe_described.explained
    return f"<p>Explained: {_text(words)}.</p>\n" if words else ""


def _figure(run: Run, name: str, title: str, node_id: str) -> str:
    """Return a figure; words where nothing of its kind was recorded."""
    chart = run.figure(name)
    absent = (chart.layout.meta or {}).get("absent")
    if absent is not None:
        return f"<p>Nothing to show: {_text(absent)}.</p>"
    return _wide(chart.to_html(full_html=False, include_plotlyjs=False, div_id=node_id), title)


def _alerts(alerts: Iterable[Alert]) -> str:
    """Return one row an event."""
    rows = []
    for event in events(alerts):
        first = event[0]
        lines = [alert.sentence for alert in event if alert.sentence]
        if first.changed is not None:
            lines.append(str(first.changed))
        lines += [_sighting(alert) for alert in event if alert.features]
        lines.append(first.advice)
        cell = '<td class="alarm">' if first.is_alarm else "<td>"
        rows.append(
            f"<tr>{cell}{first.moment}</td><td>{_text(first.verdict)}</td>"
            f"<td>{'<br>'.join(map(_text, lines))}</td></tr>"
        )
    head = "<tr><th></th><th>verdict</th><th>what moved, and where it was seen</th></tr>"
    table = f"<table>{head}{''.join(rows)}</table>"
    return f"<h3>Alerts</h3>\n{_wide(table, 'Alerts')}" if rows else ""


def _carriers(run: Run) -> str:
    """Return the training rows that carry the features of the gap's alerts most."""
    rows = []
    for alert in run.alerts:
        for carrier in carriers_in_words(alert, run):
            rows.append(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in carrier)}</tr>")
    head = "".join(f"<th>{title}</th>" for title in ("feature", "row", "label", "value", "share of its evidence"))
    title = "Training rows that carry it most"
    table = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    return f"<h3>{title}</h3>\n{_wide(table, title)}" if rows else ""


def _sighting(alert: Alert) -> str:
    """Return the features that one alert names, with where and when: shares of different sources are not one scale."""
    features = ", ".join(_moved(alert, move) for move in alert.features)
    return f"{ALERT_SOURCES[alert.source]}, {alert.moment}: {features}"


def _moved(alert: Alert, move: FeatureMove) -> str:
    if alert.source == "gap":
        sides = f"probe {signed_percent(move.before)}, training rows {signed_percent(move.after)}"
        return f"{move.name} ({sides}, z {move.z:+.1f})"
    if alert.source == "rule":
        return f"{move.name} {percent(move.after)}, limit {percent(move.before)}"
    if math.isnan(move.z):
        return move.name if math.isnan(move.after) else f"{move.name} in {percent(move.after)} of the rows"
    if alert.source == "data":
        return f"{move.name} (z {move.z:+.1f})"
    return f"{move.name} {percent(move.before)} → {percent(move.after)} (z {move.z:+.1f})"


def _wide(markup: str, label: str) -> str:
    """Return something that a narrow window scrolls, by keyboard too."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{_text(label)}">{markup}</div>'
